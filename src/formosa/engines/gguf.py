"""Read the metadata of a GGUF file, without the package `gguf` (which needs numpy).

Only what an engine asks for: single values, and the lists that it names. Others (the vocabulary's
scores and merges) are skipped over, so reading takes a fraction of a second.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from formosa.errors import ModelError

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 26  # bytes of one string; more means that the file is damaged

# llama.cpp's names of general.file_type
FILE_TYPES: dict[Any, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 25: "IQ4_NL", 30: "IQ4_XS", 32: "BF16",
}  # fmt: skip


def read_metadata(path: Path, lists: Collection[str] = ()) -> dict[str, Any]:
    """The single values of a GGUF file's header, by key; and the lists whose keys are in `lists`.

    Raises:
        ModelError: no such file, not a GGUF file, or its header is cut off.
    """
    try:
        with path.open("rb") as file:
            return _header(file, path, lists)
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no file {path}.", "list what there is with `formosa models ls`"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.") from error
    except (struct.error, UnicodeDecodeError, KeyError, MemoryError) as error:
        raise ModelError(
            f"{path} is damaged or cut off: its header does not end.", "fetch or export it again"
        ) from error


def _header(file: IO[bytes], path: Path, lists: Collection[str]) -> dict[str, Any]:
    if file.read(4) != b"GGUF":
        raise ModelError(
            f"{path} is not a GGUF file.", "llama.cpp reads only GGUF; see `formosa export gguf`"
        )
    (version,) = _read(file, "I")
    if version not in (2, 3):
        raise ModelError(f"{path} is GGUF version {version}; 2 and 3 are known.")
    _tensors, count = _read(file, "QQ")
    values: dict[str, Any] = {}
    for _ in range(count):
        key = _string(file)
        (kind,) = _read(file, "I")
        if kind == _ARRAY:
            if key in lists:
                values[key] = _array(file)
            else:
                _skip_array(file)
        else:
            values[key] = _string(file) if kind == _STRING else _read(file, _SCALARS[kind])[0]
    return values


def _read(file: IO[bytes], form: str) -> tuple[Any, ...]:
    form = "<" + form
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _string(file: IO[bytes]) -> str:
    (length,) = _read(file, "Q")
    data = file.read(length) if length <= _LONGEST else b""
    if len(data) != length:
        raise struct.error("a string is cut off")
    return data.decode("utf-8")


def _array(file: IO[bytes]) -> list[Any]:
    kind, length = _read(file, "IQ")
    if kind == _STRING:
        return [_string(file) for _ in range(length)]
    if kind == _ARRAY:
        return [_array(file) for _ in range(length)]
    if length > _LONGEST:
        raise struct.error("no list is that long")
    return list(_read(file, f"{length}{_SCALARS[kind]}"))


def _skip_array(file: IO[bytes]) -> None:
    kind, length = _read(file, "IQ")
    if kind == _STRING:
        for _ in range(length):
            (size,) = _read(file, "Q")
            file.seek(size, 1)
    elif kind == _ARRAY:
        for _ in range(length):
            _skip_array(file)
    else:
        file.seek(length * struct.calcsize("<" + _SCALARS[kind]), 1)
