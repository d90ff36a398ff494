"""The curves of trainings as pictures, each with its legend and its numbers in a table.

Several runs lie over one another, told apart by colour and name, and by dashes where colours come
again. Knows stories (`train/curves.py`) and SVG, nothing of pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from formosa.train.curves import CHARTS, Chart, Series, Story
from formosa.web.charts import Scale, figure, scale, value_range
from formosa.web.page import shown
from formosa.web.words import Words

WIDTH, HEIGHT = 420, 220  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 30  # around the curves
COLOURS = 6  # then the dashes change
TABLE = 24  # rows of a table at most


class Key(NamedTuple):
    """A curve's name in a legend, with the classes of its look."""

    name: str
    look: str
    marked: bool


class Drawn(NamedTuple):
    """A chart with all that a page shows of it; `heads` and `rows` are those of its table."""

    id: str
    title: str
    unit: str
    note: str
    picture: Markup
    keys: tuple[Key, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Curves = Sequence[tuple[int, Story, list[Series]]]  # number of the run, the run, its curves


def draw_charts(stories: Sequence[Story], words: Words) -> tuple[Drawn, ...]:
    """Every chart that some run has values for.

    Args:
        stories: in the order of their colours.
        words: of the page; it knows the titles, notes and labels of `CHARTS`.
    """
    steps = [r["step"] for story in stories for r in story.records if _is_step(r.get("step"))]
    across = scale(min(steps or [0]), max(steps or [0]), LEFT, WIDTH - RIGHT, whole=True)
    found = (_chart(chart, stories, across, words) for chart in CHARTS)
    return tuple(chart for chart in found if chart)


def look_of(number: int) -> str:
    """The classes of a run's colour, and of its dashes where colours come again."""
    return f"c{number % COLOURS}" + f" d{number // COLOURS % 3}" * (number >= COLOURS)


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _chart(chart: Chart, stories: Sequence[Story], across: Scale, words: Words) -> Drawn | None:
    drawn = [(number, story, chart.curves(story)) for number, story in enumerate(stories)]
    points = [point for _, _, curves in drawn for series in curves for point in series.points]
    if not points:
        return None
    low, high = (0.0, 1.0) if chart.share else value_range([point.value for point in points])
    up = scale(low, high, HEIGHT - BOTTOM, TOP)
    id = chart.title.lower().replace(" ", "-")
    about = words(
        "{title} over the steps, from {first} to {last}. The table below has the values.",
        title=words(chart.title),
        first=_value(chart, points[0].value),
        last=_value(chart, points[-1].value),
    )
    marks = [_axes(chart, across, up, words)]
    for number, story, curves in drawn:
        name = story.name if len(stories) > 1 else ""
        marks += (_curve(chart, series, name, number, across, up, words) for series in curves)
    picture = Markup(
        '<svg class="chart curves{}" viewBox="0 0 {} {}" role="img" '
        'aria-labelledby="{}-name {}-about"><title id="{}-name">{}</title>'
        '<desc id="{}-about">{}</desc>\n{}</svg>'
    ).format(
        " many" * (len(stories) > 1), WIDTH, HEIGHT, id, id, id, words(chart.title), id, about,
        Markup("").join(marks),
    )  # fmt: skip
    heads, rows = _table(chart, drawn, words)
    keys = _keys(drawn, words)
    return Drawn(
        id,
        words(chart.title),
        words(chart.unit) if chart.unit else "",
        words(chart.note),
        picture,
        keys if len(keys) > 1 else (),
        heads,
        rows,
    )


def _axes(chart: Chart, across: Scale, up: Scale, words: Words) -> Markup:
    found = [
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>\n').format(
            LEFT - 8, HEIGHT - 8, words("step")
        )
    ]
    for tick in up.ticks:
        y = up(tick)
        found.append(
            Markup(
                '<path class="rule" d="M{} {}H{}"/>'
                '<text x="{}" y="{}" text-anchor="end">{}</text>\n'
            ).format(LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, _value(chart, tick))
        )
    found += (
        Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>\n').format(
            across(tick), HEIGHT - 8, figure(int(tick))
        )
        for tick in across.ticks
    )
    return Markup("").join(found)


def _curve(
    chart: Chart, series: Series, name: str, number: int, across: Scale, up: Scale, words: Words
) -> Markup:
    places = [(across(point.step), up(point.value), point) for point in series.points]
    path = "M" + "L".join(f"{x} {y}" for x, y, _ in places)
    kinds = f"line {look_of(number)}{' faint' * series.faint}{' measured' * series.marked}"
    found = []
    if len(places) > 1:
        found.append(Markup('<path class="{}" d="{}"/>\n').format(kinds, path))
    if series.faint:
        return Markup("").join(found)
    who = " · ".join(part for part in (name, _label(series, words)) if part)
    # A point to rest the pointer on: every measurement, and some of a long curve.
    every = 1 if series.marked else max(1, len(places) // 80)
    for i in (*range(0, len(places) - 1, every), len(places) - 1):
        x, y, point = places[i]
        seen = series.marked or len(places) == 1
        value = words(
            "{value} at step {step}", value=_value(chart, point.value), step=f"{point.step:,}"
        )
        found.append(
            Markup(
                '<circle class="{} {}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>\n'
            ).format(
                "dot" if seen else "spot",
                look_of(number),
                x,
                y,
                4 if seen else 7,
                shown(f"{who}: {value}" if who else value),
            )  # fmt: skip
        )
    return Markup("").join(found)


def _label(series: Series, words: Words) -> str:
    return words(series.label) if series.label else ""


def _keys(drawn: Curves, words: Words) -> tuple[Key, ...]:
    """The names of the curves."""
    return tuple(
        Key(_name(story, series, drawn, words), look_of(number), series.marked)
        for number, story, curves in drawn
        for series in curves
        if not series.faint
    )


def _name(story: Story, series: Series, drawn: Curves, words: Words) -> str:
    parts = (story.name * (len(drawn) > 1), _label(series, words))
    return " · ".join(filter(None, parts))


def _table(
    chart: Chart, drawn: Curves, words: Words
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The drawn values, a column for each curve, thinned where they are many."""
    columns: list[tuple[str, dict[int, float]]] = []
    for _, story, curves in drawn:
        for series in curves:
            if not series.faint:
                name = _name(story, series, drawn, words) or words(chart.title)
                columns.append((name, dict(series.points)))
    marked = {
        point.step for _, _, curves in drawn for s in curves if s.marked for point in s.points
    }
    steps = sorted({step for _, values in columns for step in values})
    every = math.ceil(len(steps) / TABLE)
    chosen = sorted({*steps[::every], *steps[-1:], *(marked if len(marked) <= TABLE else ())})
    rows = tuple(
        (
            str(step),
            *(_value(chart, values[step]) if step in values else "" for _, values in columns),
        )
        for step in chosen
    )
    return (words("step"), *(name for name, _ in columns)), rows


def _value(chart: Chart, value: float) -> str:
    return f"{value:.0%}" if chart.share else figure(value)
