"""The first pass: every source is read once, and each row is cleaned and judged.

    record → format → clean → validate → length → quality → benchmarks → spool

A row that can't be read or trained on is *bad*: the source is not what the recipe says, and the run
stops unless bad rows are to be skipped. Every other refusal is a judgement, and is only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from formosa.data import cleaning, quality
from formosa.data.cleaning_config import Policy
from formosa.data.config import DataConfig
from formosa.data.decontaminate import BenchmarkIndex
from formosa.data.formats.detect import open_reader
from formosa.data.formats.draft import Draft
from formosa.data.rejects import Rejection, RejectPile
from formosa.data.report import SourceReport
from formosa.data.rows import Row
from formosa.data.sources.config import SourceConfig
from formosa.data.sources.opening import open_source
from formosa.data.validate import CONTROL, BadRowError, validate_row
from formosa.errors import DataError
from formosa.wheels import Say

SHOWN = 5  # bad rows that are told one by one
COUNTED = 100  # bad rows after which nobody wants to know how many more there are
TOLD = 100_000  # rows between two remarks

Keep = Callable[[Row, str], object]
"""Gets a row that stays, and its place."""


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


def read_source(
    source: SourceConfig,
    config: DataConfig,
    *,
    root: Path,
    benchmarks: BenchmarkIndex | None,
    pile: RejectPile,
    keep: Keep,
    skip_bad: bool,
    say: Say,
) -> SourceReport:
    """Read a source to its end; what stays is given to `keep`, what does not to the pile.

    Raises:
        DataError: it can't be read, its format is not clear, or a row is bad and bad rows are not
            to be skipped.
    """
    opened = open_source(source, root, say)
    name = source.source
    report = SourceReport(name, opened.licence)
    checks = Checks(config, source.convert, benchmarks)
    bad = _BadRows(name, skip_bad, say)
    for where, item, raw in _items(opened, report, say):
        report.rows_in += 1
        if report.rows_in % TOLD == 0:
            say(f"{name}: {report.rows_in:,} rows read")
        if isinstance(item, DataError):
            bad.add(item, where)
            pile.add(name, _rejection(item, where), where=where, row=raw)
            continue
        row = _row(item, name)
        try:
            judged = checks(row, where)
        except DataError as error:
            bad.add(error, where)
            pile.add(name, _rejection(error, where), where=where, row=row.to_json())
            continue
        if isinstance(judged, Rejection):
            if pile.room(name, judged.reason):
                pile.add(name, judged, where=where, row=row.to_json())
            else:
                pile.count(name, judged.reason)
            continue
        report.change(judged[1])
        keep(judged[0], where)
    bad.finish()
    report.about = dict(opened.about())
    return report


def _items(
    opened: Any, report: SourceReport, say: Say
) -> Iterator[tuple[str, Draft | DataError, Mapping[str, Any] | None]]:
    """(place, draft or what is wrong, the record as it stood) of every row."""
    if next(iter(opened.records()), None) is None:
        say(f"{report.name}: there are no rows in it")
        return
    reader = open_reader(opened, say)
    report.format = reader.format.name
    for record in opened.records():
        raw = record.value if isinstance(record.value, Mapping) else None
        for where, item in reader.rows(record):
            yield where, item, raw


def _row(draft: Draft, source: str) -> Row:
    return Row.of(
        draft.messages,
        draft.tools,
        text=draft.text,
        id=draft.id,
        source=source,
        kind=draft.kind,
        language=draft.language,
        scores=draft.scores,
    )


def _rejection(error: DataError, where: str) -> Rejection:
    """The place is said beside it, so the sentence need not begin with it."""
    reason = getattr(error, "reason", "") or "no row"
    return Rejection(reason, error.message.removeprefix(f"{where}: "))


class _BadRows:
    """Bad rows of one source: told while they are few, or the end of the run."""

    def __init__(self, name: str, skip: bool, say: Say) -> None:
        self._name, self._skip, self._say = name, skip, say
        self._count = 0
        self._first: DataError | None = None

    def add(self, error: DataError, where: str) -> None:
        self._count += 1
        self._first = self._first or error
        if self._skip and self._count <= SHOWN:
            self._say(f"skipped {error.message}")
        if not self._skip and self._count > COUNTED:
            self._stop()

    def finish(self) -> None:
        if self._count and not self._skip:
            self._stop()
        if self._count > SHOWN:
            self._say(f"skipped {self._count - SHOWN:,} more bad rows of {self._name}")

    def _stop(self) -> None:
        assert self._first is not None
        more, others = "", self._count - 1
        if others:
            count = f"At least {COUNTED}" if self._count > COUNTED else f"{others:,}"
            more = f" {count} more of its rows are bad."
        hint = self._first.hint or "put it right, or keep only the good rows with --skip-bad"
        raise DataError(self._first.message + more, hint) from self._first
