"""Put a conversation with tool results in order, before a template renders it.

Results are matched to calls by id, never by their order: clients answer parallel calls as they
finish. Templates read them in the order of the calls, and some need the tool's name beside each.

A conversation goes on, whatever an earlier server made of a call: arguments that are no object are
read as leniently as our parser reads a model, and where nothing helps the model is shown what it
wrote under one key (`MALFORMED`). Refusing them would end the conversation for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from formosa.chat.calls import MalformedCallError, read_calls
from formosa.chat.message import Message, json_text, read_object, with_call_ids
from formosa.errors import MessageError

MALFORMED = "malformed_arguments"  # holds the text of arguments that are no JSON object


def read_messages(values: Sequence[Any]) -> tuple[Message, ...]:
    """The messages of a request, arguments and results put right.

    Raises:
        MessageError: with the path of the field that does not fit.
    """
    messages = [
        Message.from_openai(_with_objects(value), f"messages[{i}]")
        for i, value in enumerate(values)
    ]
    return repair(messages)


def _with_objects(message: Any) -> Any:
    """The same message, its calls with arguments that hold an object. Other shapes stay as they
    are: reading them says what is wrong."""
    calls = message.get("tool_calls") if isinstance(message, dict) else None
    if not isinstance(calls, list):
        return message
    return {**message, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    if not isinstance(arguments, str) or not arguments:
        return call
    return {**call, "function": {**function, "arguments": object_text(arguments)}}


def object_text(arguments: str) -> str:
    """The text of one JSON object that says what `arguments` says."""
    try:
        read_object(arguments, "arguments")
        return arguments
    except MessageError:
        pass
    try:
        (call,) = read_calls(f'{{"name": "f", "arguments": {arguments}}}')
        read_object(call.arguments, "arguments")
        return call.arguments
    except (MalformedCallError, MessageError, ValueError):
        return json_text({MALFORMED: arguments})


def repair(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The same conversation: results in the order of their calls, each with its tool's name.

    Results belong to the assistant's message right before them. One without an id answers the
    first call that has no result yet, of the tool that it names if it names one. A call without a
    result stays unanswered: a person may have interrupted it.

    Raises:
        MessageError: a result answers no call, or one that was answered already.
    """
    repaired: list[Message] = []
    round = _Round()
    for i, message in enumerate(messages):
        if message.role == "tool":
            round.results.append((f"messages[{i}].tool_call_id", message))
            continue
        repaired.extend(round.in_order())
        calls = with_call_ids(message.tool_calls)
        round = _Round()
        for j, call in enumerate(calls):
            if call.id in round.names:
                path = f"messages[{i}].tool_calls[{j}].id"
                raise MessageError(path, f"{call.id!r} names two calls")
            round.names[call.id] = call.name
        repaired.append(replace(message, tool_calls=calls))
    repaired.extend(round.in_order())
    return tuple(repaired)


class _Round:
    """The calls of one message and their results."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # id → tool, in the order of the calls
        self.results: list[tuple[str, Message]] = []  # with the path of each one's id

    def in_order(self) -> list[Message]:
        answers: dict[str, Message] = {}
        # Those with ids first: they leave the rest for those without.
        for path, result in sorted(self.results, key=lambda item: not item[1].tool_call_id):
            id = result.tool_call_id or self._next(path, result.name, answers)
            if id not in self.names:
                known = ", ".join(map(repr, self.names)) or "none"
                raise MessageError(
                    path, f"{id!r} answers no call of the assistant message before it ({known})"
                )
            if id in answers:
                raise MessageError(path, f"{id!r} was answered already")
            answers[id] = replace(result, tool_call_id=id, name=self.names[id])
        return [answers[id] for id in self.names if id in answers]

    def _next(self, path: str, name: str, answers: dict[str, Message]) -> str:
        for id, tool in self.names.items():
            if id not in answers and name in ("", tool):
                return id
        raise MessageError(path, "a tool's result must say which call it answers")
