"""Put a conversation with tool results in order, before a template renders it.

Results are matched to calls by id, never by their order: clients answer parallel calls as they
finish. Templates read them in the order of the calls, and some need the tool's name beside each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from formosa.chat.message import Message, with_call_ids
from formosa.errors import MessageError


def repair(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation: results in the order of their calls, each with its tool's name.

    Results belong to the assistant's message right before them. A call without a result stays
    unanswered: a person may have interrupted it.

    Raises:
        MessageError: a result answers no call, or one that was answered already.
    """
    repaired: list[Message] = []
    names: dict[str, str] = {}  # of the latest calls: id → tool, in the order of the calls
    results: dict[str, Message] = {}

    def close_round() -> None:
        repaired.extend(results[id] for id in names if id in results)
        results.clear()

    for i, message in enumerate(messages):
        if message.role != "tool":
            close_round()
            names.clear()
            calls = with_call_ids(message.tool_calls)
            for j, call in enumerate(calls):
                if call.id in names:
                    path = f"messages[{i}].tool_calls[{j}].id"
                    raise MessageError(path, f"{call.id!r} names two calls")
                names[call.id] = call.name
            repaired.append(replace(message, tool_calls=calls))
            continue
        path, id = f"messages[{i}].tool_call_id", message.tool_call_id
        if not id:
            raise MessageError(path, "a tool's result must say which call it answers")
        if id not in names:
            known = ", ".join(map(repr, names)) or "none"
            raise MessageError(
                path, f"{id!r} answers no call of the assistant message before it ({known})"
            )
        if id in results:
            raise MessageError(path, f"{id!r} was answered already")
        results[id] = replace(message, name=names[id])
    close_round()
    return tuple(repaired)
