"""JSON lines: one object a line, in bounded memory. A bad line is a record that says so.

UTF-8, with or without a byte order mark. A line longer than `LONGEST` bytes is not read into
memory: it is counted as bad.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from formosa.data.formats import spelling
from formosa.data.sources.opened import BOM, open_bytes, refuse_foreign
from formosa.data.sources.record import Record
from formosa.errors import DataError

LONGEST = 64 << 20  # bytes of a line


def read_lines(path: Path, name: str) -> Iterator[Record]:
    """Every line that isn't blank; `name` is the file as people know it.

    Raises:
        DataError: the file can't be read, or not further.
    """
    with open_bytes(path) as file:
        for number, line in enumerate(_lines(file), start=1):
            where = f"{name}:{number}"
            if number == 1:
                refuse_foreign(line or b"", path)
            if line is None:
                problem = f"{where}: longer than {LONGEST >> 20} MiB."
                yield Record(where, DataError(problem))
            elif line.strip():
                yield Record(where, _value(line, where))


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """The lines; None for one that is too long."""
    first = True
    while line := file.readline(LONGEST):
        if first:
            line, first = line.removeprefix(BOM), False
        if line.endswith(b"\n") or len(line) < LONGEST:
            yield line
            continue
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield None


def _value(line: bytes, where: str) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(error, where)
    return as_object(text, where)


def as_object(text: str, where: str) -> Any:
    """The object that a text holds, or the error that it does not."""
    try:
        value = spelling.loads(text)
    except ValueError as error:
        return DataError(f"{where}: not JSON: {error}.")
    if not isinstance(value, dict):
        return DataError(f"{where}: must be an object, not {type(value).__name__}.")
    return value


def not_utf8(error: UnicodeDecodeError, where: str) -> DataError:
    byte = error.object[error.start]
    return DataError(
        f"{where}: not UTF-8 (byte 0x{byte:02x} at {error.start + 1}).",
        "convert the file, as in: iconv -f BIG5 -t UTF-8 old.jsonl > new.jsonl",
    )
