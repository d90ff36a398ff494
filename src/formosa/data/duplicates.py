"""Rows that say the same as an earlier one, exactly or nearly.

    found = Duplicates(folder, config)
    found.add(number, row)                  for every row, in order
    for number, reason, kept in found.resolve(text_of): ...

**A duplicate** has the same turns, calls and results, and was offered the same tools in any order;
white space, width and case of letters don't count. **A near duplicate** has the same calls, and the
words of users and assistants (`compared_text`) are alike: Jaccard similarity of their runs of five
characters, at least `config.near`. What that means:

- same question, same calls, other tools or another system prompt: a near duplicate;
- same question, other calls or none (the right tool was not offered): both stay;
- same wording, other values in the call: both stay, since values are what such rows teach;
- several questions on one long passage, each with its short answer: all stay. Replies that are too
  short to move the similarity have to be equal;
- with and without reasoning: both stay (thinking twins);
- results of tools don't count, and neither do system prompts: they are long and alike in rows that
  teach different things.

The first row of a group stays. Groups are made of pairs: if b is like a and c is like b, then b
and c go, though c may be less like a.

**Bounded.** Up to 2,000 rows are compared by their texts alone, and need nothing but Python. From
there on digests and band hashes (see `minhash.py`) go to files in `folder` while rows are added,
some 170 bytes a row, and are looked at band by band afterwards: ten million rows need about one
gigabyte. Pairs that share a band are compared by their real texts, so no row goes by the chance of
a hash. In a bucket of up to `config.bucket` rows each is compared with each; a larger one (a
template in a million rows) would take the square of that, so there each row is compared with the
first so many rows of the bucket that differ from each other, and duplicates among the rest may
stay. A row that was compared in vain twice as often is compared no more: rows of one template are
in full buckets in every band, and would else take hours. The result doesn't depend on the order of
rows, but for which one is the first and for such large buckets.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from formosa.chat.message import Message
from formosa.data.cleaning_config import DuplicateConfig
from formosa.data.near_duplicates import NearDuplicates, sign
from formosa.data.rows import Row
from formosa.errors import MessageError

if TYPE_CHECKING:
    from formosa.data.minhash import Hashes

VERSION = "2"
"""Counts up when other rows would be found."""

EXACT, NEAR = "duplicate", "near duplicate"

_DIGEST = 12  # bytes; two of ten million rows meet by chance once in 10^14 runs
_NUMBER = 8
_RECORD = _DIGEST + _NUMBER
_HALF = 48  # bits of a number of a row
_BLOCK = 1 << 18  # bytes that are written at once


def compared_text(row: Row) -> str:
    """The words that near duplicates share: what users and assistants said and thought."""
    if row.text:
        return _normal(row.text)
    said = [
        text
        for item in row.messages
        if item.role in ("user", "assistant")
        for text in (item.content, item.reasoning)
    ]
    return _normal("\n".join(said))


class Fingerprint(NamedTuple):
    """What `Duplicates` wants to know of a row. Pure, so that another process can make it.

    Attributes:
        digest: equal for duplicates; empty where they don't count.
        text: see `compared_text`; None where the row takes no part in the search for near ones.
        kind: rows of another kind are never near duplicates.
        signature: of the text, if it was made already.
    """

    digest: bytes
    text: str | None = None
    kind: int = 0
    signature: Hashes | None = None


def fingerprint(
    row: Row, config: DuplicateConfig, *, near: bool = True, signed: bool = False
) -> Fingerprint:
    """The fingerprint of a row.

    Args:
        row: as it will be trained on.
        config: what counts as the same.
        near: whether it takes part in the search for near duplicates.
        signed: whether to make the signature now; needs numpy.
    """
    digest = _digest(row) if config.exact else b""
    if not near or config.near is None:
        return Fingerprint(digest)
    text = compared_text(row)
    kind = _kind(row, config.near)
    return Fingerprint(digest, text, kind, sign(text) if signed else None)


class Duplicates:
    """Which rows say the same, found in two passes.

    Args:
        folder: where files may be written; the caller removes it.
        config: what counts as the same.
    """

    def __init__(self, folder: Path, config: DuplicateConfig) -> None:
        self._config = config
        self._path = folder / "duplicates.digests"
        self._path.unlink(missing_ok=True)
        self._digests: bytearray | None = bytearray() if config.exact else None
        self._near = (
            None if config.near is None else NearDuplicates(folder, config.near, config.bucket)
        )

    def add(self, number: int, row: Row, *, near: bool = True) -> None:
        """Take a row in.

        Args:
            number: greater than those before.
            row: as it will be trained on.
            near: whether it takes part in the search for near duplicates.

        Raises:
            UserError: numpy is needed for that, and not installed.
        """
        self.take(number, fingerprint(row, self._config, near=near))

    def take(self, number: int, found: Fingerprint) -> None:
        """Take a row in by its fingerprint; see `add`."""
        if self._digests is not None:
            self._digests += found.digest + number.to_bytes(_NUMBER, "big")
            if len(self._digests) >= _BLOCK:
                self._flush()
        if found.text is not None and self._near:
            self._near.add(number, found.text, found.kind, found.signature)

    def resolve(self, text_of: Callable[[int], str]) -> Iterator[tuple[int, str, int]]:
        """Every row that goes: (number, EXACT or NEAR, number of the row that stays), by number.

        Args:
            text_of: `compared_text` of the row with a number; asked for some rows, some again.
        """
        equal, first = self._equal()
        alike: array[int] = array("q")
        kept: array[int] = array("q")
        if self._near:
            alike, kept = self._near.find(equal, text_of)

        def stays(number: int) -> int:
            place = bisect_left(alike, number)
            return kept[place] if place < len(alike) and alike[place] == number else number

        return heapq.merge(
            ((number, EXACT, stays(first[i])) for i, number in enumerate(equal)),
            ((number, NEAR, kept[i]) for i, number in enumerate(alike)),
        )

    def _equal(self) -> tuple[array[int], array[int]]:
        """Numbers of the rows that equal an earlier one, ascending, and of these earlier ones."""
        found: list[int] = []  # both numbers in one integer: a third of the memory of a pair
        if self._digests is not None:
            self._flush()
            data = self._path.read_bytes()
            records = [data[i : i + _RECORD] for i in range(0, len(data), _RECORD)]
            del data
            records.sort()
            digest, first = b"", 0
            for record in records:
                number = int.from_bytes(record[_DIGEST:], "big")
                if record.startswith(digest) and digest:
                    found.append(number << _HALF | first)
                else:
                    digest, first = record[:_DIGEST], number
            del records
            found.sort()
        low = (1 << _HALF) - 1
        return array("q", (pair >> _HALF for pair in found)), array("q", (p & low for p in found))

    def _flush(self) -> None:
        # No file stays open between rows: whoever stops half-way has nothing to close.
        with self._path.open("ab") as file:
            file.write(self._digests or b"")
        self._digests = bytearray()


def _normal(text: str) -> str:
    """Text without what makes no difference: width and case of letters, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(row: Row) -> bytes:
    """Equal for duplicates."""
    if row.text:
        value: object = _normal(row.text)
    else:
        value = [
            [
                [item.role, _normal(item.content), _normal(item.reasoning), _calls(item)]
                for item in row.messages
            ],
            sorted([tool.name, tool.description, tool.parameters] for tool in row.tools),
        ]
    return _hash(value, _DIGEST)


def _kind(row: Row, threshold: float) -> int:
    """Equal for rows that may be near duplicates: those with the same calls, thinking or not, and
    the same replies where these weigh too little to be heard among the words."""
    calls = [_calls(item) for item in row.messages if item.tool_calls]
    thinks = any(item.reasoning for item in row.messages)
    replies = _normal(" ".join(i.content for i in row.messages if i.role == "assistant"))
    asked = sum(len(item.content) for item in row.messages if item.role == "user")
    # Equal questions and quite different replies are alike to (1 - share) / (1 + share).
    share = (1 - threshold) / (1 + threshold)
    short = replies if len(replies) < share * (asked + len(replies)) else None
    return int.from_bytes(_hash([bool(row.text), thinks, calls, short], 8), "big")


def _calls(message: Message) -> list[list[str]]:
    """The calls of a turn, without ids and spelling, in order of the text."""
    calls = []
    for call in message.tool_calls:
        try:
            arguments = json.dumps(call.values(), sort_keys=True)
        except MessageError:
            arguments = call.arguments
        calls.append([call.name, arguments])
    return sorted(calls)


def _hash(value: object, size: int) -> bytes:
    text = json.dumps(value)
    return hashlib.blake2b(text.encode(), digest_size=size).digest()
