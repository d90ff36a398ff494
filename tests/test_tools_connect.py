"""`connect`: a conversation with tools in three lines, with and without an event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from formosa import Message, UserError, connect, converse_sync, tool
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import EngineError
from formosa.files import read_jsonl
from formosa.tools.converse import ConverseEvent
from formosa.tools.mcp_servers import McpServer

SERVER = McpServer((sys.executable, str(Path(__file__).parent / "mcp_server.py")), name="web")
CALL = '<tool_call>\n{"name": "%s", "arguments": {"location": "台北"}}\n</tool_call>'


@tool
def get_weather(location: str) -> str:
    """Get the weather."""
    return f"{location} 26"


class Opened:
    """Stands for `open_chat`."""

    def __init__(self, *script: str) -> None:
        self.engine = ScriptedEngine(script)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.closed = 0

    def __call__(self, model: str, **options: Any) -> TemplatedChat:
        self.asked.append((model, options))
        chat = TemplatedChat(self.engine)

        async def aclose() -> None:
            self.closed += 1

        chat.aclose = aclose  # type: ignore[method-assign]
        return chat


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Opened]:
    def script(*replies: str) -> Opened:
        opened = Opened(*replies)
        monkeypatch.setattr("formosa.engines.open.open_chat", opened)
        return opened

    return script


def test_a_question_is_asked_tools_run_and_the_conversation_goes_on(
    scripted: Callable[..., Opened],
) -> None:
    opened = scripted(CALL % "get_weather", "26 度。", "不客氣。")
    with connect("m", tools=[get_weather], system="SYS") as chat:
        first = chat.ask("台北氣溫如何？")
        assert first.answer == "26 度。"
        assert chat.ask("謝謝").answer == "不客氣。"
        roles = [message.role for message in chat.messages]
        assert chat.model.info.name == "scripted"
        assert "get_weather" in chat.tools
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    assert "台北 26" in opened.engine.prompts[2], "the second turn remembers the first"
    assert opened.closed == 1


def test_the_same_in_an_event_loop(scripted: Callable[..., Opened]) -> None:
    opened = scripted(CALL % "get_weather", "26 度。")
    events: list[ConverseEvent] = []

    async def main() -> str:
        async with connect("m", tools=[get_weather]) as chat:
            return (await chat.ask("台北？", on_event=events.append)).answer

    assert asyncio.run(main()) == "26 度。"
    assert events
    assert opened.closed == 1


def test_only_what_was_said_reaches_the_engine(scripted: Callable[..., Opened]) -> None:
    """Defaults are the engine's own, and stand in one place."""
    opened = scripted()
    with connect("m", context=512):
        pass
    with connect(base_url="http://127.0.0.1:1/v1", api_key="k"):
        pass
    assert opened.asked == [
        ("m", {"tools": False, "context": 512}),
        ("", {"tools": False, "base_url": "http://127.0.0.1:1/v1", "api_key": "k"}),
    ]


def test_nothing_is_opened_before_the_block(scripted: Callable[..., Opened]) -> None:
    opened = scripted()
    connect("m")
    assert opened.asked == []


def test_a_mistake_in_the_tools_is_found_before_a_model_is_loaded(
    scripted: Callable[..., Opened],
) -> None:
    opened = scripted()
    with (
        pytest.raises(UserError, match="Two tools are named"),
        connect("m", tools=[get_weather, get_weather]),
    ):
        pass
    assert opened.asked == []


def test_a_turn_that_fails_is_not_remembered(scripted: Callable[..., Opened]) -> None:
    scripted("好")
    with connect("m") as chat:
        chat.ask("一")
        with pytest.raises(EngineError):
            chat.ask("二")
        assert [message.content for message in chat.messages] == ["一", "好"]


def test_tools_of_mcp_servers_and_the_log(scripted: Callable[..., Opened], tmp_path: Path) -> None:
    opened = scripted(f"{CALL % 'web_get_weather'}\n{CALL % 'get_weather'}", "26 度。")
    log = tmp_path / "tools.jsonl"
    with connect("m", tools=[get_weather], mcp=[SERVER], log=log) as chat:
        chat.ask("台北？")
    assert {line["name"]: line["content"] for _, line in read_jsonl(log)} == {
        "web_get_weather": "台北 26 celsius",
        "get_weather": "台北 26",
    }
    assert opened.closed == 1


def test_a_server_that_fails_leaves_no_model_open(scripted: Callable[..., Opened]) -> None:
    opened = scripted()
    with pytest.raises(UserError, match="Cannot start"), connect("m", mcp=["no-such-program"]):
        pass
    assert opened.asked == []


def test_confirm_reaches_the_tools(scripted: Callable[..., Opened]) -> None:
    @tool(confirm=True)
    def delete(location: str) -> str:
        """Delete."""
        return f"deleted {location}"

    scripted(*[CALL % "delete", "done"] * 2)
    with connect("m", tools=[delete]) as chat:
        assert "consent" in chat.ask("x").messages[2].content
    with connect("m", tools=[delete], confirm=lambda call, shown: True) as chat:
        assert chat.ask("x").messages[2].content == "deleted 台北"


def test_code_in_an_event_loop_is_told_what_to_write(scripted: Callable[..., Opened]) -> None:
    """asyncio's own words, `Runner.run() cannot be called …`, say nothing of what to do."""
    scripted("好", "好")

    async def main() -> None:
        with pytest.raises(UserError, match="one is running here") as caught:
            converse_sync(TemplatedChat(ScriptedEngine(["x"])), "hi")
        assert "await converse(...)" in caught.value.hint
        with (
            pytest.raises(UserError, match="one is running here") as caught,
            connect("m"),
        ):
            pass
        assert "async with connect(...)" in caught.value.hint

    asyncio.run(main())

    with connect("m") as chat:

        async def ask() -> None:
            with pytest.raises(UserError, match="one is running here"):
                chat.ask("hi")

        asyncio.run(ask())
        assert chat.ask("hi").answer == "好"


def test_converse_takes_a_question_and_a_list_of_tools() -> None:
    model = TemplatedChat(ScriptedEngine([CALL % "get_weather", "26 度。"]))
    transcript = converse_sync(model, "台北氣溫如何？", [get_weather])
    assert transcript.answer == "26 度。"
    assert transcript.messages[0] == Message("user", "台北氣溫如何？")
