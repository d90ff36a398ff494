"""Logs for pages that look at whole ones: read once as long as their files don't change.

For comparisons, where every answer's outcome is wanted. A log that grows is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from formosa.errors import LogError
from formosa.files import explain_read_error
from formosa.results.log import EvalLog, read_log
from formosa.results.report import begins_like_a_log

KEPT = 12  # logs in memory; of 20,000 answers each takes some 10 MB


def read(path: Path) -> EvalLog:
    """The log as it is now.

    Raises:
        LogError: as `formosa.results.log.read_log`.
    """
    try:
        status = path.stat()
    except OSError as error:
        problem = explain_read_error(error, path)
        raise LogError(problem.message, problem.hint) from error
    return _read(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=KEPT)
def _read(path: Path, file: int, size: int, changed: int) -> EvalLog:
    """The file's number, size and time say which version of it this is."""
    return read_log(path)


def logs_in(roots: Iterable[Path]) -> Iterator[Path]:
    """The evaluation logs that these are or that lie in these, by path, each once.

    A link that leads out of a folder is not followed.
    """
    seen = set()
    for root in roots:
        home = root.resolve()
        for path in sorted(root.rglob("*.jsonl")) if root.is_dir() else [root]:
            real = path.resolve()
            inside = real == home or home in real.parents
            if inside and real not in seen and path.is_file() and begins_like_a_log(path):
                seen.add(real)
                yield path
