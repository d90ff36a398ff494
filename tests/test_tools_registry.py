"""Which functions a model may call, and how a file of them is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from formosa.errors import MessageError, UserError
from formosa.tools.function import FunctionTool, tool
from formosa.tools.registry import Registry, load_tools


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def test_a_tool_is_described_by_its_types_and_docstring() -> None:
    assert add.name == "add"
    assert add.tool.description == "Add two numbers."
    assert add.tool.schema() == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "The first."},
            "b": {"type": "integer", "default": 1, "description": "The second."},
        },
        "required": ["a"],
    }


def test_a_marked_function_is_still_a_function() -> None:
    """Its author tests it and calls it as before."""
    assert add(2, b=3) == 5
    assert not add.is_async


def test_a_tool_may_ask_for_consent() -> None:
    """With and without arguments, the decorator keeps the function and its types."""

    @tool(confirm=True)
    def delete(path: str) -> str:
        """Delete."""
        return path

    @tool()
    def keep(path: str) -> str:
        """Keep."""
        return path

    assert delete.confirm
    assert delete("a") == "a"
    assert not keep.confirm
    assert not add.confirm


def test_an_async_function_is_a_tool_too() -> None:
    @tool
    async def wait(seconds: float) -> str:
        """Wait."""
        return "done"

    assert wait.is_async


def test_arguments_are_checked_against_the_types() -> None:
    assert add.read('{"a": 2}') == {"a": 2, "b": 1}
    with pytest.raises(MessageError, match="a: Input should be a valid integer"):
        add.read('{"a": "2"}')


def test_a_parameter_without_a_type_is_refused_when_the_tool_is_made() -> None:
    """Not when the model first calls it, in front of a user."""

    def untyped(x) -> str:  # type: ignore[no-untyped-def]
        return ""

    with pytest.raises(MessageError, match=r"untyped\(x\): needs a type"):
        tool(untyped)


def test_an_async_generator_is_refused() -> None:
    async def stream() -> AsyncIterator[str]:
        yield ""

    with pytest.raises(MessageError, match="async generator"):
        tool(stream)


def test_only_what_was_added_is_in_a_registry() -> None:
    """Marking a function is not enough: nothing is callable because it was imported."""
    registry = Registry([add])
    assert "add" in registry
    assert len(registry) == 1
    assert [item.name for item in registry.tools] == ["add"]
    assert registry.get("subtract") is None


def test_two_tools_of_one_name_are_refused() -> None:
    registry = Registry([add])
    with pytest.raises(UserError, match=f"Two tools are named 'add': one of {__file__}") as caught:
        registry.add(add)
    assert "rename" in caught.value.hint


def test_a_plain_function_is_not_added_by_accident() -> None:
    function: Any = len
    with pytest.raises(UserError, match="is not a tool") as caught:
        Registry([function])
    assert "@tool" in caught.value.hint


def test_the_schema_holds_the_choices_of_a_literal() -> None:
    @tool
    def heat(unit: Literal["celsius", "fahrenheit"]) -> str:
        """Heat."""
        return unit

    assert heat.tool.schema()["properties"]["unit"]["enum"] == ["celsius", "fahrenheit"]


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_gives_its_tools_in_their_order(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from formosa import tool\n"
        "@dataclass\nclass Place:\n    name: str\n"
        '@tool\ndef second(x: int) -> int:\n    "Two."\n    return helper(x)\n'
        "def helper(x: int) -> int:\n    return x * 2\n"
        '@tool\nasync def first(place: Place) -> str:\n    "One."\n    return place.name\n'
        "again = second\n",
    )
    tools = load_tools(path)
    assert [item.name for item in tools] == ["second", "first"]
    assert tools[0](21) == 42


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\n1 / 0\n", r"mine\.py, line 2: ZeroDivisionError"),
        ("def broken(:\n", r"mine\.py, line 1: SyntaxError"),
        ("import not_installed_anywhere\n", "line 1: ModuleNotFoundError"),
        ("import sys\nsys.exit('bye')\n", "line 2: SystemExit: bye"),
        ("def f(x: int) -> int:\n    return x\n", "holds no tool"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, text: str, problem: str
) -> None:
    """The user wrote this file: the line is what they need, not our traceback."""
    with pytest.raises(UserError, match=problem):
        load_tools(written(tmp_path, text))


def test_a_missing_file_and_a_wrong_ending_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a file"):
        load_tools(tmp_path / "none.py")
    other = tmp_path / "tools.txt"
    other.write_text("x = 1", encoding="utf-8")
    with pytest.raises(UserError, match="is not a Python file"):
        load_tools(other)


def test_the_example_in_the_repository_works() -> None:
    path = Path(__file__).parent.parent / "examples" / "tools_weather.py"
    tools: dict[str, FunctionTool[..., Any]] = {item.name: item for item in load_tools(path)}
    assert tools["get_weather"]("台北", "fahrenheit") == "台北：華氏 79 度"
    assert tools["list_cities"]() == ["台北", "台中", "高雄"]
    with pytest.raises(ValueError, match="沒有 東京 的資料"):
        tools["get_weather"]("東京")
