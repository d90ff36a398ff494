"""Punctuation as Taiwan sets it: full-width marks in Chinese prose.

    , ? ! : ;     after a Han character become ，？！：； where Chinese goes on or the line ends
    .             likewise becomes 。 if at least four Han characters go before it; so a numbered
                  heading (一. 前言) and a short name (馬丁.路德) stay
    ...           after a Han character becomes ……
    ( )           become （） after a Han character, where there is Chinese in between
    “ ” and ‘ ’   become 「」 and 『』 where there is Chinese inside or right beside

A space after such a mark goes. Everything else stays: numbers (3.14, 12:30), English sentences,
links of markdown, lines that look like JSON or a table, and all that `convert.py` leaves alone,
such as code, addresses and tool calls. Straight quotes stay as well: they often quote code.

Knows marks and their neighbours. Knows no words, and does not ask for the script: “ ” are right in
Simplified Chinese, so this is for Traditional text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from formosa.zh.convert import Conversion, pieces
from formosa.zh.script import HAN

_FULL = str.maketrans(",.?!:;", "，。？！：；")
_HIDDEN = "\ue000"  # stands for what must not change; a private character, in nobody's text

_SIDE = rf"[{HAN}」』）》〉]"
_ON = rf"(?:[ \t]*(?=\n|\Z)|[ \t]*(?=[{HAN}「『（《〈]))"
_MARKS = re.compile(rf"(?<={_SIDE})(?:[,:;]|[?!]{{1,6}}){_ON}")
_STOP = re.compile(rf"(?<=[{HAN}]{{4}})\.{_ON}|(?<=[」』）》〉])\.{_ON}")
_DOTS = re.compile(rf"(?<={_SIDE})\.{{3,6}}(?!\.)")
_BRACKETS = re.compile(rf"(?<=[{HAN}」』》])\((?=[^()\n]*[{HAN}])([^()\n]{{1,200}})\)")
_QUOTE = re.compile(r"[“”‘’\n]")
_LONGEST = 400  # characters between quotation marks
_CHINESE = re.compile(rf"[{HAN}，。？！：；、「」『』（）《》]")
_SPOKEN = re.compile(rf"[{HAN}，。？！：；、（）《》]")  # what makes a quotation Chinese
_NO_PROSE = re.compile(r'^(?:[^\n]*"[^"\n]*"[ \t]*:|[ \t]*\|)[^\n]*$', re.MULTILINE)
_ANY_MARK = re.compile(r"[,.?!:;()“”‘’]")


def to_full_width(text: str, *, keep: Iterable[str] = ()) -> Conversion:
    """`text` with full-width marks where Taiwan sets them; `changes` counts the marks.

    Args:
        text: prose, with whatever it quotes.
        keep: strings that must stay as they are wherever they stand, such as the values that a
            tool call copies from this text.
    """
    if not _ANY_MARK.search(text) or not _CHINESE.search(text) or _HIDDEN in text:
        return Conversion(text, 0)
    shown, hidden = _hide(text, keep)
    shown, changes = _quotes(shown)
    for pattern, change in _RULES:
        shown, count = _change(pattern, change, shown)
        changes += count
    parts = shown.split(_HIDDEN)
    restored = [part for pair in zip(parts, [*hidden, ""], strict=True) for part in pair]
    return Conversion("".join(restored), changes)


def _hide(text: str, keep: Iterable[str]) -> tuple[str, list[str]]:
    """The text with one character for each part that must not change, and these parts."""
    spans, end = [], 0
    for piece, free in pieces(text):
        if not free:
            spans.append((end, end + len(piece)))
        end += len(piece)
    spans += [match.span() for match in _NO_PROSE.finditer(text)]
    if values := {value for value in keep if _ANY_MARK.search(value)}:
        longest = sorted(values, key=lambda value: (-len(value), value))
        spans += [match.span() for match in re.finditer("|".join(map(re.escape, longest)), text)]
    shown, hidden, end = [], [], 0
    for start, stop in _merged(spans):
        shown += [text[end:start], _HIDDEN]
        hidden.append(text[start:stop])
        end = stop
    return "".join([*shown, text[end:]]), hidden


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _change(
    pattern: re.Pattern[str], change: Callable[[re.Match[str]], str], text: str
) -> tuple[str, int]:
    count = 0

    def counted(match: re.Match[str]) -> str:
        nonlocal count
        made = change(match)
        count += made != match.group()
        return made

    return pattern.sub(counted, text), count


def _quotes(text: str) -> tuple[str, int]:
    """“ ” and ‘ ’ in Chinese as 「」 and 『』, pair by pair, and how many pairs that were."""
    made = list(text)
    open_: list[int] = []
    count = 0
    for match in _QUOTE.finditer(text):
        mark, stop = match.group(), match.start()
        if mark in "“‘":
            open_.append(stop)
        elif mark == "\n":
            open_.clear()
        elif open_ and text[open_[-1]] == {"”": "“", "’": "‘"}[mark]:
            start = open_.pop()
            beside = text[max(0, start - 1) : start] + text[stop + 1 : stop + 2]
            inside = stop - start - 1
            if 0 < inside <= _LONGEST and (
                _SPOKEN.search(beside) or _SPOKEN.search(text, start + 1, stop)
            ):
                made[start], made[stop] = "「」" if mark == "”" else "『』"
                count += 1
    return "".join(made), count


def _full(match: re.Match[str]) -> str:
    return match.group().rstrip(" \t").translate(_FULL)


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_DOTS, lambda match: "……"),
    (_BRACKETS, lambda match: f"（{match.group(1)}）"),
    (_STOP, _full),
    (_MARKS, _full),
)
