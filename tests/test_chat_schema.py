"""A typed function is a tool: its schema for the model, its check for the model's arguments."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, Literal, Optional

import jsonschema
import pydantic
import pytest

from formosa.chat.schema import describe, read_arguments, tool_from_function
from formosa.errors import MessageError


class Unit(enum.StrEnum):
    C = "celsius"
    F = "fahrenheit"


class Place(pydantic.BaseModel):
    city: str
    zip: int


class Node(pydantic.BaseModel):
    children: list[Node]


def get_weather(location: str, unit: Literal["c", "f"] = "c", days: int = 1) -> str:
    """The weather at a place,
    today and later.

    More words, which the model is not told.

    Args:
        location: The city, as in 臺北.
        unit (str): Of the temperature:
            Celsius or Fahrenheit.
        days: How many.

    Returns:
        words: not a parameter.
    """
    return f"{location} {unit} {days}"


def test_name_docstring_and_types_become_a_tool() -> None:
    tool = tool_from_function(get_weather)
    assert tool.name == "get_weather"
    assert tool.description == "The weather at a place, today and later."
    assert tool.schema() == {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "The city, as in 臺北."},
            "unit": {
                "type": "string",
                "enum": ["c", "f"],
                "default": "c",
                "description": "Of the temperature: Celsius or Fahrenheit.",
            },
            "days": {"type": "integer", "default": 1, "description": "How many."},
        },
        "required": ["location"],
    }
    assert describe(tool) == 'get_weather(location: string, unit?: "c" | "f", days?: integer)'


def typed(annotation: Any, default: Any = ...) -> Any:
    """A function with one parameter `x` of that type."""

    def function(x: Any) -> None: ...

    function.__annotations__ = {"x": annotation}
    if default is not ...:
        function.__defaults__ = (default,)
    return function


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Optional[int], {"type": "integer"}),  # noqa: UP045
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Unit, {"type": "string", "enum": ["celsius", "fahrenheit"]}),
        (
            Annotated[int, pydantic.Field(ge=1, le=9)],
            {"type": "integer", "minimum": 1, "maximum": 9},
        ),
        (
            Place,
            {
                "type": "object",
                "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
                "required": ["city", "zip"],
            },
        ),
    ],
)
def test_types_become_plain_schemas(annotation: Any, schema: dict[str, Any]) -> None:
    """No titles and no `$ref`: a small model has never seen them."""
    found = tool_from_function(typed(annotation)).schema()
    assert found["properties"]["x"] == schema
    jsonschema.Draft202012Validator.check_schema(found)


def test_a_default_of_none_says_nothing() -> None:
    schema = tool_from_function(typed(int | None, None)).schema()
    assert schema == {"type": "object", "properties": {"x": {"type": "integer"}}}


def test_parameters_may_be_called_like_methods_of_pydantic() -> None:
    def convert(schema: str, copy: bool, model_name: str, json: str, title: str) -> None: ...

    tool = tool_from_function(convert)
    assert list(tool.schema()["properties"]) == ["schema", "copy", "model_name", "json", "title"]
    given = {"schema": "a", "copy": True, "model_name": "b", "json": "c", "title": "d"}
    assert read_arguments(convert, json.dumps(given)) == given


def test_a_method_is_a_tool_without_its_self() -> None:
    class Box:
        def open(self, key: str) -> str:
            """Open it."""
            return key

    tool = tool_from_function(Box().open)
    assert (tool.name, list(tool.schema()["properties"])) == ("open", ["key"])


def untyped(x): ...  # type: ignore[no-untyped-def]


def starred(*xs: int) -> None: ...


def keywords(**xs: int) -> None: ...


def positional(x: int, /) -> None: ...


def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def underscored(_x: int) -> None: ...


def recursive(node: Node) -> None: ...


@pytest.mark.parametrize(
    "function",
    [untyped, starred, keywords, positional, unknown, underscored, typed(object()), recursive],
)
def test_a_function_that_is_no_tool_is_refused(function: Any) -> None:
    with pytest.raises(MessageError):
        tool_from_function(function)


def test_arguments_are_checked_and_converted() -> None:
    assert read_arguments(get_weather, '{"location": "臺北"}') == {
        "location": "臺北",
        "unit": "c",
        "days": 1,
    }
    assert read_arguments(typed(float), '{"x": 3}') == {"x": 3.0}
    assert read_arguments(typed(Unit), '{"x": "celsius"}') == {"x": Unit.C}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{}", "location: Field required"),
        ('{"location": 7}', "location: Input should be a valid string"),
        ('{"location": "a", "days": "3"}', "days: Input should be a valid integer"),
        ('{"location": "a", "days": true}', "days: Input should be a valid integer"),
        ('{"location": "a", "unit": "k"}', "unit: Input should be 'c' or 'f'"),
        ('{"location": "a", "city": "b"}', "city: Extra inputs are not permitted"),
        ('{"days": "3"}', "location: Field required; days: "),
        ("[1]", "arguments: "),
        ("{", "arguments: Invalid JSON"),
    ],
)
def test_wrong_arguments_are_explained_in_one_line(arguments: str, problem: str) -> None:
    """The sentence goes back to the model as the tool's result."""
    with pytest.raises(MessageError) as caught:
        read_arguments(get_weather, arguments)
    assert problem in caught.value.message
    assert "\n" not in caught.value.message


def test_a_tool_is_described_even_if_its_schema_is_odd() -> None:
    tool = tool_from_function(typed(int | str))
    assert describe(tool) == "function(x: any)"
