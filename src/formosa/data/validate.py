"""What a row must keep to before a model may learn it.

The format can hold it and it reads back equal (`formosa.chat.check`), every call is of a tool that
was offered and its arguments fit that tool's schema, every result answers a call, and there is an
assistant's turn to learn.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from formosa.chat.check import check_conversation
from formosa.chat.message import Tool, ToolCall
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.data.rows import Row
from formosa.errors import DataError, MessageError


class BadRowError(DataError):
    """A row that must not be trained on; `reason` is the short name it is counted under."""

    def __init__(self, where: str, reason: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}.")
        self.reason = reason


def validate_row(row: Row, where: str = "") -> None:
    """Raise unless the row can be trained on.

    Raises:
        BadRowError: with `where` (or the row's id), a countable reason and the field's path.
    """
    where = where or row.id
    if row.messages[-1].role != "assistant":
        raise BadRowError(where, "no reply", "the last message is not the assistant's")
    try:
        check_conversation(row.messages, row.tools, FAMILIES["chatml"])
    except MessageError as error:
        raise BadRowError(where, "cannot be written", error.message) from error
    validators = _validators(row, where)
    open_ids: set[str] = set()
    for i, message in enumerate(row.messages):
        path = f"messages[{i}]"
        for j, call in enumerate(message.tool_calls):
            _check_call(call, validators, where, f"{path}.tool_calls[{j}]")
        if message.role == "assistant":
            open_ids = {call.id for call in message.tool_calls if call.id}
        elif message.role == "tool" and message.tool_call_id:
            if message.tool_call_id not in open_ids:
                raise BadRowError(
                    where, "result without call", f"{path}.tool_call_id answers no call"
                )
            open_ids.discard(message.tool_call_id)


def characters(row: Row) -> int:
    """The length of the rendered row in characters."""
    return len(ChatTemplate.formosa().render(row.messages, row.tools).text)


def _validators(row: Row, where: str) -> dict[str, jsonschema.Draft202012Validator]:
    validators = {}
    for i, tool in enumerate(row.tools):
        schema = _closed(tool)
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise BadRowError(
                where, "bad schema", f"tools[{i}].parameters is no JSON schema: {error.message}"
            ) from error
        validators[tool.name] = jsonschema.Draft202012Validator(schema)
    return validators


def _closed(tool: Tool) -> dict[str, Any]:
    """The schema, with unknown arguments refused where it doesn't speak of them."""
    schema = tool.schema()
    if "properties" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    return schema


def _check_call(
    call: ToolCall,
    validators: dict[str, jsonschema.Draft202012Validator],
    where: str,
    path: str,
) -> None:
    if call.name not in validators:
        raise BadRowError(
            where, "unknown tool", f"{path} calls {call.name!r}, which is not offered"
        )
    errors = validators[call.name].iter_errors(json.loads(call.arguments))
    for error in errors:
        field = f"{path}.arguments{error.json_path.removeprefix('$')}"
        raise BadRowError(where, "arguments do not fit", f"{field}: {error.message}")
