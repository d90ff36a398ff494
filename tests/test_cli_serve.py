"""`formosa serve`: what it prints, and what it refuses before a model is loaded."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from formosa import models
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
    assert out.splitlines()[1] == "Chat at http://127.0.0.1:8000/chat"
    curl = shlex.split(out.splitlines()[3])
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
    assert json.loads(out) == {
        "url": URL,
        "model": "scripted",
        "models": ["scripted"],
        "chat": "http://127.0.0.1:8000/chat",
    }


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


def test_a_server_s_own_options_reach_it(opened: dict[str, Any], tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    run("m", "--queue", "5", "--grace", "2", "--record", str(record))
    assert opened["limits"].waiting == 5
    assert (opened["grace"], opened["record"]) == (2.0, record)


def test_vllm_gets_its_options_and_more_slots(opened: dict[str, Any]) -> None:
    run("hf:org/name", "--engine", "vllm", "--tensor-parallel", "4", "--pipeline-parallel", "2",
        "--executor", "ray", "--vllm-python", "env/bin/python",
        "--vllm-arg", "--seed=1")  # fmt: skip
    assert (opened["engine"], opened["slots"]) == ("vllm", 32)
    vllm = opened["vllm"]
    assert (vllm.tensor_parallel, vllm.pipeline_parallel, vllm.executor) == (4, 2, "ray")
    assert (vllm.python, vllm.extra) == ("env/bin/python", ("--seed=1",))


def test_vllm_s_options_are_refused_without_vllm(opened: dict[str, Any]) -> None:
    """They would do nothing, and somebody would wait for four GPUs."""
    result = CliRunner().invoke(serve, ["m", "--tensor-parallel", "4"])
    assert result.exit_code == 2
    assert "--engine vllm" in result.stderr
    assert opened == {}


def test_other_servers_continue_the_text(opened: dict[str, Any]) -> None:
    """Formosa renders and reads; so their own chat layers are not asked."""
    run("runs/mini", "--base-url", "http://a/v1", "--base-url", "http://b/v1", "--base-key", "k")
    assert opened["base_url"] == ("http://a/v1", "http://b/v1")
    assert opened["raw"] is True
    assert opened["model"] == "runs/mini"


def test_adapters_are_named(opened: dict[str, Any]) -> None:
    run("m", "--adapter", "law=law.gguf", "--adapter", "daily=b=c.gguf")
    assert opened["adapters"] == {"law": Path("law.gguf"), "daily": Path("b=c.gguf")}


@pytest.mark.parametrize(
    ("given", "problem"),
    [(["law.gguf"], "no file"), (["=x"], "no file"), (["a=x", "a=y"], "Two adapters")],
)
def test_an_adapter_without_a_name_or_with_a_taken_one_is_refused(
    opened: dict[str, Any], given: list[str], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        run("m", *[word for text in given for word in ("--adapter", text)])
    assert opened == {}


def test_nothing_to_serve_is_a_usage_error_under_the_group_s_name(
    opened: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "ADAPTERS", {})  # nothing is built in
    result = CliRunner().invoke(serve, [])
    assert result.exit_code == 2
    wrong = CliRunner().invoke(serve, ["--prot", "1"])
    assert "Did you mean" in wrong.stderr or "No such option" in wrong.stderr
    assert "serve model" not in wrong.stderr
    assert opened == {}


def test_help_shows_the_options_and_the_subcommands() -> None:
    text = CliRunner().invoke(serve, ["--help"]).stdout
    assert "--tensor-parallel" in text
    assert "check" in text and "parrot" in text
    assert "\n  model " not in text
