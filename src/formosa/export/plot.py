"""Levels as a picture: a row for each file, and what it costs and loses in panels beside it.

Plain SVG, written here: a picture that a README shows needs no library, and holds no script. Both
colours have a contrast of 4.5 on white and on black.

A row for each level rather than points over the size: files of 4 to 6 bits lie so near to each
other that their labels would cover them. Sizes, speeds and scores begin at nothing, else a tenth
would look like a half; the divergence has a logarithmic scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from formosa.export.levels import Row

COLUMNS = 3  # panels beside each other
LABEL, PANEL, ROW = 72, 210, 24  # widths of the names and of a panel, height of a row, in pixels
TITLE, AXIS = 30, 26  # heights above and below the rows
VALUE = 62  # room for a figure at the end of a panel
_GREY, _BLUE = "#767676", "#2f74d0"


class _Point(NamedTuple):
    """One level's dot: its value, what is written beside it, and the ends of its interval."""

    value: float
    text: str
    low: float
    high: float


class _Panel(NamedTuple):
    title: str
    points: Sequence[_Point | None]  # one for each level; None where nothing was measured
    logarithmic: bool = False


def draw(rows: Sequence[Row]) -> str:
    """The whole picture."""
    panels = [
        _Panel("size, MB", _plain(rows, lambda row: row.bytes / 1e6, "{:.0f}")),
        _Panel("tokens per second", _plain(rows, lambda row: row.tokens_per_second, "{:.0f}")),
        _Panel(
            "divergence, nats",
            _plain(rows, lambda row: row.divergence, "", least=1e-6),
            logarithmic=True,
        ),
        *(_of_task(rows, task) for task in dict.fromkeys(t for row in rows for t in row.scores)),
    ]
    bands = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
    band_height = TITLE + ROW * len(rows) + AXIS
    width, height = LABEL + COLUMNS * PANEL, band_height * len(bands)
    drawn = "".join(
        f'<g transform="translate(0 {number * band_height})">{"".join(_band(rows, band))}</g>'
        for number, band in enumerate(bands)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11" '
        f'role="img"><title>Size, speed, and what is lost</title>{drawn}</svg>\n'
    )


def _plain(
    rows: Sequence[Row], value: Callable[[Row], float], form: str, least: float = 0.0
) -> list[_Point]:
    values = [value(row) for row in rows]
    return [
        _Point(shown, form.format(v) if form else _short(v), shown, shown)
        for v in values
        for shown in (max(v, least),)
    ]


def _of_task(rows: Sequence[Row], task: str) -> _Panel:
    scores = [row.scores.get(task) for row in rows]
    points = [_scored(score) if score else None for score in scores]
    asked = max(int(score["samples"]) for score in scores if score)
    return _Panel(f"{task}, % of {asked}", points)


def _scored(score: Mapping[str, float]) -> _Point:
    value, low, high = (100 * score[key] for key in ("value", "low", "high"))
    return _Point(value, f"{value:.0f}", low, high)


def _band(rows: Sequence[Row], panels: Sequence[_Panel]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield _text(LABEL - 8, _middle(number) + 4, row.level, anchor="end")
    for number, panel in enumerate(panels):
        yield f'<g transform="translate({LABEL + number * PANEL} 0)">{"".join(_panel(panel))}</g>'


def _panel(panel: _Panel) -> Iterator[str]:
    points = [point for point in panel.points if point is not None]
    across = _Scale.of([point.high for point in points], panel.logarithmic)
    bottom = TITLE + ROW * len(panel.points)
    yield _text(0, 18, panel.title, weight="bold")
    for value in across.ticks():
        yield _line(across(value), TITLE, across(value), bottom, _GREY, faint=value > across.low)
        yield _text(across(value), bottom + 14, _short(value), anchor="middle", fill=_GREY)
    for number, point in enumerate(panel.points):
        y = _middle(number)
        if point is None:
            yield _text(across(across.low) + 6, y + 4, "–", fill=_GREY)
            continue
        begin = across(point.low) if point.low < point.high else across(across.low)
        faint = point.low == point.high
        yield _line(begin, y, across(point.high), y, _BLUE, faint=faint)
        yield f'<circle cx="{across(point.value):.1f}" cy="{y:.1f}" r="3.5" fill="{_BLUE}"/>'
        yield _text(across(point.high) + 7, y + 4, point.text)


def _middle(number: int) -> float:
    return TITLE + ROW * (number + 0.5)


class _Scale(NamedTuple):
    """From values to pixels of a panel."""

    low: float
    high: float
    logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[float], logarithmic: bool) -> _Scale:
        if not logarithmic:
            return cls(0.0, max(values) or 1.0, logarithmic)
        low = 10.0 ** math.floor(math.log10(min(values)))
        high = 10.0 ** math.ceil(math.log10(max(values)))
        return cls(low, max(high, low * 10), logarithmic)

    def __call__(self, value: float) -> float:
        if self.logarithmic:
            share = math.log10(value / self.low) / math.log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return 6 + share * (PANEL - VALUE - 6)

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.logarithmic:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, 1 + (last - first) // 4)]
        rough = self.high / 4
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough)
        return [n * step for n in range(int(self.high / step) + 1)]


def _short(value: float) -> str:
    """Two digits that count, without an exponent where there are few zeros."""
    text = f"{value:.2g}"
    return f"{value:.6f}".rstrip("0") if "e-" in text and value >= 1e-6 else f"{float(text):g}"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, faint: bool = False) -> str:
    thin = ' stroke-opacity="0.35"' if faint else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"{thin}/>'


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
