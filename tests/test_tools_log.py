"""The log of what ran: one line for each call, at once, without secrets."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa import tool
from formosa.chat.message import ToolCall
from formosa.errors import UserError
from formosa.files import read_jsonl
from formosa.tools.log import ToolLog, without_secrets
from formosa.tools.registry import Registry
from formosa.tools.runner import Limits, ToolResult, run_calls


@tool
def echo(text: str) -> str:
    """Say it again."""
    return text


@tool(confirm=True)
def delete(text: str) -> str:
    """Delete."""
    return f"deleted {text}"


def logged(path: Path, *calls: ToolCall, confirm: Any = None) -> list[dict[str, Any]]:
    with ToolLog(path) as record:
        registry, limits = Registry([echo, delete]), Limits(characters=1000)
        asyncio.run(run_calls(calls, registry, limits, confirm=confirm, record=record))
    return [line for _, line in read_jsonl(path)]


def test_a_line_says_what_ran_and_what_came_of_it(tmp_path: Path) -> None:
    (line,) = logged(tmp_path / "log.jsonl", ToolCall.of("echo", {"text": "台北"}, "call_7"))
    assert line.pop("time").endswith("Z")
    assert line.pop("seconds") >= 0
    assert line == {
        "id": "call_7",
        "name": "echo",
        "arguments": {"text": "台北"},
        "ok": True,
        "confirmed": None,
        "size": 2,
        "content": "台北",
    }


def test_a_long_result_is_cut_and_its_size_said(tmp_path: Path) -> None:
    (line,) = logged(tmp_path / "log.jsonl", ToolCall.of("echo", {"text": "x" * 5000}, "1"))
    assert len(line["content"]) == 500
    assert line["size"] == 5000


def test_calls_that_did_not_run_are_there_too(tmp_path: Path) -> None:
    calls = [ToolCall("rm", "{}", "1"), ToolCall("echo", "{}", "2"), ToolCall("echo", "{", "3")]
    lines = logged(tmp_path / "log.jsonl", *calls, ToolCall.of("delete", {"text": "a"}, "4"))
    assert [(line["id"], line["ok"]) for line in lines] == [
        *(("1", False), ("2", False), ("3", False), ("4", False))
    ]
    assert lines[2]["arguments"] == "{", "what was written, where it is no JSON"
    assert "consent" in lines[3]["content"]


def test_what_a_person_said_is_there(tmp_path: Path) -> None:
    call = ToolCall.of("delete", {"text": "a"}, "1")
    path = tmp_path / "log.jsonl"
    logged(path, call, confirm=lambda call, shown: True)
    lines = logged(path, call, confirm=lambda call, shown: False)
    assert [line["confirmed"] for line in lines] == [True, False], "the file is appended to"


def test_a_call_that_is_stopped_leaves_its_line(tmp_path: Path) -> None:
    """Ctrl-C: it ran, if only in part."""

    async def main() -> None:
        started = asyncio.Event()

        @tool
        async def hang() -> str:
            """Never ends."""
            started.set()
            await asyncio.Event().wait()
            return ""

        with ToolLog(tmp_path / "log.jsonl") as record:
            running = run_calls([ToolCall("hang", "{}", "1")], Registry([hang]), record=record)
            task = asyncio.create_task(running)
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    ((_, line),) = read_jsonl(tmp_path / "log.jsonl")
    assert (line["ok"], line["content"]) == (False, "error: stopped while it ran")


@pytest.mark.parametrize(
    "key",
    [
        *("password", "api_key", "apiKey", "API-KEY", "access_token", "token", "Authorization"),
        *("client_secret", "private_key", "Cookie", "passphrase", "credentials"),
    ],
)
def test_values_that_sound_secret_are_not_written(tmp_path: Path, key: str) -> None:
    call = ToolCall.of("login", {"user": "me", "deep": [{key: "s3cret"}], key: {"a": "s3cret"}})
    (line,) = logged(tmp_path / "log.jsonl", call)
    assert "s3cret" not in json.dumps(line)
    assert line["arguments"]["user"] == "me"
    assert line["arguments"][key] == "***"


@pytest.mark.parametrize("key", ["text", "max_tokens", "author", "keyboard", "monkey", "pass"])
def test_harmless_words_are_written(key: str) -> None:
    assert without_secrets({key: 1}) == {key: 1}


def test_only_the_owner_may_read_a_log(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    logged(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    logged(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "also one that was there before"


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="Cannot write"):
        ToolLog(tmp_path / "file" / "log.jsonl")


@given(st.text() | st.integers(0, 5000).map(lambda n: '{"a":' * n + "1" + "}" * n))
def test_any_arguments_can_be_logged(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """What a model wrote may be anything: half a character, or braces a thousand deep."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    result = ToolResult("1", "x", "\ud800", False, 0.0)
    with ToolLog(path) as record:
        record(ToolCall("x", text, "1"), result)
    assert len(list(read_jsonl(path))) == 1
