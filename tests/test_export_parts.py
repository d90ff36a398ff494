"""The parts of the export by themselves: what they refuse, and what they say. No llama.cpp."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import ModelError, UserError
from formosa.export.architectures import (
    add_architecture,
    architecture_of,
    as_stored,
    is_tied,
    long_context_factors,
    tensors_of,
)
from formosa.export.gguf import add_values, encoded, whole_file
from formosa.export.lora import Adapter
from formosa.export.requantise import quantise_gguf
from formosa.export.shards import Shards, write_shards
from formosa.export.vocabulary import add_vocabulary
from formosa.files import read_json, write_json
from lora import write_lora

pytestmark = pytest.mark.train

LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 64,
    "num_hidden_layers": 6, "max_position_embeddings": 128, "intermediate_size": 96,
    "rms_norm_eps": 1e-5, "vocab_size": 10,
}  # fmt: skip
GEMMA: dict[str, Any] = {
    **LLAMA, "model_type": "gemma3_text", "head_dim": 256, "query_pre_attn_scalar": 256,
    "sliding_window": 512,
}  # fmt: skip


class Told:
    """Stands for gguf's writer: what it was told, by the method's name."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def tell(*values: Any) -> None:
            self.values[name.removeprefix("add_")] = values[0] if len(values) == 1 else values

        return tell


def told(config: dict[str, Any]) -> dict[str, Any]:
    writer = Told()
    add_architecture(writer, config)
    return writer.values


# -- architectures --------------------------------------------------------------------------------


def test_each_family_has_its_own_settings() -> None:
    llama, gemma = told(LLAMA), told(GEMMA)
    assert (llama["rope_dimension_count"], llama["vocab_size"]) == (16, 10)
    assert (llama["key_length"], gemma["key_length"]) == (16, 256)
    assert (llama["rope_freq_base"], gemma["rope_freq_base"]) == (10_000.0, 1_000_000.0)
    assert gemma["sliding_window"] == 512
    assert "sliding_window" not in llama
    assert not {"rope_dimension_count", "vocab_size"} & set(gemma)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, None),
        ({"sliding_window_pattern": 6}, None),
        ({"sliding_window_pattern": 3}, 3),
        ({"layer_types": ["sliding_attention", "full_attention"] * 3}, 2),
        ({"layer_types": [*["sliding_attention"] * 5, "full_attention"]}, None),
        ({"layer_types": ["sliding_attention"] * 4}, None),  # fewer layers than one period
    ],
)
def test_the_period_of_the_windows_is_said_where_it_is_unusual(
    config: dict[str, Any], wanted: int | None
) -> None:
    assert told({**GEMMA, **config}).get("sliding_window_pattern") == wanted


@pytest.mark.parametrize(
    ("rope", "whole", "local"),
    [
        ({"rope_theta": 5e5, "rope_local_base_freq": 2e4}, 5e5, 2e4),  # transformers 4
        ({"rope_parameters": {"full_attention": {"rope_theta": 5e5},
                              "sliding_attention": {"rope_theta": 2e4}}}, 5e5, 2e4),
        ({"rope_theta": 1e6, "rope_local_base_freq": 1e4}, 1e6, None),
    ],
)  # fmt: skip
def test_rotary_settings_are_found_where_any_version_wrote_them(
    rope: dict[str, Any], whole: float, local: float | None
) -> None:
    found = told({**GEMMA, **rope})
    assert found["rope_freq_base"] == whole
    assert found.get("rope_freq_base_swa") == local


def test_slowed_frequencies_of_an_unknown_kind_are_refused() -> None:
    yarn = {**LLAMA, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}
    with pytest.raises(UserError, match="type yarn can't be written"):
        long_context_factors(yarn)


def test_a_head_of_its_own_is_written_and_a_tied_one_is_not() -> None:
    shapes = {"model.embed_tokens.weight": (10, 64), "lm_head.weight": (10, 64)}
    untied = [t.name for t in tensors_of(shapes, LLAMA, Path("c"))]
    tied = [t.name for t in tensors_of(shapes, {**LLAMA, "tie_word_embeddings": True}, Path("c"))]
    assert (untied, tied) == (["token_embd.weight", "output.weight"], ["token_embd.weight"])
    assert is_tied(GEMMA)
    assert not is_tied(LLAMA)


def test_only_gemma_s_norms_are_stored_plus_one() -> None:
    import numpy as np

    ones = np.ones(4, dtype=np.float32)
    assert as_stored(ones, "blk.0.attn_norm.weight", GEMMA).tolist() == [2.0] * 4
    assert as_stored(ones, "blk.0.attn_v.weight", GEMMA) is ones
    assert as_stored(ones, "blk.0.attn_norm.weight", LLAMA) is ones


def test_an_unknown_architecture_names_what_can_be_written() -> None:
    with pytest.raises(UserError, match="only the Llama architecture and the text model of Gemma"):
        architecture_of({"model_type": "gemma3"}, Path("c"))
    assert architecture_of(LLAMA, Path("c")) == "llama"
    assert architecture_of(GEMMA, Path("c")) == "gemma3"


# -- tokens ---------------------------------------------------------------------------------------


def test_a_tokenizer_of_another_kind_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    content = read_json(folder / "tokenizer.json")
    # The kind alone: a real one would have to be learnt.
    vocabulary = list(content["model"]["vocab"])
    content["model"] = {"type": "WordLevel", "vocab": content["model"]["vocab"],
                        "unk_token": vocabulary[0]}  # fmt: skip
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(UserError, match="is WordLevel, neither byte-level BPE nor Gemma's"):
        add_vocabulary(Told(), folder)


def test_no_token_is_added_and_the_turn_s_end_ends_the_text(tiny_checkpoint: Path) -> None:
    writer = Told()
    add_vocabulary(writer, tiny_checkpoint)
    values = writer.values
    assert values["add_bos_token"] is False
    assert values["add_space_prefix"] is False
    assert values["token_list"][values["eos_token_id"]] == "<|im_end|>"
    assert values["token_list"][values["eot_token_id"]] == "<|im_end|>"
    assert len(values["token_list"]) == len(values["token_types"])
    assert all(merge.count(" ") == 1 for merge in values["token_merges"])


# -- weights --------------------------------------------------------------------------------------


def test_a_folder_without_weights_and_a_cut_file_are_said(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="holds no safetensors"):
        Shards(tmp_path)
    data = (tiny_checkpoint / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="is no whole safetensors file"):
        Shards(tmp_path)


def test_parts_end_before_they_grow_too_large(tmp_path: Path) -> None:
    import torch

    tensors = {f"t{i}": torch.full((4,), float(i)) for i in range(5)}  # 16 bytes each
    write_shards(tmp_path, tensors.items(), part=40)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"model-{n:05}-of-00003.safetensors" for n in (1, 2, 3)),
        "model.safetensors.index.json",
    ]
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert index["metadata"]["total_size"] == 80
    assert index["weight_map"]["t2"] == "model-00002-of-00003.safetensors"
    assert [float(Shards(tmp_path).read(name)[0]) for name in tensors] == [0, 1, 2, 3, 4]


def test_a_tensor_larger_than_a_part_has_one_of_its_own(tmp_path: Path) -> None:
    import torch

    write_shards(tmp_path, [("a", torch.ones(100)), ("b", torch.ones(1))], part=8)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_full_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch
    import torch

    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UserError, match="disk is full"):
        write_shards(tmp_path, [("a", torch.ones(1))])
    assert list(tmp_path.iterdir()) == []


# -- files ----------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "m.gguf"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert list((tmp_path / "deep").iterdir()) == []
    with whole_file(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"


def test_values_keep_their_kind() -> None:
    class Kinds(Told):
        def __getattr__(self, name: str) -> Any:
            return lambda key, value: self.values.setdefault(key, (name, value))

    writer = Kinds()
    add_values(writer, {"a": "text", "b": 3, "c": ("x", "y")})
    assert writer.values == {
        "a": ("add_string", "text"), "b": ("add_uint32", 3), "c": ("add_array", ["x", "y"]),
    }  # fmt: skip


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_never_written(value: float) -> None:
    import numpy as np

    with pytest.raises(UserError, match="x holds numbers that are infinite") as error:
        encoded(np.array([[1.0, value]], dtype=np.float32), "F16", "x")
    assert "training failed" in error.value.hint


def test_an_adapter_is_no_model_to_quantise(tmp_path: Path) -> None:
    path = write_lora(tmp_path / "a.gguf", rows=64, columns=96)
    with pytest.raises(ModelError, match="is no model, but adapter"):
        quantise_gguf(path, tmp_path / "m.gguf", "Q8_0")


# -- adapters -------------------------------------------------------------------------------------


def adapter_of(folder: Path, tensors: dict[str, Any], **config: Any) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "lora_alpha": 8, **config}
    (folder / "adapter_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2.0),  # 8 / 4
        ({"use_rslora": True}, 4.0),  # 8 / √4
        ({"alpha_pattern": {"q_proj": 2}}, 0.5),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 4}}, 1.0),
        ({"alpha_pattern": {"roj": 2}}, 2.0),  # no whole part of the name
    ],
)
def test_the_scale_is_that_of_peft(tmp_path: Path, config: dict[str, Any], scale: float) -> None:
    import torch

    module = "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{module}.lora_A.weight": torch.ones(4, 6),
               f"{module}.lora_B.weight": torch.ones(5, 4)}  # fmt: skip
    found = Adapter(adapter_of(tmp_path / "a", tensors, **config))
    assert list(found.pairs) == ["model.layers.0.self_attn.q_proj.weight"]
    assert found.pairs["model.layers.0.self_attn.q_proj.weight"].scale == scale


def test_adapters_of_embeddings_are_refused(tmp_path: Path) -> None:
    """They multiply the other way round."""
    import torch

    tensors = {"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 6)}
    with pytest.raises(UserError, match=r"changes model\.embed_tokens\.lora_embedding_A"):
        Adapter(adapter_of(tmp_path / "a", tensors))


def test_rows_are_listed_by_module_or_for_all(tmp_path: Path) -> None:
    import torch

    name = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    for number, listed in enumerate(([3, 5], {"embed_tokens": [3, 5]})):
        folder = adapter_of(
            tmp_path / str(number), {name: torch.ones(2, 6)}, trainable_token_indices=listed
        )
        assert Adapter(folder).rows == {"model.embed_tokens.weight": (name, [3, 5])}


# -- a run with several files ---------------------------------------------------------------------


def test_a_run_with_levels_is_served_with_the_first(tmp_path: Path) -> None:
    from formosa.models import resolve

    folder = tmp_path / "gguf"
    folder.mkdir()
    for level in ("F16", "Q8_0"):
        (folder / f"model-{level}.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="holds several models"):
        resolve(str(tmp_path))
    write_json(folder / "levels.json", {"levels": [{"file": "model-Q8_0.gguf"}]})
    assert resolve(str(tmp_path)).path == folder / "model-Q8_0.gguf"
    all_damaged: list[Any] = [{"levels": []}, {"levels": [{"file": "gone"}]}, [], {"levels": [3]}]
    for damaged in all_damaged:
        write_json(folder / "levels.json", damaged)
        with pytest.raises(ModelError, match="holds several models"):
            resolve(str(tmp_path))
    write_json(folder / "levels.json", {"levels": [{"file": "../../model-F16.gguf"}]})
    assert resolve(str(tmp_path)).path == folder / "model-F16.gguf"  # a name, never a path
