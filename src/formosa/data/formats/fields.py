"""Texts, lists, tools and calls out of a row, with the path of what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from formosa.chat.calls import MalformedCallError, read_calls
from formosa.chat.message import Message, Tool, ToolCall, json_text
from formosa.data.formats import spelling
from formosa.data.formats.problems import BAD_CALL, BAD_TOOL, DROPPED, RowError
from formosa.data.formats.schemas import parameters_text
from formosa.errors import MessageError

SEEN = 80  # characters of a text that an error shows


def text_of(value: Any, path: str) -> str:
    """A text; null is the empty one."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MessageError(path, f"must be text, not {type(value).__name__}")
    return value


def mapping_of(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise MessageError(path, f"must be an object, not {type(value).__name__}")
    return value


def list_of(value: Any, path: str) -> list[Any]:
    """A list, or the one that a JSON text holds; null and the empty text are the empty one."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = spelling.loads(value)
        except ValueError as error:
            raise MessageError(path, f"not JSON: {error}") from error
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise MessageError(path, f"must be a list, not {type(value).__name__}")
    return list(value)


def id_of(value: Any, path: str = "id") -> str:
    """An id as text; sets number their rows, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value, path)


def refuse_others(value: Mapping[str, Any], known: set[str] | frozenset[str], path: str) -> None:
    """Refuse a field that would be dropped; empty ones are not missed."""
    for key, item in value.items():
        if key not in known and item not in (None, "", [], {}):
            raise RowError(f"{path}.{key}", "unknown field; it would be dropped", DROPPED)


def read_tools(value: Any, path: str = "tools") -> tuple[Tool, ...]:
    """Tools from a list, from the JSON text of a list or of one tool, or from a list of texts."""
    if value is None or value == "" or value == []:
        return ()
    if not isinstance(value, str):
        return tuple(_tool(item, f"{path}[{i}]") for i, item in enumerate(list_of(value, path)))
    try:
        texts = spelling.values(value)
        if len(texts) == 1 and texts[0].startswith("["):
            texts = spelling.items(texts[0])
        elif texts == ["null"]:
            return ()
    except ValueError as error:
        raise MessageError(path, f"not JSON: {error}") from error
    return tuple(_tool(text, f"{path}[{i}]") for i, text in enumerate(texts))


def _tool(value: Any, path: str) -> Tool:
    """A tool from its value or from its JSON text, whose spelling of the schema is kept."""
    spelled: str | None = None
    if isinstance(value, str):
        try:
            outer, value = spelling.members(value), spelling.loads(value)
            if isinstance(value.get("function"), Mapping):
                outer = spelling.members(outer["function"])
        except ValueError as error:
            raise MessageError(path, f"not JSON: {error}") from error
        spelled = outer.get("parameters")
    fields = dict(mapping_of(value, path))
    wrapped = isinstance(fields.get("function"), Mapping)
    function = dict(fields["function"]) if wrapped else fields
    parameters = function.pop("parameters", None)
    if isinstance(parameters, str) and parameters.strip():
        spelled, parameters = parameters, _loaded(parameters, f"{path}.parameters")
    if "required" in function:  # beside the parameters instead of in them
        parameters, spelled = _with_required(parameters, function.pop("required"), path), None
    bare = Tool.from_openai({**fields, "function": function} if wrapped else function, path)
    return replace(bare, parameters=parameters_text(parameters, spelled, f"{path}.parameters"))


def _with_required(parameters: Any, required: Any, path: str) -> Any:
    names = list_of(required, f"{path}.required")
    if not names:
        return parameters
    schema = dict(mapping_of(parameters, f"{path}.parameters"))
    known = schema.get("properties")
    if "required" in schema or not isinstance(known, Mapping) or not set(names) <= set(known):
        raise RowError(f"{path}.required", "does not belong to the parameters beside it", BAD_TOOL)
    return {**schema, "required": names}


def _loaded(text: str, path: str) -> Any:
    try:
        return spelling.loads(text)
    except ValueError as error:
        raise MessageError(path, f"not JSON: {error}") from error


def calls_in(text: str, path: str) -> list[ToolCall]:
    """The calls that a text holds: an object, a list of them, or several one after another."""
    try:
        pieces = spelling.values(text)
    except ValueError:
        pieces = [text]  # Python's quotes, perhaps, which the reader of calls knows
    try:
        return [call for piece in pieces for call in read_calls(piece)]
    except MalformedCallError as error:
        raise RowError(path, f"no tool call: {error}", BAD_CALL) from error


def call_of(value: Any, path: str) -> ToolCall:
    """A call from an object with `name` and `arguments`, or from the text of one."""
    if isinstance(value, str):
        found = calls_in(value, path)
        if len(found) != 1:
            raise RowError(path, f"{len(found)} calls where one was due", BAD_CALL)
        return found[0]
    fields = mapping_of(value, path)
    refuse_others(fields, {"name", "arguments", "id"}, path)
    name = text_of(fields.get("name"), f"{path}.name")
    arguments = fields.get("arguments")
    if arguments is None or arguments == "":
        arguments = "{}"
    elif not isinstance(arguments, str):
        arguments = json_text(dict(mapping_of(arguments, f"{path}.arguments")))
    call = ToolCall(name, arguments, id_of(fields.get("id"), f"{path}.id"))
    Message("assistant", tool_calls=(call,)).check(path)
    return call


def result_text(value: Any) -> str:
    """A tool's result as text; what is not text already is written as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown(text: str) -> str:
    """The beginning of a text, for an error."""
    return repr(text if len(text) <= SEEN else text[: SEEN - 1] + "…")
