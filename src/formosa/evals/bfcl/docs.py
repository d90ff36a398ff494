"""Function docs → the tools a model is shown in tool-call mode.

Source: `convert_to_tool` and `_func_doc_language_specific_pre_processing` of bfcl-eval 2026.3.23;
the result is the same to the byte. The checker never sees these: it reads the docs as they stand
in the data.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from formosa.chat.message import Tool
from formosa.errors import DataError
from formosa.evals.bfcl.literals import Language

PYTHON_HINT = " Note that the provided function is in Python 3 syntax."
HINTS: Mapping[Language, str] = {
    "python": PYTHON_HINT,
    "java": " Note that the provided function is in Java 8 SDK syntax.",
    "javascript": " Note that the provided function is in JavaScript syntax.",
}
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


def shown(
    functions: Sequence[Mapping[str, Any]], language: Language = "python"
) -> list[dict[str, Any]]:
    """The docs of one item with the sentences that name their language; the docs stay as they are.

    In Java and JavaScript every parameter becomes a string with source text in it.

    Raises:
        DataError: a doc lacks its name, description, parameters or properties.
    """
    return [_shown(function, language) for function in functions]


def tools(
    functions: Sequence[Mapping[str, Any]], language: Language = "python"
) -> tuple[Tool, ...]:
    """The docs of one item as tools, in the same order.

    Raises:
        DataError: a doc lacks its name, description, parameters or properties.
    """
    return tuple(_tool(function) for function in shown(functions, language))


def _shown(function: Mapping[str, Any], language: Language) -> dict[str, Any]:
    with _named(function):
        doc = copy.deepcopy(dict(function))
        doc["description"] = doc["description"] + HINTS[language]
        properties = doc["parameters"]["properties"]
        if language != "python":
            for parameter in properties.values():
                _as_source(parameter, "Java" if language == "java" else "JavaScript")
        return doc


def _as_source(doc: dict[str, Any], language: str) -> None:
    """Make a parameter a string, and say of which type the text in it is."""
    declared = doc["type"]
    if declared == "any":
        said = f" This parameter can be of any type of {language} object in string representation."
    else:
        said = f" This is {language} {declared} type parameter in string representation."
    if declared in (("ArrayList", "Array") if language == "Java" else ("array",)):
        inner = doc.pop("items")["type"]
        said += f" The list elements are of type {inner}; they are not in string representation."
    if language == "JavaScript" and declared == "dict" and "properties" in doc:
        said += (
            " The dictionary entries have the following schema; they are not in string "
            f"representation. {json.dumps(doc.pop('properties'))}"
        )
    doc["description"] += said
    doc["type"] = "string"


def _tool(doc: dict[str, Any]) -> Tool:
    with _named(doc):
        parameters = doc["parameters"]
        parameters["type"] = "object"
        _convert(parameters["properties"])
        return Tool.of(tool_name(doc["name"]), doc["description"], parameters)


@contextmanager
def _named(function: Mapping[str, Any]) -> Iterator[None]:
    """A DataError that names the function for whatever a broken doc trips over."""
    try:
        yield
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
