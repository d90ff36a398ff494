"""A card against its own words and its files: findings with a place, a severity and a stable code.

    error      it is wrong, or what it rests on is missing
    warning    it is allowed but will mislead a reader or the hub
    claimed    nothing here supports it and nothing contradicts it

| code | severity | what was found |
| --- | --- | --- |
| `front-matter` | error | no front matter, or it can't be read (the rest is still checked) |
| `license-missing` | warning | no licence |
| `license-unknown` | error | no licence id of the hub |
| `language` | warning | no language, or none that ISO 639 could know |
| `base-model` | warning | a base model that is no hub id |
| `model-index-shape` | error | not the hub's shape |
| `model-index-value` | warning | a value that is no finite number |
| `verified` | error | `verified: true` in a card of ours (a warning in another's) |
| `claims-missing` | error | tables of ours without their claims |
| `claims-unreadable` | error | a block of claims that can't be read, or two |
| `file-missing` | error | a claim's file is not there, or lies outside the card's folder |
| `sha256-differs` | error | the file is not the one that the card was written from |
| `log-unfinished` | error | a log without its last record |
| `log-end-differs` | error | the last record says other figures than the samples do |
| `not-computable` | error | the file does not hold what the claim says, or can't be read |
| `number-differs` | error | the claim's text is not what follows from the file |
| `place-missing` | error | the table, row, column or entry of a claim is not in the card |
| `text-differs` | error | the cell says other than its claim |
| `model-index-differs` | error | the entry says other than its claim, or than the log |
| `number-without-claim` | claimed | a figure in a table that no claim covers |
| `model-index-without-claim` | claimed | an entry of the model-index that no claim covers |

A card of ours is one with claims or with tables marked as ours. Every other card (the F1 cards,
say) is foreign: its figures are listed as claimed, cell by cell. Figures in prose are not read yet.

What this can't see: a log, its sha256 and the figures forged together. It shows that a card follows
from its logs, not that the logs are honest; running the benchmark again does.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from formosa.card.claims import MODEL_INDEX, Claim, Claims, read_claims
from formosa.card.figures import Sources
from formosa.card.hub import LICENSES, is_hub_id, is_language
from formosa.card.markdown import Document, read_document
from formosa.card.values import Card, finite, parse_card, read_text, split_card
from formosa.errors import CardError, UserError
from formosa.results.metrics import summary

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

Severity = Literal["error", "warning", "claimed"]
Place = tuple[str, tuple[str, ...], str]  # table, first cells of the row, head of the column


class Finding(NamedTuple):
    """One thing found; `where` is for people, `code` for programs."""

    code: str
    severity: Severity
    where: str
    message: str


def verify_card(path: Path) -> list[Finding]:
    """Everything that is to be said about a card, in the order: front matter, files, figures.

    Raises:
        CardError: the card itself is missing, too large or no text.
    """
    text = read_text(path)
    document = read_document(split_card(text)[2])
    found: list[Finding] = []
    try:
        card = parse_card(text, path.name)
        if not card.fields:
            found.append(_error("front-matter", path.name, "The card has no front matter."))
    except CardError as error:
        found.append(_error("front-matter", path.name, error.message))
        card = Card({}, split_card(text)[2])
    claims, marked = None, any(table.name for table in document.tables)
    try:
        claims = read_claims(document.comments)
        if claims is None and marked:
            message = "The tables of this card had claims, and they are gone: write it again."
            found.append(_error("claims-missing", path.name, message))
    except CardError as error:
        found.append(_error("claims-unreadable", path.name, error.message))
        marked = True
    ours = marked or claims is not None
    results, problems = _front_matter(card, ours)
    found += problems
    claims = claims or Claims({}, ())
    sources = Sources(path.parent)
    found += _files(claims, sources)
    found += _claims(claims, sources, document, results)
    found += _unclaimed(claims, document, results)
    return found


def _error(code: str, where: str, message: str) -> Finding:
    return Finding(code, "error", where, message)


def _front_matter(card: Card, ours: bool) -> tuple[tuple[EvalResult, ...], list[Finding]]:
    """The entries of the model-index, and what does not fit the hub."""
    found: list[Finding] = []

    def warn(code: str, where: str, message: str) -> None:
        found.append(Finding(code, "warning", where, message))

    if card.fields:
        if not card.fields.get("license"):
            warn("license-missing", "license", "No licence: nobody may use the model.")
        elif card.license not in LICENSES:
            shown = card.fields["license"]
            found.append(
                _error("license-unknown", "license", f"{shown!r} is no licence id of the hub.")
            )
        if not card.language:
            warn("language", "language", "No language: the hub can't list the model under one.")
        for code in card.language:
            if not is_language(code):
                warn("language", "language", f"{code!r} is no ISO 639 code, such as zh.")
        for name in card.base_model:
            if not is_hub_id(name):
                warn("base-model", "base_model", f"{name!r} is no hub id (organisation/name).")
    try:
        results = card.results
    except CardError as error:
        return (), [*found, _error("model-index-shape", MODEL_INDEX, error.message)]
    for result in results:
        if not finite(result.metric_value):
            message = f"{result.metric_value!r} is no finite number; most readers will drop it."
            warn("model-index-value", _entry(result), message)
        if result.verified is True:
            message = "`verified: true` is for the hub's own evaluation service to say."
            found.append(
                Finding("verified", "error" if ours else "warning", _entry(result), message)
            )
    return results, found


def _entry(result: EvalResult) -> str:
    return f"{MODEL_INDEX}: {result.dataset_name} · {result.metric_name or result.metric_type}"


def _files(claims: Claims, sources: Sources) -> Iterator[Finding]:
    """The files that claims name: there, the same bytes, and whole logs."""
    for name, digest in claims.files.items():
        try:
            same = sources.sha256(name) == digest
        except (UserError, OSError) as error:
            yield _error("file-missing", name, str(error))
            continue
        if not same:
            message = f"It has sha256 {sources.sha256(name)[:12]}…, the card has {digest[:12]}…."
            yield _error("sha256-differs", name, message)
        if name.endswith(".jsonl"):
            yield from _log(name, sources)


def _log(name: str, sources: Sources) -> Iterator[Finding]:
    try:
        log = sources.log(name)
        if log.end is None:
            yield _error("log-unfinished", name, "The log has no last record: it was interrupted.")
            return
        made = summary(log)
    except (UserError, KeyError, TypeError, ValueError) as error:
        yield _error("not-computable", name, str(error))
        return
    for part in ("counts", "scores"):
        if not _near(log.end.get(part), made[part]):
            message = f"Its last record has other {part} than its samples: {log.end.get(part)}."
            yield _error("log-end-differs", name, message)


def _near(a: Any, b: Any) -> bool:
    """Equal but for the last digits of a float, which other machines may round in another way."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_near(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float | int):
        return abs(a - b) < 1e-9
    return bool(a == b)


def _claims(
    claims: Claims, sources: Sources, document: Document, results: tuple[EvalResult, ...]
) -> Iterator[Finding]:
    missing = {name for name in claims.files if not _is_there(sources, name)}
    cells = _cells_by_place(claims, document)
    for claim in claims.claims:
        yield from _place(claim, sources, cells, results, missing)
        if missing.isdisjoint(claim.files):  # a missing file is one finding, not one a figure
            try:
                printed = sources.printed(claim)
            except (UserError, OSError) as error:
                yield _error("not-computable", claim.place, str(error))
            else:
                if printed != claim.text:
                    message = f"The card claims {claim.text}, its file says {printed}."
                    yield _error("number-differs", claim.place, message)


def _is_there(sources: Sources, name: str) -> bool:
    try:
        return sources.path(name).is_file()
    except (UserError, OSError):
        return False


def _place(
    claim: Claim,
    sources: Sources,
    cells: Mapping[Place, list[str]],
    results: tuple[EvalResult, ...],
    missing: set[str],
) -> Iterator[Finding]:
    """What the card shows where the claim says that it stands."""
    if claim.table == MODEL_INDEX:
        entries = [r for r in results if (r.dataset_name, r.metric_name) == claim.row]
        if not entries:
            yield _error("place-missing", claim.place, "The model-index has no such entry.")
        for entry in entries:
            for message in _entry_differences(claim, entry, sources, missing):
                yield _error("model-index-differs", claim.place, message)
        return
    shown = cells.get((claim.table, claim.row, claim.column), [])
    if not shown:
        message = "The card has no such table, row and column (was its label changed?)."
        yield _error("place-missing", claim.place, message)
    for cell in shown:
        if cell != claim.text:
            message = f"The card shows {cell or 'nothing'}, its claim is {claim.text}."
            yield _error("text-differs", claim.place, message)


def _entry_differences(
    claim: Claim, entry: EvalResult, sources: Sources, missing: set[str]
) -> Iterator[str]:
    if str(entry.metric_value) != claim.text:
        yield f"The card has the value {entry.metric_value}, its claim is {claim.text}."
    if missing.isdisjoint(claim.files):
        try:
            made = sources.result(claim)
        except UserError:
            return  # `_claims` says it
        for field in dataclasses.fields(made):
            mine, theirs = getattr(made, field.name), getattr(entry, field.name)
            # The hub's service may add `verified: false` itself; true has its own finding.
            if mine != theirs and field.name not in ("metric_value", "verified"):
                yield f"{field.name} is {theirs!r}, the log says {mine!r}."


def _cells_by_place(claims: Claims, document: Document) -> dict[Place, list[str]]:
    """The cells at every place that a row's first cells can name, for the lengths of name that
    claims use. A row that stands twice is there twice, and must be right twice."""
    cells: dict[Place, list[str]] = {}
    lengths = _name_lengths(claims)
    for table in document.tables:
        for row in table.rows:
            for length in lengths.get(table.name, ()):
                for head, cell in zip(table.heads, row, strict=False):
                    cells.setdefault((table.name, row[:length], head), []).append(cell)
    return cells


def _name_lengths(claims: Claims) -> dict[str, set[int]]:
    """By how many first cells claims know the rows of each table."""
    lengths: dict[str, set[int]] = {}
    for claim in claims.claims:
        lengths.setdefault(claim.table, set()).add(len(claim.row))
    return lengths


def _unclaimed(
    claims: Claims, document: Document, results: tuple[EvalResult, ...]
) -> Iterator[Finding]:
    places = {(c.table, c.row, c.column) for c in claims.claims}
    for result in results:
        if (MODEL_INDEX, (result.dataset_name, result.metric_name), "value") not in places:
            message = f"{result.metric_value} ({result.metric_type}) has no log."
            yield Finding("model-index-without-claim", "claimed", _entry(result), message)
    heads: dict[str, set[str]] = {}
    for name, _, column in places:
        heads.setdefault(name, set()).add(column)
    rows = {place[:2] for place in places}
    lengths = _name_lengths(claims)
    for number, table in enumerate(document.tables, start=1):
        title = f"table {table.name}" if table.name else f"table {number}"
        known = heads.get(table.name, set()) if table.name else set()
        for head in table.heads:
            if known and head not in known and _has_digit(head):
                message = f"The head {_short(head)} has no claim."
                yield Finding("number-without-claim", "claimed", title, message)
        for row in table.rows:
            names = [row[:n] for n in lengths.get(table.name, ()) if (table.name, row[:n]) in rows]
            covered = max(map(len, names), default=0)  # a claim found the row by these cells
            is_figure = _has_digit if known else _looks_like_figure
            for i, cell in enumerate(row[covered:], start=covered):
                head = table.heads[i] if i < len(table.heads) else f"cell {i + 1}"
                if is_figure(cell) and not any((table.name, n, head) in places for n in names):
                    where = f"{title}: {_label(row)}: {_short(head)}"
                    message = f"{_short(cell)} has no log."
                    yield Finding("number-without-claim", "claimed", where, message)


_FIGURE = re.compile(r"[<>≥≤≈~±+\-−]*\d[\d.,]*")
_AROUND = re.compile(r"[\s()\[\]±+\-−–,;/×x%<>≥≤≈~*_]|pp|pt|points?|ms|s")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


def _has_digit(cell: str) -> bool:
    return any(c.isdecimal() for c in cell)


def _looks_like_figure(cell: str) -> bool:
    """Numbers, signs and units only: `44.11 (±0.0179)`, `**91**`; not `Llama-3.2-3B`."""
    text = cell.strip("*_ ")
    return len(text) <= 64 and _has_digit(text) and not _AROUND.sub("", _FIGURE.sub("", text))


def _label(row: tuple[str, ...]) -> str:
    """What a row is about: its cells up to the first figure, as `model · box`."""
    words = [_short(cell) for cell in takewhile(lambda cell: not _looks_like_figure(cell), row)]
    return " · ".join(words[:3]) or "a row"


def _short(cell: str) -> str:
    """A cell for people, without its links."""
    text = _LINK.sub(r"\1", cell[:400])
    return text if len(text) <= 60 else text[:59] + "…"
