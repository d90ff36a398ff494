"""Rows on disk between the two passes, found again by their number.

    rows        the JSON of each row and the place it came from, one after the other
    columns     what the second pass decides by, in memory: some 40 bytes a row

The first pass writes and the second reads, so that no list of rows is ever in memory: ten million
rows need 400 MB. Numbers ascend from 0 in the order in which the rows came.

Knows nothing of why a row stays or goes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from formosa.chat.message import json_text
from formosa.data.rows import Row
from formosa.errors import UserError
from formosa.files import Closing, alone, explain_os_error

FOLDER = ".preparing"
PIECE = 32 << 20  # bytes of rows that are put in order in memory at a time
HOLDING = 200  # bytes that Python needs to hold one of them
MANY = 200_000  # values from which on numpy is worth its import
PLACE = b"\x00"  # between a row and its place: JSON escapes it, so no row holds one


class Names:
    """Short names as small numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            found = self._numbers[name] = len(self.names)
            self.names.append(name)
        return found


class Entry(NamedTuple):
    """A row as it is spooled: its JSON, and what goes into the columns."""

    line: bytes
    kind: str
    language: str
    characters: int
    purity: float
    question: int
    identity: int

    @classmethod
    def of(cls, row: Row) -> Entry:
        return cls(
            json_text(row.to_json()).encode("utf-8"),
            row.kind or "other",
            row.language,
            row.characters,
            row.scores.get("purity", math.nan),
            question_hash(row),
            hash64(row.id),
        )


class Spool(Closing):
    """Rows in a file of `folder`, and the columns of them in memory.

    Attributes:
        source, kind, language: numbers of names (see `names`), a row each.
        characters: the length of its texts.
        purity: its score `purity`; NaN where it has none.
        question: 64 bits of a hash, equal for equal questions.
        identity: likewise of its id.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rows"
        self._file = self._path.open("w+b")
        self._ends = array("Q")
        self._end = 0
        self._reading = False
        self.kinds, self.languages = Names(), Names()
        self.source, self.kind = array("H"), array("H")
        self.language = array("B")
        self.characters = array("I")
        self.purity = array("f")
        self.question, self.identity = array("Q"), array("Q")

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, row: Row, source: int, where: str) -> int:
        """Append a row; its number. See `append`."""
        return self.append(Entry.of(row), source, where)

    def append(self, entry: Entry, source: int, where: str) -> int:
        """Append a row; its number.

        Raises:
            UserError: the disk is full.
        """
        record = entry.line + PLACE + where.encode("utf-8", "replace")
        try:
            self._file.write(record)
        except OSError as error:
            raise explain_os_error(error, self._path) from error
        self._reading = False
        self._end += len(record)
        self._ends.append(self._end)
        self.source.append(source)
        self.kind.append(self.kinds.number(entry.kind))
        self.language.append(self.languages.number(entry.language))
        self.characters.append(entry.characters)
        self.purity.append(entry.purity)
        self.question.append(entry.question)
        self.identity.append(entry.identity)
        return len(self._ends) - 1

    def line(self, number: int) -> bytes:
        """The JSON of a row, without an end of line."""
        return self._record(number).partition(PLACE)[0]

    def where(self, number: int) -> str:
        """The place that a row came from."""
        return self._record(number).partition(PLACE)[2].decode("utf-8")

    def row(self, number: int) -> Row:
        """The row itself."""
        return Row.from_json(self.value(number), f"row {number}")

    def value(self, number: int) -> dict[str, Any]:
        """The row as JSON."""
        value: dict[str, Any] = json.loads(self.line(number))
        return value

    def lines(self, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """(number, JSON) in the order of `numbers`. The file is read forwards, a piece of the
        order at a time: seeking for every row would wait for the disk ten million times."""
        start = 0
        while start < len(numbers):
            stop, size = start, 0
            while stop < len(numbers) and (size < PIECE or stop == start):
                size += self._size(numbers[stop]) + HOLDING
                stop += 1
            piece = numbers[start:stop]
            found = {number: self.line(number) for number in sorted(set(piece))}
            for number in piece:
                yield number, found[number]
            start = stop

    def close(self) -> None:
        with suppress(OSError):  # what could not be flushed was said, or is not wanted any more
            self._file.close()

    def _size(self, number: int) -> int:
        return self._ends[number] - (self._ends[number - 1] if number else 0)

    def _record(self, number: int) -> bytes:
        try:
            if not self._reading:
                self._file.flush()
                self._reading = True
            start = self._ends[number - 1] if number else 0
            return os.pread(self._file.fileno(), self._ends[number] - start, start)
        except OSError as error:
            raise explain_os_error(error, self._path) from error


def hash64(text: str) -> int:
    """64 bits: two of ten million texts share them by chance once in 400,000 data sets."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, sys.byteorder)


def question_hash(row: Row) -> int:
    """Equal for rows that ask the same, however they are spaced and capitalised. A row that asks
    nothing is like itself only."""
    question = "".join(row.question.casefold().split())
    return hash64(question or row.content_sha256())


def repeated(values: array[int]) -> set[int]:
    """The values that are there more than once; with numpy where there are very many."""
    if len(values) > MANY:
        with suppress(ImportError):
            import numpy

            column = numpy.sort(numpy.frombuffer(values, dtype=values.typecode))
            return set(map(int, column[1:][column[1:] == column[:-1]]))
    seen: set[int] = set()
    twice: set[int] = set()
    for value in values:
        (twice if value in seen else seen).add(value)
    return twice


@contextmanager
def working_folder(folder: Path) -> Iterator[Path]:
    """An empty folder inside `folder` for what is on its way. It is removed whatever happens; what
    a killed process left there is removed by the next.

    Raises:
        UserError: another process prepares data there, or the folder can't be written.
    """
    path = folder / FOLDER
    busy = UserError(
        f"Another process prepares data in {folder}.", "wait for it, or name another --out"
    )
    with alone(path / "lock", busy):
        work = path / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(path, ignore_errors=True)
