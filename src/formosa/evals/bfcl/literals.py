"""Java and JavaScript literals in strings → values, as the reference reads them.

In these two categories every argument is a string with source text in it: `"5L"`, `"new int[]{1}"`.
It is read by the type that the function doc declares, and *stays a string where it does not look
like that type*; whether that is right is for the rules in `values.py`.

Source: `java_type_converter.py` and `js_type_converter.py` of bfcl-eval 2026.3.23, oddities
included (elements are split at every comma, quoted or not; the first `}` ends an object). Two
differences, both for texts that no real answer resembles: a text of more than `LONGEST` characters
stays a string, and so does an integer of thousands of digits, over which the reference crashes.
Three of its expressions take time that grows exponentially or with the fourth power; what they
match is found here in one pass.

Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

from formosa.evals.bfcl.verdict import DataDefectError, show

Language = Literal["python", "java", "javascript"]

LONGEST = 2_000  # characters

JAVA_TYPES: Mapping[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "float": float,
    "double": float,
    "long": int,
    "boolean": bool,
    "char": str,
    "Array": list,
    "ArrayList": list,
    "Set": set,
    "HashMap": dict,
    "Hashtable": dict,
    "Queue": list,
    "Stack": list,
    "String": str,
    "any": str,
}
JAVASCRIPT_TYPES: Mapping[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}

_INTEGER = re.compile(r"^-?\d+$")
_LONG = re.compile(r"^-?\d+[lL]$")
_BIGINT = re.compile(r"^-?\d+n$")
_JAVA_FLOAT = re.compile(r"^-?\d+(\.\d+)?([eE][+-]?\d+)?[fF]$")
_JAVA_DOUBLE = re.compile(r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$")
_JS_FLOAT = re.compile(r"^-?\d+(\.\d+)?$")


def language_of(category: str) -> Language:
    """The language whose rules a category follows; Python unless its name says otherwise."""
    if "javascript" in category:
        return "javascript"
    return "java" if "java" in category else "python"


def java_value(text: str, declared: str, inner: str | None = None) -> Any:
    """The value of a Java literal of the type `declared` (its elements: `inner`).

    Raises:
        DataDefectError: a type that the reference cannot read.
    """
    if len(text) > LONGEST:
        return text
    match declared:
        case "byte" | "short" | "integer":
            return _integer(text, text) if _INTEGER.match(text) else text
        case "long":
            return _integer(re.sub(r"[lL]$", "", text), text) if _LONG.match(text) else text
        case "float":
            return float(re.sub(r"[fF]$", "", text)) if _JAVA_FLOAT.match(text) else text
        case "double":
            return float(text) if _JAVA_DOUBLE.match(text) else text
        case "boolean":
            return text == "true" if text in ("true", "false") else text
        case "Array":
            return _java_array(text, inner)
        case "ArrayList":
            return _java_list(text, inner)
        case "HashMap":
            return _java_map(text)
        case "char" | "String" | "any":
            return text
    raise DataDefectError(f"the reference cannot read the Java type {show(declared)}")


def javascript_value(text: str, declared: str, inner: str | None = None) -> Any:
    """The value of a JavaScript literal of the type `declared` (its elements: `inner`).

    Raises:
        DataDefectError: a type that the reference cannot read.
    """
    if len(text) > LONGEST:
        return text
    match declared:
        case "String":
            return text[1:-1] if _quoted(text) else text
        case "integer":
            return _integer(text, text) if _INTEGER.match(text) else text
        case "float":
            return float(text) if _JS_FLOAT.match(text) else text
        case "Bigint":
            return _integer(text[:-1], text) if _BIGINT.match(text) else text
        case "Boolean":
            return text == "true" if text in ("true", "false") else text
        case "array":
            return _js_array(text.strip(), inner)
        case "dict":
            return _js_object(text.strip())
        case "any":
            return text
    raise DataDefectError(f"the reference cannot read the JavaScript type {show(declared)}")


def _integer(digits: str, text: str) -> int | str:
    """The integer, or the text where it has more digits than Python reads."""
    try:
        return int(digits)
    except ValueError:
        return text


def _quoted(text: str) -> bool:
    """Whether it begins and ends with the same quote. One lone quote does both."""
    return any(text.startswith(quote) and text.endswith(quote) for quote in ('"', "'"))


def _untyped(text: str) -> Any:
    """A number where Python reads one (`1_000` too, as in the reference), else the text."""
    for read in (int, float):
        with suppress(ValueError):
            return read(text)
    return text


# --- Java ----------------------------------------------------------------------------------------

_AS_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_ADDING = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{(\s*)")
_ADD = re.compile(r"add\((.+?)\)")
_EMPTY_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_NEW_MAP = re.compile(r"new\s+HashMap<")
_MAP_BODY = re.compile(r">\s*\(\)\s*\{")
_PUT = re.compile(r"put\(\"(.*?)\",\s*(.*?)\)")
_EMPTY_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")


def _java_untyped(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    if _LONG.match(text):
        return _integer(text[:-1], text)
    if _JAVA_FLOAT.match(text):
        return float(re.sub(r"[fF]$", "", text))
    return _untyped(text)


def _java_element(text: str, inner: str | None) -> Any:
    """An element of an array: a string keeps its quotes."""
    return java_value(text, inner) if inner else _java_untyped(text)


def _java_list(text: str, inner: str | None) -> Any:
    if found := _AS_LIST.search(text):
        elements = found.group(1).split(",")
    elif (body := _adds(text)) is not None:
        elements = _ADD.findall(body)
    elif _EMPTY_LIST.search(text):
        return []
    else:
        return text
    if inner in ("char", "String"):  # the quotes, or whatever stands in their place
        return [element.strip()[1:-1] for element in elements]
    return [_java_element(element.strip(), inner) for element in elements]


def _adds(text: str) -> str | None:
    """What stands in `new ArrayList<>() {{ … }}`: `\\s*(.+?)\\s*\\}\\}` in one pass."""
    found = _ADDING.search(text)
    if not found:
        return None
    end = text.find("}}", found.end() + 1)
    if end >= 0:
        return text[found.end() : end]
    # At least one character: a blank is given back for it, as in `{{ }}`.
    return "" if found.group(1) and text.startswith("}}", found.end()) else None


def _java_array(text: str, inner: str | None) -> Any:
    found = _ARRAY.search(text)
    if not found:
        return text
    elements = [element.strip() for element in found.group(1).split(",")]
    return [_java_element(element, inner) for element in elements if element]


def _java_map(text: str) -> Any:
    body = _puts(text)
    if body is not None:
        return {key: _java_untyped(value.strip()) for key, value in _PUT.findall(body)}
    return {} if _EMPTY_MAP.search(text) else text


def _puts(text: str) -> str | None:
    """What stands in `new HashMap<…>() {{ … }}` up to the first `}`, in one pass."""
    found = _NEW_MAP.search(text)
    opened = _MAP_BODY.search(text, found.end()) if found else None
    end = text.find("}", opened.end()) if opened else -1
    return text[opened.end() : end] if opened and end >= 0 else None


# --- JavaScript ----------------------------------------------------------------------------------

_ONE_ROW = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_ROW = re.compile(r"\[(.*?)\]")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")
_TABLE_BEGINS = (
    (re.compile(r"\[\s*\["), "]"),
    (re.compile(r"new\s+Array\(\s*\["), ")"),
)
_NEXT_ROW = re.compile(r",\s*\[")
_BLANKS = re.compile(r"\s*")


def _js_untyped(text: str) -> Any:
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    return text[1:-1] if _quoted(text) else _untyped(text)


def _js_array(text: str, inner: str | None) -> Any:
    table = _table(text)
    if table is not None:
        rows = []
        for i, row in enumerate(_ROW.findall(table)):
            row = row.strip()
            if i == 0 and row.startswith("["):
                row = row[1:]
            rows.append([_js_untyped(element) for element in row.split(",")])
        return rows
    found = _ONE_ROW.match(text)
    if not found:
        return text
    content = (found.group(1) if found.group(1) is not None else found.group(2)).strip()
    elements = [element.strip() for element in content.split(",")] if content else []
    if inner is None:
        return [_js_untyped(element) for element in elements]
    values = []
    for element in elements:
        try:
            value = javascript_value(element, inner)
        except DataDefectError:
            return text
        if inner in ("integer", "Bigint") and value == element and _digits(element, inner):
            return text  # thousands of digits: the reference gives up on the whole array
        values.append(value)
    return values


def _digits(element: str, inner: str) -> bool:
    return bool((_INTEGER if inner == "integer" else _BIGINT).match(element))


def _table(text: str) -> str | None:
    """The part of `text` that the reference takes for an array of arrays, from its beginning.

    Its expression, for brackets: `\\[\\s*\\[.*?\\]\\s*(,\\s*\\[.*?\\]\\s*)*\\]`. Without the last
    one, a backtracking engine tries every way to cut the rest into rows; here each place is tried
    once, in the same order, so the same match is found.
    """
    for begin, close in _TABLE_BEGINS:
        found = begin.match(text)
        if found and (end := _rows_end(text, found.end(), close)) is not None:
            return text[:end]
    return None


def _rows_end(text: str, start: int, close: str) -> int | None:
    """Behind `close`, where rows end whose first begins at `start`; None where they never do."""
    tried: set[int] = set()  # places behind a row; what follows them led nowhere, or is being tried
    # For each row: where else it may end, and the place before it, where the rows may end instead.
    waiting = [(_row_ends(text, start), -1)]
    while waiting:
        ends, before = waiting[-1]
        end = next(ends, None)
        if end is None:
            waiting.pop()
            if before >= 0 and text.startswith(close, before):
                return before + 1
        elif end not in tried:
            tried.add(end)
            place = _blanks_end(text, end)
            row = _NEXT_ROW.match(text, place)
            waiting.append((_row_ends(text, row.end()) if row else iter(()), place))
    return None


def _row_ends(text: str, start: int) -> Iterator[int]:
    """Behind each `]` of the line, the nearest first."""
    line = text.find("\n", start)
    end = text.find("]", start)
    while end >= 0 and (line < 0 or end < line):
        yield end + 1
        end = text.find("]", end + 1)


def _blanks_end(text: str, start: int) -> int:
    found = _BLANKS.match(text, start)
    return found.end() if found else start


def _js_object(text: str) -> Any:
    """An object by expression: the first `}` ends it, and what is no pair is passed over."""
    if text == "{}":
        return {}
    found = _OBJECT.match(text)
    if not found:
        return text
    values: dict[str, Any] = {}
    for key, value in _PAIR.findall(found.group(1)):
        value = value.strip()
        name = key.strip().strip("'\"")
        if value.startswith("[") and value.endswith("]"):
            values[name] = _js_array(value, None)
        else:
            values[name] = _js_untyped(value.strip("'\""))
    return values
