"""A base and an adapter as one model: what its name means, and the model that comes with us.

What such a model says is in test_engines_adapters.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from formosa import models
from formosa.checkpoints import checkpoint_folder
from formosa.cli.main import cli
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import ModelError, UserError
from formosa.files import sha256_file
from formosa.models import BuiltInAdapter, Model, default_model, gguf_file, resolve


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and an adapter, and we are in it."""
    (tmp_path / "base.gguf").write_bytes(b"GGUF base")
    (tmp_path / "lora.gguf").write_bytes(b"GGUF adapter")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def shipped(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a small stand-in for our own model."""
    folder = files / "package" / "adapters"
    path = folder / "formosa-mini" / "adapter" / "formosa-mini.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF ours")
    monkeypatch.setattr(models, "adapters_folder", lambda: folder)
    ours = BuiltInAdapter("formosa-mini", "gemma-3-270m", sha256_file(path), "gemma", "calls tools")
    monkeypatch.setattr(models, "ADAPTERS", {"formosa-mini": ours})
    base = Model("gemma-3-270m", "gguf", files / "base.gguf", "gemma", "google/gemma-3-270m")
    monkeypatch.setattr(models, "pull", lambda name, **others: base)
    return path


# -- BASE+ADAPTER.gguf ---------------------------------------------------------------------------


def test_a_base_and_an_adapter_are_joined_by_a_plus_sign(files: Path) -> None:
    found = resolve("base.gguf+lora.gguf")
    assert (found.name, found.base, found.kind) == ("lora", "base", "gguf")
    assert (found.path, found.adapter) == (Path("base.gguf"), Path("lora.gguf"))


def test_a_file_may_have_a_plus_sign_in_its_name(files: Path) -> None:
    (files / "a+b.gguf").write_bytes(b"GGUF one file")
    assert resolve("a+b.gguf").adapter is None
    found = resolve("a+b.gguf+lora.gguf")
    assert (found.path, found.adapter) == (Path("a+b.gguf"), Path("lora.gguf"))


def test_the_digest_is_of_both_files(files: Path) -> None:
    whole = resolve("base.gguf+lora.gguf").sha256()
    assert whole not in (sha256_file(files / "base.gguf"), sha256_file(files / "lora.gguf"))
    (files / "lora.gguf").write_bytes(b"GGUF other")
    assert resolve("base.gguf+lora.gguf").sha256() != whole


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("base.gguf+none.gguf", "No file none.gguf exists"),
        ("none+lora.gguf", "No model is called none"),
        ("base.gguf+lora.gguf+lora.gguf", "has an adapter already"),
        ("folder+lora.gguf", "adapters are added to GGUF files"),
    ],
)
def test_what_is_no_base_with_an_adapter_is_refused(files: Path, name: str, message: str) -> None:
    (files / "folder").mkdir()
    (files / "folder" / "config.json").write_text("{}")
    (files / "folder" / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelError, match=message) as caught:
        resolve(name)
    assert caught.value.hint


def test_it_is_neither_one_file_nor_a_checkpoint(files: Path) -> None:
    """Whoever needs one or the other would silently get the base, without its adapter."""
    found = resolve("base.gguf+lora.gguf")
    with pytest.raises(UserError, match="not one file"):
        gguf_file(found)
    with pytest.raises(UserError, match="no checkpoint can be made"):
        checkpoint_folder(found)


# -- the model that comes with us ----------------------------------------------------------------


def test_none_is_shipped_that_is_not_there() -> None:
    """A default that is announced and missing would break the first command of every user."""
    for adapter in models.ADAPTERS.values():
        assert sha256_file(adapter.path) == adapter.sha256
        assert adapter.path.stat().st_size <= 16_000_000
        assert adapter.base in models.BUILTIN
    assert default_model() in (None, models.DEFAULT)


def test_our_own_model_is_a_base_of_the_index_and_a_file_of_the_package(shipped: Path) -> None:
    found = resolve("formosa-mini")
    assert (found.name, found.base, found.adapter) == ("formosa-mini", "gemma-3-270m", shipped)
    assert (found.licence, found.hub_id) == ("gemma", "google/gemma-3-270m")
    assert default_model() == "formosa-mini"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_an_adapter_that_is_not_what_was_measured_is_refused(
    shipped: Path, damage: Callable[[Path], Any]
) -> None:
    damage(shipped)
    with pytest.raises(ModelError, match="missing or changed"):
        resolve("formosa-mini")


def test_it_is_listed_with_its_base_and_licence(shipped: Path) -> None:
    done = CliRunner().invoke(cli, ["models", "ls", "--json"])
    assert done.exit_code == 0
    assert '"formosa-mini"' in done.stdout and "on gemma-3-270m" in done.stdout


# -- commands without a model's name -------------------------------------------------------------


@pytest.mark.parametrize("args", [[], ["--temperature", "0.5"]])
def test_chat_opens_our_model_where_none_is_named(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    asked: list[str] = []

    def opened(model: str, **options: Any) -> TemplatedChat:
        asked.append(model)
        return TemplatedChat(ScriptedEngine(["好"]))

    monkeypatch.setattr("formosa.engines.open.open_chat", opened)
    done = CliRunner().invoke(cli, ["chat", *args], input="hi\n", auto_envvar_prefix="FORMOSA")
    assert done.exit_code == 0, done.output
    assert asked == ["formosa-mini"]
    assert "no model named: formosa-mini" in done.stderr


CALLS = """\
<tool_call>
{"name": "get_weather", "arguments": {"location": "台北", "unit": "celsius"}}
</tool_call>
<tool_call>
{"name": "search", "arguments": {"query": "最新關稅政策"}}
</tool_call>"""


@pytest.mark.parametrize(
    ("args", "offered"),
    [
        ([], ["get_weather", "search"]),
        (["--hold-calls"], ["get_weather", "search"]),
        (["--free-calls"], ["get_weather", "search"]),
        (["formosa-mini"], []),
        (["--tools", "tools.py"], ["roll"]),
    ],
)
def test_a_chat_that_was_given_nothing_has_two_tools_to_try(
    shipped: Path, files: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], offered: list[str]
) -> None:
    """A model that calls tools shows nothing without any. Whoever names something knows why."""
    roll = 'from formosa import tool\n\n@tool\ndef roll() -> int:\n    "Roll"\n    return 4\n'
    (files / "tools.py").write_text(roll, encoding="utf-8")
    said: list[str] = []
    engine = ScriptedEngine([CALLS, "26 度"])

    def opened(model: str, **options: Any) -> TemplatedChat:
        said.append(str(options.get("held")))
        return TemplatedChat(engine)

    monkeypatch.setattr("formosa.engines.open.open_chat", opened)
    question = "台北氣溫如何？另外，告訴我最新的關稅政策\n"
    done = CliRunner().invoke(cli, ["chat", *args], input=question, auto_envvar_prefix="FORMOSA")
    assert done.exit_code == 0, done.output
    named = "formosa-mini" in args
    assert said == ["None" if named else str("--free-calls" not in args)]
    assert ("invented results" in done.stderr) == (offered == ["get_weather", "search"])
    names = [name for name in ("get_weather", "search", "roll") if f'"{name}"' in engine.prompts[0]]
    assert names == offered


def test_serve_serves_it_where_none_is_named(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool]] = []

    def opened(model: str, **options: Any) -> TemplatedChat:
        asked.append((model, options["held"]))
        raise UserError("enough")

    monkeypatch.setattr("formosa.engines.open.open_chat", opened)
    for args in ([], ["--free-calls"], ["formosa-mini"], ["formosa-mini", "--hold-calls"]):
        words = ["serve", "--port", "0", *args]
        done = CliRunner().invoke(cli, words, auto_envvar_prefix="FORMOSA")
        assert done.exit_code != 0
    held = [True, False, False, True]
    assert asked == [("formosa-mini", each) for each in held], "its calls are held by default"


def test_without_one_the_help_is_shown_or_a_name_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "ADAPTERS", {})
    runner = CliRunner()
    assert "or: " in runner.invoke(cli, ["chat"]).output
    for command in ("chat", "serve"):
        done = runner.invoke(cli, [command, "--threads", "1"], auto_envvar_prefix="FORMOSA")
        assert done.exit_code == 2 and "Name a model, or" in done.stderr
