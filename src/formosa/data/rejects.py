"""Rows that were refused, and why: the pile that can be looked at.

    rejects.jsonl    one refused row a line: where it stood, the reason, a sentence, the row itself

A reason is a short name that is counted; the sentence is about this one row. All rows are counted;
the pile keeps the first so many of each source and reason, so that a source of millions does not
write itself a second time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from formosa.errors import UserError
from formosa.files import read_jsonl

FILE = "rejects.jsonl"
LONGEST = 200_000  # bytes of a row that the pile keeps


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
        id: of the row; "" where it had none.
        row: as far as it got: the row, or what stood in the file; None where that could not be
            read, or is longer than the pile takes.
    """

    source: str
    where: str
    id: str
    reason: str
    detail: str
    row: dict[str, Any] | None = None


class RejectPile:
    """Counts every rejection, and writes the first of each source and reason.

    Args:
        file: where the lines go.
        most: rows kept of each source and reason; None keeps all.

    Attributes:
        counts: by source and reason.
        examples: likewise, the id of the first row, or its place where it has no id.
    """

    def __init__(self, file: IO[bytes], most: int | None = None) -> None:
        self._file = file
        self._most = most
        self.counts: Counter[tuple[str, str]] = Counter()
        self.examples: dict[tuple[str, str], str] = {}

    def room(self, source: str, reason: str) -> bool:
        """Whether the next such row is looked at. If not, `count` is enough."""
        count = self.counts[source, reason]
        return count == 0 or self._most is None or count < self._most

    def count(self, source: str, reason: str) -> None:
        """Count a row for which there is no room."""
        self.counts[source, reason] += 1

    def add(
        self,
        source: str,
        rejection: Rejection,
        *,
        where: str,
        row: Mapping[str, Any] | None = None,
    ) -> None:
        """Count a row, and keep it where there is room."""
        key = (source, rejection.reason)
        keep = self.room(*key) and self._most != 0
        self.counts[key] += 1
        row_id = str((row or {}).get("id") or "")
        self.examples.setdefault(key, row_id or where)
        if not keep:
            return
        value: dict[str, Any] = {
            "source": source,
            "where": where,
            "id": row_id,
            "reason": rejection.reason,
            "detail": rejection.detail,
        }
        line = _line(value | {"row": dict(row)}) if row else _line(value)
        self._file.write(line if len(line) <= LONGEST else _line(value))

    def dropped(self, source: str) -> dict[str, int]:
        """Refused rows of a source, by reason."""
        return {reason: n for (name, reason), n in sorted(self.counts.items()) if name == source}


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


def _line(value: Any) -> bytes:
    """JSON of whatever stood in a source: half characters are escaped, dates become text."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        return json.dumps(value, default=str).encode("ascii") + b"\n"
