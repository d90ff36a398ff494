"""Whether a conversation names a value before a call uses it.

    known = Named(texts)
    known.has("台北"), known.has(3.5)

A string is named where its letters and digits stand in some text, whatever the case, width, marks
and spaces between them. A number is named by digits (3,500; 3.5萬; 5 % for 0.05), by a Chinese
numeral (兩百五十) or by an English number word; words of two parts (`two hundred`) count by their
parts. A date (2026-05-01) is named by its day and its month (5月1日, May 1st). So this finds what
is invented, and forgives how it is written.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_MARKS = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"(?<![\d.])(\d[\d,]*(?:\.\d+)?)(?:[ ]?([%千萬万億亿]|[km]\b))?")
_NUMERAL = re.compile("[零〇一二兩两三四五六七八九十百千萬万億亿]+")
_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIGURES = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "兩": 2, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_LARGE = {"萬": 10**4, "万": 10**4, "億": 10**8, "亿": 10**8}
_SCALE = {"%": 0.01, "千": 1e3, "k": 1e3, "m": 1e6} | {
    unit: float(size) for unit, size in _LARGE.items()
}
_COUNTING = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
"""
_WORDS = {word: float(number) for number, word in enumerate(_COUNTING.split())} | {
    "a": 1.0, "an": 1.0, "first": 1.0, "once": 1.0, "second": 2.0, "twice": 2.0, "both": 2.0,
    "pair": 2.0, "third": 3.0, "fourth": 4.0, "fifth": 5.0, "dozen": 12.0, "thirty": 30.0,
    "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "seventy": 70.0, "eighty": 80.0, "ninety": 90.0,
    "hundred": 100.0, "thousand": 1e3, "million": 1e6, "half": 0.5, "quarter": 0.25,
}  # fmt: skip


class Named:
    """What some texts name.

    Args:
        texts: all that was said before.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        folded = [unicodedata.normalize("NFKC", text).casefold() for text in texts]
        self._bare = "\n".join(_MARKS.sub("", text) for text in folded)
        self._numbers: set[float] | None = None
        self._folded = folded

    def has(self, value: object) -> bool:
        """Whether a string or number is named; other values always are."""
        if isinstance(value, str):
            if date := _DATE.fullmatch(value):
                return self._has_date(*map(int, date.groups()))
            return _MARKS.sub("", unicodedata.normalize("NFKC", value).casefold()) in self._bare
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return _rounded(abs(value)) in self._all_numbers()

    def _has_date(self, year: int, month: int, day: int) -> bool:
        """A day and a month in any notation; the year is often left to be guessed."""
        named = self._all_numbers()
        months = month in named or _MONTHS[(month - 1) % 12] in self._bare
        return (day in named and months) or f"{year}{month:02}{day:02}" in self._bare

    def _all_numbers(self) -> set[float]:
        if self._numbers is None:
            self._numbers = {_rounded(n) for text in self._folded for n in numbers(text)}
        return self._numbers


def numbers(text: str) -> Iterator[float]:
    """Every number that the text may mean, without signs."""
    for digits, unit in _DIGITS.findall(text):
        value = float(digits.replace(",", ""))
        yield value
        if unit:
            yield value * _SCALE[unit]
    for numeral in _NUMERAL.findall(text):
        yield from map(float, _chinese(numeral))
    for word in re.findall(r"[a-z]+", text):
        if word in _WORDS:
            yield _WORDS[word]


def _chinese(numeral: str) -> Iterator[int]:
    """What a Chinese numeral may mean: 兩百五十 is 250, 一九九八 is 1998."""
    if all(c in _FIGURES for c in numeral):
        yield int("".join(str(_FIGURES[c]) for c in numeral))
        yield from (_FIGURES[c] for c in numeral)
        return
    total = part = figure = 0
    for c in numeral:
        if c in _FIGURES:
            figure = _FIGURES[c]
        elif c in _UNITS:
            part += (figure or 1) * _UNITS[c]
            figure = 0
        else:
            total = (total + part + figure or 1) * _LARGE[c]
            part = figure = 0
    yield total + part + figure


def _rounded(number: float) -> float:
    return float(f"{number:.9g}")
