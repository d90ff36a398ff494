"""What becomes of one record: rows that stay, and rows that are refused, each with the reason.

    format → clean → validate → length → quality → benchmarks

Pure: records in, verdicts out, all of them plain values. So the work can be done in any process
(`workers.py`), and the result is the same.

A row that can't be read or trained on is *bad*: the source is not what the recipe says. Every other
refusal is a judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from formosa.data import cleaning, quality
from formosa.data.cleaning_config import Policy
from formosa.data.config import DataConfig
from formosa.data.decontaminate import BenchmarkIndex
from formosa.data.duplicates import Fingerprint, fingerprint
from formosa.data.formats.draft import Draft, Reader
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.data.sources.record import Record
from formosa.data.spool import Entry
from formosa.data.validate import CONTROL, BadRowError, validate_row
from formosa.errors import DataError


class Refused(NamedTuple):
    """Why a row is not used.

    Attributes:
        row: as JSON, as far as it got.
        message: for a bad row, the whole sentence with its place; "" for a judgement.
        hint: what to do about a bad row.
    """

    reason: str
    detail: str
    row: Mapping[str, Any] | None
    message: str = ""
    hint: str = ""


class Kept(NamedTuple):
    """A row that stays, as the spool and the search for duplicates want it; and the characters
    that cleaning changed, by rule."""

    entry: Entry
    fingerprint: Fingerprint
    changed: Mapping[str, int]


class Verdict(NamedTuple):
    """What became of the row that stood at a place."""

    where: str
    result: Kept | Refused


class Checks:
    """What every row of a source goes through.

    Args:
        config: the recipe's `data:`.
        policy: what happens to Simplified rows.
        benchmarks: what must not be trained on; None for nothing.
    """

    def __init__(
        self, config: DataConfig, policy: Policy, benchmarks: BenchmarkIndex | None
    ) -> None:
        self._config = config
        self._policy = policy
        self._benchmarks = benchmarks

    def __call__(self, row: Row, where: str) -> tuple[Row, Mapping[str, int]] | Rejection:
        """The cleaned row and the characters changed by rule, or why it is refused.

        Raises:
            BadRowError: it can't be trained on at all.
        """
        cleaned = cleaning.clean(row, self._config.clean, policy=self._policy)
        if isinstance(cleaned, Rejection):
            return cleaned
        row, changes = cleaned
        refused = self.own(row, where) or quality.judge(row, self._config.quality)
        return refused or (row, changes)

    def own(self, row: Row, where: str) -> Rejection | None:
        """The checks that rows of our own generator go through as well."""
        try:
            validate_row(row, where)
        except BadRowError as error:
            if error.reason != CONTROL:
                raise
            return Rejection(error.reason, f"{error.problem}.")
        longest = self._config.max_characters
        if longest is not None and row.characters > longest:
            return Rejection("too long", f"{row.characters:,} characters, {longest:,} are allowed.")
        return self._benchmarks.judge(row) if self._benchmarks else None


class Judge:
    """The way from the records of one source to verdicts.

    Args:
        source: its name.
        reader: of its format.
        checks: what its rows go through.
        config: the recipe's `data:`.
        signed: make signatures for near duplicates here; needs numpy.
    """

    def __init__(
        self, source: str, reader: Reader, checks: Checks, config: DataConfig, *, signed: bool
    ) -> None:
        self._source = source
        self._reader = reader
        self._checks = checks
        self._config = config
        self._signed = signed

    def __call__(self, records: Iterable[Record]) -> Iterator[Verdict]:
        """A verdict on every row of the records, in order."""
        for record in records:
            raw = record.value if isinstance(record.value, Mapping) else None
            for where, item in self._reader.rows(record):
                if isinstance(item, Draft):
                    yield Verdict(where, self._row(item, where))
                else:
                    yield Verdict(where, _bad(item, where, raw))

    def _row(self, draft: Draft, where: str) -> Kept | Refused:
        row = Row.of(
            draft.messages,
            draft.tools,
            text=draft.text,
            id=draft.id,
            source=self._source,
            kind=draft.kind,
            language=draft.language,
            scores=draft.scores,
        )
        try:
            judged = self._checks(row, where)
        except DataError as error:
            return _bad(error, where, row.to_json())
        if isinstance(judged, Rejection):
            return Refused(judged.reason, judged.detail, row.to_json())
        row, changed = judged
        found = fingerprint(row, self._config.duplicates, signed=self._signed)
        return Kept(Entry.of(row), found, dict(changed))


def _bad(error: DataError, where: str, row: Mapping[str, Any] | None) -> Refused:
    """The place is said beside it, so the detail need not begin with it."""
    reason = str(getattr(error, "reason", "") or "no row")
    detail = error.message.removeprefix(f"{where}: ")
    return Refused(reason, detail, row, error.message, error.hint)
