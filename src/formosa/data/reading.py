"""The first pass: every source is read once, and what stays of it goes to the spool.

Bad rows (see `judging.py`) stop the run unless they are to be skipped; other refusals are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

from formosa.data.config import DataConfig
from formosa.data.formats.detect import open_reader
from formosa.data.judging import Kept, Refused, Verdict
from formosa.data.rejects import Rejection, RejectPile
from formosa.data.report import SourceReport
from formosa.data.sources.config import SourceConfig
from formosa.data.sources.local import FileSource
from formosa.data.sources.opening import open_source
from formosa.data.workers import Workers
from formosa.errors import DataError
from formosa.wheels import Say

SHOWN = 5  # bad rows that are told one by one
COUNTED = 100  # bad rows after which nobody wants to know how many more there are
TOLD = 100_000  # rows between two remarks

Keep = Callable[[Kept, str], object]
"""Gets a row that stays, and its place."""


def read_source(
    source: SourceConfig,
    config: DataConfig,
    *,
    root: Path,
    workers: Workers,
    pile: RejectPile,
    keep: Keep,
    skip_bad: bool,
    say: Say,
    written: Sequence[Path] = (),
) -> SourceReport:
    """Read a source to its end; what stays is given to `keep`, what does not to the pile.

    Raises:
        DataError: it can't be read, its format is not clear, a row is bad and bad rows are not to
            be skipped, or it would read what is `written` in the end.
    """
    opened = open_source(source, root, say)
    name = source.source
    ours = {path.resolve() for path in written}
    for file in opened.files:
        if file.path.resolve() in ours:
            raise DataError(
                f"The source {name} reads {file.name}, which is what this preparation writes.",
                "write somewhere else with --out, or choose the source's files with `files`",
            )
    report = SourceReport(name, opened.licence)
    bad = _BadRows(name, skip_bad, say)

    with closing(_verdicts(opened, workers, report, say)) as verdicts:
        for where, result in verdicts:
            report.rows_in += 1
            if report.rows_in % TOLD == 0:
                say(f"{name}: {report.rows_in:,} rows read")
            if isinstance(result, Kept):
                report.change(result.changed)
                keep(result, where)
                continue
            if result.message:
                bad.add(result)
            rejection = Rejection(result.reason, result.detail)
            pile.add(name, rejection, where=where, row=result.row)
    bad.finish()
    report.about = dict(opened.about())
    return report


def _verdicts(
    opened: FileSource, workers: Workers, report: SourceReport, say: Say
) -> Generator[Verdict, None, None]:
    """A verdict on every row; the file is closed even when nobody reads to the end."""
    with closing(opened.records()) as records:
        first = next(records, None)
        if first is None:
            say(f"{report.name}: there are no rows in it")
            return
        reader = open_reader(opened, say)
        report.format = reader.format.name
        policy = opened.config.convert
        yield from workers.judge(chain([first], records), report.name, reader, policy)


class _BadRows:
    """Bad rows of one source: told while they are few, or the end of the run."""

    def __init__(self, name: str, skip: bool, say: Say) -> None:
        self._name, self._skip, self._say = name, skip, say
        self._count = 0
        self._first: Refused | None = None

    def add(self, row: Refused) -> None:
        self._count += 1
        self._first = self._first or row
        if self._skip and self._count <= SHOWN:
            self._say(f"skipped {row.message}")
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
        raise DataError(self._first.message + more, hint)
