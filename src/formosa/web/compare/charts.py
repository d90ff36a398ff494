"""The pictures of a comparison: bars with intervals, and a scatter of one model against another.

Drawn narrow, with each label above its bar, so that they can be read on a telephone; long names are
cut and stand whole in the mark's title. Which way a difference goes is said by its sign and a mark,
never by colour alone. Colours come by class. Pure functions; all text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from unicodedata import east_asian_width

from markupsafe import Markup

from formosa.results.metrics import Difference, Score
from formosa.web.charts import Scale, scale
from formosa.web.page import shown

WIDTH = 400  # of every picture, in its own units
LINE = 40  # of one bar with its label
MOST_BARS = 40
SQUARE = 400
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 44  # around the scatter
ROOM = 13  # between the axes of the scatter and its outermost circles
LONGEST = 300  # units of a label of an axis

Numbers = Sequence[float]


class Bar(NamedTuple):
    """A value with its interval, in percent or points.

    Attributes:
        look: classes of its colour.
        says: value and interval in words, at the end of its label's line.
    """

    label: str
    value: float
    low: float
    high: float
    look: str
    says: str

    @classmethod
    def of(cls, label: str, made: Score | Difference, look: str, says: str) -> Bar:
        """From shares of 1."""
        return cls(label, 100 * made.value, 100 * made.low, 100 * made.high, look, says)


class Dot(NamedTuple):
    """A place of the scatter, in percent.

    Attributes:
        size: questions that it stands for; its area grows with them.
        says: what stands in its title.
    """

    x: float
    y: float
    size: int
    says: str
    look: str = "c0"


def bars(name: str, title: str, about: str, items: Sequence[Bar], *, share: bool = False) -> Markup:
    """Horizontal bars from zero, with whiskers.

    Args:
        name: of the picture, the beginning of its ids; letters and hyphens.
        title: what it shows.
        about: the same in a sentence, for those who don't see it.
        items: from the top; no more than `MOST_BARS` are drawn.
        share: an axis from 0 to 100 percent; else around zero, as wide as the intervals.
    """
    items = items[:MOST_BARS]
    if share:
        across = Scale(0, 100, 8, WIDTH - 12, (0.0, 25.0, 50.0, 75.0, 100.0))
    else:
        reach = max([1.0, *(abs(end) for bar in items for end in (bar.low, bar.high))])
        across = _around_zero(reach)
    height = len(items) * LINE + 34
    zero = across(0)
    parts = [_rules(across, height)]
    for i, bar in enumerate(items):
        y = 6 + i * LINE
        x, low, high = (across(part) for part in (bar.value, bar.low, bar.high))
        parts.append(
            Markup(
                '<g class="{look}"><title>{label}: {says}</title>'
                '<text class="label" x="8" y="{text}">{short}</text>'
                '<text class="says" x="{end}" y="{text}" text-anchor="end">{says}</text>'
                '<rect class="bar" x="{left}" y="{top}" width="{wide}" height="10"/>'
                '<path class="whisker" d="M{low} {middle}H{high}M{low} {from_}V{to}'
                'M{high} {from_}V{to}"/>'
                '<circle class="dot" cx="{x}" cy="{middle}" r="3"/></g>'
            ).format(
                look=bar.look, label=shown(bar.label), says=shown(bar.says),
                short=_short(bar.label, WIDTH - 28 - _width(bar.says)),
                text=y + 12, end=WIDTH - 8, left=min(zero, x), top=y + 18, wide=_wide(zero, x),
                low=low, high=high, middle=y + 23, from_=y + 19, to=y + 27, x=x,
            )
        )  # fmt: skip
    parts.append(Markup('<path class="zero" d="M{0} 4V{1}"/>').format(zero, height - 22))
    return _picture(name, title, about, WIDTH, height, parts)


def scatter(
    name: str, title: str, about: str, dots: Sequence[Dot], x_label: str, y_label: str
) -> Markup:
    """Two models against each other, each from 0 to 100 percent, with the line of equals.

    Args:
        name: see `bars`.
        title: likewise.
        about: likewise.
        dots: drawn from the largest to the smallest, so that none hides another.
        x_label: of the reference.
        y_label: of the other; what lies above the line is better with it.
    """
    ticks = (0.0, 25.0, 50.0, 75.0, 100.0)
    across = Scale(0, 100, LEFT + ROOM, SQUARE - RIGHT, ticks)
    up = Scale(0, 100, SQUARE - BOTTOM - ROOM, TOP, ticks)
    parts = []
    for tick in ticks:
        x, y, text = across(tick), up(tick), f"{tick:g}"
        parts.append(
            Markup(
                '<path class="rule" d="M{0} {1}V{2}M{3} {4}H{5}"/>'
                '<text x="{0}" y="{6}" text-anchor="middle">{7}</text>'
                '<text x="{8}" y="{9}" text-anchor="end">{7}</text>'
            ).format(
                x, TOP, SQUARE - BOTTOM, LEFT, y, SQUARE - RIGHT, SQUARE - BOTTOM + 16, text,
                LEFT - 6, y + 4,
            )
        )  # fmt: skip
    parts.append(
        Markup('<path class="equal" d="M{0} {1}L{2} {3}"/>').format(
            across(0), up(0), across(100), up(100)
        )
    )
    most = max((dot.size for dot in dots), default=1)
    parts.extend(
        Markup(
            '<circle class="point {0}" cx="{1}" cy="{2}" r="{3}"><title>{4}</title></circle>'
        ).format(
            dot.look,
            across(dot.x),
            up(dot.y),
            round(3 + 9 * math.sqrt(dot.size / most), 1),
            shown(dot.says),
        )
        for dot in sorted(dots, key=lambda dot: -dot.size)
    )
    middle = (TOP + SQUARE - BOTTOM) / 2
    parts.append(
        Markup(
            '<text x="{0}" y="{1}" text-anchor="middle">{2}</text>'
            '<text x="12" y="{3}" text-anchor="middle" transform="rotate(-90 12 {3})">{4}</text>'
        ).format((LEFT + SQUARE - RIGHT) / 2, SQUARE - 8, _short(x_label), middle, _short(y_label))
    )
    return _picture(name, title, about, SQUARE, SQUARE, parts)


def _around_zero(reach: float) -> Scale:
    """An axis as wide to the left of zero as to its right, with few round numbers."""
    reach = min(reach, 100.0)
    made = scale(0, reach, 0, 1)
    high = min(made.high, 100.0)
    step = high / 2 if len(made.ticks) > 3 else high
    ticks = tuple(dict.fromkeys((-high, -step, 0.0, step, high)))
    return Scale(-high, high, 16, WIDTH - 16, ticks)


def _rules(across: Scale, height: int) -> Markup:
    made = Markup()
    for tick in across.ticks:
        text = f"{tick:+g}".replace("-", "−") if across.low < 0 and tick else f"{tick:g}"
        made += Markup(
            '<path class="rule" d="M{0} 4V{1}"/>'
            '<text x="{0}" y="{2}" text-anchor="{3}">{4}</text>'
        ).format(
            across(tick), height - 22, height - 6,
            "end" if tick == across.high else "start" if tick == across.low else "middle", text,
        )  # fmt: skip
    return made


def _picture(
    name: str, title: str, about: str, width: int, height: int, parts: Sequence[Markup]
) -> Markup:
    return Markup(
        '<svg class="chart pair" viewBox="0 0 {w} {h}" role="img" '
        'aria-labelledby="{name}-title {name}-about" xmlns="http://www.w3.org/2000/svg">\n'
        '<title id="{name}-title">{title}</title>\n<desc id="{name}-about">{about}</desc>\n'
        "{parts}</svg>"
    ).format(
        w=width, h=height, name=name, title=shown(title), about=shown(about),
        parts=Markup("\n").join(parts),
    )  # fmt: skip


def _short(text: str, room: float = LONGEST) -> str:
    """As much of a text as fits into so many units."""
    text = shown(text)
    if _width(text) <= room:
        return text
    while text and _width(text) > room - 12:
        text = text[:-1]
    return f"{text}…"


def _width(text: str) -> float:
    """About how wide a text of 13 units is; figures and letters differ, and fonts."""
    return sum(13.0 if east_asian_width(one) in "WF" else 7.4 for one in text)


def _wide(zero: float, x: float) -> float:
    return round(max(abs(x - zero), 0.5), 2)
