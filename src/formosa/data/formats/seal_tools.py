"""`seal-tools`: Seal-Tools, questions with calls; the tools are in `tool.jsonl` beside the rows.

A row says which tools answer it, not which were offered. It is offered those and up to
`DISTRACTORS` others of the same field, drawn by the row's id, in an order drawn as well: the same
rows always get the same tools.

A value such as `API_call_3` stands for an earlier call's result. Such nested rows can't be said in
one turn and are refused.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall, json_text
from formosa.data.formats.draft import Draft, Format, Row, Setting
from formosa.data.formats.fields import id_of, list_of, mapping_of, refuse_others, text_of
from formosa.data.formats.problems import BAD_TOOL, NO_CALL, UNKNOWN_TOOL, RowError
from formosa.data.formats.schemas import python_type
from formosa.errors import DataError, MessageError

FILE = "tool.jsonl"
DISTRACTORS = 3
_NESTED = re.compile(r"API_call_\d+")


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools by name, the names of each field, and why some can't be offered."""

    by_name: Mapping[str, Tool]
    field_of: Mapping[str, str]
    names: Mapping[str, list[str]]
    problems: Mapping[str, str]


def read_tools_file(setting: Setting) -> Tools:
    """The tools beside the rows.

    Raises:
        DataError: there is no such file, or it holds what is no tool.
    """
    from formosa.data.sources.lines import read_lines

    path = setting.folder / FILE if setting.folder else None
    if path is None or not path.is_file():
        raise DataError(
            f"The format seal-tools needs {FILE} beside the rows{f': {path}' if path else ''}.",
            "copy it there from the same commit of Seal-Tools",
        )
    by_name: dict[str, Tool] = {}
    problems: dict[str, str] = {}
    field_of: dict[str, str] = {}
    names: dict[str, list[str]] = defaultdict(list)
    for where, value in read_lines(path, path.name):
        if isinstance(value, DataError):
            raise value
        try:
            tool = _tool(value)
            field = text_of(value.get("field"), "field")
        except MessageError as error:  # of 4,076 tools a few have types that nobody can read
            problems[str(value.get("api_name"))] = f"{where}: {error.message}"
            continue
        by_name[tool.name], field_of[tool.name] = tool, field
        names[field].append(tool.name)
    if not by_name:
        raise DataError(f"{path} holds no tool of Seal-Tools.")
    return Tools(by_name, field_of, names, problems)


def _tool(value: Mapping[str, Any]) -> Tool:
    properties = {}
    for name, item in mapping_of(value.get("parameters"), "parameters").items():
        fields = mapping_of(item, f"parameters.{name}")
        kind = python_type(text_of(fields.get("type"), "type"), f"parameters.{name}.type")
        rest = {key: part for key, part in fields.items() if key != "type"}
        if not isinstance(rest.get("enum", []), list):
            raise MessageError(f"parameters.{name}.enum", "must be a list")
        if not isinstance(rest.get("examples", []), list):
            rest["examples"] = [rest["examples"]]
        properties[name] = {**kind, **rest}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required := list_of(value.get("required"), "required"):
        schema["required"] = required
    name = text_of(value.get("api_name"), "api_name")
    return Tool(name, text_of(value.get("api_description"), "api_description"), json_text(schema))


def _convert(value: Row, tools: Tools) -> Draft:
    row_id = id_of(value.get("id"))
    calls = []
    for i, item in enumerate(list_of(value["calling"], "calling")):
        fields = mapping_of(item, f"calling[{i}]")
        refuse_others(fields, {"api", "parameters", "responses"}, f"calling[{i}]")
        name = text_of(fields.get("api"), f"calling[{i}].api")
        if name in tools.problems:
            raise RowError(f"calling[{i}].api", tools.problems[name], BAD_TOOL)
        if name not in tools.by_name:
            raise RowError(f"calling[{i}].api", f"{name!r} is not in {FILE}", UNKNOWN_TOOL)
        arguments = json_text(dict(mapping_of(fields.get("parameters"), "parameters")))
        if _NESTED.search(arguments):
            raise RowError(f"calling[{i}]", "takes the result of an earlier call", "nested call")
        calls.append(ToolCall(name, arguments))
    if not calls:
        raise RowError("calling", "there is no call to learn", NO_CALL)
    return Draft(
        messages=(Message("user", value["query"]), Message("assistant", tool_calls=tuple(calls))),
        tools=_offered([call.name for call in calls], row_id or value["query"], tools),
        id=row_id,
    )


def _offered(called: list[str], seed: str, tools: Tools) -> tuple[Tool, ...]:
    draw = random.Random(f"formosa seal-tools {seed!a}")
    wanted = dict.fromkeys(called)
    fields = dict.fromkeys(tools.field_of[name] for name in wanted)
    others = [name for field in fields for name in tools.names[field] if name not in wanted]
    names = [*wanted, *draw.sample(others, min(DISTRACTORS, len(others)))]
    draw.shuffle(names)
    return tuple(tools.by_name[name] for name in names)


def _fits(value: Row) -> bool:
    return isinstance(value.get("query"), str) and isinstance(value.get("calling"), list)


FORMAT = Format(
    name="seal-tools",
    about=f"Seal-Tools questions, with tools from {FILE} and {DISTRACTORS} others of their field",
    fields=frozenset({"id", "query", "calling"}),
    fits=_fits,
    convert=_convert,
    prepare=read_tools_file,
)
