"""Figures as tables print them: a value, its decimals, and what stands behind a ±.

Decimal, not float: `44.10` says something about its precision that `44.1` does not.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

LONGEST = 64  # characters of a cell that can be a figure

_NUMBER = r"[-−]?\d[\d,]*(?:\.\d+)?"
_FIGURE = re.compile(
    rf"({_NUMBER})\s*(%|％)?\s*"
    rf"(?:[(（\[]?\s*(?:±|\+/-|\+-)\s*({_NUMBER})\s*(%|％)?\s*[)）\]]?)?"
)
_MARKS = "*_ ~`🏆🥇↑↓"


class Figure(NamedTuple):
    """`44.11 (±0.0179)`.

    Attributes:
        value: as printed.
        decimals: digits after its point.
        percent: whether a % stands behind it.
        deviation: what stands behind ±; None where there is no ±.
    """

    value: Decimal
    decimals: int
    percent: bool = False
    deviation: Decimal | None = None
    deviation_decimals: int = 0


def figure(cell: str) -> Figure | None:
    """The figure that a cell is; None where it is something else."""
    text = cell.strip(_MARKS)
    if len(text) > LONGEST:
        return None
    match = _FIGURE.fullmatch(text.replace("*", "").strip())
    if not match:
        return None
    value, deviation = _decimal(match[1]), _decimal(match[3])
    if value is None:
        return None
    return Figure(
        value,
        decimals(match[1]),
        bool(match[2] or match[4]),
        deviation,
        decimals(match[3] or ""),
    )


def _decimal(text: str | None) -> Decimal | None:
    try:
        return None if text is None else Decimal(text.replace(",", "").replace("−", "-"))
    except InvalidOperation:
        return None


def decimals(text: str) -> int:
    """How many digits stand behind the point."""
    return len(text.rpartition(".")[2]) if "." in text else 0


def half_unit(digits: int) -> Decimal:
    """Half of the last digit: how far a rounded number can be from what it was."""
    return Decimal(5).scaleb(-digits - 1)


def same(a: Decimal, a_digits: int, b: Decimal, b_digits: int) -> bool:
    """Whether two printed numbers can be one number, rounded to their digits."""
    return abs(a - b) <= half_unit(min(a_digits, b_digits))


def of_float(value: float | int) -> tuple[Decimal, int]:
    """A number of a front matter, with the decimals that it was written with."""
    text = repr(value)
    if "e" in text or "E" in text:
        text = f"{value:f}"
    return Decimal(text), 0 if text.endswith(".0") else decimals(text)
