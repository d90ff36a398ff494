"""The Java or JavaScript calls that a model writes as text → decoded calls.

`[Calendar.add(day=5, note="x")]` → `[{"Calendar.add": {"day": "5", "note": "x"}}]`: the values
stay source text, which `literals.py` reads.

The reference has tree-sitter parse the text. This is a scanner of its own, without a dependency: it
knows quotes and brackets, and nothing else of the languages. Differences, all for the better or
without effect on a right answer: a Java call needs no luck with the parser's recovery from the
missing `;`; text that is not ASCII is not shifted; the body of `new HashMap<>() {{ … }}` is kept;
several calls are several calls; source text keeps its blanks. So the figures of this mode are not
those of the leaderboard for these two categories, and the decoder's name says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from formosa.evals.bfcl.decode import Decoded
from formosa.evals.bfcl.verdict import show

DECODER = "source-calls/1"
LONGEST = 20_000  # characters

_NAME = re.compile(r"\s*(?:new\s+|await\s+)?([A-Za-z_$][\w$.]*)\s*\(")
_ARGUMENT = re.compile(r"\s*([A-Za-z_$][\w$]*)\s*=(?![=>])\s*")
_BETWEEN = re.compile(r"[\s,;]*")
_PAIRS = {"(": ")", "[": "]", "{": "}"}


class _UnreadableError(ValueError):
    """The text is no list of calls."""


def decode_source(text: str) -> Decoded:
    """Read the calls in a reply's text, in their order."""
    if not text.strip():
        return Decoded(None, "an empty reply")
    if len(text) > LONGEST:
        return Decoded(None, f"a text of more than {LONGEST} characters")
    inside = text.strip("`\n ")
    inside = inside[1:] if inside.startswith("[") else inside
    inside = inside[:-1] if inside.endswith("]") else inside
    try:
        return Decoded([{name: arguments} for name, arguments in _calls(inside)])
    except _UnreadableError as error:
        return Decoded(None, f"{error}: {show(text.strip())}")


def _calls(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    place = _skipped(text, 0)
    while place < len(text):
        found = _NAME.match(text, place)
        if not found:
            raise _UnreadableError("something in the list is no call")
        end = _closing(text, found.end() - 1)
        yield found.group(1), _arguments(text[found.end() : end])
        place = _skipped(text, end + 1)


def _skipped(text: str, place: int) -> int:
    found = _BETWEEN.match(text, place)
    return found.end() if found else place


def _closing(text: str, opened: int) -> int:
    """Where the bracket that opens at `opened` is closed."""
    expected: list[str] = []
    for place, character in _outside_quotes(text, opened):
        if character in _PAIRS:
            expected.append(_PAIRS[character])
        elif character in _PAIRS.values():
            if not expected or expected.pop() != character:
                break
            if not expected:
                return place
    raise _UnreadableError("brackets that do not close")


def _arguments(text: str) -> dict[str, str]:
    """By name; the last of two with one name counts. What has no name is called "None"."""
    starts = [0]
    depth = 0
    for place, character in _outside_quotes(text, 0):
        depth += (character in _PAIRS) - (character in _PAIRS.values())
        # The comma in `new HashMap<String, Integer>()` is followed by no name with `=`.
        if character == "," and depth == 0 and _ARGUMENT.match(text, place + 1):
            starts.append(place + 1)
    arguments = {}
    for start, end in zip(starts, [*(start - 1 for start in starts[1:]), len(text)], strict=True):
        found = _ARGUMENT.match(text, start, end)
        if found:
            arguments[found.group(1)] = _unquoted(text[found.end() : end].strip())
        elif text[start:end].strip():
            arguments["None"] = text[start:end].strip()
    return arguments


def _outside_quotes(text: str, start: int) -> Iterator[tuple[int, str]]:
    place = start
    while place < len(text):
        character = text[place]
        if character in "\"'`":
            place = _quote_end(text, place)
        else:
            yield place, character
        place += 1


def _quote_end(text: str, opened: int) -> int:
    place = opened + 1
    while place < len(text) and text[place] != text[opened]:
        place += 2 if text[place] == "\\" else 1
    if place >= len(text):
        raise _UnreadableError("quotes that do not close")
    return place


def _unquoted(value: str) -> str:
    """The text of one string literal; everything else as it is."""
    if value[:1] in ('"', "'") and _quote_end(value, 0) == len(value) - 1:
        return value[1:-1]
    return value
