"""A JSON file that holds one long array, read item by item in bounded memory.

The array may also stand under the key `data` of an object (SQuAD's way); what else is in that
object is left out. An item that is whole, as its brackets say, but no JSON is a bad record, and
reading goes on behind it. Memory: one item and a piece of `PIECE` characters.

A file named .json that holds JSON lines is told from an array by its first line.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from formosa.data.sources.lines import LONGEST, as_object, not_utf8, read_lines
from formosa.data.sources.opened import BOM, open_bytes, refuse_foreign
from formosa.data.sources.record import Record
from formosa.errors import DataError

PIECE = 1 << 20  # characters
DATA = "data"  # the key of an object that holds the rows

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?P<closed>"?)|[{}\[\]]', re.DOTALL)
_DECODER = json.JSONDecoder()


def read_json(path: Path, name: str) -> Iterator[Record]:
    """The items of the array, or the lines where the file holds JSON lines.

    Raises:
        DataError: the file can't be read, or holds no array.
    """
    if _holds_lines(path):
        yield from read_lines(path, name)
        return
    with open_bytes(path) as file:
        yield from _Array(file, path, name).records()


def _holds_lines(path: Path) -> bool:
    """Whether the first line is a whole object, and not one that holds the array."""
    with open_bytes(path) as file:
        first = file.readline(LONGEST).removeprefix(BOM)
        refuse_foreign(first, path)
        if not first.lstrip().startswith(b"{"):
            return False
        try:
            value = json.loads(first.decode("utf-8"))
        except (ValueError, RecursionError):
            return False
        return isinstance(value, dict) and not (
            isinstance(value.get(DATA), list) and not file.read(PIECE).strip()
        )


class _Array:
    """A window of text that moves over the file."""

    def __init__(self, file: IO[bytes], path: Path, name: str) -> None:
        self._file = file
        self._path = path
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False

    def records(self) -> Iterator[Record]:
        self._skip_space()
        if self._peek() == "{":
            self._find_data()
        if self._peek() != "[":
            raise self._no_array()
        self._at += 1
        number = 0
        self._skip_space()
        while (sign := self._peek()) != "]":
            if not sign:
                where = f"{self._name}#{number + 1}"
                yield Record(where, DataError(f"{where}: the file ends within its array."))
                return
            number += 1
            where = f"{self._name}#{number}"
            value = self._item(where)
            yield Record(where, value)
            if isinstance(value, DataError) and value.hint == _LOST:
                return
            self._skip_space()
            if self._peek() == ",":
                self._at += 1
                self._skip_space()

    def _find_data(self) -> None:
        """Go to the array under `data`, past the small members before it."""
        self._at += 1
        while True:
            self._skip_space()
            if self._peek() != '"':
                raise self._no_array()
            key = self._whole()
            self._skip_space()
            if self._peek() != ":":
                raise self._no_array()
            self._at += 1
            self._skip_space()
            if key == DATA:
                return
            self._whole()
            self._skip_space()
            if self._peek() == ",":
                self._at += 1

    def _whole(self) -> Any:
        """The value that begins here, which must be JSON."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if not self._more():
                    raise self._no_array() from error
                continue
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def _item(self, where: str) -> Any:
        """The object that begins here, or what is wrong with it."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                end = self._balanced()
                if end >= 0:  # whole, but not JSON: say why, and go on behind it
                    text, self._at = self._text[self._at : end], end
                    return as_object(text, where)
                if len(self._text) - self._at > LONGEST:
                    problem = f"{where}: longer than {LONGEST >> 20} Mi characters, or never closed"
                    return DataError(f"{problem}; the rest is not read.", _LOST)
                if not self._more():
                    return DataError(f"{where}: the file ends within this item.", _LOST)
                continue
            if end == len(self._text) and self._more():
                continue  # a number may go on in the next piece
            text, self._at = self._text[self._at : end], end
            if isinstance(value, dict) and "NaN" not in text and "Infinity" not in text:
                return value
            return as_object(text, where)

    def _balanced(self) -> int:
        """Where the item that begins here ends by its brackets; -1 if not in this window."""
        depth = 0
        if self._text[self._at : self._at + 1] not in ("{", "["):
            return self._next_comma()
        for token in _TOKEN.finditer(self._text, self._at):
            sign = token.group()
            if sign[0] == '"':
                if not token["closed"]:
                    return -1
            else:
                depth += 1 if sign in "{[" else -1
                if depth <= 0:
                    return token.end()
        return -1

    def _next_comma(self) -> int:
        """The end of something that is neither object nor list."""
        found = re.compile(r"[,\]]").search(self._text, self._at + 1)
        return found.start() if found else -1

    def _skip_space(self) -> None:
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more():
                return

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _more(self) -> bool:
        """Move the window on; False at the end of the file. Doubles, so the work stays linear."""
        if self._ended:
            return False
        data = self._file.read(max(PIECE, len(self._text) - self._at))
        if not self._text and self._at == 0:
            refuse_foreign(data, self._path)
        self._ended = not data
        try:
            fresh = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise not_utf8(error, str(self._path)) from error
        self._text, self._at = self._text[self._at :] + fresh, 0
        return bool(fresh) or not self._ended

    def _no_array(self) -> DataError:
        return DataError(
            f"{self._path} holds neither an array of rows nor JSON lines.",
            "one array, or an object with the array under data; for one row a line use .jsonl",
        )


_LOST = "the array can't be read behind this place"
