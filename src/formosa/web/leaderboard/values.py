"""What the template of the leaderboard shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from formosa.web.compare.figures import percent
from formosa.web.leaderboard.board import MEAN, Board, Cell, Row
from formosa.web.leaderboard.claims import OVERALL, Claim
from formosa.web.leaderboard.entries import Entry, Kind
from formosa.web.page import address
from formosa.web.site import Site
from formosa.web.words import Words

Values = dict[str, Any]

TITLES: dict[Kind, str] = {
    "choice": "Multiple choice",
    "bfcl": "Function calling (BFCL)",
    "other": "Other tasks",
}
SHORT = 8  # characters of a sha256
# As cards head their columns; what is in the words is translated.
HEADS = {
    MEAN: "Mean",
    OVERALL: "Overall, as claimed",
    "simple": "Simple",
    "multiple": "Multiple",
    "parallel": "Parallel",
    "parallel-multiple": "Parallel Multiple",
    "tw-legal": "Taiwan law",
}
NAMES = {
    "tmmluplus": "TMMLU+",
    "mmlu": "MMLU",
    "math-500": "MATH-500",
    "gsm8k": "GSM8K",
    "gpqa-diamond": "GPQA Diamond",
}


def board_values(
    site: Site, words: Words, boards: Sequence[Board], claims: Sequence[Claim]
) -> list[Values]:
    """A section for each kind of table that has measured or claimed figures."""
    found = {board.kind: board for board in boards}
    made = []
    for kind, title in TITLES.items():
        own = [claim for claim in claims if claim.kind == kind]
        board = found.get(kind)
        if board or own:
            made.append(
                {
                    "kind": kind,
                    "title": words(title),
                    "board": _board(site, words, board) if board else None,
                    "claims": _claims(site, words, own, board) if own else None,
                }
            )
    return made


def column_name(words: Words, column: str) -> str:
    """A head: as cards write it, where they do; else the task's own name."""
    return words(HEADS[column]) if column in HEADS else NAMES.get(column, column)


def _board(site: Site, words: Words, board: Board) -> Values:
    names = [(row.model, row.reading) for row in board.rows]
    return {
        "heads": [(name, column_name(words, name)) for name in board.columns],
        "rows": [
            {
                "model": row.model,
                "identity": row.identity[:SHORT]
                if names.count((row.model, row.reading)) > 1
                else "",
                "reading": row.reading,
                "cells": [
                    _cell(site, words, row.cells.get(column)) for column in board.columns
                ],
                "repeats": _listed(cell.entry.repeats for cell in row.cells.values() if cell.entry),
                "seeds": _listed(cell.entry.seed for cell in row.cells.values() if cell.entry),
            }
            for row in board.rows
        ],
        "details": _details(site, words, board),
        "settings": "; ".join(_differing(board)),
        "left_out": len(board.left_out),
    }  # fmt: skip


def _listed(values: Any) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _cell(site: Site, words: Words, cell: Cell | None) -> Values:
    if cell is None:
        return {"value": "–", "sort": "", "mark": "", "notes": [], "interval": "", "href": "",
                "ranked": False}  # fmt: skip
    entry = cell.entry
    return {
        "value": "–" if cell.value is None else percent(cell.value),
        "sort": "" if cell.value is None else f"{100 * cell.value:.4f}",
        "mark": cell.mark,
        "ranked": cell.ranked,
        "interval": f"{percent(cell.low)}–{percent(cell.high)}" if cell.value is not None else "",
        "href": address("/evals/log", path=entry.path) if entry and site.served else "",
        "notes": _notes(words, cell),
    }


def _notes(words: Words, cell: Cell) -> list[str]:
    entry, reading = cell.entry, cell.reading
    if entry is None or reading is None:
        return []
    found = []
    if not entry.answers:
        found.append(words("no answers"))
    elif entry.state != "finished":
        text = {
            "interrupted": "interrupted: {n} of {of} answers",
            "running": "running: {n} of {of} answers",
        }[entry.state]
        found.append(words(text, n=entry.answers, of=entry.planned))
    if entry.asked < entry.original:
        found.append(words("{n} of {of} questions", n=entry.asked, of=entry.original))
    elif entry.finished and not cell.ranked:
        found.append(words("other questions"))
    if reading.card:
        found.append(words("as the F1 cards print it: {text}", text=reading.card))
    elif reading.deviation is not None:
        found.append(words("±{x} over {n} runs", x=percent(reading.deviation), n=entry.repeats))
    return found


def _details(site: Site, words: Words, board: Board) -> list[Values]:
    """For each column and reading a link to the comparison of its ranked logs."""
    if not site.served:
        return []
    found = []
    for reading in dict.fromkeys(row.reading for row in board.rows):
        for column in board.columns:
            cells = [row.cells[column] for row in board.rows
                     if row.reading == reading and column in row.cells]  # fmt: skip
            paths = [str(cell.entry.path) for cell in cells if cell.entry and cell.ranked]
            if len(paths) > 1:
                name = column_name(words, column)
                found.append(
                    {"name": f"{name} · {reading}", "href": address("/compare", log=paths)}
                )
    return found


def _differing(board: Board) -> list[str]:
    """`max_tokens: 32, 128` for each setting that differs between models in one column."""
    found: dict[str, set[str]] = {}
    for column in board.columns:
        cells = [row.cells[column] for row in board.rows if column in row.cells]
        entries = {cell.entry.path: cell.entry for cell in cells if cell.entry and cell.ranked}
        for name in sorted({key for entry in entries.values() for key, _ in entry.settings}):
            values = {str(dict(entry.settings).get(name, "–")) for entry in entries.values()}
            if len(values) > 1:
                found.setdefault(name, set()).update(values)
    return [f"{name}: {', '.join(sorted(values))}" for name, values in found.items()]


def _claims(site: Site, words: Words, claims: Sequence[Claim], board: Board | None) -> Values:
    order = [*(board.columns if board else ()), *(c for claim in claims for c in claim.figures)]
    columns = [
        name for name in dict.fromkeys(order) if any(name in claim.figures for claim in claims)
    ]
    if OVERALL in columns:
        columns = [OVERALL, *(name for name in columns if name != OVERALL)]
    return {
        "heads": [column_name(words, name) for name in columns],
        "readings": any(claim.reading for claim in claims),
        "rows": [
            {
                "model": same[0].model,
                "url": same[0].url,
                "reading": same[0].reading,
                "cells": [same[0].figures.get(name, "–") for name in columns],
                "cards": [
                    {
                        "name": _card_name(claim.card),
                        "where": words("line {n}", n=claim.where)
                        if claim.where.isdigit()
                        else claim.where,
                        "href": address("/card", path=claim.card) if site.served else "",
                    }
                    for claim in same
                ],
            }
            for same in _alike(claims)
        ],
    }


def _card_name(path: Path) -> str:
    """Most cards are called README.md: then with its folder."""
    return "/".join(path.parts[-2:]) if path.stem.lower() == "readme" else path.name


def _alike(claims: Sequence[Claim]) -> list[list[Claim]]:
    """Claims that say the same, as cards copy each other's tables."""
    found: dict[tuple[object, ...], list[Claim]] = {}
    for claim in claims:
        key = (claim.model, claim.url, claim.reading, tuple(sorted(claim.figures.items())))
        found.setdefault(key, []).append(claim)
    return list(found.values())


CSV_HEADS = (
    "kind", "model", "model_sha256", "reading", "task", "correct", "low", "high", "questions",
    "task_questions", "repeats", "deviation", "state", "ranked", "mark", "log",
)  # fmt: skip


def csv_rows(boards: Sequence[Board]) -> list[list[object]]:
    """Every measured cell, shares of 1."""
    return [
        _csv_row(board.kind, row, column, cell)
        for board in boards
        for row in board.rows
        for column, cell in row.cells.items()
    ]


def _csv_row(kind: Kind, row: Row, column: str, cell: Cell) -> list[object]:
    entry: Entry | None = cell.entry
    return [
        kind, row.model, row.identity, row.reading, entry.task if entry else column, cell.value,
        cell.low if cell.value is not None else None, cell.high if cell.value is not None else None,
        entry.asked if entry else None, entry.original if entry else None,
        entry.repeats if entry else None, cell.reading.deviation if cell.reading else None,
        entry.state if entry else None, cell.ranked, cell.mark, entry.path if entry else None,
    ]  # fmt: skip
