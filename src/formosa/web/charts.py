"""Charts as inline SVG: axes with round numbers, and the marks on them. Pure functions.

Colours come by class (`c0` to `c5` of base.css), never by style: the pages' policy forbids inline
style. Every picture has a title and a description, and its numbers stand in a table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup


class Scale(NamedTuple):
    """From values to places, with the values that are named on the axis."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


def scale(low: float, high: float, start: float, end: float, *, whole: bool = False) -> Scale:
    """An axis from round number to round number, or (whole) exactly over the steps there are."""
    if high - low <= 1e-9 * abs(high):
        low, high = (low - 1, high + 1) if whole or not low else sorted((0.0, 2 * low))
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 5)
    if whole:
        step = max(1, step)
        first = math.ceil(low / step)
        last = math.floor(high / step)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        low, high = first * step, last * step
    ticks = tuple(float(f"{i * step:.12g}") for i in range(first, last + 1))
    return Scale(low, high, start, end, ticks)


def value_range(values: list[float]) -> tuple[float, float]:
    """From the lowest to the highest; from zero where that is near."""
    low, high = min(values), max(values)
    return (0.0, high) if 0 <= low < 0.5 * high else (low, high)


def figure(value: object) -> str:
    """Three figures, or all of a whole number; a dash for what is no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


BAR, THICK = 200, 14  # of a bar in a table's cell, in its own units
LEAST = 3  # units: less could not be seen, and something is there


class Part(NamedTuple):
    """A part of a stacked bar: how many, its class, what it is called."""

    number: int
    kind: str
    label: str


def interval(value: float, low: float, high: float, says: str, *, kind: str = "c0") -> Markup:
    """A bar from 0 to `value` with its interval as a line over it; shares of 1.

    Args:
        value: clipped to 0 … 1, as are the ends of its interval.
        low: one end.
        high: the other.
        says: the figures in words, for screen readers and for a resting pointer.
        kind: the class of the bar, which gives the colour.
    """
    across, left, right = (round(BAR * min(1.0, max(0.0, x)), 1) for x in (value, low, high))
    middle = THICK / 2
    return Markup(
        '<svg class="bar interval" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        "<title>{}</title>"
        '<rect class="ground" width="{}" height="{}"/>'
        '<rect class="{}" fill="currentColor" width="{}" height="{}"/>'
        '<path class="whisker" d="M{} {}H{}M{} {}V{}M{} {}V{}"/></svg>'
    ).format(
        *(BAR, THICK, says, says, BAR, THICK, kind, across, THICK),
        *(left, middle, right, left, 3, THICK - 3, right, 3, THICK - 3),
    )


def stacked(parts: Sequence[Part], says: str) -> Markup:
    """The parts of a whole side by side; each that is not empty can be seen.

    Args:
        parts: in the order in which they stand; `kind` is the class that colours it.
        says: the figures in words.
    """
    total = sum(part.number for part in parts)
    widths = [max(LEAST, BAR * part.number / total) if part.number else 0.0 for part in parts]
    shrink = BAR / sum(widths) if total else 0.0
    drawn, left = [], 0.0
    for part, width in zip(parts, widths, strict=True):
        if part.number:
            drawn.append(
                Markup(
                    '<rect class="{}" x="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
                ).format(
                    part.kind,
                    round(left, 2),
                    round(width * shrink, 2),
                    THICK,
                    part.label,
                    f"{part.number:,}",
                )
            )
        left += width * shrink
    return Markup(
        '<svg class="bar stacked" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(BAR, THICK, says, Markup("").join(drawn))
