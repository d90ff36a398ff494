"""`sharegpt`: `conversations` of `from` and `value`, with LLaMA-Factory's roles for tools.

    system                                system
    human, user                           user
    gpt, assistant, chatgpt, model        assistant
    function_call                         the assistant's calls: one object, a list, or several
    observation, tool, function_response  a tool's result; the list of all for parallel calls

`system` and `tools` (a list or its JSON text) may stand beside the conversation. Another speaker is
refused: trained on, an unknown name becomes a role of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formosa.chat.message import Message, Role
from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import (
    calls_in,
    id_of,
    list_of,
    mapping_of,
    read_tools,
    refuse_others,
    text_of,
)
from formosa.data.formats.problems import NOT_LEARNT, UNKNOWN_SPEAKER, RowError
from formosa.data.formats.turns import split_thoughts
from formosa.errors import MessageError

CALLS = "function_call"
ROLES: Mapping[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    CALLS: "assistant",
    "observation": "tool",
    "tool": "tool",
    "function_response": "tool",
}


def conversation_of(value: Row) -> Any:
    """What stands under `conversations`, or under `conversation`."""
    return value.get("conversations") or value.get("conversation")


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of objects with `from` and `value`, or the JSON text of one."""
    if isinstance(value, str):
        return value.lstrip().startswith("[") and '"from"' in value and '"value"' in value
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and "from" in item and "value" in item for item in value)
    )


def read_turns(value: Any, path: str = "conversations") -> list[Message]:
    """Messages of a conversation; calls in a turn of their own are read.

    Raises:
        MessageError: with the path of the turn that does not fit.
    """
    found = []
    for i, item in enumerate(list_of(value, path)):
        place = f"{path}[{i}]"
        fields = mapping_of(item, place)
        refuse_others(fields, {"from", "value", "name", "weight"}, place)
        if fields.get("weight") not in (None, 1) or isinstance(fields.get("weight"), bool):
            raise RowError(
                f"{place}.weight", "a turn that is not to be learnt can't be kept", NOT_LEARNT
            )
        speaker = fields.get("from")
        role = ROLES.get(speaker) if isinstance(speaker, str) else None
        if role is None:
            known = ", ".join(ROLES)
            raise RowError(f"{place}.from", f"{speaker!r} is none of {known}", UNKNOWN_SPEAKER)
        text = text_of(fields.get("value"), f"{place}.value")
        name = text_of(fields.get("name"), f"{place}.name")
        if speaker != CALLS:
            found.append(Message(role, text, name=name))
            continue
        thoughts, rest = split_thoughts(text, f"{place}.value")
        calls = tuple(calls_in(rest, f"{place}.value"))
        found.append(Message(role, reasoning=thoughts, tool_calls=calls))
    return found


def with_system(messages: list[Message], system: str) -> list[Message]:
    """The messages behind a system text that stands beside them."""
    if not system:
        return messages
    if messages and messages[0].role == "system":
        if messages[0].content == system:
            return messages
        raise MessageError("system", "stands beside another system message")
    return [Message("system", system), *messages]


def _convert(value: Row, setting: Any) -> Draft:
    system = text_of(value.get("system"), "system")
    return Draft(
        messages=tuple(with_system(read_turns(conversation_of(value)), system)),
        tools=read_tools(value.get("tools")),
        id=id_of(value.get("id")),
    )


def _fits(value: Row) -> bool:
    return is_conversation(conversation_of(value))


FORMAT = Format(
    name="sharegpt",
    about="ShareGPT conversations (from, value)",
    fields=frozenset({"conversations", "conversation", "tools", "system", "id"}),
    fits=_fits,
    convert=_convert,
)
