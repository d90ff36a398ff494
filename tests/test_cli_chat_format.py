"""`formosa chat render` and `parse`: the format shown both ways, and checked by someone else."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.cli.chat_format import _show_rendered
from formosa.cli.format_model import Token
from formosa.cli.main import cli
from formosa.cli.output import Output
from formosa.errors import DataError, MessageError, UserError

WEATHER = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>'


def invoke(*args: str, given: str = "") -> Result:
    return CliRunner().invoke(cli, ["chat", *args], input=given)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CONVERSATION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "嗨"}, {"role": "assistant", "content": "你好"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}


def saved(folder: Path, value: Any) -> str:
    path = folder / "row.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return str(path)


def test_render_prints_the_text_byte_for_byte_and_says_what_is_trained(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "[bold]嗨[/]\n" + "長" * 300},
        {"role": "assistant", "content": "你好"},
    ]
    result = CliRunner().invoke(cli, ["chat", "render", saved(tmp_path, messages)])
    before = "<|im_start|>user\n[bold]嗨[/]\n" + "長" * 300 + "<|im_end|>\n<|im_start|>assistant\n"
    assert result.stdout_bytes.decode() == before + "你好<|im_end|>\n"
    start = len(before)
    assert f"trained: 12 of {start + 13} characters; spans: {start}–{start + 12}" in result.stderr


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma"])
def test_render_gives_the_renderers_text_and_spans_as_json(tmp_path: Path, family: str) -> None:
    result = invoke("render", saved(tmp_path, CONVERSATION), "--template", family, "--json")
    value = json.loads(result.stdout)
    assert '{"type": "function"' in value["text"]
    ((start, end),) = value["spans"]
    template = ChatTemplate.formosa(family)
    assert value["text"][start:end] == "你好" + template.stop
    assert value["template_sha256"] == template.sha256


def test_render_can_end_where_the_model_begins(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "嗨"}]
    result = invoke("render", "-", "--prompt", given=json.dumps(messages))
    assert result.stdout.endswith("<|im_start|>assistant\n")
    assert "spans: none" in result.stderr


def test_render_takes_a_template_of_someone_else(tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}", "utf-8")
    result = invoke("render", saved(tmp_path, CONVERSATION), "--template", str(path))
    assert result.stdout == "[user]嗨[assistant]你好"


def test_render_shows_trained_text_green_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    message = Message("assistant", "你好")
    _show_rendered(Output(), ChatTemplate.formosa().render([message]), {})
    assert click.style("你好<|im_end|>", fg="green") in terminal.getvalue()


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        ("{", DataError, "is not JSON"),
        ("3", DataError, "holds no conversation"),
        ('{"messages": {}}', DataError, "holds no conversation"),
        ('{"messages": [], "tools": {"a": 1}}', DataError, "holds no conversation"),
        ('[{"role": "robot", "content": ""}]', MessageError, r"messages\[0\].role"),
        ('{"messages": [], "tools": [{}]}', MessageError, r"tools\[0\].name"),
        ("[" * 100_000, DataError, "is not JSON"),
    ],
)
def test_render_refuses_what_is_no_conversation(
    text: str, error: type[Exception], problem: str
) -> None:
    result = invoke("render", "-", given=text)
    with pytest.raises(error, match=problem):
        raise result.exception or AssertionError(result.output)


def test_an_unknown_template_names_the_known_ones(tmp_path: Path) -> None:
    result = invoke("render", saved(tmp_path, []), "--template", "qwen")
    assert isinstance(result.exception, UserError)
    assert "chatml, llama3, gemma" in result.exception.hint


def test_a_file_that_is_missing_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    missing = invoke("parse", str(tmp_path / "none"))
    assert isinstance(missing.exception, UserError)
    assert "No such file" in missing.exception.message
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    assert isinstance(invoke("parse", str(binary)).exception, DataError)


def test_parse_prints_the_message_and_the_defects(tmp_path: Path) -> None:
    broken = '<tool_call>{"name": </tool_call>'
    result = invoke("parse", "-", given=f"<think>\n想\n</think>\n\n{WEATHER}\n{broken}")
    value = json.loads(result.stdout)
    assert value["message"]["reasoning_content"] == "想"
    (call,) = value["message"]["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": '{"location": "台北"}'}
    assert value["message"]["content"].strip() == broken
    assert value["defects"][0]["text"] == broken
    assert "defect: " in result.stderr


def test_parse_keeps_every_character_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "reply.txt"
    path.write_bytes("一\r\n二\n".encode())
    value = json.loads(invoke("parse", str(path), "--json").stdout)
    assert value["message"]["content"] == "一\r\n二\n"


def test_parse_can_begin_inside_a_think_block() -> None:
    value = json.loads(invoke("parse", "-", "--reasoning-open", given="想\n</think>\n\n答").stdout)
    assert (value["message"]["reasoning_content"], value["message"]["content"]) == ("想", "答")


def test_parse_reads_what_render_wrote(tmp_path: Path) -> None:
    message = {
        "role": "assistant",
        "content": "我查",
        "tool_calls": [
            {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    rendered = json.loads(invoke("render", saved(tmp_path, [message]), "--json").stdout)
    ((start, end),) = rendered["spans"]
    reply = rendered["text"][start:end].removesuffix("<|im_end|>")
    assert json.loads(invoke("parse", "-", given=reply).stdout)["message"] == message


def test_parse_says_how_the_reply_finishes() -> None:
    assert json.loads(invoke("parse", "-", given="好").stdout)["finish"] == "stop"
    assert json.loads(invoke("parse", "-", given=WEATHER).stdout)["finish"] == "tool_calls"


def test_parse_takes_a_reply_that_was_kept_as_json() -> None:
    kept = json.dumps({"text": "想</think>\n\n好", "reasoning_open": True})
    message = json.loads(invoke("parse", "-", given=kept).stdout)["message"]
    assert (message["reasoning_content"], message["content"]) == ("想", "好")


@pytest.mark.parametrize("text", ['{"text": "hi"}', '{"text": 1, "reasoning_open": true}', "[1]"])
def test_a_reply_that_is_json_itself_is_content(text: str) -> None:
    assert json.loads(invoke("parse", "-", given=text).stdout)["message"]["content"] == text


# -- with a model -----------------------------------------------------------------------------


class Spelled:
    """A model whose tokens are characters; its second renderer says what it is told to."""

    renderer = "transformers"

    def __init__(self, template: ChatTemplate | None, theirs: str | None = None) -> None:
        self.template = template
        self.theirs = theirs
        self.closed = False

    def tokens(self, text: str) -> list[Token]:
        return [Token(ord(character), character) for character in text]

    def prompt(self, messages: Sequence[Message], tools: Sequence[Tool]) -> str:
        assert self.template
        return self.theirs or self.template.prompt(messages, tools)

    def close(self) -> None:
        self.closed = True


def use(monkeypatch: pytest.MonkeyPatch, model: Spelled) -> None:
    monkeypatch.setattr("formosa.cli.chat_format.open_format_model", lambda name, say: model)


def test_render_shows_token_ids_and_which_are_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = Spelled(ChatTemplate.formosa("llama3"))
    use(monkeypatch, model)
    value = json.loads(
        invoke("render", saved(tmp_path, CONVERSATION), "--model", "m", "--json").stdout
    )
    assert "".join(token["text"] for token in value["tokens"]) == value["text"]
    trained = "".join(token["text"] for token in value["tokens"] if token["trained"])
    assert trained == "你好<|eot_id|>"
    assert model.closed
    shown = invoke("render", saved(tmp_path, CONVERSATION), "--model", "m")
    assert '20320:"你" 22909:"好"' in shown.stderr
    assert "trained: 12" in shown.stderr


def test_parse_shows_token_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Spelled(None))
    value = json.loads(invoke("parse", "-", "--model", "m", given="好").stdout)
    assert value["tokens"] == [{"id": 22909, "text": "好"}]


def test_a_model_without_a_template_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, Spelled(None))
    result = invoke("render", saved(tmp_path, CONVERSATION), "--model", "m")
    assert isinstance(result.exception, UserError)
    assert "chatml" in result.exception.hint
    other = invoke("render", saved(tmp_path, CONVERSATION), "--model", "m", "--template", "gemma")
    assert "<start_of_turn>" in other.stdout


def test_a_second_renderer_that_agrees_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, Spelled(ChatTemplate.formosa()))
    result = invoke("render", saved(tmp_path, CONVERSATION), "--model", "m", "--check")
    assert result.exit_code == 0
    assert "transformers renders the same" in result.stderr


def test_a_second_renderer_that_differs_is_shown_with_the_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    template = ChatTemplate.formosa()
    prompt = template.prompt([Message("user", "嗨")])
    use(monkeypatch, Spelled(template, prompt.replace("嗨", "哈")))
    messages = saved(tmp_path, [{"role": "user", "content": "嗨"}])
    result = invoke("render", messages, "--model", "m", "--check")
    assert isinstance(result.exception, UserError)
    assert f"first difference at character {prompt.index('嗨')}" in result.stderr
    value = json.loads(invoke("render", messages, "--model", "m", "--check", "--json").stdout)
    assert value["check"]["same"] is False
    assert "哈" in value["check"]["theirs"]


@pytest.mark.train
@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma"])
def test_transformers_checks_a_bare_template(tmp_path: Path, family: str) -> None:
    messages = [
        *CONVERSATION["messages"],
        {"role": "user", "content": "天氣？"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": '{"a":  1.0}'}}],
        },
    ]
    path = saved(tmp_path, {**CONVERSATION, "messages": messages})
    result = invoke("render", path, "--template", family, "--check")
    assert result.exit_code == 0, result.output


@pytest.mark.train
def test_transformers_checks_the_template_of_a_folder(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = saved(tmp_path, CONVERSATION)
    result = invoke("render", path, "--model", str(tiny_checkpoint), "--check", "--json")
    value = json.loads(result.stdout)
    assert value["check"] == {
        "renderer": "transformers",
        "same": True,
        "characters": value["check"]["characters"],
    }
    assert value["tokens"]


@pytest.mark.model
def test_llama_cpp_checks_the_template_of_a_gguf_file(tmp_path: Path) -> None:
    """A foreign template, rendered by our sandbox and by llama.cpp."""
    path = saved(tmp_path, {"messages": CONVERSATION["messages"]})
    result = invoke("render", path, "--model", "smollm2-135m", "--check", "--json")
    value = json.loads(result.stdout)
    assert value["check"]["same"] is True
    assert value["check"]["renderer"] == "llama.cpp"
    assert {"id": 1, "text": "<|im_start|>", "trained": False} in value["tokens"]
    parsed = json.loads(invoke("parse", "-", "--model", "smollm2-135m", given="hello").stdout)
    assert "".join(token["text"] for token in parsed["tokens"]) == "hello"
