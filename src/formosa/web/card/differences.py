"""Two cards beside each other: what `formosa card diff` finds, then their lines."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from formosa.card.differences import card_differences
from formosa.card.markdown import NEWLINE
from formosa.card.values import read_text
from formosa.web.card.words import CARD
from formosa.web.page import Rendered, render
from formosa.web.site import Site
from formosa.web.words import Words

MOST_LINES = 4_000  # of a card that is compared line by line: the time grows with their square
LONGEST = 2_000  # characters of a line that are shown
MOST = 1_000  # differences that are listed


class Changed(NamedTuple):
    """A line of a comparison: of both cards, of the first, of the second; or a gap between."""

    kind: Literal["same", "removed", "added", "gap"]
    text: str


def difference_page(site: Site, a: Path, b: Path, *, named: str = "") -> Rendered:
    """The page of two cards.

    Args:
        site: where it stands.
        a: the first card.
        b: the other one.
        named: how the address names the first one.

    Raises:
        CardError: one of them can't be read.
    """
    words = Words(site.lang, CARD)
    found = card_differences(a, b)
    lines = changed_lines(_lines(a), _lines(b))
    names = [path.name if a.name != b.name else str(path) for path in (a, b)]
    return render(
        "card/differences.html.jinja",
        site,
        title=words("Difference between {a} and {b}", a=names[0], b=names[1]),
        words=CARD,
        styles=("card/page.css",),
        found=[(d.part, d.where, _side(d.a), _side(d.b)) for d in found[:MOST]],
        count=len(found),
        lines=lines,
        a=str(a),
        b=str(b),
        named=named,
        parts=CARD,
    )


def changed_lines(a: Sequence[str], b: Sequence[str]) -> list[Changed] | None:
    """Both texts as lines that were kept, removed and added; None where they are too many."""
    if max(len(a), len(b)) > MOST_LINES:
        return None
    return list(_changed(a, b))


def _changed(a: Sequence[str], b: Sequence[str]) -> Iterator[Changed]:
    kinds: dict[str, Literal["same", "removed", "added"]] = {
        " ": "same", "-": "removed", "+": "added",
    }  # fmt: skip
    for number, line in enumerate(difflib.unified_diff(a, b, lineterm="", n=3)):
        if number < 2:  # the names of the files
            continue
        if line.startswith("@@"):
            yield Changed("gap", line.strip("@ "))
        else:
            yield Changed(kinds[line[0]], line[1 : LONGEST + 1])


def _lines(path: Path) -> list[str]:
    return NEWLINE.split(read_text(path))


def _side(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
