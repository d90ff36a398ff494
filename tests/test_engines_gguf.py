"""The header of a GGUF file, read without numpy."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from formosa.engines.gguf import FILE_TYPES, read_metadata
from formosa.errors import ModelError


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_header(values: dict[str, str]) -> bytes:
    """The start of a GGUF file with texts in it, and no tensors."""
    pairs = (text(key) + struct.pack("<I", 8) + text(value) for key, value in values.items())
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(pairs)


HEADER = (
    b"GGUF"
    + struct.pack("<IQQ", 3, 0, 5)
    + (text("general.architecture") + struct.pack("<I", 8) + text("llama"))
    + (
        text("tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, 3)
        + b"".join(text(token) for token in ("<s>", "a", "台"))
    )
    + (text("tokenizer.ggml.scores") + struct.pack("<IIQ2f", 9, 6, 2, 0.5, 1.5))
    + (text("general.file_type") + struct.pack("<II", 4, 7))
    + (text("tokenizer.chat_template") + struct.pack("<I", 8) + text("{{ messages }}"))
)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


def test_single_values_are_read_and_lists_are_skipped(tmp_path: Path) -> None:
    values = read_metadata(written(tmp_path, HEADER + b"tensors"))
    assert values == {
        "general.architecture": "llama",
        "general.file_type": 7,
        "tokenizer.chat_template": "{{ messages }}",
    }
    assert FILE_TYPES[values["general.file_type"]] == "Q8_0"


def test_a_list_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    names = ("tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.merges")
    values = read_metadata(written(tmp_path, HEADER), names)
    assert values["tokenizer.ggml.tokens"] == ["<s>", "a", "台"]
    assert values["tokenizer.ggml.scores"] == [0.5, 1.5]
    assert "tokenizer.ggml.merges" not in values


def test_a_header_that_is_cut_off_anywhere_is_one_sentence(tmp_path: Path) -> None:
    """A download that stopped early is the usual reason."""
    for length in range(4, len(HEADER), 3):
        with pytest.raises(ModelError) as caught:
            read_metadata(written(tmp_path, HEADER[:length]), ("tokenizer.ggml.tokens",))
        assert "model.gguf" in str(caught.value)


def test_a_length_that_no_file_has_takes_no_memory(tmp_path: Path) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60)
    with pytest.raises(ModelError, match="damaged"):
        read_metadata(written(tmp_path, data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04", "not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (HEADER.replace(struct.pack("<I", 8), struct.pack("<I", 99), 1), "damaged"),
    ],
    ids=["empty", "a zip", "too old", "unknown type"],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read_metadata(written(tmp_path, data))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        read_metadata(tmp_path / "none.gguf")
    with pytest.raises(ModelError, match="can't be read"):
        read_metadata(tmp_path)
