"""Rows for tests of the data room, written in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.rows import Row


def tool(name: str, description: str = "查詢資料。", **properties: str) -> Tool:
    """A tool whose string parameters have these descriptions."""
    return Tool.of(
        name,
        description,
        {
            "type": "object",
            "properties": {
                key: {"type": "string", "description": text} for key, text in properties.items()
            },
        },
    )


def talk(*turns: str, tools: tuple[Tool, ...] = (), system: str = "", thought: str = "") -> Row:
    """A conversation whose turns are the user's and the assistant's by turns."""
    messages = [Message("system", system)] if system else []
    for i, turn in enumerate(turns):
        if i % 2:
            messages.append(Message("assistant", turn, reasoning=thought))
        else:
            messages.append(Message("user", turn))
    return Row.of(messages, tools)


def called(
    question: str,
    name: str,
    arguments: Mapping[str, Any],
    *,
    tools: tuple[Tool, ...] = (),
    result: str = "",
    answer: str = "",
    thought: str = "",
) -> Row:
    """A question that is answered by a call, and maybe its result and an answer."""
    messages = [
        Message("user", question),
        Message(
            "assistant", "", reasoning=thought, tool_calls=(ToolCall.of(name, arguments, "call_0"),)
        ),
    ]
    if result:
        messages.append(Message("tool", result, tool_call_id="call_0"))
        messages.append(Message("assistant", answer))
    return Row.of(messages, tools or (tool(name),))
