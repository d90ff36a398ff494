"""`xlam`: one question, the tools as JSON, and the calls that answer it (xLAM-60k, APIGen).

The tools' parameters come in a short form (see schemas.py); the calls are the reply. There is no
result and no closing word. An empty list of answers is a row without a reply, which is refused.
"""

from __future__ import annotations

from typing import Any

from formosa.chat.message import Message, ToolCall
from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import (
    call_of,
    calls_in,
    id_of,
    list_of,
    read_tools,
    text_of,
)
from formosa.data.formats.problems import NO_CALL, RowError


def read_answers(value: Any, path: str = "answers") -> tuple[ToolCall, ...]:
    """Calls from a list, or from its JSON text, whose spelling of the arguments is kept."""
    if isinstance(value, str):
        if not list_of(value, path):
            return ()
        return tuple(calls_in(value, path))
    return tuple(call_of(item, f"{path}[{i}]") for i, item in enumerate(list_of(value, path)))


def _fits(value: Row) -> bool:
    return (
        isinstance(value.get("query"), str)
        and isinstance(value.get("tools"), str | list)
        and isinstance(value.get("answers"), str | list)
    )


def _convert(value: Row, setting: Any) -> Draft:
    calls = read_answers(value["answers"])
    if not calls:
        raise RowError("answers", "there is no call to learn", NO_CALL)
    messages = [Message("user", value["query"]), Message("assistant", tool_calls=calls)]
    if system := text_of(value.get("system"), "system"):
        messages.insert(0, Message("system", system))
    return Draft(
        messages=tuple(messages), tools=read_tools(value["tools"]), id=id_of(value.get("id"))
    )


FORMAT = Format(
    name="xlam",
    about="xLAM questions with tools and the calls that answer them",
    fields=frozenset({"query", "tools", "answers", "system", "id"}),
    fits=_fits,
    convert=_convert,
)
