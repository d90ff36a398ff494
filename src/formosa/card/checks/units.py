"""Units and definitions in tables: a ± beside its value, per cent above 100, means of rows.

**Means.** A column called overall or average is compared with the mean of the other scores of its
row, row by row. Cells are rounded, so the mean of what they were lies in an interval: outside of
it, the column is something else than the mean (it may have a definition of its own, which the card
should name); inside, but not what the shown cells give, it fits by rounding only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.numbers import Figure, figure, half_unit
from formosa.card.checks.subject import Subject, cell_text, row_text
from formosa.card.markdown import Table

_MEAN = re.compile(r"\boverall\b|\baverage\b|\bavg\b|\bmean\b|平均|總分|總體|整體", re.IGNORECASE)
_PER_CENT = re.compile(r"%|％|accuracy|準確率|正確率|\bacc\b", re.IGNORECASE)
_NO_SCORE = re.compile(
    r"次數|題數|題目|樣本|參數|\bruns?\b|repeat|questions|samples|shots?\b|params|size|rank|year"
    r"|seconds|tokens?|latency|年|秒|版本|version|\bn\b|#",
    re.IGNORECASE,
)
_TWINKLE = re.compile(r"twinkle", re.IGNORECASE)


def units(card: Subject) -> Iterator[Finding]:
    """Every table that Formosa did not write."""
    for table in card.document.tables:
        if not table.name or not card.ours:
            columns = _columns(table)
            yield from _deviations(card, table, columns)
            yield from _limits(card, table, columns)
            yield from _means(card, table, columns)


Columns = dict[int, dict[int, Figure]]


def _columns(table: Table) -> Columns:
    """The figures of each column that is not the first, by row."""
    columns: Columns = {}
    for i, row in enumerate(table.rows):
        for j, cell in enumerate(row[: len(table.heads)]):
            number = figure(cell) if j else None
            if number:
                columns.setdefault(j, {})[i] = number
    return columns


def _deviations(card: Subject, table: Table, columns: Columns) -> Iterator[Finding]:
    """One finding a table: the fault is that of the program that printed it."""
    odd = [
        (i, j, number)
        for j, column in columns.items()
        for i, number in column.items()
        if number.deviation is not None and _is_share(table.heads[j], number)
    ]
    if not odd:
        return
    i, j, first = min(odd)
    cells = "1 cell" if len(odd) == 1 else f"{len(odd)} cells"
    twinkle = any(_TWINKLE.search(text[:500]) for _, text in card.parts.prose)
    source = " (Twinkle Eval prints it so)" if twinkle else ""
    deviation = first.deviation or Decimal(0)
    message = (
        f"{cells} have a value in per cent and a ± that looks like a share of 1{source}: "
        f"{first.value} (±{first.deviation}) would be ±{(deviation * 100).normalize():f} points. "
        "The card should say the unit, and what the ± is of (runs, or questions)."
    )
    where = f"{card.table_title(table)}: {cell_text(table.heads[j])}"
    yield found("plus-minus-unit", card.table_line(table, i), where, message)


def _is_share(head: str, number: Figure) -> bool:
    """A value in per cent, whose ± has two more decimals and is far below one point."""
    if number.deviation is None or not 0 < number.deviation < Decimal("0.1"):
        return False
    per_cent = number.percent or bool(_PER_CENT.search(head)) or number.value > 1
    return per_cent and number.deviation_decimals >= number.decimals + 2


def _limits(card: Subject, table: Table, columns: Columns) -> Iterator[Finding]:
    for j, column in columns.items():
        head = table.heads[j]
        where = f"{card.table_title(table)}: {cell_text(head)}"
        for i, number in column.items():
            if number.value > 100 and (number.percent or _PER_CENT.search(head)):
                message = f"{number.value} is more than 100 per cent."
                yield found("value-above-100", card.table_line(table, i), where, message)
        digits = sorted({number.decimals for number in column.values()})
        if len(digits) > 1 and digits[0] + 1 <= digits[-1] and _is_score(head, column):
            shown = ", ".join(str(number.value) for number in list(column.values())[:4])
            message = f"Its cells have {digits[0]} to {digits[-1]} decimals ({shown})."
            yield found("decimals-differ", card.table_line(table), where, message)


def _is_score(head: str, column: dict[int, Figure]) -> bool:
    return not _NO_SCORE.search(head) and all(0 <= n.value <= 100 for n in column.values())


def _means(card: Subject, table: Table, columns: Columns) -> Iterator[Finding]:
    scores = [j for j, column in columns.items() if _is_score(table.heads[j], column)]
    for j in scores:
        parts = [k for k in scores if k != j and not _MEAN.search(table.heads[k])]
        if _MEAN.search(table.heads[j]) and len(parts) >= 2:
            yield from _mean(card, table, columns, j, parts)


def _mean(
    card: Subject, table: Table, columns: Columns, j: int, parts: list[int]
) -> Iterator[Finding]:
    head = cell_text(table.heads[j])
    fits, others = [], []
    made: list[Finding] = []
    for i, shown in columns[j].items():
        cells = [columns[k][i] for k in parts if i in columns[k]]
        if len(cells) != len(parts):
            continue
        mean = sum((cell.value for cell in cells), Decimal(0)) / len(cells)
        slack = sum((half_unit(cell.decimals) for cell in cells), Decimal(0)) / len(cells)
        unit, line = half_unit(shown.decimals), card.table_line(table, i)
        row = row_text(table.rows[i], lambda cell: figure(cell) is not None)
        where = f"{card.table_title(table)}: {row}: {head}"
        listed = ", ".join(str(cell.value) for cell in cells)
        between = f"{_short(mean - slack)} to {_short(mean + slack)}"
        away = abs(mean - shown.value)
        if away > slack + unit:
            others.append(line)
            message = (
                f"{shown.value} is not the mean of {listed}, which is {_short(mean)} "
                f"({between} before the cells were rounded)."
            )
            made.append(found("mean-differs", line, where, message))
            continue
        fits.append(line)
        if away >= unit:
            message = (
                f"{shown.value} against {_short(mean)}, the mean of {listed}: the two agree only "
                f"because the cells are rounded ({between} before)."
            )
            made.append(found("mean-rounding", line, where, message))
    if fits and others:
        message = (
            f"In {len(fits)} rows it can be the mean of the columns beside it, in {len(others)} "
            "it can't: the rows do not say one thing, and can't be compared by it. Some "
            "leaderboards count more categories in “overall” than a table shows."
        )
        where = f"{card.table_title(table)}: {head}"
        yield found("mean-mixed", card.table_line(table), where, message)
    yield from made


def _short(value: Decimal) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
