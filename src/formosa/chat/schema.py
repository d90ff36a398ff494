"""A Python function's types and docstring as a tool.

pydantic makes the JSON schema and checks the arguments; this module only takes the signature and
the docstring (Google style, an `Args:` section) apart and gives the schema the plain shape that
models are trained on: no titles, no `$ref`.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
import warnings
from collections.abc import Callable
from typing import Any

import pydantic

from formosa.chat.message import Tool
from formosa.errors import MessageError


def tool_from_function(function: Callable[..., Any]) -> Tool:
    """The tool that `function` is: its name, first paragraph of the docstring, and parameters.

    Raises:
        MessageError: a parameter has no type, or one that JSON can't hold.
    """
    summary, notes = _docstring(inspect.getdoc(function) or "")
    name = getattr(function, "__name__", "tool")
    schema = arguments_model(function, notes).model_json_schema()
    try:
        return Tool.of(name, summary, _plain(schema, schema.get("$defs", {})))
    except RecursionError as error:
        raise MessageError(name, "a type that contains itself can't be shown to a model") from error


def arguments_model(
    function: Callable[..., Any], notes: dict[str, str] | None = None
) -> type[pydantic.BaseModel]:
    """A pydantic model of the arguments. Unknown names are errors; `"3"` is no integer.

    Raises:
        MessageError: a parameter has no type, or one that JSON can't hold.
    """
    name = getattr(function, "__name__", "tool")
    if notes is None:
        notes = _docstring(inspect.getdoc(function) or "")[1]
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise MessageError(name, f"a type can't be found: {error}") from error
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise MessageError(f"{name}({parameter})", "a tool needs named parameters")
        if parameter.name not in hints:
            raise MessageError(f"{name}({parameter.name})", "needs a type annotation")
        required = parameter.default is parameter.empty
        fields[parameter.name] = (
            hints[parameter.name],
            pydantic.Field(
                default=... if required else parameter.default,
                description=notes.get(parameter.name),
            ),
        )
    # Strict, except that JSON's integers are valid floats and strings are valid enum values.
    config = pydantic.ConfigDict(extra="forbid", strict=True, protected_namespaces=())
    try:
        with warnings.catch_warnings():
            # A parameter may be called `schema` or `copy`, like methods of pydantic's models.
            warnings.filterwarnings("ignore", "Field name .* shadows", UserWarning)
            model: type[pydantic.BaseModel] = pydantic.create_model(
                name, __config__=config, **fields
            )
        model.model_json_schema()
    except (pydantic.errors.PydanticUserError, NameError) as error:
        reason = str(error).partition("\n")[0]
        raise MessageError(name, f"its types do not fit JSON: {reason}") from error
    return model


def read_arguments(function: Callable[..., Any], text: str) -> dict[str, Any]:
    """The keyword arguments of a call, checked against the function's types.

    Raises:
        MessageError: one line that tells a model what to put right.
    """
    model = arguments_model(function)
    try:
        values = model.model_validate_json(text)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)
        )
        raise MessageError("", problems) from error
    return {name: getattr(values, name) for name in type(values).model_fields}


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the notes of the `Args:` section by parameter."""
    summary = " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())
    section = re.search(r"^(?:Args|Arguments):[ \t]*\n((?:[ \t]+.*\n?|\n)*)", text, re.MULTILINE)
    notes: dict[str, str] = {}
    if section:
        indent = min(
            (len(line) - len(line.lstrip()) for line in section[1].splitlines() if line.strip()),
            default=0,
        )
        current = ""
        for line in section[1].splitlines():
            entry = re.match(rf"[ \t]{{{indent}}}\*{{0,2}}(\w+)(?:\s*\([^)]*\))?:\s*(.*)", line)
            if entry:
                current = entry[1]
                notes[current] = entry[2].strip()
            elif current and line.strip():
                notes[current] = f"{notes[current]} {line.strip()}"
    return summary, notes


def _plain(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema without titles and references. A default that is null says nothing: left out."""
    if isinstance(schema, list):
        return [_plain(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[-1]]
        extra = {key: value for key, value in schema.items() if key != "$ref"}
        return _plain({**target, **extra}, definitions)
    result: dict[str, Any] = {"type": schema["type"]} if "type" in schema else {}
    for key, value in schema.items():
        if key == "$defs" or (key == "title" and isinstance(value, str)):
            continue
        if (key, value) in (("additionalProperties", False), ("default", None)):
            continue
        if key == "properties":
            result[key] = {name: _plain(item, definitions) for name, item in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            result[key] = value
        else:
            result[key] = _plain(value, definitions)
    optional = result.get("anyOf")
    if isinstance(optional, list) and {"type": "null"} in optional and len(optional) == 2:
        (kept,) = (item for item in optional if item != {"type": "null"})
        del result["anyOf"]
        result = {**kept, **result}
    return result


def describe(tool: Tool) -> str:
    """One line for people: `get_weather(location: string, unit?: string)`."""
    schema = tool.schema()
    required = set(schema.get("required", ()))
    parts = [
        f"{name}{'' if name in required else '?'}: {_type_name(value)}"
        for name, value in schema.get("properties", {}).items()
    ]
    return f"{tool.name}({', '.join(parts)})"


def _type_name(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "any"))
