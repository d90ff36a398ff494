"""Figures that nothing supports, cell by cell: claimed, not wrong, and what would check them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from formosa.card.checks.agreement import Shown
from formosa.card.checks.benchmarks import benchmark_of
from formosa.card.checks.claims import name_lengths
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.logs import follow
from formosa.card.checks.model_index import entry_name
from formosa.card.checks.numbers import figure
from formosa.card.checks.protocol import protocol_of
from formosa.card.checks.subject import Subject, cell_text, row_text
from formosa.card.claims import MODEL_INDEX

_FIGURE = re.compile(r"[<>≥≤≈~±+\-−]*\d[\d.,]*")
_AROUND = re.compile(r"[\s()\[\]±+\-−–,;/×x%<>≥≤≈~*_]|pp|pt|points?|ms|s")


def unclaimed(card: Subject) -> Iterator[Finding]:
    """Entries of the model-index, then cells of tables, that neither claim nor log covers."""
    places = {(c.table, c.row, c.column) for c in card.claims.claims}
    supported = {
        (followed.line, followed.head)
        for followed in follow(card)
        if followed.finding.code == "log-supports"
    }
    for i, result in enumerate(card.results):
        covered = (MODEL_INDEX, (result.dataset_name, result.metric_name), "value") in places
        line = card.result_line(i)
        if not covered and (line, "model-index") not in supported:
            message = f"{result.metric_value} ({result.metric_type}) has no log."
            yield found("model-index-without-claim", line, entry_name(result), message)
    heads: dict[str, set[str]] = {}
    for name, _, column in places:
        heads.setdefault(name, set()).add(column)
    rows = {place[:2] for place in places}
    lengths = name_lengths(card.claims)
    own = {(table.line, i) for table, i in card.own_rows}
    for table in card.document.tables:
        title = card.table_title(table)
        known = heads.get(table.name, set()) if table.name else set()
        for head in table.heads:
            if known and head not in known and _has_digit(head):
                message = f"The head {cell_text(head)} has no claim."
                yield found("number-without-claim", card.table_line(table), title, message)
        for r, row in enumerate(table.rows):
            names = [row[:n] for n in lengths.get(table.name, ()) if (table.name, row[:n]) in rows]
            covered_cells = max(map(len, names), default=0)  # a claim found the row by these cells
            is_figure = _has_digit if known else looks_like_figure
            line = card.table_line(table, r)
            for i, cell in enumerate(row[covered_cells:], start=covered_cells):
                head = table.heads[i] if i < len(table.heads) else f"cell {i + 1}"
                if (
                    is_figure(cell)
                    and not any((table.name, n, head) in places for n in names)
                    and (line, head) not in supported
                ):
                    where = f"{title}: {row_text(row, looks_like_figure)}: {cell_text(head)}"
                    message = f"{cell_text(cell)} has no log."
                    check = ""
                    if (table.line, r) in own and (number := figure(cell)):
                        shown = Shown(benchmark_of(head), number.value, number.decimals, where,
                                      line, table.heads, row, head)  # fmt: skip
                        protocol = protocol_of(card, shown)
                        check = protocol.command() if protocol else ""
                    yield found("number-without-claim", line, where, message, check=check)


def _has_digit(cell: str) -> bool:
    return any(c.isdecimal() for c in cell)


def looks_like_figure(cell: str) -> bool:
    """Numbers, signs and units only: `44.11 (±0.0179)`, `**91**`; not `Llama-3.2-3B`."""
    text = cell.strip("*_ ")
    return len(text) <= 64 and _has_digit(text) and not _AROUND.sub("", _FIGURE.sub("", text))
