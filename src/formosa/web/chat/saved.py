"""A saved conversation as one page that only shows it: the chat page's, and the terminal's.

    {"messages": [...], "model": "…", "tools": [...]}

Text is shown as it was written, nothing in it is read as markup. Knows messages. Knows no server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.chat.message import Message
from formosa.errors import DataError
from formosa.files import read_json
from formosa.serve.history import read_messages
from formosa.serve.protocol import RequestError
from formosa.web.chat.words import SAVED
from formosa.web.page import render
from formosa.web.site import Site
from formosa.web.words import Lang, Words


class Call(NamedTuple):
    """A call and what came of it; None: nothing did."""

    name: str
    arguments: str
    result: str | None


class Turn(NamedTuple):
    """What one side said. `text` of a model is without its thoughts and calls."""

    role: str
    text: str
    reasoning: str = ""
    calls: tuple[Call, ...] = ()


class Conversation(NamedTuple):
    """A conversation that was read and checked."""

    turns: tuple[Turn, ...]
    model: str = ""
    tools: tuple[str, ...] = ()


def read_conversation(path: Path) -> Conversation:
    """Of a file.

    Raises:
        UserError: the file can't be read.
        DataError, MessageError: it holds no conversation.
    """
    return conversation_of(read_json(path), str(path))


def read_body(body: bytes) -> Conversation:
    """Of a request.

    Raises:
        RequestError: it holds no conversation.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {error}", code="invalid_json") from error
    try:
        return conversation_of(value, "the body")
    except DataError as error:
        raise RequestError(400, error.message) from error


def conversation_of(value: Any, name: str) -> Conversation:
    """Of an object with messages, or of a list of them.

    Raises:
        DataError, MessageError: it holds none; with the field.
    """
    fields: Mapping[str, Any] = value if isinstance(value, dict) else {"messages": value}
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise DataError(f"{name} holds no conversation.", "it needs a list of messages")
    model = fields.get("model")
    tools = fields.get("tools")
    names = [_name(tool) for tool in tools] if isinstance(tools, list) else []
    return Conversation(
        tuple(_turns(read_messages(messages))),
        model if isinstance(model, str) else "",
        tuple(found for found in names if found),
    )


def saved_page(conversation: Conversation, lang: Lang) -> str:
    """The page as one file."""
    words = Words(lang, SAVED)
    heading = (
        words("Conversation with {model}", model=conversation.model)
        if conversation.model
        else words("Conversation")
    )
    return render(
        "chat/saved.html.jinja",
        Site(lang),
        title=heading,
        words=SAVED,
        styles=("chat/page.css",),
        heading=heading,
        conversation=conversation,
        readable=readable,
    ).html


def readable(text: str) -> str:
    """JSON for people where it is JSON, and the text as it is where it is not."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text


def _turns(messages: Sequence[Message]) -> list[Turn]:
    """Results stand in the turn that called, by the id of their call."""
    results: dict[int, dict[str, str]] = {}
    caller = -1
    for i, message in enumerate(messages):
        if message.role == "tool":
            results.setdefault(caller, {})[message.tool_call_id] = message.content
        else:
            caller = i
    turns = []
    for i, message in enumerate(messages):
        if message.role == "tool":
            continue
        found = results.get(i, {})
        calls = tuple(
            Call(call.name, call.arguments, found.get(call.id)) for call in message.tool_calls
        )
        turns.append(Turn(message.role, message.content, message.reasoning, calls))
    return turns


def _name(tool: Any) -> str:
    outer = tool if isinstance(tool, dict) else {}
    function = outer.get("function", outer)
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""
