"""The tables of the leaderboard: which cells can be ranked, and which can't be told apart.

Cells of a column are ranked where they were asked the very same questions and are finished; of
several such groups it is the one with the most questions. In it every model is compared with the
best one, question by question. The best was found by looking at all pairs, so the p-values are
Holm's over all pairs (`several.holm` with the family). If every other is outside the noise, the
best is best; else it and all that can't be told from it are marked alike.

Knows entries. Knows no HTML and no language.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from formosa.evals.bfcl import task as bfcl
from formosa.evals.bfcl.aggregates import AST
from formosa.results.metrics import CONFIDENCE, Difference, difference, question_differences
from formosa.results.several import holm, mean_difference, mean_score
from formosa.web.leaderboard.entries import KINDS, Entry, Kind, Reading

Mark = Literal["best", "top", ""]
MEAN = "mean"  # the column of BFCL's ast_mean
FIRST = ("tmmluplus", "tw-legal", "mmlu", "math-500", "gsm8k", "gpqa-diamond")  # as cards do
AST_COLUMNS = ("simple", "multiple", "parallel", "parallel-multiple")


class Cell(NamedTuple):
    """One score.

    Attributes:
        value: a share of 1, with its 95 % interval; None where there are no answers.
        entry: the log; None for a mean of several.
        reading: of it.
        mark: whether it is the best, or among those that can't be told from it.
        ranked: whether it was compared with others.
    """

    value: float | None
    entry: Entry | None = None
    reading: Reading | None = None
    mark: Mark = ""
    ranked: bool = False
    low: float = 0.0
    high: float = 1.0


class Row(NamedTuple):
    """A model by one reading."""

    model: str
    identity: str
    reading: str
    cells: Mapping[str, Cell]


class Board(NamedTuple):
    """A table. `left_out` are logs whose place another one of the same model has."""

    kind: Kind
    columns: Sequence[str]
    rows: Sequence[Row]
    left_out: Sequence[Entry]


def boards(entries: Iterable[Entry]) -> list[Board]:
    """The tables that have entries."""
    every = list(entries)
    return [
        _board(kind, [one for one in every if one.kind == kind])
        for kind in KINDS
        if any(one.kind == kind for one in every)
    ]


def _board(kind: Kind, entries: Sequence[Entry]) -> Board:
    chosen, left_out = _chosen(entries)
    rows: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for entry in chosen:
        for reading in entry.readings:
            key = (entry.model, entry.identity, reading.name)
            cell = Cell(None, entry, reading)
            if made := reading.score:
                cell = cell._replace(value=made.value, low=made.low, high=made.high)
            rows.setdefault(key, {})[entry.column] = cell
    columns = _columns(kind, {entry.column for entry in chosen})
    for name in {reading for _, _, reading in rows}:
        same = {key: cells for key, cells in rows.items() if key[2] == name}
        for column in columns:
            _rank(same, column)
        if kind == "bfcl":
            _rank_means(same, name)
    if kind == "bfcl" and any(MEAN in cells for cells in rows.values()):
        columns = [MEAN, *columns]
    table = [Row(*key, cells) for key, cells in rows.items()]
    table.sort(key=lambda row: (row.reading, *_height(row, columns), row.model, row.identity))
    return Board(kind, columns, table, left_out)


def _chosen(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Of several logs of one model and task the one that says most, and the others."""
    best: dict[tuple[str, str, str], Entry] = {}
    left_out = []
    for entry in entries:
        key = (entry.model, entry.identity, entry.task)
        other = best.get(key)
        if other is None or _weight(entry) > _weight(other):
            best[key] = entry
        if other is not None:
            left_out.append(entry if best[key] is other else other)
    return list(best.values()), left_out


def _weight(entry: Entry) -> tuple[bool, int, int, str, str]:
    return entry.finished, entry.asked, entry.answers, entry.started, str(entry.path)


def _columns(kind: Kind, names: set[str]) -> list[str]:
    known = list(FIRST)
    if kind == "bfcl":
        known = [*AST_COLUMNS, *(name.removeprefix("bfcl-") for name in bfcl.TASKS)]
    order = {name: place for place, name in reversed(list(enumerate(known)))}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def _height(row: Row, columns: Sequence[str]) -> tuple[tuple[bool, float], ...]:
    """So that the best stands on top, by the first columns; what is not ranked comes after."""
    cells = (row.cells.get(name) for name in columns)
    return tuple((not cell.ranked, -(cell.value or 0.0)) if cell else (True, 1.0) for cell in cells)


Key = tuple[str, str, str]  # model, identity, reading
Rows = Mapping[Key, dict[str, Cell]]


def _rank(rows: Rows, column: str) -> None:
    """Mark one column of the rows of one reading."""
    groups: dict[tuple[object, ...], dict[Key, Cell]] = {}
    for key, cells in rows.items():
        cell = cells.get(column)
        if cell and cell.entry and cell.entry.finished and cell.value is not None:
            groups.setdefault(cell.entry.same, {})[key] = cell
    if not groups:
        return
    group = max(groups.values(), key=lambda cells: (_asked(cells), len(cells)))
    shares = {key: cell.reading.shares for key, cell in group.items() if cell.reading}

    def against(best: Key, other: Key) -> Difference:
        return difference(list(question_differences(shares[other], shares[best]).values()))

    marks = _marks({key: cell.value or 0.0 for key, cell in group.items()}, against)
    for key, mark in marks.items():
        rows[key][column] = rows[key][column]._replace(mark=mark, ranked=True)


def _asked(cells: Mapping[Key, Cell]) -> int:
    return max(cell.entry.asked for cell in cells.values() if cell.entry)


def _rank_means(rows: Rows, family: str) -> None:
    """The plain mean of BFCL's four tasks, where a model finished all of them."""
    parts = [name for name in AST_COLUMNS if bfcl.parsed(f"{family}-{name}").category in AST]
    groups: dict[tuple[object, ...], dict[Key, list[Cell]]] = {}
    for key, cells in rows.items():
        found = [cells[name] for name in parts if name in cells]
        if len(found) == len(AST) and all(cell.entry and cell.entry.finished for cell in found):
            same = tuple(cell.entry.same for cell in found if cell.entry)
            groups.setdefault(same, {})[key] = found
            scores = [cell.reading.score for cell in found if cell.reading and cell.reading.score]
            value, low, high = mean_score(scores)
            cells[MEAN] = Cell(value, low=low, high=high)
    if not groups:
        return
    group = max(
        groups.values(),
        key=lambda found: (
            sum(cell.entry.asked for cell in next(iter(found.values())) if cell.entry), len(found)
        ),
    )  # fmt: skip

    def against(best: Key, other: Key) -> Difference:
        exact: list[list[Fraction]] = []
        for one, two in zip(group[best], group[other], strict=True):
            assert one.reading and two.reading
            made = question_differences(two.reading.shares, one.reading.shares)
            exact.append(list(made.values()))
        return mean_difference(exact)

    marks = _marks({key: rows[key][MEAN].value or 0.0 for key in group}, against)
    for key, mark in marks.items():
        rows[key][MEAN] = rows[key][MEAN]._replace(mark=mark, ranked=True)


def _marks(
    values: Mapping[Key, float], against: Callable[[Key, Key], Difference]
) -> dict[Key, Mark]:
    """The best of these, or all that can't be told from it."""
    if len(values) < 2:
        return dict.fromkeys(values, "")
    best = max(values, key=lambda key: values[key])
    others = [key for key in values if key != best]
    made = [against(best, key) for key in others]
    pairs = len(values) * (len(values) - 1) // 2
    adjusted = holm([one.p for one in made], pairs)
    noise = {
        key: p >= 1 - CONFIDENCE or one.low <= 0
        for key, one, p in zip(others, made, adjusted, strict=True)
    }
    alike: Mark = "top" if any(noise.values()) else "best"
    marks: dict[Key, Mark] = {best: alike}
    for key, same in noise.items():
        marks[key] = "top" if same else ""
    return marks
