"""Bytes of a file, plain or compressed, and what may stand at their beginning.

`.gz` is read with the standard library; `.zst` with pyarrow, which the extra `data` brings.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from formosa.errors import DataError
from formosa.files import explain_read_error

BUFFER = 1 << 18  # bytes
BOM = b"\xef\xbb\xbf"
_FOREIGN = {
    b"\xff\xfe": "UTF-16LE",
    b"\xfe\xff": "UTF-16BE",
}


def need_pyarrow(what: str) -> DataError:
    return DataError(f"{what} is read with pyarrow, which is not installed.",
                     "pip install 'formosa-lm[data]'")  # fmt: skip


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed by the end of its name.

    Raises:
        DataError: it can't be read, is damaged, or is text in another encoding than UTF-8.
    """
    try:
        with _open(path) as file:
            yield file
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path} is damaged: {error}.", "fetch the file again") from error
    except OSError as error:
        if type(error) is OSError and error.errno is None:  # pyarrow, about the zstd stream
            raise DataError(f"{path} is damaged: {error}.", "fetch the file again") from error
        raise DataError(explain_read_error(error, path).message) from error


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".zst":
        try:
            import pyarrow  # type: ignore[import-untyped]
        except ImportError as error:
            raise need_pyarrow(str(path)) from error
        path.open("rb").close()  # Python's error says more than pyarrow's
        stream = pyarrow.input_stream(str(path), compression="zstd")
        return cast(IO[bytes], io.BufferedReader(stream, BUFFER))  # pyarrow's has no readline
    return path.open("rb")


def refuse_foreign(start: bytes, path: Path) -> None:
    """Refuse a file that says at its beginning that it isn't UTF-8."""
    for mark, name in _FOREIGN.items():
        if start.startswith(mark):
            raise DataError(
                f"{path} is {name}, not UTF-8.",
                f"iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}",
            )
