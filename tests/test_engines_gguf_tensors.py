"""Tensors of a GGUF file, and files that were made to harm: one sentence, never a crash."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from formosa.engines.gguf import MOST_ITEMS, TENSOR_TYPES, read_gguf, read_metadata
from formosa.errors import ModelError
from tiny_gguf import METADATA, TENSORS, gguf_bytes, text, write_gguf_file

WHOLE = gguf_bytes()
# Every byte of the sizes and names; the last tensor's padding says nothing.
LAST_BYTE = len(WHOLE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_gguf(path, ("tokenizer.ggml.tokens", "general.languages"))
    assert "model.gguf" in caught.value.message
    assert len(caught.value.message) < 400
    return caught.value.message


def test_tensors_have_a_shape_a_type_and_a_place(path: Path) -> None:
    file = read_gguf(write_gguf_file(path), ("general.languages",))
    embedding, norm = file.tensors
    assert (embedding.shape, embedding.kind, embedding.bytes) == ((64, 32), "Q8_0", 2176)
    assert embedding.start % 32 == 0
    assert WHOLE[embedding.start : embedding.start + 4] == b"\x00\x01\x02\x03"
    assert (norm.start, norm.bytes) == (embedding.start + 2176, 256)
    assert file.parameters == 64 * 32 + 64
    assert file.metadata["general.languages"] == ["en", "zh"]
    assert file.lengths == {
        "general.languages": 2,
        "tokenizer.ggml.tokens": 32,
        "tokenizer.ggml.scores": 2,
    }
    assert (file.version, file.size) == (3, len(WHOLE))


def test_an_alignment_of_its_own_is_followed(path: Path) -> None:
    write_gguf_file(path, metadata={**METADATA, "general.alignment": 128}, alignment=128)
    assert all(tensor.start % 128 == 0 for tensor in read_gguf(path).tensors)


def test_a_type_that_is_not_known_is_named_and_has_no_size(path: Path) -> None:
    """llama.cpp gets new ones each year: the rest of the sheet can still be read."""
    write_gguf_file(path, tensors=[("x", (64,), 99, bytes(64))])
    (tensor,) = read_gguf(path).tensors
    assert (tensor.kind, tensor.bytes, tensor.numbers) == ("type 99", 0, 64)


def test_a_file_that_is_cut_off_anywhere_is_refused(path: Path) -> None:
    for length in range(4, LAST_BYTE - 256, 17):
        assert "damaged or cut off" in refused(path, WHOLE[:length])
    last = refused(path, WHOLE[:-1])
    assert "'output_norm.weight' ends at byte" in last


def head(tensors: int, keys: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)


def listed(kind: int, length: int) -> bytes:
    return head(0, 1) + text("k") + struct.pack("<IIQ", 9, kind, length)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "keys": (head(0, 2**63), "no room for 9223372036854775808 keys"),
    "tensors": (head(2**40, 0), "no room for 1099511627776 tensors"),
    "text": (head(0, 1) + struct.pack("<Q", 2**60) + bytes(20), "longer than any"),
    "list of bytes": (listed(0, 2**62) + bytes(9), "no room for a list"),
    "list of texts": (listed(8, 2**50) + bytes(9), "no room for a list"),
    "lists": (listed(9, 2**50) + bytes(20), "no room for a list"),
    "overflowing list": (listed(10, 2**61 + 1) + bytes(9), "no room for a list"),
    "type": (listed(77, 1) + bytes(9), "no value is of type 77"),
    "item of a list": (
        listed(8, 1) + struct.pack("<Q", 2**62) + bytes(9),
        "longer than any|does not end",
    ),
    "long text": (head(0, 1) + struct.pack("<Q", 60 << 20) + bytes(20), "does not end"),
    "nested": (
        listed(9, 1) + struct.pack("<IQ", 9, 1) * 2000 + struct.pack("<IQ", 0, 0),
        "deep in each other",
    ),
    "not UTF-8": (head(0, 1) + struct.pack("<Q", 2) + b"\xff\xfe" + bytes(20), "not UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("lists", [(), ("k",)])
def test_a_hostile_header_takes_no_memory(path: Path, name: str, lists: tuple[str, ...]) -> None:
    data, words = HOSTILE[name]
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=words):
            read_metadata(path, lists)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_lists_in_lists_can_not_multiply(path: Path) -> None:
    """A thousand lists, each of which claims what the file could just hold."""
    one = struct.pack("<IQ", 0, 20_000)
    data = listed(9, 1000) + (one + bytes(20_000)) * 1000
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no room for a list"):
        read_metadata(path)
    assert MOST_ITEMS < 20_000 * 1000


def test_a_key_or_a_tensor_that_stands_twice_is_refused(path: Path) -> None:
    """Readers disagree on which one counts."""
    pair = text("k") + struct.pack("<II", 4, 1)
    assert "'k' stands twice" in refused(path, head(0, 2) + pair + pair)
    twice = gguf_bytes(tensors=[TENSORS[1], TENSORS[1]])
    assert "'output_norm.weight' stands twice" in refused(path, twice)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (("x", (2**62, 8), 0, b""), "ends at byte"),
        (("x", (1, 1, 1, 1, 1), 0, bytes(4)), "5 dimensions"),
        (("x" * 2000, (1,), 0, bytes(4)), "longer than any"),
    ],
)
def test_a_tensor_that_has_no_place_is_refused(path: Path, tensor: Any, words: str) -> None:
    assert words in refused(path, gguf_bytes(tensors=[tensor]))


def test_tensors_that_share_bytes_are_refused(path: Path) -> None:
    second = WHOLE.index(text("output_norm.weight")) + len(text("output_norm.weight")) + 4 + 8 + 4
    data = WHOLE[:second] + struct.pack("<Q", 32) + WHOLE[second + 8 :]
    assert "shares its place" in refused(path, data)


@pytest.mark.parametrize("alignment", [0, 7, 2**30, "32", True])
def test_what_is_no_alignment_is_refused(path: Path, alignment: Any) -> None:
    data = gguf_bytes({**METADATA, "general.alignment": alignment})
    assert "no alignment" in refused(path, data)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=9)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, len(WHOLE)),
)
def test_no_mutation_of_a_real_file_is_a_crash(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[int, bytes]],
    length: int,
) -> None:
    data = bytearray(WHOLE)
    for position, new in changes:
        data[position : position + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    for content in (data, data[:length]):
        path.write_bytes(content)
        for lists in ((), METADATA):
            try:
                read_gguf(path, lists)
            except ModelError as error:
                assert error.message


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_at_all_are_a_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + data)
    try:
        read_gguf(path, ("k",))
    except ModelError as error:
        assert "any.gguf" in error.message


@pytest.mark.train
def test_types_have_the_sizes_that_llama_cpp_gives_them() -> None:
    gguf: Any = pytest.importorskip("gguf")
    known = {
        int(kind): (kind.name, *sizes)
        for kind, sizes in gguf.GGML_QUANT_SIZES.items()
        if int(kind) in TENSOR_TYPES
    }
    assert known == TENSOR_TYPES


@pytest.mark.train
def test_the_package_of_llama_cpp_reads_the_same(path: Path) -> None:
    gguf: Any = pytest.importorskip("gguf")
    theirs = gguf.GGUFReader(write_gguf_file(path))
    ours = read_gguf(path, METADATA)
    assert {t.name: (t.n_elements, t.n_bytes, t.data_offset) for t in theirs.tensors} == {
        t.name: (t.numbers, t.bytes, t.start) for t in ours.tensors
    }
    for key, value in ours.metadata.items():
        assert theirs.fields[key].contents() == value
