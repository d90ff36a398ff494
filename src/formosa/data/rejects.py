"""Rows that were refused, and why: the pile that can be looked at.

    rejects.jsonl    one refused row a line: where it stood, the reason, a sentence, the row itself

A reason is a short name that is counted; the sentence is about this one row. The counts in
report.json are of all rows; the pile keeps the first so many of each source and reason, so that a
source of millions does not write itself a second time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from formosa.data.rows import Row
from formosa.errors import UserError
from formosa.files import json_line, read_jsonl

FILE = "rejects.jsonl"
LONGEST = 100_000  # characters of a row's texts that the pile keeps whole


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row is not used.

    Attributes:
        reason: a short name that many rows share: "near duplicate", "simplified", "too long".
        detail: a sentence about this row.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line of the pile.

    Attributes:
        source: name of the source.
        where: place in the source, as in `rows.jsonl:7`.
        id: of the row; "" where it was none yet.
        row: the row as JSON; None where nothing could be read.
    """

    source: str
    where: str
    id: str
    reason: str
    detail: str
    row: dict[str, Any] | None = None


class RejectPile:
    """Counts every rejection, and writes the first `most` of each source and reason.

    Args:
        file: where the lines go.
        most: rows kept of each source and reason; None keeps all.
    """

    def __init__(self, file: IO[bytes], most: int | None = None) -> None:
        self._file = file
        self._most = most
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}

    def add(self, source: str, rejection: Rejection, *, where: str, row: Row | None = None) -> None:
        """Count a row, and keep it where there is room."""
        key = (source, rejection.reason)
        self.counts[key] += 1
        row_id = row.id if row else ""
        self.examples.setdefault(key, row_id or where)
        if self._most is not None and self.counts[key] > self._most:
            return
        value: dict[str, Any] = {
            "source": source,
            "where": where,
            "id": row_id,
            "reason": rejection.reason,
            "detail": rejection.detail,
        }
        if row is not None and row.characters <= LONGEST:
            value["row"] = row.to_json()
        self._file.write(json_line(value))


def read_rejects(path: Path) -> Iterator[Rejected]:
    """The lines of a pile.

    Raises:
        UserError: no such file, or a line that is no rejection.
    """
    for number, value in read_jsonl(path):
        try:
            yield Rejected(**value)
        except TypeError as error:
            raise UserError(f"{path}:{number} is no refused row.") from error
