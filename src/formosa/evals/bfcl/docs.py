"""Function docs → the tools a model is shown in tool-call mode.

Source: `convert_to_tool` and `_func_doc_language_specific_pre_processing` of bfcl-eval 2026.3.23;
the result is the same to the byte. The checker never sees these: it reads the docs as they stand
in the data.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from formosa.chat.message import Tool
from formosa.errors import DataError

PYTHON_HINT = " Note that the provided function is in Python 3 syntax."
FLOAT_HINT = " This is a float type value."

SCHEMA_TYPES: Mapping[str, str] = {
    "integer": "integer",
    "number": "number",
    "float": "number",
    "string": "string",
    "boolean": "boolean",
    "bool": "boolean",
    "array": "array",
    "list": "array",
    "dict": "object",
    "object": "object",
    "tuple": "array",
    "any": "string",
}
"""Types of the docs → types of JSON schema. Others become `string`."""


def tool_name(name: str) -> str:
    """The function's name as the model is shown it: many servers refuse a dot in a tool's name."""
    return name.replace(".", "_")


def tools(functions: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The docs of one item as tools, in the same order.

    Raises:
        DataError: a doc lacks its name, description, parameters or properties.
    """
    return tuple(_tool(function) for function in functions)


def _tool(function: Mapping[str, Any]) -> Tool:
    try:
        parameters = copy.deepcopy(function["parameters"])
        parameters["type"] = "object"
        _convert(parameters["properties"])
        return Tool.of(
            tool_name(function["name"]), function["description"] + PYTHON_HINT, parameters
        )
    except (KeyError, TypeError, AttributeError) as error:
        name = function.get("name", "a function")
        raise DataError(f"The function doc of {name} cannot be read: {error!r}.") from error


def _convert(properties: dict[str, Any]) -> None:
    """Rename the types of the properties in place, as deep as the reference goes.

    That is: properties of properties at any depth, but items only two levels deep.
    """
    for doc in properties.values():
        if doc.get("type") == "float":
            doc["format"] = "float"
            doc["description"] = doc.get("description", "") + FLOAT_HINT
        doc["type"] = _schema_type(doc)
        if doc["type"] not in ("array", "object"):
            continue
        if "properties" in doc:
            _convert(doc["properties"])
        elif "items" in doc:
            items = doc["items"]
            items["type"] = _schema_type(items)
            if items["type"] == "array" and "items" in items:
                items["items"]["type"] = _schema_type(items["items"])
            elif items["type"] == "object" and "properties" in items:
                _convert(items["properties"])


def _schema_type(doc: Mapping[str, Any]) -> str:
    return SCHEMA_TYPES.get(doc.get("type", ""), "string")
