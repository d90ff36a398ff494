"""`formosa doctor` never fails: it says what is missing, and for what."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from command_line import formosa

doctor = importlib.import_module("formosa.cli.doctor")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def findings(*arguments: str) -> dict[str, tuple[str, str]]:
    done = formosa("doctor", "--json", *arguments)
    assert (done.code, done.err) == (0, "")
    return {row["what"]: (row["state"], row["detail"]) for row in done.json}


def test_a_machine_as_it_is(cache: Path) -> None:
    found = findings("--offline")
    assert {state for state, _ in found.values()} <= {"ok", "missing", "warning"}
    assert found["formosa"][0] == "ok"
    assert found["hub"] == ("ok", "not asked (offline)")
    assert f"{cache}: no model yet" in found["cache"][1]
    assert {"system", "cores", "memory", "GPU", "training", "llama.cpp in process"} <= set(found)
    human = formosa("doctor", "--offline")
    assert human.code == 0
    assert all(what in human.out for what in found)
    assert not cache.exists()  # looking makes nothing


def test_a_missing_package_comes_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = ("torch", "xllamacpp")
    real = importlib.util.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in gone else real(name))
    found = findings("--offline")
    assert found["training"] == ("missing", "torch: pip install 'formosa-lm[train]'")
    assert found["llama.cpp in process"] == (
        "missing",
        "xllamacpp: pip install 'formosa-lm[llama]'",
    )
    assert "[train]" in formosa("doctor", "--offline").out  # not swallowed as markup


def test_a_package_without_metadata_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise doctor.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    assert findings("--offline")["training"] == ("ok", "torch of unknown version")


# -- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.invalid")
    return monkeypatch


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def head(url: str, **options: Any) -> Any:
        assert options["timeout"] <= 5
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("httpx2.head", head)


def test_a_hub_that_cannot_be_reached_is_a_warning(online: pytest.MonkeyPatch) -> None:
    import httpx2

    answering(online, httpx2.ConnectError("no route"))
    state, detail = findings()["hub"]
    assert state == "warning"
    assert detail == (
        "http://hub.invalid can't be reached (ConnectError); built-in models still work"
    )
    answering(online, httpx2.InvalidURL("what?"))
    assert findings()["hub"][0] == "warning"


@pytest.mark.parametrize(("code", "state"), [(200, "ok"), (302, "ok"), (503, "warning")])
def test_a_hub_that_answers(online: pytest.MonkeyPatch, code: int, state: str) -> None:
    import httpx2

    answering(online, httpx2.Response(code))
    assert findings()["hub"] == (state, f"http://hub.invalid answers {code}")


def test_the_hubs_own_switch_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    answering(monkeypatch, AssertionError("asked"))
    assert findings()["hub"] == ("ok", "not asked (offline)")


# -- the cache -----------------------------------------------------------------------------------


def test_models_that_are_here_are_named(cache: Path) -> None:
    (cache / "models").mkdir(parents=True)
    (cache / "models" / "smollm2-135m.gguf").write_bytes(b"GGUF")
    assert f"{cache}: smollm2-135m; " in findings("--offline")["cache"][1]


def test_a_cache_that_may_not_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    state, detail = findings("--offline")["cache"]
    assert state == "warning"
    assert f"{tmp_path} is not writable; set FORMOSA_HOME" in detail


def test_a_file_in_the_place_of_the_cache_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "file" / "cache"))
    state, detail = findings("--offline")["cache"]
    assert (state, f"{tmp_path / 'file'} is not writable" in detail) == ("warning", True)


def test_a_cache_that_may_not_be_read_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("formosa.models.is_cached", refused)
    state, detail = findings("--offline")["cache"]
    assert (state, "can't be read: Permission denied" in detail) == ("warning", True)


def test_a_nearly_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = doctor.shutil.disk_usage("/")._replace(free=10**9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    state, detail = findings("--offline")["cache"]
    assert (state, "1 GB free" in detail) == ("warning", True)


# -- the machine ---------------------------------------------------------------------------------


def driver(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(path))


def test_every_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "echo 'Card A, 8192 MiB'; echo 'Card B, 24576 MiB'", monkeypatch)
    assert findings("--offline")["GPU"] == ("ok", "Card A, 8192 MiB; Card B, 24576 MiB")


def test_a_broken_driver_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, "echo 'Failed to communicate with the driver'; exit 9", monkeypatch)
    state, detail = findings("--offline")["GPU"]
    assert (state, detail) == ("warning", "the driver does not answer: CalledProcessError")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(tmp_path / "gone"))
    assert findings("--offline")["GPU"][0] == "warning"


def test_no_gpu_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    state, detail = findings("--offline")["GPU"]
    assert (state, "on the CPU" in detail) == ("ok", True)
