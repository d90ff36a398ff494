"""Read the JSON inside `<tool_call>` tags as calls, whatever shape small models give it.

Accepted: keys in either order, `parameters` for `arguments`, arguments as a string that holds the
object (double-encoded), a missing or null `arguments` (no arguments), a list of calls, raw line
breaks inside strings, and Python's quotes and constants (read with `ast.literal_eval`, which runs
nothing). Refused: anything that would have to be guessed, such as a missing brace, and anything
that would be lost, such as arguments that stand beside the name instead of under `arguments`.

The text of the arguments is kept as the model wrote it wherever it is already valid JSON. What
comes out can always be sent as UTF-8: a lone surrogate stays an escape.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any, NoReturn

from formosa.chat.message import ToolCall, json_text

LITERAL_LIMIT = 100_000  # characters; ast.literal_eval builds a whole tree in memory
BESIDE = {"name", "id", "type", "index"}  # keys of a call without arguments
_PYTHON = re.compile(r"'|\b(?:True|False|None)\b")


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
        items = _items(text.strip())
        if not items:
            raise MalformedCallError("an empty list of calls")
        return [_call(item, raw) for item, raw in items]
    except RecursionError as error:
        raise MalformedCallError("nested too deeply") from error


def list_items(text: str) -> list[str]:
    """The texts of the items if `text` is a JSON list that holds any; else `text` alone."""
    stripped = text.strip()
    try:
        if not stripped.startswith("[") or not _LOOSE.decode(stripped):
            return [text]
    except (ValueError, RecursionError):
        return [text]
    items, position = [], 1
    while stripped[position := _skip(stripped, position, " \t\r\n,")] != "]":
        _, end = _LOOSE.raw_decode(stripped, position)
        items.append(stripped[position:end])
        position = end
    return items


def _items(text: str) -> list[tuple[Any, str | None]]:
    """Each candidate call with its text; None where that is not JSON but Python."""
    try:
        value = _LOOSE.decode(text)
    except ValueError as problem:
        value = _python_literal(text, problem)
        return [(item, None) for item in (value if isinstance(value, list) else [value])]
    if isinstance(value, list):
        return list(zip(value, list_items(text), strict=True)) if value else []
    return [(value, text)]


def _python_literal(text: str, problem: ValueError) -> Any:
    refusal = MalformedCallError(f"not JSON: {problem}")
    if len(text) > LITERAL_LIMIT or not _PYTHON.search(text):
        raise refusal from problem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the model's escapes: nobody here wrote them
            value = ast.literal_eval(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError) as error:
        raise refusal from error
    return value


def _call(item: Any, raw: str | None) -> ToolCall:
    if not isinstance(item, dict):
        raise MalformedCallError(f"a call must be an object, not {type(item).__name__}")
    if isinstance(item.get("function"), dict):  # OpenAI's nesting
        raw = _raw_value(raw, "function") if raw else None
        item = item["function"]
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedCallError("no tool name")
    if not _is_utf8(name):
        raise MalformedCallError("the tool name holds a lone surrogate")
    key = "arguments" if "arguments" in item else "parameters"
    if key not in item and (lost := item.keys() - BESIDE):
        raise MalformedCallError(f"no arguments, but {', '.join(sorted(map(str, lost)))!r}")
    return ToolCall(name, _arguments(item.get(key), _raw_value(raw, key) if raw else None))


def _arguments(value: Any, raw: str | None) -> str:
    if value is None or value == "":
        return "{}"
    if isinstance(value, str):  # double-encoded
        raw = value
        try:
            value = _LOOSE.decode(value)
        except ValueError as error:
            value = _python_literal(value.strip(), error)
    if not isinstance(value, dict):
        raise MalformedCallError(f"arguments must be an object, not {type(value).__name__}")
    return raw if raw is not None and _is_strict(raw) else _written(value)


def _written(value: dict[str, Any]) -> str:
    text = json_text(value)
    if not _is_strict(text):
        text = json.dumps(value)
    if not _is_strict(text):
        raise MalformedCallError("a number is too large")  # 1e999 was read as infinity
    return text


def _is_strict(text: str) -> bool:
    """Whether `text` is JSON and can be sent."""
    try:
        _STRICT.decode(text)
    except ValueError:
        return False
    return _is_utf8(text)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
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
