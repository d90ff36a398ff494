"""The curves of one or several trainings as one HTML file that needs nothing else.

No script, no font, no picture from anywhere: it can be sent, kept and opened in ten years, and its
own policy forbids it to load anything. Curves are inline SVG in the reader's light or dark colours;
the numbers stand beside them in a table, for screen readers and for copying. All text of a log or a
name is escaped. Written anew by each call, also while a training runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from formosa.files import write_text
from formosa.train.curves import CHARTS, Chart, Series, Story, read_story

WIDTH, HEIGHT = 560, 250  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 12, 30  # around the curves
COLOURS = 6  # then the dashes change
TABLE = 24  # rows of a table at most


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


def write_page(runs: Sequence[Path], target: Path) -> Path:
    """Write the page of some runs' trainings.

    Args:
        runs: folders of runs, or their logs.
        target: the HTML file; replaced whole.

    Raises:
        DataError: a run has no log of a training.
        UserError: the file can't be written.
    """
    write_text(target, page([read_story(run) for run in runs]))
    return target


def page(stories: Sequence[Story]) -> str:
    """The whole page as text."""
    names = [story.name for story in stories]
    title = " · ".join(names) if len(names) < 4 else f"{len(names)} runs"
    steps = [r["step"] for story in stories for r in story.records if "step" in r] or [0]
    across = scale(min(steps), max(steps), LEFT, WIDTH - RIGHT, whole=True)
    charts = "".join(_chart(chart, stories, across) for chart in CHARTS)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Training of {escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>Training of {escape(title)}</h1>\n"
        f"{_overview(stories)}{charts or '<p>Nothing has been logged yet.</p>'}"
        "</main>\n</body>\n</html>\n"
    )


def _overview(stories: Sequence[Story]) -> str:
    """What is known of each run, a line each; the colours are those of the curves."""
    heads = ("run", "state", "steps", "tokens", "loss", "held-out loss", "exact calls",
             "tokens/s", "time")  # fmt: skip
    rows = []
    for number, story in enumerate(stories):
        step, measured = story.last("step"), story.last("measured")
        exact = measured.get("exact_call") or {}
        summary = story.summary or {}
        speeds = sorted(point.value for point in story.points("step", "tokens_per_second"))
        cells = (
            "finished" if story.summary else "not finished",
            _number(step.get("step")),
            _number(summary.get("tokens")),
            _number(step.get("loss")),
            _number(measured.get("loss")),
            f"{exact['correct']} of {exact['of']}" if exact.get("of") else "–",
            _number(speeds[len(speeds) // 2] if speeds else None),
            _time(step.get("seconds")),
        )
        key = f'<span class="key {_look(number)}"></span>' if len(stories) > 1 else ""
        rows.append(
            f'<tr><th scope="row">{key}{escape(story.name)}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "</tr>\n"
        )
    return _table(heads, rows, "What each run comes to so far")


def _chart(chart: Chart, stories: Sequence[Story], across: Scale) -> str:
    """A section with its picture and its table; nothing where no run has such values."""
    drawn = [(number, story, chart.curves(story)) for number, story in enumerate(stories)]
    points = [point for _, _, curves in drawn for series in curves for point in series.points]
    if not points:
        return ""
    values = [point.value for point in points]
    low, high = (0.0, 1.0) if chart.share else _range(values)
    up = scale(low, high, HEIGHT - BOTTOM, TOP)
    name = chart.title.lower().replace(" ", "-")
    about = (
        f"{chart.title} over the steps, from {_value(chart, points[0].value)} "
        f"to {_value(chart, points[-1].value)}. The table below has the values."
    )
    lines = [_axes(chart, across, up)]
    for number, story, curves in drawn:
        lines.extend(
            _curve(chart, series, story, number, len(stories), across, up) for series in curves
        )
    many = ' class="many"' if len(stories) > 1 else ""
    unit = f" <small>{escape(chart.unit)}</small>" if chart.unit else ""
    return (
        f'<section>\n<h2 id="{name}">{escape(chart.title)}{unit}</h2>\n'
        f"<p>{escape(chart.note)}{_legend(drawn)}</p>\n"
        f'<svg{many} viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{name} {name}-about">\n'
        f'<desc id="{name}-about">{escape(about)}</desc>\n' + "".join(lines) + "</svg>\n"
        f"<details><summary>The values</summary>\n{_values(chart, drawn)}</details>\n</section>\n"
    )


def _axes(chart: Chart, across: Scale, up: Scale) -> str:
    found = [f'<text x="{LEFT - 8}" y="{HEIGHT - 8}" text-anchor="end">step</text>']
    for tick in up.ticks:
        y = up(tick)
        text = escape(_value(chart, tick))
        found.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        found.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{text}</text>')
    found.extend(
        f'<text x="{across(tick)}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(_number(int(tick)))}</text>"
        for tick in across.ticks
    )
    return "\n".join(found) + "\n"


def _curve(
    chart: Chart, series: Series, story: Story, number: int, runs: int, across: Scale, up: Scale
) -> str:
    places = [(across(point.step), up(point.value), point) for point in series.points]
    path = "M" + "L".join(f"{x} {y}" for x, y, _ in places)
    kinds = f"line {_look(number)}{' faint' * series.faint}{' measured' * series.marked}"
    found = [f'<path class="{kinds}" d="{path}"/>'] if len(places) > 1 else []
    if series.faint:
        return "".join(found) + "\n"
    who = ", ".join(part for part in (story.name if runs > 1 else "", series.label) if part)
    # A point to rest the pointer on: every measurement, and some of a long curve.
    every = 1 if series.marked else max(1, len(places) // 80)
    for i in (*range(0, len(places) - 1, every), len(places) - 1):
        x, y, point = places[i]
        shown = series.marked or len(places) == 1
        says = f"{who + ': ' if who else ''}{_value(chart, point.value)} at step {point.step}"
        found.append(
            f'<circle class="{"dot" if shown else "spot"} {_look(number)}" cx="{x}" cy="{y}" '
            f'r="{4 if shown else 7}"><title>{escape(says)}</title></circle>'
        )
    return "".join(found) + "\n"


def _legend(drawn: Sequence[tuple[int, Story, list[Series]]]) -> str:
    """The names of the curves, where there are several."""
    keys = []
    for number, story, curves in drawn:
        for series in curves:
            if series.faint or (len(drawn) == 1 and not series.label):
                continue
            words = " ".join(filter(None, (story.name * (len(drawn) > 1), series.label)))
            dot = " ring" if series.marked else ""
            keys.append(
                f'<span class="name"><span class="key {_look(number)}{dot}"></span>'
                f"{escape(words)}</span>"
            )
    return " " + " ".join(keys) if len(keys) > 1 else ""


def _values(chart: Chart, drawn: Sequence[tuple[int, Story, list[Series]]]) -> str:
    """A table of the drawn values, a column for each curve, thinned where they are many."""
    columns: list[tuple[str, dict[int, float]]] = []
    for _, story, curves in drawn:
        for series in curves:
            if not series.faint:
                words = " ".join(filter(None, (story.name * (len(drawn) > 1), series.label)))
                columns.append((words or chart.title.lower(), dict(series.points)))
    marked = {
        point.step for _, _, curves in drawn for s in curves if s.marked for point in s.points
    }
    steps = sorted({step for _, values in columns for step in values})
    every = math.ceil(len(steps) / TABLE)
    chosen = sorted({*steps[::every], *steps[-1:], *(marked if len(marked) <= TABLE else ())})
    rows = []
    for step in chosen:
        cells = (_value(chart, values[step]) if step in values else "" for _, values in columns)
        rows.append(
            f'<tr><th scope="row">{step}</th>'
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "</tr>\n"
        )
    return _table(("step", *(name for name, _ in columns)), rows, f"{chart.title} by step")


def _table(heads: Sequence[str], rows: Sequence[str], caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody></table></div>\n"
    )


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


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the lowest to the highest; from zero where that is near."""
    low, high = min(values), max(values)
    return (0.0, high) if 0 <= low < 0.5 * high else (low, high)


def _look(number: int) -> str:
    """The classes of a run's colour, and of its dashes where colours come again."""
    return f"c{number % COLOURS}" + f" d{number // COLOURS % 3}" * (number >= COLOURS)


def _value(chart: Chart, value: float) -> str:
    return f"{value:.0%}" if chart.share else _number(value)


def _number(value: Any) -> str:
    """Three figures, or all of a whole number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "–"
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _time(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


STYLE = """
:root{color-scheme:light dark;--ground:#fcfcfb;--ink:#1f1f1d;--quiet:#62615c;--rule:#e4e3de;
--c0:#2a78d6;--c1:#c2410c;--c2:#1a8a63;--c3:#6b4fc4;--c4:#b0267a;--c5:#8a6a00}
@media(prefers-color-scheme:dark){:root{--ground:#1a1a19;--ink:#f1f0ec;--quiet:#a9a8a1;
--rule:#353532;--c0:#5b9df0;--c1:#f08a4b;--c2:#3fbf92;--c3:#a48cf0;--c4:#ee72b4;--c5:#d6b23c}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,"Noto Sans TC","PingFang TC","Microsoft JhengHei",sans-serif}
main{max-width:1240px;margin:auto;padding:1.5rem;display:grid;gap:1.75rem 2rem;
grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr))}
h1{font-size:1.4rem;margin:0;grid-column:1/-1;overflow-wrap:anywhere}
main>.wide{grid-column:1/-1}
h2{font-size:1rem;margin:0}
h2 small{color:var(--quiet);font-weight:400}
section{min-width:0}
section p{margin:0 0 .25rem;color:var(--quiet);font-size:.85rem}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--quiet);font-size:12px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--rule);fill:none}
.line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.faint{opacity:.3;stroke-width:1}
.many .faint{opacity:.14}
.measured{stroke-dasharray:1 5}
.dot{fill:currentColor;stroke:var(--ground);stroke-width:2}
.spot{fill:currentColor;opacity:0}
.spot:hover{opacity:.35}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}
.c3{color:var(--c3)}.c4{color:var(--c4)}.c5{color:var(--c5)}
.d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 4}
.name{white-space:nowrap;margin-left:.75rem;color:var(--ink)}
.key{display:inline-block;width:1rem;height:.2rem;margin-right:.4rem;vertical-align:middle;
background:currentColor;border-radius:1px}
.ring{width:.6rem;height:.6rem;border-radius:50%}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
caption{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
th,td{padding:.2rem .9rem .2rem 0;text-align:right;border-bottom:1px solid var(--rule);
font-weight:400;white-space:nowrap}
th:first-child{text-align:left}
thead th{color:var(--quiet)}
summary{cursor:pointer;color:var(--quiet);font-size:.85rem}
"""
