"""Figures that cards claim, for the tables of the leaderboard: shown apart, never ranked.

Read from a card's tables and its model-index. A table counts whose heads name benchmarks that can
be asked here; its cells are shown as they stand, so that nothing is claimed that the card doesn't.
In a card of ours the tables repeat logs, so only its model-index counts.

Knows cards. `formosa.card` says which benchmark a head is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from formosa.card.checks.benchmarks import benchmark_of
from formosa.card.markdown import Table, read_document
from formosa.card.values import Card, finite, read_card
from formosa.errors import CardError
from formosa.web.leaderboard.board import AST_COLUMNS
from formosa.web.leaderboard.entries import Kind

OVERALL = "overall"  # a card's own mean, whatever it is a mean of
LONGEST = 120  # characters of a cell
MOST = 400  # rows of one card

_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
_MARKUP = re.compile(r"\*\*|__|`|<[^>]{0,200}>")
_MODE = re.compile(r"模式|判讀|\b(mode|reading|scorer)\b", re.IGNORECASE)
_OVERALL = re.compile(r"overall|平均|average", re.IGNORECASE)
_FIGURE = re.compile(r"\d")


class Claim(NamedTuple):
    """One row of a card.

    Attributes:
        url: of the model, where the card links it; any text.
        reading: the card's word for how replies were read; "" where it says none.
        figures: column of the leaderboard → cell as it stands in the card.
        where: the line of the card, or `model-index`.
    """

    card: Path
    kind: Kind
    model: str
    url: str
    reading: str
    figures: Mapping[str, str]
    where: str


def claims_of(paths: Iterable[Path]) -> list[Claim]:
    """What these cards claim; a card that can't be read claims nothing."""
    found: list[Claim] = []
    for path in paths:
        try:
            card = read_card(path)
        except CardError:
            continue
        found += _claims(path, card)
    return found


def _claims(path: Path, card: Card) -> list[Claim]:
    document = read_document(card.body)
    tables = [table for table in document.tables if not table.name]
    ours = len(tables) < len(document.tables)
    found: list[Claim] = []
    for table in () if ours else tables:
        found += _of_table(path, table, card.head.count("\n"))
    said = {(claim.kind, column) for claim in found for column in claim.figures}
    found += (
        claim
        for claim in _of_index(path, card)
        if ours or not said & {(claim.kind, column) for column in claim.figures}
    )
    return found[:MOST]


def place_of_benchmark(name: str) -> tuple[Kind, str] | None:
    """(kind of table, column) of a benchmark that can be asked here."""
    if name.startswith("bfcl-") and (column := name.removeprefix("bfcl-")) in AST_COLUMNS:
        return "bfcl", column
    if name in ("tmmluplus", "tw-legal", "mmlu", "mini-zh-tw"):
        return "choice", name
    if name in ("math-500", "gsm8k", "gpqa-diamond"):
        return "other", name
    return None


def _of_table(path: Path, table: Table, above: int) -> Iterator[Claim]:
    """The rows of a table; `above` are the lines of the front matter."""
    places: dict[int, tuple[Kind, str]] = {}
    mode = None
    for i, head in enumerate(table.heads):
        text = plain(head)
        if place := place_of_benchmark(benchmark_of(text)):
            places[i] = place
        elif _MODE.search(text):
            mode = i
    kinds = dict.fromkeys(kind for kind, _ in places.values())
    for i, head in enumerate(table.heads):
        if "bfcl" in kinds and i not in places and i > 0 and _OVERALL.search(plain(head)):
            places[i] = ("bfcl", OVERALL)
    for number, cells in enumerate(table.rows):
        for kind in kinds:
            figures = {
                column: shown
                for i, (of, column) in places.items()
                if of == kind and i < len(cells) and _FIGURE.search(shown := plain(cells[i]))
            }
            if figures and 0 not in places:
                link = _LINK.search(cells[0])
                yield Claim(
                    path,
                    kind,
                    plain(cells[0]),
                    link[2] if link else "",
                    plain(cells[mode]) if mode is not None and mode < len(cells) else "",
                    figures,
                    str(above + table.line + 2 + number),
                )


def _of_index(path: Path, card: Card) -> Iterator[Claim]:
    try:
        results = card.results
    except CardError:
        return
    index = card.fields.get("model-index")
    first = index[0] if isinstance(index, list) and index else {}
    model = str(first.get("name") or path.stem) if isinstance(first, dict) else path.stem
    rows: dict[tuple[Kind, str], dict[str, str]] = {}
    for one in results:
        place = place_of_benchmark(benchmark_of(one.dataset_name, one.dataset_type))
        if place and finite(one.metric_value):
            kind, column = place
            name = str(one.metric_name or one.metric_type or "")
            rows.setdefault((kind, name), {})[column] = f"{one.metric_value}"
    for (kind, name), figures in rows.items():
        yield Claim(path, kind, model[:LONGEST], "", name[:LONGEST], figures, "model-index")


def plain(cell: str) -> str:
    """A Markdown cell as text: links by their words, no emphasis, no HTML."""
    text = _MARKUP.sub("", _LINK.sub(r"\1", cell)).replace("\\|", "|")
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
