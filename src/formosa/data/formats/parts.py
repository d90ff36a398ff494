"""`parts`: LLaMA-Factory's own shape, messages whose content is a list of typed values.

{"role": "assistant", "content": [{"type": "reasoning", "value": …}, {"type": "text", "value": …},
                                  {"type": "tool_call", "value": "{…}"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formosa.chat.message import ROLES, Message, ToolCall
from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import (
    call_of,
    id_of,
    list_of,
    mapping_of,
    read_tools,
    refuse_others,
    text_of,
)
from formosa.data.formats.problems import NOT_LEARNT, UNKNOWN_SPEAKER, RowError
from formosa.errors import MessageError

TYPES = ("reasoning", "text", "tool_call")


def _message(value: Mapping[str, Any], path: str) -> Message:
    refuse_others(value, {"role", "content", "loss_weight"}, path)
    if value.get("loss_weight") not in (None, 0, 0.0, 1, 1.0):
        raise MessageError(f"{path}.loss_weight", "must be 0 or 1")
    if value.get("role") == "assistant" and value.get("loss_weight", 1) == 0:
        raise RowError(
            f"{path}.loss_weight", "a reply that is not to be learnt can't be kept", NOT_LEARNT
        )
    role = value.get("role")
    texts: dict[str, list[str]] = {"reasoning": [], "text": []}
    calls: list[ToolCall] = []
    for i, item in enumerate(list_of(value.get("content"), f"{path}.content")):
        place = f"{path}.content[{i}]"
        fields = mapping_of(item, place)
        refuse_others(fields, {"type", "value"}, place)
        kind = fields.get("type")
        if kind == "tool_call":
            calls.append(call_of(fields.get("value"), place))
        elif isinstance(kind, str) and kind in texts:
            texts[kind].append(text_of(fields.get("value"), place))
        else:
            raise MessageError(f"{place}.type", f"{kind!r} is none of {', '.join(TYPES)}")
    for known in ROLES:
        if role == known:
            joined = {name: "\n\n".join(found) for name, found in texts.items()}
            return Message(known, joined["text"], joined["reasoning"], tuple(calls))  # type: ignore[arg-type]
    raise RowError(f"{path}.role", f"{role!r} is none of {', '.join(ROLES)}", UNKNOWN_SPEAKER)


def _convert(value: Row, setting: Any) -> Draft:
    listed = list_of(value["messages"], "messages")
    paths = [f"messages[{i}]" for i in range(len(listed))]
    return Draft(
        messages=tuple(
            _message(mapping_of(item, path), path) for item, path in zip(listed, paths, strict=True)
        ),
        tools=read_tools(value.get("tools")),
        id=id_of(value.get("id")),
    )


def _fits(value: Row) -> bool:
    listed = value.get("messages")
    return isinstance(listed, list) and bool(listed) and all(map(_is_typed, listed))


def _is_typed(message: Any) -> bool:
    parts = message.get("content") if isinstance(message, Mapping) else None
    return isinstance(parts, list) and all(
        isinstance(part, Mapping) and "type" in part and "value" in part for part in parts
    )


FORMAT = Format(
    name="parts",
    about="LLaMA-Factory messages with typed parts",
    fields=frozenset({"messages", "tools", "id"}),
    fits=_fits,
    convert=_convert,
    beats=frozenset({"messages"}),
)
