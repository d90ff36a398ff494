"""Read a GGUF file's header, without the package `gguf`: metadata, and where its tensors are.

The one reader for engines, plans and sheets. The package needs numpy, maps the whole file, and
builds an object for every token of a vocabulary; it was made for files that one trusts. Here every
length is held against the size of the file before anything is read, so a damaged or hostile file
costs no more memory than it has bytes, and is refused with one sentence. Lists that nobody asked
for (scores, merges) are skipped over, so reading takes a fraction of a second. A file may lie
anywhere that can be read in pieces.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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
LONGEST_TEXT = 1 << 26  # bytes of one text
MOST_ITEMS = 1 << 24  # of all lists together; the largest vocabularies and merges have 2 million
MOST_KEYS = 1 << 16
MOST_TENSORS = 1 << 18
DEEPEST = 4  # lists in lists
LONGEST_NAME = 1 << 10  # bytes of a tensor's name; llama.cpp takes 64
DIMENSIONS = 4

# llama.cpp's names of general.file_type
FILE_TYPES: dict[Any, str] = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
}  # fmt: skip

# ggml's types of a tensor: name, numbers in a block, bytes of a block.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}  # fmt: skip


class Tensor(NamedTuple):
    """One tensor of a file.

    Attributes:
        shape: fastest dimension first, as llama.cpp writes it.
        kind: ggml's name of its type; `type N` for one that is not known here.
        start: its first byte in the file.
        bytes: its length; 0 where the type is not known.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int
    bytes: int

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


class Bytes(Protocol):
    """What a header is read from: an open file, or one that lies elsewhere."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class Extent(NamedTuple):
    """A list of the metadata: the number of its type, its items, and the bytes of all of it."""

    kind: int
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A GGUF file without its weights.

    Attributes:
        metadata: single values by key, and the lists that were asked for.
        lengths: how many items each list of the metadata has, asked for or not.
        size: bytes of the file.
        extents: how long each list is that was not asked for.
    """

    version: int
    metadata: dict[str, Any]
    lengths: dict[str, int]
    tensors: tuple[Tensor, ...]
    size: int
    extents: Mapping[str, Extent] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        return sum(tensor.numbers for tensor in self.tensors)

    @property
    def bits(self) -> float | None:
        """Of a weight, all tensors together; None where a tensor's type is not known."""
        if not self.parameters or any(t.numbers and not t.bytes for t in self.tensors):
            return None
        return 8 * sum(tensor.bytes for tensor in self.tensors) / self.parameters


def read_metadata(path: Path, lists: Collection[str] = ()) -> dict[str, Any]:
    """The single values of a GGUF file's header, by key; and the lists whose keys are in `lists`.

    Raises:
        ModelError: no such file, not a GGUF file, or its header is damaged or cut off.
    """
    with _opened(path) as reader:
        return reader.header(lists)[0]


def read_gguf(path: Path, lists: Collection[str] = ()) -> GgufFile:
    """All that a GGUF file says before its weights, with the place of every tensor.

    Raises:
        ModelError: as `read_metadata`; or a tensor has no place in the file, or shares it.
    """
    with _opened(path) as reader:
        return reader.whole(lists)


def read_gguf_from(
    file: Bytes, name: str, size: int, lists: Collection[str] = (), like: GgufFile | None = None
) -> GgufFile:
    """`read_gguf` of a file that is open, and that need not be on this machine.

    Args:
        file: at its start; gives as many bytes as asked for.
        name: for people.
        size: bytes of the file.
        lists: keys of lists that are wanted.
        like: another file of the same model. A list with the type and the number of items that it
            has there is taken to be as long as there, and jumped over: a vocabulary has megabytes.
            Were it not so, what follows could not be read, or would not end where the file does.

    Raises:
        ModelError: as `read_gguf`.
        Exception: what `file` raises, other than OSError of this machine's files.
    """
    with _explained(name):
        reader = _Reader(file, name, size, like.extents if like else {})
        found = reader.whole(lists)
        if like and found.tensors:
            end = max(tensor.start + tensor.bytes for tensor in found.tensors)
            if size - end >= found.metadata.get("general.alignment", 32):
                raise _DamageError("its tensors do not end where the file does")
        return found


class _DamageError(Exception):
    """What is wrong, to be said after the file's name."""


@contextmanager
def _opened(path: Path) -> Iterator[_Reader]:
    try:
        with path.open("rb") as file, _explained(str(path)):
            yield _Reader(file, str(path), os.fstat(file.fileno()).st_size, {})
    except FileNotFoundError as error:
        raise ModelError(
            f"There is no file {path}.", "list what there is with `formosa models ls`"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} can't be read: {error.strerror}.") from error


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (_DamageError, UnicodeDecodeError, MemoryError, OverflowError) as error:
        what = "some text is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise ModelError(
            f"{name} is damaged or cut off: {what}.", "fetch or export it again"
        ) from error


class _Reader:
    """The file from its start on. Nothing is read that the file is too short for."""

    def __init__(self, file: Bytes, name: str, size: int, like: Mapping[str, Extent]) -> None:
        self._file, self._name, self.size, self._like = file, name, size, like
        self._extents: dict[str, Extent] = {}
        self.version = 0
        self._tensor_count = 0
        self._items = 0  # of lists, read or skipped

    def whole(self, lists: Collection[str]) -> GgufFile:
        metadata, lengths = self.header(lists)
        tensors = self.tensors(metadata.get("general.alignment", 32))
        return GgufFile(self.version, metadata, lengths, tensors, self.size, self._extents)

    def header(self, lists: Collection[str]) -> tuple[dict[str, Any], dict[str, int]]:
        if self._file.read(4) != b"GGUF":
            raise ModelError(
                f"{self._name} is not a GGUF file.",
                "llama.cpp reads only GGUF; see `formosa export gguf`",
            )
        (self.version,) = self._read("I")
        if self.version not in (2, 3):
            raise ModelError(f"{self._name} is GGUF version {self.version}; 2 and 3 are known.")
        self._tensor_count, count = self._read("QQ")
        if count > min(MOST_KEYS, self._left() // 13):
            raise _DamageError(f"it has no room for {count} keys")
        if self._tensor_count > min(MOST_TENSORS, self._left() // 24):
            raise _DamageError(f"it has no room for {self._tensor_count} tensors")
        values: dict[str, Any] = {}
        lengths: dict[str, int] = {}
        for _ in range(count):
            key = self._string()
            if key in values or key in lengths:
                raise _DamageError(f"the key {key[:80]!r} stands twice")
            (kind,) = self._read("I")
            if kind == _ARRAY and key in lists:
                values[key], lengths[key] = self._array(keep=True)
            elif kind == _ARRAY:
                lengths[key] = self._skipped(key)
            else:
                values[key] = self._string() if kind == _STRING else self._read(_form(kind))[0]
        return values, lengths

    def _skipped(self, key: str) -> int:
        """The length of a list that nobody asked for."""
        begin = self._file.tell()
        kind, items = self._read("IQ")
        known = self._like.get(key)
        if known and known[:2] == (kind, items) and known.bytes <= self.size - begin:
            self._file.seek(begin + known.bytes)
        else:
            self._file.seek(begin)
            self._array(keep=False)
        self._extents[key] = Extent(kind, items, self._file.tell() - begin)
        return int(items)

    def tensors(self, alignment: Any) -> tuple[Tensor, ...]:
        """Called after `header`."""
        if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20 or alignment % 8:
            raise _DamageError(f"{alignment!r} is no alignment")
        found: dict[str, Tensor] = {}
        for _ in range(self._tensor_count):
            name = self._string(LONGEST_NAME)
            if name in found:
                raise _DamageError(f"the tensor {name[:80]!r} stands twice")
            (dimensions,) = self._read("I")
            if dimensions > DIMENSIONS:
                raise _DamageError(f"the tensor {name[:80]!r} has {dimensions} dimensions")
            shape = self._read("Q" * dimensions)
            kind, offset = self._read("IQ")
            label, block, width = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
            length = -(-math.prod(shape) // block) * width
            found[name] = Tensor(name, shape, label, offset, length)
        begin = -(-self._file.tell() // alignment) * alignment
        placed = [t._replace(start=begin + t.start) for t in found.values()]
        end = begin
        for tensor in sorted(placed, key=lambda tensor: tensor.start):
            if tensor.start < end and tensor.bytes:
                raise _DamageError(f"the tensor {tensor.name[:80]!r} shares its place with another")
            end = max(end, tensor.start + tensor.bytes)
            if end > self.size:
                raise _DamageError(
                    f"the tensor {tensor.name[:80]!r} ends at byte {end}, the file at {self.size}"
                )
        return tuple(placed)

    def _left(self) -> int:
        return self.size - self._file.tell()

    def _read(self, form: str) -> tuple[Any, ...]:
        form = "<" + form
        length = struct.calcsize(form)
        data = self._file.read(length)
        if len(data) != length:
            raise _DamageError("its header does not end")
        return struct.unpack(form, data)

    def _string(self, longest: int = LONGEST_TEXT) -> str:
        (length,) = self._read("Q")
        if length > longest:
            raise _DamageError(f"a text of {length} bytes is longer than any")
        if length > 4096 and length > self._left():  # else the memory would be taken first
            raise _DamageError("its header does not end")
        data = self._file.read(length)
        if len(data) != length:
            raise _DamageError("its header does not end")
        return data.decode("utf-8")

    def _array(self, *, keep: bool, depth: int = 1) -> tuple[list[Any], int]:
        """The list (empty unless it is to be kept), and its length."""
        kind, length = self._read("IQ")
        form = "" if kind in (_STRING, _ARRAY) else _form(kind)
        width = struct.calcsize("<" + form) if form else 8 if kind == _STRING else 12
        self._items += length
        if length * width > self._left() or self._items > MOST_ITEMS:
            raise _DamageError(f"it has no room for a list of {length} items")
        if depth > DEEPEST:
            raise _DamageError(f"lists lie more than {DEEPEST} deep in each other")
        if form and keep:
            return list(self._read(f"{length}{form}")), length
        if form:
            self._file.seek(length * width, 1)
            return [], length
        found: list[Any] = []
        for _ in range(length):
            if kind == _ARRAY:
                item: Any = self._array(keep=keep, depth=depth + 1)[0]
            elif keep:
                item = self._string()
            else:
                item = None
                (size,) = self._read("Q")
                if size > self._left():
                    raise _DamageError("its header does not end")
                self._file.seek(size, 1)
            if keep:
                found.append(item)
        return found, length


def _form(kind: int) -> str:
    if kind not in _SCALARS:
        raise _DamageError(f"no value is of type {kind}")
    return _SCALARS[kind]
