"""`formosa serve`: what it prints, and what it refuses before a model is loaded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from formosa.cli.serve import serve
from formosa.engines.protocol import ChatModel
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError

URL = "http://127.0.0.1:8000/v1"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The command with a scripted model and a server that ends at once; what both were told."""
    told: dict[str, Any] = {}

    def open_chat(model: str, **options: Any) -> ChatModel:
        told.update(options, model=model)
        return TemplatedChat(ScriptedEngine(["hi"]))

    def run_server(models: Mapping[str, ChatModel], **options: Any) -> None:
        told.update(options, served=list(models))
        options["started"](URL)

    monkeypatch.setattr("formosa.engines.open.open_chat", open_chat)
    monkeypatch.setattr("formosa.serve.run.run_server", run_server)
    return told


def run(*arguments: str, **environment: str) -> tuple[str, str]:
    result = CliRunner(env=environment).invoke(serve, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.stdout, result.stderr


def test_it_prints_the_address_and_a_line_to_paste(opened: dict[str, Any]) -> None:
    out, _ = run("runs/mini")
    assert out.startswith(f"scripted is served at {URL}\n")
    curl = shlex.split(out.splitlines()[2])
    assert curl[:2] == ["curl", f"{URL}/chat/completions"]
    assert json.loads(curl[-1])["messages"][0]["role"] == "user"
    assert opened["served"] == ["scripted"]


def test_the_options_reach_the_engine_and_the_server(opened: dict[str, Any]) -> None:
    run("m.gguf", "--context", "64", "--slots", "3", "--threads", "1", "--template", "gemma",
        "--port", "0", "--name", "mine")  # fmt: skip
    assert opened["model"] == "m.gguf"
    assert (opened["context"], opened["slots"], opened["threads"]) == (64, 3, 1)
    assert (opened["template"], opened["port"], opened["served"]) == ("gemma", 0, ["mine"])
    assert opened["host"] == "127.0.0.1"


def test_json_is_one_document_on_standard_output(opened: dict[str, Any]) -> None:
    out, _ = run("runs/mini", "--json")
    assert json.loads(out) == {"url": URL, "model": "scripted"}


def test_a_key_is_never_printed(opened: dict[str, Any]) -> None:
    out, err = run("runs/mini", "--host", "0.0.0.0", "--api-key", "sk-secret")
    assert opened["api_key"] == "sk-secret"
    assert "sk-secret" not in out + err
    assert "$FORMOSA_SERVE_API_KEY" in out


def test_other_machines_are_refused_without_a_key_before_anything_is_loaded(
    opened: dict[str, Any],
) -> None:
    with pytest.raises(UserError, match="no API key") as caught:
        run("runs/mini", "--host", "0.0.0.0")
    assert "--api-key" in caught.value.hint
    assert opened == {}
