"""An adapter in GGUF form says what the merged model says. Real llama.cpp."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import Sampling
from formosa.errors import UserError
from formosa.export.adapter import write_adapter
from formosa.export.gguf import write_gguf
from formosa.export.merge import merge
from formosa.export.shards import Shards, write_shards
from tiny_adapter import write_tiny_adapter
from tiny_gemma import write_tiny_gemma

pytestmark = pytest.mark.train
PROMPTS = ("<|im_start|>user\n台北的天氣如何？", "the weather 12", "get_weather city Taipei")


async def say(path: Path, adapters: dict[str, Path], count: int = 16) -> dict[str, list[str]]:
    """What the file writes greedily, alone (as "") and with each adapter."""
    engine = LlamaEngine(path, context=512, threads=1, adapters=adapters)
    sampling = Sampling(max_tokens=count)
    try:
        found = {}
        for name in ("", *adapters):
            asked = engine.with_adapter(name) if name else engine
            found[name] = [
                "".join([piece.text async for piece in asked.generate(prompt, sampling)])
                for prompt in PROMPTS
            ]
        return found
    finally:
        await engine.aclose()


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@pytest.mark.parametrize("changes", [{}, {"use_rslora": True, "rank_pattern": {}}])
def test_it_gives_the_words_of_the_merged_model(
    tiny_checkpoint: Path, tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    made = tiny_checkpoint if kind == "llama" else write_tiny_gemma(tmp_path / "made")
    base = in_float32(made, tmp_path / "base")
    adapter = write_tiny_adapter(base, tmp_path / "a", **changes)
    whole = write_gguf(merge(base, adapter, tmp_path / "m"), tmp_path / "m.gguf", "F32", name="m")
    plain = write_gguf(base, tmp_path / "b.gguf", "F32", name="b")
    thin = write_adapter(base, adapter, tmp_path / "a.gguf", name="a")
    said = asyncio.run(say(plain, {"a": thin}))
    assert said["a"] == asyncio.run(say(whole, {}))[""]
    assert said["a"] != said[""]


def in_float32(folder: Path, copy: Path) -> Path:
    """A merge keeps the base's precision; bfloat16 would turn near ties of random weights."""
    shutil.copytree(folder, copy)
    weights = Shards(folder)
    (copy / "model.safetensors").unlink()
    write_shards(copy, ((name, weights.read(name).float()) for name in weights.shapes))
    return copy


def test_several_adapters_share_a_base(tiny_checkpoint: Path, tmp_path: Path) -> None:
    base = write_gguf(tiny_checkpoint, tmp_path / "b.gguf", "Q8_0", name="b")
    files = {}
    for name, seed in {"one": 1, "two": 2}.items():
        adapter = write_tiny_adapter(tiny_checkpoint, tmp_path / name, seed=seed)
        files[name] = write_adapter(tiny_checkpoint, adapter, tmp_path / f"{name}.gguf", name=name)
    said = asyncio.run(say(base, files))
    assert len({tuple(texts) for texts in said.values()}) == 3


def test_what_is_written_is_what_llama_cpp_s_converter_writes(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    from gguf import GGUFReader

    adapter = write_tiny_adapter(
        tiny_checkpoint, tmp_path / "a", target_modules=["q_proj", "o_proj"]
    )
    reader = GGUFReader(
        write_adapter(
            tiny_checkpoint, adapter, tmp_path / "a.gguf", name="mine",
            metadata={"general.license": "apache-2.0"},
        )
    )  # fmt: skip
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.type"] == "adapter"
    assert fields["adapter.type"] == "lora"
    assert fields["adapter.lora.alpha"] == 16.0
    assert fields["general.architecture"] == "llama"
    assert (fields["general.name"], fields["general.license"]) == ("mine", "apache-2.0")
    shapes = {tensor.name: tuple(map(int, reversed(tensor.shape))) for tensor in reader.tensors}
    assert shapes == {
        f"blk.{i}.{part}.weight.lora_{side}": size
        for i in range(2)
        for part in ("attn_q", "attn_output")
        for side, size in (("a", (4, 64)), ("b", (64, 4)))
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainable_token_indices": {"embed_tokens": [1]}}, r"also changes model\.embed_tokens"),
        ({"modules_to_save": ["norm"]}, r"also changes .*layernorm.* and 4 more"),
        ({"alpha_pattern": {"q_proj": 3}}, "scales its layers differently"),
    ],
)
def test_what_has_no_place_in_it_is_refused(
    tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    adapter = write_tiny_adapter(tiny_checkpoint, tmp_path / "a", **changes)
    with pytest.raises(UserError, match=said) as error:
        write_adapter(tiny_checkpoint, adapter, tmp_path / "a.gguf", name="x")
    assert "formosa export merge" in error.value.hint
    assert not (tmp_path / "a.gguf").exists()


def test_ranks_may_differ_between_layers(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """llama.cpp divides by each matrix's own rank."""
    base = in_float32(tiny_checkpoint, tmp_path / "base")
    adapter = write_tiny_adapter(base, tmp_path / "a", rank_pattern={"q_proj": 2})
    thin = write_adapter(base, adapter, tmp_path / "a.gguf", name="a")
    plain = write_gguf(base, tmp_path / "b.gguf", "F32", name="b")
    merged = merge(base, adapter, tmp_path / "m")
    whole = write_gguf(merged, tmp_path / "m.gguf", "F32", name="m")
    said = asyncio.run(say(plain, {"a": thin}, count=4))
    assert said["a"] == asyncio.run(say(whole, {}, count=4))[""]
