"""Figures against figures: tables, the text and the model-index of one card.

Same model, same benchmark, equal within the rounding that both show. A table may have several rows
for the card's model (asked in several ways): then one of them must say what the model-index says.
Agreement is no support: all of them were written by one hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from formosa.card.checks.benchmarks import KNOWN, benchmark_of
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.model_index import entry_name
from formosa.card.checks.numbers import decimals, figure, of_float, same
from formosa.card.checks.subject import Subject, cell_text, row_name, row_text, same_name
from formosa.card.values import finite


class Shown(NamedTuple):
    """A score in a row of the card's own model."""

    benchmark: str
    value: Decimal
    decimals: int
    where: str
    line: int
    heads: tuple[str, ...]
    row: tuple[str, ...]
    head: str


def own_figures(card: Subject) -> list[Shown]:
    """The figures that tables show for the card's model, under heads that name something."""
    shown = []
    for table, i in card.own_rows:
        row = table.rows[i]
        title = f"{card.table_title(table)}: {row_text(row, lambda c: figure(c) is not None)}"
        for head, cell in zip(table.heads, row, strict=False):
            number = figure(cell)
            name = benchmark_of(head)
            if number and name and cell is not row[0]:
                where = f"{title}: {cell_text(head)}"
                line = card.table_line(table, i)
                score = (number.value, number.decimals)
                shown.append(Shown(name, *score, where, line, table.heads, row, head))
    return shown


def agreement(card: Subject) -> Iterator[Finding]:
    """The model-index against the tables, then the text against both."""
    if card.ours:
        return  # every figure has a claim, which `claims.py` follows
    shown = own_figures(card)
    known: dict[str, list[tuple[Decimal, int]]] = {}
    for number in shown:
        known.setdefault(number.benchmark, []).append((number.value, number.decimals))
    for i, result in enumerate(card.results):
        if not finite(result.metric_value):
            continue
        name = benchmark_of(result.dataset_name, result.dataset_type)
        value, digits = of_float(result.metric_value)
        near = [number for number in shown if number.benchmark == name]
        where, line = entry_name(result), card.result_line(i)
        if not near:
            message = f"No table shows {value} for the card's model."
            yield found("index-not-shown", line, where, message)
        elif not any(same(n.value, n.decimals, value, digits) for n in near):
            said = ", ".join(f"{n.value} (line {n.line})" for n in near[:3])
            if any(same(n.value, n.decimals, value * 100, max(digits - 2, 0)) for n in near):
                message = f"It has {value}, a share of 1; the table has {said}, per cent."
                yield found("index-unit", line, where, message)
            else:
                message = f"It has {value}; the table has {said}."
                yield found("index-and-table-differ", line, where, message)
        known.setdefault(name, []).append((value, digits))
    yield from _text(card, known)


_SCORE = re.compile(r"(?<![\w.(±/-])(\d{1,3}\.\d{1,2})(?![\d.])\s*(%|％)?")
_MOST = 1_000  # characters of a line of prose that is read


def _text(card: Subject, known: Mapping[str, list[tuple[Decimal, int]]]) -> Iterator[Finding]:
    """Scores in prose. A line is read where it names exactly one benchmark and no other model, and
    a number with a point: others can't be told from versions, dates and sizes."""
    everywhere = {
        number.value
        for table in card.document.tables
        for row in table.rows
        for cell in row
        if (number := figure(cell))
    }
    others = {row_name(row[0]) for table in card.document.tables for row in table.rows if row}
    others = {o for o in sorted(others)[:200] if len(o) > 3 and not same_name(o, card.own_name)}
    for line, text in card.parts.prose:
        if "|" in text or not 0 < len(text) <= _MOST:
            continue
        names = _benchmarks_in(text)
        numbers = _SCORE.findall(text)
        if len(names) != 1 or not numbers or any(other in text for other in others):
            continue
        (name,) = names
        for shown, _ in numbers:
            value, digits = Decimal(shown), decimals(shown)
            if any(same(value, digits, v, d) for v, d in known.get(name, ())):
                continue
            where = f"text: {name.lstrip('?')}"
            if name in known and value not in everywhere:
                said = " or ".join(str(v) for v, _ in known[name][:3])
                message = f"The text says {shown}; table and model-index say {said}."
                yield found("text-and-table-differ", line, where, message)
            elif name not in known and value not in everywhere:
                message = f"{shown} stands in the text alone, and has no log."
                yield found("text-number", line, where, message)


def _benchmarks_in(text: str) -> set[str]:
    found_here: set[str] = set()
    rest = text
    for known in KNOWN:
        if not known.name.startswith("bfcl") and known.pattern.search(rest):
            found_here.add(known.name)
            rest = known.pattern.sub(" ", rest)  # "TMMLU+" must not be read as MMLU, too
    return found_here
