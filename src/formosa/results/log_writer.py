"""Writing an evaluation log: one process, record after record, as the run goes.

Two processes can't write one log: the writer holds `flock` on it. The lock is the file's own, so
there is no second file to clean up, and the kernel drops it when the process dies. Trade-off: on
network file systems without locks the log cannot be written at all.

What survives: every record is handed to the system before `append` returns, so kill -9 loses
nothing of it. It is forced onto the disk by `sync`, which the runner calls once a second: a power
cut may cost the answers of the last second, and those are asked again. (An fdatasync for each
record would be the slowest part of a run against a quick server.)

Knows files and locks. What the records hold is `log.py`'s, which runs are the same `same_run.py`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from formosa.errors import LogError, OtherRunError
from formosa.files import Closing, JsonLines, explain_os_error, hold
from formosa.results.log import EvalLog, Stored, brief, now, read_log
from formosa.results.same_run import differences


class LogWriter(Closing):
    """Appends to one log, alone. A context manager.

    Opening it on a log that is there continues that log, if it was begun for the same thing.

    Attributes:
        log: what was in the file when it was opened.

    Raises:
        OtherRunError: it belongs to another task, model, plan or request.
        LogError: another process writes this log; or it is damaged.
        UserError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, start: Mapping[str, Any]) -> None:
        self._path = path
        self._lock = _locked(path)
        try:
            self._lines = JsonLines(path, sync=False)
            try:
                if path.stat().st_size == 0:
                    self._lines.append(dict(start))
                    self.sync()
                self.log = read_log(path)
                _refuse_other(self.log, start)
            except BaseException:
                self._lines.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise
        self._briefs = {short.key: short for short in self.log.briefs}
        self._end = self.log.end
        self._size = os.fstat(self._lock).st_size
        self._scorers = self.log.scorers

    def append(self, record: Mapping[str, Any]) -> None:
        """Hand one sample record to the system, so that it outlives this process."""
        length = self._lines.append(record)
        short = brief(record, self._scorers, self._size)
        self._size += length
        self._briefs[short.key] = short
        self._end = None

    def sync(self) -> None:
        """Force what was appended onto the disk. May be called from another thread."""
        try:
            os.fdatasync(self._lock)
        except OSError as error:
            raise explain_os_error(error, self._path) from error

    def finish(self, summary: Callable[[EvalLog], Mapping[str, Any]]) -> EvalLog:
        """Write the end record, made by `summary` from all samples in the file, and return the log.

        Nothing is written where the log already ends with a record that says the same.
        """
        log = self.log_so_far()
        made = dict(summary(log))
        if self._end is None or {key: self._end.get(key) for key in made} != made:
            # As it will be read: a value of another JSON type must not be written twice.
            self._end = json.loads(json.dumps({"type": "end", "finished": now(), **made}))
            self._size += self._lines.append(self._end)
            self.sync()
        return self.log_so_far()

    def log_so_far(self) -> EvalLog:
        """What the file holds by now."""
        samples = Stored(self._path, list(self._briefs.values()))
        return EvalLog(self._path, self.log.start, samples, self._end)

    def close(self) -> None:
        self._lines.close()
        if self._lock >= 0:
            with suppress(OSError):  # said at the next write, if it matters
                os.fdatasync(self._lock)
            os.close(self._lock)  # and with it the lock
            self._lock = -1


def _locked(path: Path) -> int:
    """A descriptor that holds the only lock on `path`."""
    hint = "wait for it to end, or write into another folder with --out"
    return hold(path, LogError(f"Another run is writing {path}.", hint))


def _refuse_other(log: EvalLog, start: Mapping[str, Any]) -> None:
    found = differences(log.start, start)
    if found:
        raise OtherRunError(
            f"{log.path} belongs to another run: {'; '.join(found)}.",
            f"write into another folder with --out, or begin again after: rm {log.path}",
        )
