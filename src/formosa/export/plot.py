"""Levels as a picture: size against speed, what is lost, and the scores where there are any.

Plain SVG, written here: a picture that a README shows needs no library, and holds no script.
Colours read on white and on black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from formosa.export.levels import Row

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 300, 240, 52, 40, 34  # of one panel, in pixels
_GREY, _BLUE = "#808080", "#3b7dd8"


class _Point(NamedTuple):
    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None


def draw(rows: Sequence[Row]) -> str:
    """The whole picture. Sizes in MB from left to right in every panel."""
    panels = [
        _panel("tokens per second", _points(rows, lambda row: row.tokens_per_second)),
        _panel(
            "divergence from the checkpoint, nats",
            _points(rows, lambda row: max(row.divergence, 1e-6)),
            logarithmic=True,
        ),
    ]
    for task in dict.fromkeys(task for row in rows for task in row.scores):
        found = [
            _Point(row.level, row.bytes / 1e6, *(100 * row.scores[task][key]
                                                 for key in ("value", "low", "high")))
            for row in rows if task in row.scores
        ]  # fmt: skip
        panels.append(_panel(f"{task}, %", found))
    moved = "".join(
        f'<g transform="translate({i * WIDTH} 0)">{panel}</g>' for i, panel in enumerate(panels)
    )
    width = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'width="{width}" height="{HEIGHT}" font-family="sans-serif" font-size="11" '
        f'role="img"><title>Size, speed, and what is lost</title>{moved}</svg>\n'
    )


def _points(rows: Sequence[Row], value: Callable[[Row], float]) -> list[_Point]:
    return [_Point(row.level, row.bytes / 1e6, value(row)) for row in rows]


def _panel(title: str, points: Sequence[_Point], *, logarithmic: bool = False) -> str:
    across = _Scale.of([point.x for point in points], LEFT, WIDTH - 24)
    heights = [v for p in points for v in (p.y, p.low, p.high) if v is not None]
    up = _Scale.of(heights, HEIGHT - BOTTOM, TOP, logarithmic=logarithmic)
    parts = [
        _text(LEFT, 18, title, weight="bold"),
        _line(LEFT, HEIGHT - BOTTOM, WIDTH - 12, HEIGHT - BOTTOM),
        _line(LEFT, HEIGHT - BOTTOM, LEFT, TOP - 6),
        _text((LEFT + WIDTH) / 2, HEIGHT - 8, "size, MB", anchor="middle"),
    ]
    below, beside = HEIGHT - BOTTOM + 14, LEFT - 5
    parts += [
        _text(across(value), below, _short(value), anchor="middle", fill=_GREY)
        for value in across.ticks()
    ]
    parts += [
        _text(beside, up(value) + 4, _short(value), anchor="end", fill=_GREY)
        for value in up.ticks()
    ]
    labels: list[tuple[float, float]] = []
    for point in points:
        x, y = across(point.x), up(point.y)
        if point.low is not None and point.high is not None:
            parts.append(_line(x, up(point.low), x, up(point.high), _BLUE))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_BLUE}"/>')
        beside_it = _free(x, y - 5, labels)
        labels.append((x, beside_it))
        near_the_edge = x > WIDTH - 70
        place, anchor = (x - 6, "end") if near_the_edge else (x + 6, "start")
        parts.append(_text(place, beside_it, point.label, anchor=anchor))
    return "".join(parts)


def _free(x: float, y: float, taken: Sequence[tuple[float, float]]) -> float:
    """The height nearest to `y` at which a label meets no other one."""
    steps = sorted(range(-8, 9), key=abs)
    return next(
        (
            y + 12 * step
            for step in steps
            if TOP - 6 < y + 12 * step < HEIGHT - BOTTOM
            and all(abs(x - a) > 60 or abs(y + 12 * step - b) >= 11 for a, b in taken)
        ),
        y,
    )


class _Scale(NamedTuple):
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    @classmethod
    def of(
        cls, values: Sequence[float], start: float, end: float, *, logarithmic: bool = False
    ) -> _Scale:
        low, high = min(values), max(values)
        if logarithmic:
            low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
            high = max(high, low * 10)
        else:
            room = (high - low) * 0.12 or max(abs(high), 1.0) * 0.1
            low, high = max(low - room, 0.0), high + room
        return cls(low, high, start, end, logarithmic)

    def __call__(self, value: float) -> float:
        if self.logarithmic:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About four round values."""
        if self.logarithmic:
            first = round(math.log10(self.low))
            last = round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        rough = (self.high - self.low) / 4
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, int(self.high / step) + 1)]


def _short(value: float) -> str:
    return f"{value:.0e}" if 0 < value < 1e-3 else f"{value:g}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = _GREY) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = _BLUE,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
