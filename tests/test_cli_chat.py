"""`formosa chat`: a conversation from the keyboard or a pipe, and the format shown both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from formosa import models
from formosa.cli.main import cli
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import DataError, EngineError, UserError

TOOLS = """
from formosa import tool

@tool
def get_weather(location: str) -> str:
    "Get the weather."
    return location + " 26 " + "晴" * 400
"""
WEATHER = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>'


class Opened:
    """Stands for `open_chat`: a scripted model, and how it was asked for."""

    def __init__(self, script: list[str] | Callable[[str], str]) -> None:
        self.engine = ScriptedEngine(script)
        self.name: str | None = None
        self.options: dict[str, Any] = {}

    def __call__(self, model: str, **options: Any) -> TemplatedChat:
        self.name, self.options = model, options
        return TemplatedChat(self.engine)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Opened]:
    """The model that `formosa chat` opens says these replies."""

    def script(*replies: str) -> Opened:
        opened = Opened(list(replies))
        monkeypatch.setattr("formosa.engines.open.open_chat", opened)
        return opened

    return script


def invoke(*args: str, given: str = "", env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(
        cli, ["chat", *args], input=given, env=env, auto_envvar_prefix="FORMOSA"
    )


def tools_file(folder: Path) -> str:
    path = folder / "mine.py"
    path.write_text(TOOLS, encoding="utf-8")
    return str(path)


# -- one command with subcommands -----------------------------------------------------------------


def test_help_shows_what_to_paste_the_options_and_the_subcommands() -> None:
    for args in (["--help"], ["-h"]):
        result = invoke(*args)
        assert result.exit_code == 0
        assert "chat [OPTIONS] [MODEL]\n   or: " in result.stdout
        assert "formosa chat smollm2-135m" in result.stdout
        assert "--base-url" in result.stdout
        assert "render" in result.stdout
        assert "talk" not in result.stdout, "the name of the hidden command"


def test_options_may_stand_before_the_model(scripted: Callable[..., Opened]) -> None:
    opened = scripted("好")
    assert invoke("--temperature", "0.5", "my-model", given="hi\n").exit_code == 0
    assert opened.name == "my-model"


def test_a_usage_error_shows_the_usage_of_chat() -> None:
    result = invoke("my-model", "--temprature", "1")
    assert result.exit_code == 2
    assert "chat [OPTIONS] [MODEL]" in result.stderr
    assert "--temperature" in result.stderr, "click names the nearest option"
    assert "chat --help'" in result.stderr
    assert "talk" not in result.stderr, "the name of the hidden command"


def test_a_model_or_a_server_is_needed_where_none_is_built_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "ADAPTERS", {})
    result = invoke("--temperature", "1")
    assert result.exit_code == 2
    assert "Name a model, or a server" in result.stderr


def test_a_subcommand_is_not_taken_for_a_model(scripted: Callable[..., Opened]) -> None:
    opened = scripted()
    assert invoke("parse", "-", given="hi").exit_code == 0
    assert opened.name is None


def test_the_options_reach_the_model(scripted: Callable[..., Opened]) -> None:
    opened = scripted("好")
    result = invoke(
        *("m", "--base-url", "http://127.0.0.1:1/v1", "--template", "llama3"),
        *("--system", "你是助理", "--max-tokens", "7"),
        given="hi\n",
        env={"FORMOSA_CHAT_API_KEY": "s3cret"},
    )
    assert result.exit_code == 0, result.output
    assert opened.options["base_url"] == "http://127.0.0.1:1/v1"
    assert opened.options["template"] == "llama3"
    assert opened.options["api_key"] == "s3cret"
    assert "你是助理" in opened.engine.prompts[0]
    assert "s3cret" not in result.output


def test_a_server_alone_is_enough(scripted: Callable[..., Opened]) -> None:
    opened = scripted("好")
    assert invoke("--base-url", "http://127.0.0.1:1/v1", given="hi\n").exit_code == 0
    assert opened.name == ""


# -- lines from a pipe ----------------------------------------------------------------------------


def test_each_line_of_a_pipe_is_a_turn_and_only_answers_are_on_standard_output(
    scripted: Callable[..., Opened],
) -> None:
    opened = scripted("<think>\n想\n</think>\n\n一", "二")
    result = invoke("m", given="first\n\nsecond\n")
    assert result.stdout == "一\n二\n"
    assert "想" in result.stderr
    assert len(opened.engine.prompts) == 2, "an empty line is no turn"
    assert "first" in opened.engine.prompts[1]
    assert "一" in opened.engine.prompts[1]


def test_the_tools_of_a_file_are_called(scripted: Callable[..., Opened], tmp_path: Path) -> None:
    opened = scripted(f"我查一下\n{WEATHER}", "26 度")
    result = invoke("m", "--tools", tools_file(tmp_path), given="台北氣溫？\n")
    assert result.exit_code == 0, result.output
    assert result.stdout == "我查一下\n26 度\n"
    assert '→ get_weather({"location": "台北"})' in result.stderr
    assert "← get_weather: 台北 26 晴" in result.stderr
    assert "… (406 characters)" in result.stderr, "the screen gets a part, the model all"
    assert "晴" * 400 in opened.engine.prompts[1]


def test_without_a_tools_file_no_tool_runs(scripted: Callable[..., Opened]) -> None:
    scripted(WEATHER)
    result = invoke("m", given="hi\n")
    assert "<tool_call>" in result.stdout
    assert "←" not in result.stderr


def test_a_tools_file_that_fails_stops_before_the_model_is_loaded(
    scripted: Callable[..., Opened], tmp_path: Path
) -> None:
    opened = scripted("never")
    result = invoke("m", "--tools", str(tmp_path / "none.py"), given="hi\n")
    assert isinstance(result.exception, UserError)
    assert opened.name is None


def test_two_files_with_one_name_of_a_tool_are_refused(
    scripted: Callable[..., Opened], tmp_path: Path
) -> None:
    scripted()
    path = tools_file(tmp_path)
    result = invoke("m", "--tools", path, "--tools", path)
    assert isinstance(result.exception, UserError)
    assert "Two tools are named 'get_weather'" in result.exception.message


def test_json_gives_the_messages_of_each_turn(
    scripted: Callable[..., Opened], tmp_path: Path
) -> None:
    scripted(WEATHER, "26 度", "好")
    result = invoke("m", "--json", "--tools", tools_file(tmp_path), given="氣溫？\n謝謝\n")
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert [message["role"] for message in first["messages"]] == ["assistant", "tool", "assistant"]
    assert first["stopped"] == "answer"
    call = first["messages"][0]["tool_calls"][0]
    assert first["messages"][1]["tool_call_id"] == call["id"]
    assert second["messages"] == [{"role": "assistant", "content": "好"}]


def test_reset_forgets_and_exit_leaves(scripted: Callable[..., Opened]) -> None:
    opened = scripted("一", "二", "三")
    result = invoke("m", "--system", "SYS", given="first\n/reset\nsecond\n/exit\nthird\n")
    assert result.stdout == "一\n二\n"
    assert "first" not in opened.engine.prompts[1]
    assert "SYS" in opened.engine.prompts[1]


def test_help_names_the_commands_and_the_tools(
    scripted: Callable[..., Opened], tmp_path: Path
) -> None:
    scripted()
    result = invoke("m", "--tools", tools_file(tmp_path), given="/help\n/tools\n/hlep me\n")
    assert result.stdout == ""
    assert "/reset" in result.stderr
    assert "get_weather(location: string)" in result.stderr
    assert "no such command: /hlep\n" in result.stderr


def test_an_error_ends_a_pipe_and_is_passed_to_the_edge(scripted: Callable[..., Opened]) -> None:
    """The edge (main) makes the sentence and the exit code; a script must not go on."""
    scripted("一")
    result = invoke("m", given="first\nsecond\n")
    assert isinstance(result.exception, EngineError)
    assert result.stdout == "一\n"


def test_why_a_reply_stopped_is_said(scripted: Callable[..., Opened], tmp_path: Path) -> None:
    scripted("長長長長長長")
    assert "--max-tokens" in invoke("m", "--max-tokens", "3", given="hi\n").stderr
    scripted(WEATHER, WEATHER)
    result = invoke("m", "--tools", tools_file(tmp_path), given="hi\n")
    assert "kept calling tools" in result.stderr


def test_a_call_that_cannot_be_read_is_said(
    scripted: Callable[..., Opened], tmp_path: Path
) -> None:
    scripted('<tool_call>{"name": </tool_call>')
    result = invoke("m", "--tools", tools_file(tmp_path), given="hi\n")
    assert "a tool call could not be read" in result.stderr


def test_input_that_is_no_text_is_a_sentence(scripted: Callable[..., Opened]) -> None:
    scripted("never")
    result = CliRunner().invoke(cli, ["chat", "m"], input=b"\xff\xfe\n")
    assert isinstance(result.exception, DataError)
