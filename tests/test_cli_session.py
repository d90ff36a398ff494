"""A chat at the keyboard: what is shown, the commands, consent, and what is kept."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from formosa import tool
from formosa.chat.message import Message
from formosa.cli.history import load_conversation, new_history, save_conversation
from formosa.cli.output import Output, visible
from formosa.cli.session import Session
from formosa.engines.protocol import Piece, Prompt, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import ContextError, DataError, MessageError, UserError
from formosa.files import read_json, read_jsonl
from formosa.tools.function import FunctionTool
from formosa.tools.log import ToolLog
from formosa.tools.registry import Registry


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_keyboard(
    monkeypatch: pytest.MonkeyPatch,
    engine: ScriptedEngine,
    typed: str,
    tools: Sequence[FunctionTool[..., Any]] = (),
    *,
    piped: bool = False,
    **options: Any,
) -> tuple[str, str]:
    """What a terminal shows on standard output and standard error."""
    out, err = (io.StringIO() if piped else Terminal()), Terminal()
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed) if piped else Terminal(typed))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with asyncio.Runner() as runner:
        model, registry = TemplatedChat(engine), Registry(tools)
        Session(Output(), model, registry, Sampling(), "", runner=runner, **options).run()
    return out.getvalue(), err.getvalue()


def test_reasoning_is_dim_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["<think>\n想\n</think>\n\n答"])
    out, err = at_keyboard(monkeypatch, engine, "hi\n")
    assert "\x1b[2m想" in out
    assert out.replace("> ", "").endswith("\n答\n")
    assert "scripted" in err


def test_a_models_words_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Escape sequences can set the title, clear the screen, or hide text."""
    engine = ScriptedEngine(["\x1b]0;owned\x07文字\x9b2J\r\x00"])
    out, _ = at_keyboard(monkeypatch, engine, "hi\n")
    assert not set(out) & set("\x1b\x07\x9b\r\x00")
    assert "␛]0;owned␇文字" in out


def test_visible_keeps_what_is_harmless() -> None:
    assert visible("a\tb\n文 🙂") == "a\tb\n文 🙂"


def test_an_error_at_the_keyboard_forgets_the_turn_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def script(prompt: str) -> str:
        if "long" in prompt:
            raise ContextError(9, 9, 10)
        return "好"

    engine = ScriptedEngine(script)
    out, err = at_keyboard(monkeypatch, engine, "very long\nshort\n")
    assert "the context holds 10" in err
    assert "larger --context" in err
    assert "好" in out


class Interrupted(ScriptedEngine):
    """Ctrl-C in the middle of the first reply, as asyncio.Runner passes it on."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        async for piece in super().generate(prompt, sampling):
            yield piece
            if len(self.prompts) == 1:
                raise KeyboardInterrupt


def test_ctrl_c_stops_a_reply_and_not_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Interrupted(["一二三四五六七八九", "好"])
    out, err = at_keyboard(monkeypatch, engine, "first\nsecond\n")
    assert "stopped; this turn is forgotten" in err
    assert "一二三\n" in out
    assert out.endswith("好\n> ")
    assert err.endswith("forgotten\n\n"), "the end of input leaves the cursor on a new line"
    assert "first" not in engine.prompts[1]


def test_what_tools_and_servers_say_cannot_steer_the_terminal_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls, results and the errors of a server are shown too, and /tools shows descriptions."""

    @tool
    def look(at: str) -> str:
        """Look\x1b[2J."""
        return "seen \x1b]0;owned\x07 \u202etxt.exe"

    def script(prompt: str) -> str:
        if "fail" in prompt:
            raise UserError("the server says \x1b[2J", "try \x1b[2J")
        if "seen" in prompt:
            return "done"
        return '<tool_call>\n{"name": "look", "arguments": {"at": "\x1b[1m"}}\n</tool_call>'

    out, err = at_keyboard(monkeypatch, ScriptedEngine(script), "go\n/tools\nfail\n", [look])
    assert not set("\x1b\x07\u202e") & set(out)
    assert "← look: seen ␛]0;owned␇ \ufffdtxt.exe" in err
    assert "the server says ␛[2J" in err
    assert "Look␛[2J." in err
    # Our own dim style of a hint is all that may be left of escapes.
    assert not set("\x1b") & set(err.replace("\x1b[2m", "").replace("\x1b[0m", ""))


def test_reasoning_beside_a_pipe_is_made_harmless_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["<think>\n\x1b[2J想\n</think>\n\n答"])
    out, err = at_keyboard(monkeypatch, engine, "hi\n", piped=True)
    assert out == "答\n"
    assert "␛[2J想" in err


# -- commands -------------------------------------------------------------------------------------


def test_undo_forgets_the_last_question(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["一", "二", "三"])
    _, err = at_keyboard(monkeypatch, engine, "first\nsecond\n/undo\nthird\n")
    assert "forgotten: second" in err
    assert "first" in engine.prompts[2]
    assert "second" not in engine.prompts[2]


def test_retry_asks_the_last_question_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["一", "二"])
    out, _ = at_keyboard(monkeypatch, engine, "first\n/retry\n")
    assert engine.prompts[0] == engine.prompts[1]
    assert "二" in out


def test_a_retry_that_fails_keeps_the_old_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "h.json"
    at_keyboard(monkeypatch, ScriptedEngine(["一"]), "first\n/retry\n", history=path)
    assert [message.content for message in load_conversation(path)] == ["first", "一"]


@pytest.mark.parametrize("command", ["/undo", "/retry"])
def test_nothing_to_take_back_is_said(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    _, err = at_keyboard(monkeypatch, ScriptedEngine([]), f"{command}\n")
    assert "nothing was asked yet" in err


def test_the_system_prompt_is_shown_set_and_kept_by_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["一", "二"])
    typed = "/system\nfirst\n/system 你是助理\n/reset\nsecond\n/system\n"
    _, err = at_keyboard(monkeypatch, engine, typed)
    assert "no system prompt" in err
    assert err.count("你是助理") == 2
    assert "你是助理" in engine.prompts[1]
    assert "first" not in engine.prompts[1]


def test_a_text_of_several_lines_is_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine(["好", "好"])
    at_keyboard(monkeypatch, engine, '"""讀這個：\n\n/exit\n"""\n"""one"""\n')
    assert "讀這個：\n\n/exit<|im_end|>" in engine.prompts[0]
    assert "user\none<|im_end|>" in engine.prompts[1]


def test_tools_are_listed_with_those_that_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    _, err = at_keyboard(monkeypatch, ScriptedEngine([]), "/tools\n", [delete, look_up])
    assert "delete(path: string)  (asks first)\n    Delete a file." in err
    assert "look_up(word: string)\n" in err
    _, err = at_keyboard(monkeypatch, ScriptedEngine([]), "/tools\n")
    assert "no tools; give some with --tools or --mcp" in err


# -- what is kept ---------------------------------------------------------------------------------


def test_a_conversation_is_kept_after_every_turn_and_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "chats" / "one.json"
    engine = ScriptedEngine([CALL % "look_up", "一", "二"])
    _, err = at_keyboard(monkeypatch, engine, "first\n", [look_up], history=path)
    assert f"kept in {path}" in err
    kept = read_json(path)
    assert [message["role"] for message in kept["messages"]] == [
        *("user", "assistant", "tool", "assistant")
    ]
    assert kept["tools"][0]["function"]["name"] == "look_up"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "nobody else reads what was said"
    _, err = at_keyboard(monkeypatch, engine, "second\n", [look_up], history=path)
    assert "going on with 1 question\n" in err
    assert "first" in engine.prompts[2]


def test_nothing_is_written_where_nothing_was_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_keyboard(monkeypatch, ScriptedEngine([]), "/help\n", history=tmp_path / "h.json")
    assert list(tmp_path.iterdir()) == []


def test_save_and_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = ScriptedEngine(["一", "二", "三"])
    path, rows = tmp_path / "a.json", tmp_path / "rows.jsonl"
    typed = (
        f"first\n/save {path}\n/save {rows}\n/reset\nsecond\n/save {rows}\n/load {path}\nthird\n"
        "/save\n/load\n/load nowhere.json\n"
    )
    _, err = at_keyboard(monkeypatch, engine, typed)
    assert "first" in engine.prompts[2]
    assert "second" not in engine.prompts[2]
    assert "name a file: /save chat.json" in err
    assert "error: nowhere.json does not exist." in err
    assert [len(row["messages"]) for _, row in read_jsonl(rows)] == [2, 2]
    assert load_conversation(rows)[0].content == "second", "the last line"


def test_a_saved_conversation_is_what_render_reads(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from formosa.cli.main import cli

    path = tmp_path / "c.json"
    save_conversation(path, [Message("user", "嗨"), Message("assistant", "好")], [look_up.tool])
    result = CliRunner().invoke(cli, ["chat", "render", str(path)])
    assert result.exit_code == 0, result.output
    assert "look_up" in result.stdout


@pytest.mark.parametrize(
    ("text", "error"),
    [("3", DataError), ("{", UserError), ('{"messages": [{"role": "robot"}]}', MessageError)],
)
def test_a_file_that_is_no_conversation_is_a_sentence(
    tmp_path: Path, text: str, error: type[UserError]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error):
        load_conversation(path)


def test_a_full_disk_does_not_end_a_chat(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    history = tmp_path / "file" / "h.json"
    out, err = at_keyboard(
        monkeypatch, ScriptedEngine(["一", "二"]), "first\nsecond\n", history=history
    )
    assert "二" in out
    assert "error: Cannot write" in err


def test_new_conversations_are_kept_under_the_state_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert new_history().parent == tmp_path / "formosa" / "chats"


# -- consent --------------------------------------------------------------------------------------

CALL = '<tool_call>\n{"name": "%s", "arguments": {"word": "台北"}}\n</tool_call>'
DELETE = '<tool_call>\n{"name": "delete", "arguments": {"path": "/%s"}}\n</tool_call>'


@tool
def look_up(word: str) -> str:
    """Look up a word."""
    return f"{word}: a city"


@tool(confirm=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


def test_yes_runs_a_call_and_no_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine([f"{DELETE % 'a'}\n{DELETE % 'b'}\n{CALL % 'look_up'}", "done"])
    _, err = at_keyboard(monkeypatch, engine, "go\ny\nn\n", [delete, look_up])
    assert '? run delete({"path": "/a"})' in err
    assert "← delete: deleted /a" in err
    assert "← delete: error: not run; the user refused this call" in err
    assert "← look_up: 台北: a city" in err
    assert "deleted /b" not in engine.prompts[1]


def test_always_is_asked_once_for_each_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine([DELETE % "a", DELETE % "b", "done", DELETE % "c", "done"])
    _, err = at_keyboard(monkeypatch, engine, "go\na\nagain\n", [delete])
    assert err.count("? run") == 1
    assert err.count("← delete: deleted") == 3


def test_anything_but_yes_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine([DELETE % "a", "done", DELETE % "b", "done"])
    _, err = at_keyboard(monkeypatch, engine, "go\n\ngo on\n", [delete])  # Enter; end of input
    assert "deleted" not in err
    assert err.count("the user refused") == 2


def test_the_question_shows_all_that_would_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not cut, on one line, with nothing that hides a part of it."""
    path = "x" * 2000 + "\\u001b[2K\\n y"
    engine = ScriptedEngine([DELETE % path, "done"])
    _, err = at_keyboard(monkeypatch, engine, "go\nn\n", [delete])
    (question,) = [line for line in err.splitlines() if line.startswith("? run")]
    assert "x" * 2000 in question
    assert question.endswith('y"})')
    assert "\x1b" not in question


def test_where_nobody_can_be_asked_nothing_runs_unless_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = ScriptedEngine([DELETE % "a", "done"] * 2)
    _, err = at_keyboard(monkeypatch, engine, "go\n", [delete], piped=True)
    assert "nobody can be asked here, so these do not run: delete (--yes)" in err
    assert "nobody was asked" in engine.prompts[1]
    at_keyboard(monkeypatch, engine, "go\n", [delete], piped=True, yes=True)
    assert "deleted /a" in engine.prompts[3]


def test_the_log_says_who_agreed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = ScriptedEngine([f"{DELETE % 'a'}\n{DELETE % 'b'}", "done"])
    with ToolLog(tmp_path / "log.jsonl") as record:
        at_keyboard(monkeypatch, engine, "go\ny\nn\n", [delete], record=record)
    found = [line for _, line in read_jsonl(tmp_path / "log.jsonl")]
    answers = {line["id"]: (line["ok"], line["confirmed"]) for line in found}
    assert answers == {"call_0": (True, True), "call_1": (False, False)}


PATIENCE = 10.0  # seconds after which a person presses Ctrl-C again
CHAT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
import formosa.engines.open
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
engine = ScriptedEngine([%r, "好", "好"])
formosa.engines.open.open_chat = lambda model, **options: TemplatedChat(engine)
from formosa.cli.main import main
main()
"""
TOOLS = """
from formosa import tool

@tool(confirm=True)
def delete(path: str) -> str:
    "Delete."
    raise SystemExit("it ran")
"""


def test_ctrl_c_at_a_question_stops_the_turn_in_a_real_terminal(tmp_path: Path) -> None:
    """asyncio's handler notes a Ctrl-C and goes on; `input` would wait for ever."""
    (tmp_path / "tools.py").write_text(TOOLS, encoding="utf-8")
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CHAT % (DELETE % "a"), "chat", "m", "--tools", "tools.py"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=tmp_path,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(slave)
    seen = b""

    def until(words: str, again: signal.Signals | None = None) -> None:
        """Read up to these words. A signal that comes just before Python's terminal waits is seen
        with the next one only: then it comes `again`."""
        nonlocal seen
        while words.encode() not in seen:
            if again and not select.select([master], [], [], PATIENCE)[0]:
                process.send_signal(again)
                continue
            seen += os.read(master, 4096)
        seen = seen.partition(words.encode())[2]

    try:
        until("/help for help")
        os.write(master, b"go\n")
        until("always run delete")
        process.send_signal(signal.SIGINT)
        until("stopped; this turn is forgotten", signal.SIGINT)
        os.write(master, b"again\n")
        until("好")
        os.write(master, b"/exit\n")
        until("kept in")
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    (kept,) = (tmp_path / "formosa" / "chats").iterdir()
    said = json.loads(kept.read_text(encoding="utf-8"))["messages"]
    assert [message["content"] for message in said] == ["again", "好"]
