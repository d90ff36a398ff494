"""Keep words that only spell a control token from becoming one.

A user, a web page or a tool's result may hold `<|im_end|>`. In the prompt it would end the turn,
and what follows could pose as the system. The text must stay as it is, so nothing is escaped: the
prompt is cut inside the spelling, and an engine that tokenises piece by piece reads words.

How: a mark (a character that the request does not hold) is put inside each spelling before the
template renders, and the rendered text is cut at the marks. Knows no template and no vocabulary.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

MARKS = "".join(map(chr, range(0xE000, 0xE040)))  # private use: no text has a reason to hold them


def holds(value: Any, pattern: re.Pattern[str]) -> bool:
    """Whether a string anywhere in the value (keys too) matches."""
    if isinstance(value, str):
        return pattern.search(value) is not None
    if isinstance(value, Mapping):
        return any(holds(key, pattern) or holds(item, pattern) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(holds(item, pattern) for item in value)
    return False


def marked(value: Any, tokens: frozenset[str], mark: str) -> Any:
    """The value with a mark inside each token that one of its strings spells."""
    if isinstance(value, str):
        return _marked_text(value, tokens, mark)
    if isinstance(value, Mapping):
        return {marked(k, tokens, mark): marked(v, tokens, mark) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [marked(item, tokens, mark) for item in value]
    return value


def free_mark(value: Any) -> str | None:
    """A mark that no string of the value holds; None if all of them are taken."""
    for mark in MARKS:
        if not holds(value, re.compile(mark)):
            return mark
    return None


@functools.lru_cache(maxsize=64)
def spellings(tokens: frozenset[str]) -> re.Pattern[str]:
    """A pattern that finds any of the tokens. Of one character, none: it can't be cut."""
    wanted = sorted(token for token in tokens if len(token) > 1)
    return re.compile("|".join(map(re.escape, wanted)) if wanted else r"(?!)")


@functools.lru_cache(maxsize=64)
def _overlapping(tokens: frozenset[str]) -> re.Pattern[str]:
    return re.compile(f"(?=({_longest_first(tokens)}))")


def _longest_first(tokens: Iterable[str]) -> str:
    wanted = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
    return "|".join(map(re.escape, wanted)) or "(?!)"


def _marked_text(text: str, tokens: frozenset[str], mark: str) -> str:
    if not spellings(tokens).search(text):
        return text
    # Tokens may overlap, or one begin with another: each start is looked at, shortest end first.
    spans: list[tuple[int, int]] = []
    for match in _overlapping(tokens).finditer(text):
        start, found = match.start(), match[1]
        ends = [start + n for n in range(2, len(found) + 1) if found[:n] in tokens]
        spans.extend((start, end) for end in ends)
    parts, last = [], 0
    for start, end in sorted(spans, key=lambda span: span[1]):
        if last <= start:  # no cut inside yet
            parts.append(text[last : end - 1])
            last = end - 1
    return mark.join([*parts, text[last:]])
