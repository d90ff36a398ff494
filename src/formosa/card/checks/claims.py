"""The claims of a card that Formosa wrote: every figure again, from its file.

What this can't see: a log, its sha256 and the figures forged together. It shows that a card follows
from its logs, not that the logs are honest; asking the benchmark again does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.card.claims import MODEL_INDEX, Claim, Claims
from formosa.card.figures import Sources
from formosa.errors import UserError
from formosa.results.metrics import summary

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

Place = tuple[str, tuple[str, ...], str]  # table, first cells of the row, head of the column
Cells = Mapping[Place, list[tuple[str, int]]]  # what stands there, and in which line


def claims(card: Subject) -> Iterator[Finding]:
    """The files that claims name, then each claim: its place, and its text from its file."""
    yield from _files(card.claims, card.sources)
    missing = {name for name in card.claims.files if not _is_there(card.sources, name)}
    cells = _cells_by_place(card)
    for claim in card.claims.claims:
        line = _line(card, claim, cells)
        for finding in _place(card, claim, cells, missing):
            yield finding._replace(line=finding.line or line)
        if missing.isdisjoint(claim.files):  # a missing file is one finding, not one a figure
            try:
                printed = card.sources.printed(claim)
            except (UserError, OSError) as error:
                yield found("not-computable", line, claim.place, str(error))
            else:
                if printed != claim.text:
                    message = f"The card claims {claim.text}, its file says {printed}."
                    yield found("number-differs", line, claim.place, message)


def supported(card: Subject, findings: Iterable[Finding]) -> int:
    """How many claims follow from their files, as the findings of `claims` say."""
    bad = {finding.where for finding in findings if finding.severity == "error"}
    return sum(
        claim.place not in bad and bad.isdisjoint(claim.files) for claim in card.claims.claims
    )


def _files(claims: Claims, sources: Sources) -> Iterator[Finding]:
    """There, the same bytes, and whole logs."""
    for name, digest in claims.files.items():
        try:
            same = sources.sha256(name) == digest
        except (UserError, OSError) as error:
            yield found("file-missing", 0, name, str(error))
            continue
        if not same:
            message = f"It has sha256 {sources.sha256(name)[:12]}…, the card has {digest[:12]}…."
            yield found("sha256-differs", 0, name, message)
        if name.endswith(".jsonl"):
            yield from _log(name, sources)


def _log(name: str, sources: Sources) -> Iterator[Finding]:
    try:
        log = sources.log(name)
        if log.end is None:
            message = "The log has no last record: it was interrupted."
            yield found("log-unfinished", 0, name, message)
            return
        made = summary(log)
    except (UserError, KeyError, TypeError, ValueError) as error:
        yield found("not-computable", 0, name, str(error))
        return
    for part in ("counts", "scores"):
        if not _near(log.end.get(part), made[part]):
            message = f"Its last record has other {part} than its samples: {log.end.get(part)}."
            yield found("log-end-differs", 0, name, message)


def _near(a: Any, b: Any) -> bool:
    """Equal but for the last digits of a float, which other machines may round in another way."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float | int):
        return abs(a - b) < 1e-9
    return bool(a == b)


def _is_there(sources: Sources, name: str) -> bool:
    try:
        return sources.path(name).is_file()
    except (UserError, OSError):
        return False


def _line(card: Subject, claim: Claim, cells: Cells) -> int:
    if claim.table == MODEL_INDEX:
        return card.line_of("model-index")
    shown = cells.get((claim.table, claim.row, claim.column))
    return shown[0][1] if shown else 0


def _place(card: Subject, claim: Claim, cells: Cells, missing: set[str]) -> Iterator[Finding]:
    """What the card shows where the claim says that it stands."""
    if claim.table == MODEL_INDEX:
        entries = [
            (i, r)
            for i, r in enumerate(card.results)
            if (r.dataset_name, r.metric_name) == claim.row
        ]
        if not entries:
            message = "The model-index has no such entry."
            yield found("place-missing", 0, claim.place, message)
        for i, entry in entries:
            for message in _entry_differences(claim, entry, card.sources, missing):
                yield found("model-index-differs", card.result_line(i), claim.place, message)
        return
    shown = cells.get((claim.table, claim.row, claim.column), [])
    if not shown:
        message = "The card has no such table, row and column (was its label changed?)."
        yield found("place-missing", 0, claim.place, message)
    for cell, line in shown:
        if cell != claim.text:
            message = f"The card shows {cell or 'nothing'}, its claim is {claim.text}."
            yield found("text-differs", line, claim.place, message)


def _entry_differences(
    claim: Claim, entry: EvalResult, sources: Sources, missing: set[str]
) -> Iterator[str]:
    if str(entry.metric_value) != claim.text:
        yield f"The card has the value {entry.metric_value}, its claim is {claim.text}."
    if missing.isdisjoint(claim.files):
        try:
            made = sources.result(claim)
        except UserError:
            return  # `claims` says it
        for field in dataclasses.fields(made):
            mine, theirs = getattr(made, field.name), getattr(entry, field.name)
            # The hub's service may add `verified: false` itself; true has its own finding.
            if mine != theirs and field.name not in ("metric_value", "verified"):
                yield f"{field.name} is {theirs!r}, the log says {mine!r}."


def _cells_by_place(card: Subject) -> Cells:
    """The cells at every place that a row's first cells can name, for the lengths of name that
    claims use. A row that stands twice is there twice, and must be right twice."""
    cells: dict[Place, list[tuple[str, int]]] = {}
    lengths = name_lengths(card.claims)
    for table in card.document.tables:
        for i, row in enumerate(table.rows):
            line = card.table_line(table, i)
            for length in lengths.get(table.name, ()):
                for head, cell in zip(table.heads, row, strict=False):
                    cells.setdefault((table.name, row[:length], head), []).append((cell, line))
    return cells


def name_lengths(claims: Claims) -> dict[str, set[int]]:
    """By how many first cells claims know the rows of each table."""
    lengths: dict[str, set[int]] = {}
    for claim in claims.claims:
        lengths.setdefault(claim.table, set()).add(len(claim.row))
    return lengths
