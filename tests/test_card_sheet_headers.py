"""Headers of GGUF files on the hub: facts instead of names, and no more traffic than they need."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.card.sheet import Sheet, read_sheet
from formosa.card.sheet.memory import LLAMA_3B, USUAL, of_config, of_gguf, weights_at
from formosa.card.sheet.values import Architecture
from formosa.engines import gguf as reader
from formosa.engines.gguf import read_gguf
from formosa.engines.gguf_levels import Quantisation
from formosa.errors import DataError, ModelError
from formosa.files import read_json, sha256_text
from formosa.hub import FIRST_PIECE, RemoteFile, Wanted, explained
from model_hub import COMMIT, ModelHub, model_hub
from tiny_gguf import METADATA, TEMPLATE, TENSORS, gguf_bytes

REPO = "org/tiny-GGUF"
AT = Wanted(REPO, COMMIT)
NAMES = [f"word {'x' * (i % 40)}{i}" for i in range(30_000)]  # a vocabulary of a megabyte


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    with model_hub(REPO, tmp_path, monkeypatch) as made:
        yield made


def weights(kind: int = 7, words: Sequence[str] = NAMES) -> bytes:
    """A file of 1 million F32 weights with a large vocabulary; its file type stands behind it."""
    values = {key: value for key, value in METADATA.items() if key != "general.file_type"}
    values |= {"tokenizer.ggml.tokens": words, "general.file_type": kind}
    tensors = [("token_embd.weight", (1 << 20,), 0, bytes(4 << 20))]
    return gguf_bytes(metadata=values, tensors=tensors)


def fetched(hub: ModelHub, name: str) -> int:
    return sum(length for file, _, length in hub.pieces if file == name)


def sheet() -> Sheet:
    return read_sheet(f"hf:{REPO}")


def test_the_header_decides_and_not_the_name(hub: ModelHub) -> None:
    """Somebody renamed a file of 8 bits."""
    hub.parts = {"tiny-Q4_K_M.gguf": gguf_bytes()}
    found = sheet()
    (file,) = found.files
    assert (file.quantisation, file.named) == ("Q8_0", False)
    assert file.bits == pytest.approx((64 * 34 + 64 * 4) * 8 / 2112)
    assert found.problems == ()


def test_network_context_and_template_are_those_of_the_file(hub: ModelHub) -> None:
    hub.parts = {"tiny.gguf": gguf_bytes()}
    found = sheet()
    shape = found.architecture
    assert (shape.name, shape.context, shape.layers, shape.hidden) == ("llama", 4096, 2, 64)
    assert (shape.parameters, shape.vocabulary, shape.kv_heads) == (2112, 32, (2,))
    assert found.template is not None
    assert (found.template.where, found.template.sha256) == ("tiny.gguf", sha256_text(TEMPLATE))
    assert found.memory[0].cache[4096] == 4096 * 2 * 2 * 2 * 16 * 2


def test_heads_that_differ_by_layer_are_read(hub: ModelHub) -> None:
    """They are a list, which is skipped until it is known what it is called."""
    metadata = {**METADATA, "llama.attention.head_count_kv": [1, 2]}
    hub.parts = {"tiny.gguf": gguf_bytes(metadata=metadata)}
    assert sheet().architecture.kv_heads == (1, 2)


def test_the_vocabulary_is_read_once_and_weights_never(hub: ModelHub) -> None:
    hub.parts = {f"tiny-{n}.gguf": weights(kind) for n, kind in enumerate((7, 15, 18))}
    found = sheet()
    assert [file.quantisation for file in found.files] == ["Q8_0", "Q4_K_M", "Q6_K"]
    assert [file.bits for file in found.files] == [32.0] * 3
    vocabulary = sum(len(name) + 8 for name in NAMES)
    assert vocabulary <= fetched(hub, "tiny-0.gguf") < 2 * vocabulary + FIRST_PIECE
    for name in ("tiny-1.gguf", "tiny-2.gguf"):
        assert fetched(hub, name) <= 4 * FIRST_PIECE < vocabulary


def test_a_vocabulary_of_another_length_is_read_as_a_whole(hub: ModelHub) -> None:
    """Two models in one repository, by chance with as many words."""
    other = [name + "y" * (i % 7) for i, name in enumerate(NAMES)]
    hub.parts = {
        "a.gguf": weights(7),
        "b.gguf": weights(15, other),
    }
    found = sheet()
    assert [file.quantisation for file in found.files] == ["Q8_0", "Q4_K_M"]
    assert found.problems == ()


def test_parts_of_one_model_are_counted_together(hub: ModelHub) -> None:
    first = {**METADATA, "split.count": 2, "split.no": 0}
    hub.parts = {
        "big-00001-of-00002.gguf": gguf_bytes(metadata=first),
        "big-00002-of-00002.gguf": gguf_bytes(
            metadata={"split.count": 2, "split.no": 1}, tensors=TENSORS[:1]
        ),
    }
    found = sheet()
    assert found.architecture.parameters == 2112 + 2048
    assert found.architecture.context == 4096
    assert len(found.memory) == 1


def test_an_adapter_or_a_projector_is_not_the_model(hub: ModelHub) -> None:
    hub.parts = {
        "mmproj-tiny.gguf": gguf_bytes(metadata={"general.architecture": "clip"}),
        "tiny.gguf": weights(),
    }
    assert sheet().architecture.name == "llama"


def named(found: Sheet) -> list[tuple[str, bool, float | None]]:
    return [(file.quantisation, file.named, file.bits) for file in found.files]


@pytest.mark.parametrize(
    "damage", [b"GGUF", b"<html>", gguf_bytes()[:200], b"GGUF\3\0\0\0" + b"\xff" * 100]
)
def test_a_header_that_can_not_be_read_leaves_the_name_and_says_so(
    hub: ModelHub, damage: bytes
) -> None:
    hub.parts = {"tiny-Q4_K_M.gguf": damage}
    found = sheet()
    assert named(found) == [("Q4_K_M", True, None)]
    (problem,) = found.problems
    assert "The header of tiny-Q4_K_M.gguf can't be read" in problem


def test_a_server_that_sends_whole_files_is_not_waited_for(hub: ModelHub) -> None:
    hub.parts, hub.whole = {"tiny-Q4_K_M.gguf": weights()}, True
    found = sheet()
    assert named(found) == [("Q4_K_M", True, None)]
    assert "does not send parts of files" in found.problems[0]


def test_what_the_hub_refuses_is_one_problem(hub: ModelHub) -> None:
    hub.large = {"tiny-Q4_K_M.gguf": (10_000, "0" * 64)}
    (problem,) = sheet().problems
    assert "refused" in problem


def test_headers_are_bounded_by_number_and_by_bytes(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.parts = {f"tiny-{n}-Q4_0.gguf": gguf_bytes() for n in range(5)}
    monkeypatch.setattr("formosa.card.sheet.headers.MOST_FILES", 3)
    found = sheet()
    assert [file.named for file in found.files] == [False] * 3 + [True] * 2
    assert found.problems == ("The headers of 2 more GGUF files were not read.",)
    monkeypatch.setattr("formosa.card.sheet.headers.MOST_BYTES", 100)
    assert "more than 0 MiB of it would have to be fetched" in sheet().problems[0]


# -- a file in pieces -----------------------------------------------------------------------------


def test_a_remote_file_reads_as_a_file_does(hub: ModelHub) -> None:
    chance = random.Random(1)
    data = chance.randbytes(300_000)
    hub.parts = {"x.gguf": data}
    remote, local = RemoteFile(AT, "x.gguf", len(data)), io.BytesIO(data)
    assert remote.readable() and remote.seekable()
    for _ in range(300):
        step, place = chance.randrange(4), chance.randrange(len(data))
        if step == 0:
            assert remote.seek(place) == local.seek(place)
        elif step == 1:
            assert remote.seek(place - len(data), 2) == local.seek(place - len(data), 2)
        count = chance.choice((0, 1, 8, 500, 90_000))
        assert remote.read(count) == local.read(count)
        assert remote.tell() == local.tell()
    remote.seek(0)
    assert remote.read() == data


def test_pieces_grow_while_they_follow_each_other(hub: ModelHub) -> None:
    data = bytes(2 << 20)
    hub.parts = {"x.gguf": data}
    remote = RemoteFile(AT, "x.gguf", len(data))
    while remote.read(1000):
        pass
    assert len(hub.pieces) < 8
    assert remote.fetched < len(data) + 8 * 1000
    remote.seek(0)
    remote.read(1)
    assert hub.pieces[-1] == ("x.gguf", 0, FIRST_PIECE)


def test_a_file_that_is_shorter_than_was_said_is_an_error(hub: ModelHub) -> None:
    hub.parts = {"x.gguf": b"12345"}
    with pytest.raises(ModelError, match="10 bytes were asked for, and 5 came"), explained(AT):
        RemoteFile(AT, "x.gguf", 10).read(10)
    wanted = Wanted(REPO, COMMIT, "dataset")
    with pytest.raises(DataError), explained(wanted):
        RemoteFile(wanted, "x.gguf", 10).read(10)


@settings(deadline=None)
@given(st.data())
def test_no_damaged_header_with_a_like_one_is_a_crash(data: st.DataObject) -> None:
    whole = gguf_bytes()
    like = reader.read_gguf_from(io.BytesIO(whole), "like", len(whole))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = reader.read_gguf_from(io.BytesIO(damaged), "x", len(damaged), like=like)
    except ModelError:
        return
    assert found.size == len(whole)


def test_a_like_header_gives_the_same_file() -> None:
    whole = gguf_bytes()
    alone = reader.read_gguf_from(io.BytesIO(whole), "x", len(whole))
    again = reader.read_gguf_from(io.BytesIO(whole), "x", len(whole), like=alone)
    assert again == alone
    assert alone.extents["tokenizer.ggml.tokens"].items == 32


# -- sizes by tensor ------------------------------------------------------------------------------


def test_llama_3b_at_every_level_has_the_size_of_its_published_files() -> None:
    """unsloth's and bartowski's files of Llama 3.2 3B, without 8 MB of header."""
    published = {"BF16": 6.43, "Q8_0": 3.42, "Q6_K": 2.64, "Q5_K_M": 2.32, "Q4_K_M": 2.02}
    for level in USUAL:
        assert weights_at(LLAMA_3B, level) / 1e9 == pytest.approx(published[level], abs=0.012)


def test_a_network_of_another_layout_gets_the_bits_of_llama_3b() -> None:
    odd = Architecture(name="mamba", parameters=1_000_000)
    assert weights_at(odd, "BF16") == pytest.approx(2_000_000, rel=0.001)
    assert weights_at(odd, "Q8_0") * 8 / 1e6 == pytest.approx(8.5, abs=0.05)
    wrong = Architecture(**{**_fields(LLAMA_3B), "parameters": 2_000_000_000})
    assert weights_at(wrong, "Q8_0") == pytest.approx(2e9 * 8.5 / 8, rel=0.01)


def _fields(shape: Architecture) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in Architecture.__slots__}


@pytest.mark.train
@pytest.mark.parametrize("tied", [True, False])
def test_the_sizes_are_those_of_the_files_that_are_written(tmp_path: Path, tied: bool) -> None:
    """To the byte, at levels that mix types."""
    from formosa.chat.template import ChatTemplate
    from formosa.export.gguf import write_gguf
    from tiny import write_tiny_checkpoint

    checkpoint = write_tiny_checkpoint(
        tmp_path / "c", hidden_size=256, intermediate_size=512, num_hidden_layers=9,
        tie_word_embeddings=tied, vocab_size=512,
    )  # fmt: skip
    (checkpoint / "chat_template.jinja").write_text(ChatTemplate.formosa("chatml").source)
    shape = of_config(read_json(checkpoint / "config.json"))
    levels: tuple[Quantisation, ...] = ("Q8_0", "Q4_K_M") if tied else ("Q5_K_M",)
    for level in levels:
        path = write_gguf(checkpoint, tmp_path / f"{level}.gguf", level, name="x")
        found = read_gguf(path)
        assert weights_at(shape, level) == sum(tensor.bytes for tensor in found.tensors)
        again = of_gguf(found)
        assert (again.intermediate, again.tied) == (512, tied)
        assert weights_at(again, level) == weights_at(shape, level)
