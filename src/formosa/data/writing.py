"""Spooled rows into a JSONL file, in the order that was chosen.

Ids are made different where two rows have the same one, and in the copies of a row that a mixture
repeats: `a`, `a#2`, `a#3`.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from formosa.chat.message import json_text
from formosa.data.spool import Spool, repeated
from formosa.files import replacing


class Written(NamedTuple):
    """How many rows a file has, and its sha256."""

    rows: int
    sha256: str


class Ids:
    """Which row of those with an equal id a row is, over all rows that are written."""

    def __init__(self, spool: Spool, written: Sequence[int]) -> None:
        """Args:
        spool: the rows.
        written: numbers of all rows that will be written, ascending, each once.
        """
        self._spool = spool
        self._copies: Counter[int] = Counter()
        self._count = dict.fromkeys(repeated(array("Q", (spool.identity[i] for i in written))), 0)
        self._places = array("I")
        if self._count:
            self._places = array("I", [1]) * len(spool)
            for number in written:
                identity = spool.identity[number]
                if identity in self._count:
                    self._count[identity] += 1
                    self._places[number] = self._count[identity]

    def line(self, number: int, line: bytes, *, again: bool) -> bytes:
        """The JSON of a row with an id of its own.

        Args:
            number: of the row.
            line: its JSON.
            again: whether it is a copy of a row that was written already.
        """
        place = self._places[number] if self._places else 1
        if again:
            identity = self._spool.identity[number]
            self._copies[identity] += 1
            place = self._count.get(identity, 1) + self._copies[identity]
        if place == 1:
            return line
        value = json.loads(line)
        value["id"] = f"{value['id']}#{place}"
        return json_text(value).encode("utf-8")


def write_split(
    path: Path,
    spool: Spool,
    numbers: Sequence[int],
    ids: Ids,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the rows in this order.

    Raises:
        UserError: the disk is full.
    """
    digest = hashlib.sha256()
    seen = bytearray(len(spool))
    count = 0
    with replacing(path) as file:
        for number, line in spool.lines(numbers):
            line = ids.line(number, line, again=bool(seen[number])) + b"\n"
            seen[number] = 1
            digest.update(line)
            file.write(line)
            count += 1
            if progress:
                progress(count)
    return Written(count, digest.hexdigest())
