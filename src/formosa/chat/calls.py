"""Read the JSON inside `<tool_call>` tags as calls, whatever shape small models give it.

Accepted: keys in either order, `parameters` for `arguments`, arguments as a string that holds the
object (double-encoded), a missing or null `arguments` (no arguments), a list of calls, raw line
breaks inside strings, and Python's quotes and constants (read with `ast.literal_eval`, which runs
nothing). Refused: anything that would have to be guessed, such as a missing brace.

The text of the arguments is kept as the model wrote it wherever it is already valid JSON.
"""

from __future__ import annotations

import ast
import json
from typing import Any, NoReturn

from formosa.chat.message import ToolCall, json_text

LITERAL_LIMIT = 100_000  # characters; ast.literal_eval builds a whole tree in memory


class MalformedCallError(ValueError):
    """The text is not a call; the sentence says why."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)
_LOOSE = json.JSONDecoder(parse_constant=_refuse_constant, strict=False)  # raw line breaks


def read_calls(text: str) -> list[ToolCall]:
    """The calls (without ids) in the text of one JSON value.

    Raises:
        MalformedCallError: the text holds no call, or one that is not whole.
    """
    try:
        items, from_json = _items(text)
        if not items:
            raise MalformedCallError("an empty list of calls")
        return [_call(item, raw if from_json else None) for item, raw in items]
    except RecursionError as error:
        raise MalformedCallError("nested too deeply") from error


def _items(text: str) -> tuple[list[tuple[Any, str]], bool]:
    """Each candidate call with its text; and whether the text is JSON (or Python)."""
    try:
        value = _LOOSE.decode(text)
    except ValueError as problem:
        value = _python_literal(text, problem)
        return [(item, "") for item in (value if isinstance(value, list) else [value])], False
    if isinstance(value, list):
        return [(item, json_text(item)) for item in value], True
    return [(value, text)], True


def _python_literal(text: str, problem: ValueError) -> Any:
    if "'" not in text or len(text) > LITERAL_LIMIT:
        raise MalformedCallError(f"not JSON: {problem}") from problem
    try:
        value = ast.literal_eval(text.strip())
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError) as error:
        raise MalformedCallError(f"not JSON: {problem}") from error
    return value


def _call(item: Any, raw: str | None) -> ToolCall:
    if not isinstance(item, dict):
        raise MalformedCallError(f"a call must be an object, not {type(item).__name__}")
    if isinstance(item.get("function"), dict):  # OpenAI's nesting
        item, raw = item["function"], None
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedCallError("no tool name")
    key = "arguments" if "arguments" in item else "parameters"
    return ToolCall(name, _arguments(item.get(key), _raw_value(raw, key) if raw else None))


def _arguments(value: Any, raw: str | None) -> str:
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):  # double-encoded
        try:
            inner = _LOOSE.decode(value)
        except ValueError as error:
            raise MalformedCallError("arguments are text, and not JSON") from error
        if not isinstance(inner, dict):
            raise MalformedCallError("arguments must be an object")
        return value if _is_strict(value) else json_text(inner)
    if not isinstance(value, dict):
        raise MalformedCallError(f"arguments must be an object, not {type(value).__name__}")
    return raw if raw is not None and _is_strict(raw) else json_text(value)


def _is_strict(text: str) -> bool:
    try:
        _STRICT.decode(text)
    except ValueError:
        return False
    return True


def _raw_value(text: str, wanted: str) -> str | None:
    """The text of the last value under the key `wanted` of the object that `text` holds."""
    position, found = text.index("{") + 1, None
    while True:
        position = _skip(text, position, " \t\r\n,")
        if text[position] == "}":
            return found
        key, position = _LOOSE.raw_decode(text, position)
        position = _skip(text, position, " \t\r\n:")
        _, end = _LOOSE.raw_decode(text, position)
        if key == wanted:
            found = text[position:end]
        position = end


def _skip(text: str, position: int, characters: str) -> int:
    while text[position] in characters:
        position += 1
    return position
