"""Levels below 8 bits: laid out by llama.cpp's rules, made by its own code, read by its server."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from formosa.engines.gguf import read_metadata
from formosa.engines.gguf_levels import BLOCK, LEVELS, type_of
from formosa.engines.llama import LlamaEngine
from formosa.errors import ModelError, UserError
from formosa.export import native
from formosa.export.gguf import write_gguf
from formosa.export.native import quantise, read_logits
from formosa.export.requantise import quantise_gguf

pytestmark = pytest.mark.train
BELOW = ("Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")


def kinds_of(path: Path) -> dict[str, str]:
    from gguf import GGUFReader

    return {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(path).tensors}


def bytes_of(path: Path) -> dict[str, bytes]:
    from gguf import GGUFReader

    return {tensor.name: tensor.data.tobytes() for tensor in GGUFReader(path).tensors}


def types(name: str, level: Any, layers: int, width: int = 2048, tied: bool = True) -> list[str]:
    return [
        type_of(name.format(i), (256, width), level, layers=layers, tied=tied)
        for i in range(layers)
    ]


# -- which type ----------------------------------------------------------------------------------


def test_q4_k_m_gives_more_bits_to_some_layers() -> None:
    """Llama 3.2 3B's 28 layers, as llama.cpp's own files of it have them."""
    more = [
        i for i, kind in enumerate(types("blk.{}.attn_v.weight", "Q4_K_M", 28)) if kind != "Q4_K"
    ]
    assert more == [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    assert types("blk.{}.ffn_down.weight", "Q4_K_M", 28) == types(
        "blk.{}.attn_v.weight", "Q4_K_M", 28
    )
    assert set(types("blk.{}.ffn_up.weight", "Q4_K_M", 28)) == {"Q4_K"}


@pytest.mark.parametrize(
    ("level", "tied", "embedding", "output", "values", "gate"),
    [
        ("Q4_K_M", True, "Q6_K", None, {"Q6_K", "Q4_K"}, "Q4_K"),
        ("Q4_K_M", False, "Q4_K", "Q6_K", {"Q6_K", "Q4_K"}, "Q4_K"),
        ("Q5_K_M", True, "Q6_K", None, {"Q6_K", "Q5_K"}, "Q5_K"),
        ("Q6_K", False, "Q6_K", "Q6_K", {"Q6_K"}, "Q6_K"),
        ("Q4_0", True, "Q6_K", None, {"Q4_0"}, "Q4_0"),
        ("Q4_0", False, "Q4_0", "Q6_K", {"Q4_0"}, "Q4_0"),
        ("Q8_0", False, "Q8_0", "Q8_0", {"Q8_0"}, "Q8_0"),
        ("F16", False, "F16", "F16", {"F16"}, "F16"),
    ],
)
def test_the_output_is_kept_better(
    level: Any, tied: bool, embedding: str, output: str | None, values: set[str], gate: str
) -> None:
    shape = (1000, 2048)
    assert type_of("token_embd.weight", shape, level, layers=16, tied=tied) == embedding
    if output:
        assert type_of("output.weight", shape, level, layers=16, tied=tied) == output
    assert set(types("blk.{}.attn_v.weight", level, 16)) == values
    assert type_of("blk.0.ffn_gate.weight", shape, level, layers=16, tied=tied) == gate


@pytest.mark.parametrize(
    ("level", "width", "wanted"),
    [
        ("Q4_K_M", 576, "Q5_0"),
        ("Q5_K_M", 576, "Q5_1"),
        ("Q6_K", 576, "Q8_0"),
        ("Q4_0", 576, "Q4_0"),
        ("Q4_K_M", 48, "F16"),
    ],
)
def test_widths_that_do_not_fit_fall_back(level: Any, width: int, wanted: str) -> None:
    assert set(types("blk.{}.attn_q.weight", level, 4, width)) == {wanted}


@pytest.mark.parametrize("level", ["Q8_0", "Q4_0"])
def test_where_nothing_fits_it_is_said(level: Any) -> None:
    with pytest.raises(UserError, match=f"rows of 48 numbers, which {level}"):
        types("blk.{}.attn_q.weight", level, 4, 48)


@pytest.mark.parametrize("level", LEVELS)
def test_norms_factors_and_biases_are_never_quantised(level: Any) -> None:
    for name, shape in {
        "blk.0.attn_norm.weight": (64,),
        "rope_freqs.weight": (32,),
        "blk.0.attn_q.bias": (64,),
        "blk.0.attn_q_norm.weight": (2, 32),
    }.items():
        assert type_of(name, shape, level, layers=4, tied=True) == "F32"


def test_block_sizes_are_those_of_gguf() -> None:
    import gguf

    for name, block in BLOCK.items():
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]][0] == block
    for level, about in LEVELS.items():
        wanted = "ALL_F32" if level == "F32" else f"MOSTLY_{level}"
        assert about.file_type == gguf.LlamaFileType[wanted]


@pytest.mark.model
def test_q4_k_m_of_gemma_is_laid_out_as_llama_cpp_s_own_file() -> None:
    """The embedded file was made by llama.cpp's tool."""
    from gguf import GGUFReader

    from formosa.models import pull

    for tensor in GGUFReader(pull("gemma-3-270m").path).tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        ours = type_of(tensor.name, shape, "Q4_K_M", layers=18, tied=True)
        assert ours == tensor.tensor_type.name, tensor.name


# -- the bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Q4_0", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def test_what_is_quantised_comes_back_nearly(name: str) -> None:
    import gguf
    import numpy as np
    from gguf.quants import dequantize

    values = np.random.default_rng(1).standard_normal((8, 512)).astype(np.float32)
    again = dequantize(quantise(values, name), gguf.GGMLQuantizationType[name])
    assert again.shape == values.shape
    worst = {"4": 0.45, "5": 0.25, "6": 0.12, "8": 0.03}[name[1]]
    assert np.abs(again - values).max() < worst
    assert np.abs(again - values).mean() < worst / 4


def test_q8_0_is_the_same_from_numpy_and_from_llama_cpp() -> None:
    import gguf
    import numpy as np
    from gguf.quants import quantize

    values = np.random.default_rng(2).standard_normal((16, 256)).astype(np.float32)
    numpys = quantize(values, gguf.GGMLQuantizationType.Q8_0)
    assert (quantise(values, "Q8_0") == numpys).all()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Widths of 256, so that K-quants fit."""
    from formosa.checkpoints import load_tokenizer
    from formosa.files import write_text
    from tiny import write_tiny_checkpoint

    folder = write_tiny_checkpoint(
        tmp_path_factory.mktemp("wide") / "checkpoint",
        hidden_size=256, intermediate_size=512, num_attention_heads=8,
    )  # fmt: skip
    tokenizer = load_tokenizer(folder)
    tokenizer.save_pretrained(folder)
    write_text(folder / "chat_template.jinja", tokenizer.chat_template)
    return folder


@pytest.fixture(scope="module")
def half(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(wide, tmp_path_factory.mktemp("half") / "m-F16.gguf", "F16", name="wide")


async def greedy(path: Path, count: int = 8) -> list[int]:
    engine = LlamaEngine(path, context=256, threads=1)
    try:
        return await engine.greedy(await engine.tokenize("台北 the weather"), count)
    finally:
        await engine.aclose()


@pytest.mark.parametrize("level", BELOW)
def test_a_level_is_the_same_from_the_checkpoint_and_from_f16(
    wide: Path, half: Path, tmp_path: Path, level: Any
) -> None:
    """And llama.cpp loads it and speaks."""
    direct = write_gguf(wide, tmp_path / "direct.gguf", level, name="wide")
    again = quantise_gguf(half, tmp_path / "again.gguf", level)
    assert bytes_of(direct) == bytes_of(again)
    assert direct.read_bytes() == again.read_bytes()
    assert again.stat().st_size < half.stat().st_size / 1.8
    used = Counter(kinds_of(again).values())
    assert {"F32", LEVELS[level].most} <= set(used)
    assert read_metadata(again)["general.file_type"] == LEVELS[level].file_type
    assert asyncio.run(greedy(again))


def test_the_header_is_copied_whole(half: Path, tmp_path: Path) -> None:
    from gguf import GGUFReader

    def fields(path: Path) -> dict[str, Any]:
        return {name: field.contents() for name, field in GGUFReader(path).fields.items()}

    before, after = fields(half), fields(quantise_gguf(half, tmp_path / "m.gguf", "Q4_K_M"))
    assert {key for key in before if before[key] != after.get(key)} == {"general.file_type"}
    assert list(before) == list(after)


def test_going_down_twice_must_be_asked_for(half: Path, tmp_path: Path) -> None:
    low = quantise_gguf(half, tmp_path / "low.gguf", "Q4_0")
    with pytest.raises(UserError, match=r"low\.gguf is Q4_0 already") as error:
        quantise_gguf(low, tmp_path / "lower.gguf", "Q4_K_M")
    assert "--twice" in error.value.hint
    quantise_gguf(low, tmp_path / "lower.gguf", "Q4_K_M", twice=True)


def test_a_file_can_t_replace_its_own_source(half: Path) -> None:
    before = half.read_bytes()
    with pytest.raises(UserError, match="take the place"):
        quantise_gguf(half, half, "Q4_0")
    assert half.read_bytes() == before


@pytest.mark.parametrize("kept", [3, 40, 3000])
def test_a_cut_file_is_a_sentence(half: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(half.read_bytes()[:kept])
    with pytest.raises(ModelError):
        quantise_gguf(path, tmp_path / "m.gguf", "Q4_0")
    path.write_bytes(half.read_bytes()[:-5000])  # the header is whole, the numbers are not
    with pytest.raises(ModelError, match="not a whole GGUF file"):
        quantise_gguf(path, tmp_path / "m.gguf", "Q4_0")
    assert not (tmp_path / "m.gguf").exists()


def test_numbers_that_are_none_are_refused(wide: Path, tmp_path: Path) -> None:
    """A training that went to NaN must not become a file."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "c"
    shutil.copytree(wide, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"blk\.1\.ffn_up\.weight holds numbers that are"):
        write_gguf(folder, tmp_path / "m.gguf", "Q4_K_M", name="x")


def test_without_llama_cpp_the_command_to_install_it_is_said(
    wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setitem(sys.modules, "xllamacpp.xllamacpp", None)
    native._library.cache_clear()
    try:
        with pytest.raises(UserError, match="need llama.cpp") as error:
            write_gguf(wide, tmp_path / "m.gguf", "Q4_K_M", name="x")
        assert error.value.hint == "pip install 'formosa-lm[llama]'"
        write_gguf(wide, tmp_path / "m.gguf", "Q8_0", name="x")  # which gguf does alone
    finally:
        native._library.cache_clear()


# -- what a file thinks --------------------------------------------------------------------------


def test_logits_are_those_that_the_server_follows(half: Path) -> None:
    async def ids() -> tuple[list[int], list[int]]:
        engine = LlamaEngine(half, context=256, threads=1)
        try:
            prompt = await engine.tokenize("台北 the weather")
            return prompt, await engine.greedy(prompt, 6)
        finally:
            await engine.aclose()

    prompt, words = asyncio.run(ids())
    read = [int(logits.argmax()) for logits, _ in read_logits(half, prompt + words)]
    assert read[len(prompt) - 1 : -1] == words


def test_logits_are_those_of_transformers(wide: Path, half: Path) -> None:
    import numpy as np
    import torch

    from formosa.checkpoints import load_weights

    ids = [5, 300, 17, 42, 9]
    with torch.no_grad():
        wanted = load_weights(wide, dtype="float32")(torch.tensor([ids])).logits[0].numpy()
    read = np.stack([logits.copy() for logits, _ in read_logits(half, ids)])
    assert read.shape == wanted.shape
    assert np.abs(read - wanted).max() < 0.02
    assert all(seconds > 0 for _, seconds in read_logits(half, ids))


def test_what_llama_cpp_can_t_load_is_a_sentence(
    half: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(half.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"can't load .*cut\.gguf"):
        list(read_logits(path, [1]))
    list(read_logits(half, [1]))
    assert capfd.readouterr() == ("", ""), "llama.cpp's log is not ours"


@pytest.mark.model
def test_smollm2_speaks_at_q4_k_m(tmp_path: Path) -> None:
    """Its rows of 576 fit no K-quants, so most matrices fall back as llama.cpp's own files do."""
    from formosa.checkpoints import checkpoint_folder
    from formosa.models import pull

    folder = checkpoint_folder(pull("smollm2-135m"))
    path = write_gguf(folder, tmp_path / "m.gguf", "Q4_K_M", name="smollm2")
    used = Counter(kinds_of(path).values())
    assert used == {"Q5_0": 166, "F32": 61, "Q4_K": 16, "Q8_0": 15, "Q6_K": 14}

    async def said() -> str:
        engine = LlamaEngine(path, context=256)
        try:
            prompt = await engine.tokenize("The capital of France is")
            words = await engine.greedy(prompt, 3)
        finally:
            await engine.aclose()
        return "".join(engine._vocabulary.written(word).decode() for word in words)

    assert "Paris" in asyncio.run(said())
