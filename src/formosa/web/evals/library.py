"""Logs that are open: indexes and questions stay in memory between two looks at a page.

A log is locked while somebody reads it here, since its index grows with the file. The logs that
were not looked at for longest are let go when all together hold too many answers.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from formosa.results.index import LogIndex
from formosa.web.evals.questions import Questions

MOST = 300_000  # answers of all open logs; some 400 bytes each
SEARCHES = 8  # of each log


class Opened:
    """One log.

    Attributes:
        index: as fresh as the last look.
        questions: what was asked.
    """

    def __init__(self, path: Path, folders: tuple[Path, ...]) -> None:
        self.lock = threading.Lock()
        self.index = LogIndex(path)
        self.questions = Questions(self.index.start, folders)
        self._version: Any = None
        self._made: OrderedDict[Any, Any] = OrderedDict()
        self._folders = folders

    def refresh(self) -> None:
        """Read on.

        Raises:
            LogError: it is damaged now.
        """
        start = self.index.start
        self.index.refresh()
        if self.index.start != start:
            self.questions = Questions(self.index.start, self._folders)

    def once(self, key: Any, make: Any) -> Any:
        """What `make()` returns; made once for these answers."""
        if self._version != self.index.version:
            self._version = self.index.version
            self._made.clear()
        if key not in self._made:
            self._made[key] = make()
            while len(self._made) > SEARCHES:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return self._made[key]

    def sha256(self) -> str:
        """The hash of the whole lines of the file."""

        def make() -> str:
            digest = hashlib.sha256()
            left = self.index.version[1]
            with self.index.path.open("rb") as file:
                while left and (chunk := file.read(min(1 << 20, left))):
                    digest.update(chunk)
                    left -= len(chunk)
            return digest.hexdigest()

        return str(self.once("sha256", make))


class Library:
    """The open logs of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: OrderedDict[Path, Opened] = OrderedDict()

    @contextmanager
    def open(self, path: Path, folders: Sequence[Path] = ()) -> Iterator[Opened]:
        """The log, read up to now, for this thread alone.

        Args:
            path: of the log.
            folders: where files that it names as its questions may lie.

        Raises:
            LogError: it is no log, or it is damaged.
        """
        key = path.resolve()
        with self._lock:  # a second reader of a large log waits instead of reading it too
            opened = self._opened.get(key)
            if opened is None:
                opened = self._opened[key] = Opened(path, tuple(folders))
            self._opened.move_to_end(key)
            while len(self._opened) > 1 and sum(map(len, self._indexes())) > MOST:
                self._opened.popitem(last=False)
        with opened.lock:
            try:
                opened.refresh()
            except BaseException:
                with self._lock:
                    self._opened.pop(key, None)
                raise
            yield opened

    def _indexes(self) -> list[LogIndex]:
        return [opened.index for opened in self._opened.values()]
