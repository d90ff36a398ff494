"""What a row must keep to before a model may learn it.

The format can hold it and it reads back equal (`formosa.chat.check`), every call is of a tool that
was offered and its arguments fit that tool's schema, every result answers a call, there is an
assistant's turn to learn, and no text spells a control token of any model family: the family that
a row will be rendered for is not known here, and a row may outlive it.

A document only has to be text without control tokens.

Fast, since it sees every row: a schema's validator is made once for each distinct schema, and the
schema's own check against the metaschema (3 ms) is left out where `formosa.data.plain_schema` sees
that it would pass.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from formosa.chat.check import check_reply
from formosa.chat.message import Tool, ToolCall, read_object
from formosa.chat.template import FAMILIES
from formosa.data.plain_schema import is_plain_schema
from formosa.data.rows import Row
from formosa.errors import DataError, MessageError

CONTROL = "control token"
"""The reason of rows whose text spells one. Such a row is left out, however strict the recipe is:
it is no fault of the file that somebody wrote about tokens."""

_FAMILY_TOKENS = sorted(
    {
        token.strip()
        for family in FAMILIES.values()
        for token in (family.bos, family.open, family.head, family.close)
        if token.strip()
    }
    | {"<eos>", "<pad>", "<unk>", "<start_of_image>", "<end_of_image>"}
)
# Words between <| |>, or the wide bars of DeepSeek, are tokens of some family or will be.
_CONTROL = re.compile(
    "|".join(map(re.escape, _FAMILY_TOKENS)) + r"|<\|[^|<>\s]{1,64}\|>|<｜[^｜<>\s]{1,64}｜>"
)


class BadRowError(DataError):
    """A row that must not be trained on; `reason` is the short name it is counted under."""

    def __init__(self, where: str, reason: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}.")
        self.reason = reason
        self.problem = problem


def validate_row(row: Row, where: str = "") -> None:
    """Raise unless the row can be trained on.

    Raises:
        BadRowError: with `where` (or the row's id), a countable reason and the field's path.
    """
    where = where or row.id
    _check_texts(row, where)
    if row.text:
        return
    if row.messages[-1].role != "assistant":
        raise BadRowError(where, "no reply", "the last message is not the assistant's")
    validators = _validators(row, where)
    open_ids: set[str] = set()
    for i, message in enumerate(row.messages):
        path = f"messages[{i}]"
        try:
            message.check(path)
            if message.role == "assistant":
                check_reply(message, path)
        except MessageError as error:
            raise BadRowError(where, "cannot be written", error.message) from error
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


def find_control(text: str) -> str | None:
    """The first control token of any family that the text spells; None where there is none."""
    found = _CONTROL.search(text)
    return found[0] if found else None


def texts(row: Row) -> Iterator[tuple[str, str]]:
    """(path, text) of everything in a row that becomes part of a prompt or a reply."""
    if row.text:
        yield "text", row.text
    for i, message in enumerate(row.messages):
        path = f"messages[{i}]"
        yield f"{path}.content", message.content
        if message.reasoning:
            yield f"{path}.reasoning", message.reasoning
        if message.name:
            yield f"{path}.name", message.name
        for j, call in enumerate(message.tool_calls):
            yield f"{path}.tool_calls[{j}].name", call.name
            yield f"{path}.tool_calls[{j}].arguments", call.arguments
    for i, tool in enumerate(row.tools):
        yield f"tools[{i}].name", tool.name
        yield f"tools[{i}].description", tool.description
        yield f"tools[{i}].parameters", tool.parameters


def _check_texts(row: Row, where: str) -> None:
    for path, text in texts(row):
        if "<" in text and (token := find_control(text)):
            raise BadRowError(where, CONTROL, f"{path} holds the control token {token!r}")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadRowError(
                where, "broken text", f"{path} holds half of a surrogate pair, which is no text"
            ) from error


def _validators(row: Row, where: str) -> dict[str, jsonschema.Draft202012Validator]:
    validators: dict[str, jsonschema.Draft202012Validator] = {}
    for i, tool in enumerate(row.tools):
        if tool.name in validators:
            raise BadRowError(
                where, "tool offered twice", f"tools[{i}] is called {tool.name!r} like another one"
            )
        found = _validator(tool)
        if isinstance(found, str):
            raise BadRowError(
                where, "bad schema", f"tools[{i}].parameters is no JSON schema: {found}"
            )
        validators[tool.name] = found
    return validators


def _validator(tool: Tool) -> jsonschema.Draft202012Validator | str:
    return _validator_of(tool.parameters)


@functools.lru_cache(maxsize=8192)
def _validator_of(parameters: str) -> jsonschema.Draft202012Validator | str:
    """What checks arguments against a schema, or what is wrong with the schema. Unknown arguments
    are refused where the schema doesn't speak of them."""
    import referencing.jsonschema

    try:
        schema = read_object(parameters, "parameters")
        if not is_plain_schema(schema):
            jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return error.message
    except MessageError as error:
        return error.problem
    except RecursionError:
        return "nested too deeply"
    if "properties" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    # An empty registry: a schema from a stranger must not make this machine fetch an address.
    return jsonschema.Draft202012Validator(schema, registry=referencing.Registry())


def _check_call(
    call: ToolCall,
    validators: Mapping[str, jsonschema.Draft202012Validator],
    where: str,
    path: str,
) -> None:
    validator = validators.get(call.name)
    if validator is None:
        raise BadRowError(
            where, "unknown tool", f"{path} calls {call.name!r}, which is not offered"
        )
    values: Any = json.loads(call.arguments)
    try:
        error = next(validator.iter_errors(values), None)
    except Exception as failure:  # a $ref to nowhere, a pattern that is none, endless recursion
        raise BadRowError(
            where, "bad schema", f"the schema of {call.name!r} cannot be applied: {failure}"
        ) from failure
    if error is not None:
        field = f"{path}.arguments{error.json_path.removeprefix('$')}"
        raise BadRowError(where, "arguments do not fit", f"{field}: {error.message}")
