"""Gemma 3 as GGUF: norms, windows, and a vocabulary of SentencePiece. Real llama.cpp."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from formosa.engines.llama import LlamaEngine
from formosa.errors import ParityError, UserError
from formosa.export.gguf import write_gguf
from formosa.export.parity import check_parity_now
from formosa.export.vocabulary import BYTE, CONTROL, NORMAL, UNUSED, USER_DEFINED
from formosa.files import read_json, write_json
from tiny_gemma import write_tiny_gemma

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gemma(tmp_path_factory.mktemp("gemma") / "checkpoint")


@pytest.fixture(scope="module")
def written(gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(gemma, tmp_path_factory.mktemp("gguf") / "m.gguf", "F32", name="tiny")


def fields_of(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


def test_it_says_what_the_checkpoint_says(gemma: Path, written: Path) -> None:
    """Also where the prompts are longer than the window of 16 tokens."""
    checks = check_parity_now(gemma, written)
    assert all(check.passed and check.compared > 10 for check in checks)


@pytest.mark.parametrize("level", ["Q8_0", "Q4_K_M", "Q4_0"])
def test_it_may_have_few_bits(gemma: Path, tmp_path: Path, level: Any) -> None:
    path = write_gguf(gemma, tmp_path / "m.gguf", level, name="tiny")
    assert all(check.passed for check in check_parity_now(gemma, path, greedy_tokens=4))


def test_llama_cpp_is_told_of_window_heads_and_end_of_turn(written: Path) -> None:
    fields = fields_of(written)
    assert fields["general.architecture"] == "gemma3"
    assert fields["gemma3.attention.sliding_window"] == 16
    assert fields["gemma3.attention.head_count_kv"] == 1
    assert fields["gemma3.attention.key_length"] == 32
    assert fields["gemma3.rope.freq_base"] == 1_000_000.0
    assert "gemma3.rope.freq_base_swa" not in fields  # as llama.cpp assumes it
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<end_of_turn>"
    assert tokens[fields["tokenizer.ggml.eot_token_id"]] == "<end_of_turn>"
    assert tokens[fields["tokenizer.ggml.bos_token_id"]] == "<bos>"
    assert fields["tokenizer.ggml.add_bos_token"] is False  # the template writes it


def test_tokens_have_the_types_and_order_of_sentencepiece(gemma: Path, written: Path) -> None:
    fields = fields_of(written)
    tokens, types, scores = (fields[f"tokenizer.ggml.{name}"] for name in
                             ("tokens", "token_type", "scores"))  # fmt: skip
    kinds = dict(zip(tokens, types, strict=True))
    assert kinds["<0x0A>"] == BYTE
    assert kinds["<start_of_turn>"] == CONTROL
    assert kinds["[multimodal]"] == USER_DEFINED
    assert kinds["  "] == USER_DEFINED  # a run of spaces is matched before it becomes ▁▁
    assert (kinds["▁"], types[-3:]) == (NORMAL, [UNUSED] * 3)
    content = json.loads((gemma / "tokenizer.json").read_text(encoding="utf-8"))
    order = list(dict.fromkeys("".join(pair) for pair in content["model"]["merges"]))
    known = {token: scores[i] for i, token in enumerate(tokens) if types[i] == NORMAL}
    found = [known[token] for token in order if token in known]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found) > 20


@pytest.mark.parametrize(
    "text", ["a  b   c    d", "台北🙂的\t天氣", "<end_of_turn>\n<bos>x", " x "]
)
def test_text_is_cut_as_the_checkpoint_cuts_it(gemma: Path, written: Path, text: str) -> None:
    from formosa.checkpoints import load_tokenizer

    async def ids() -> list[int]:
        engine = LlamaEngine(written, context=256, threads=1)
        try:
            return await engine.tokenize(text)
        finally:
            await engine.aclose()

    assert asyncio.run(ids()) == load_tokenizer(gemma).encode(text, add_special_tokens=False)


def test_other_windows_and_local_frequencies_are_said(tmp_path: Path) -> None:
    """llama.cpp takes every sixth layer and 10,000 for granted."""
    kinds = ["sliding_attention", "full_attention"] * 3
    folder = write_tiny_gemma(
        tmp_path / "c",
        layer_types=kinds,
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500_000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 20_000.0},
        },
    )
    path = write_gguf(folder, tmp_path / "m.gguf", "F32", name="x")
    fields = fields_of(path)
    assert fields["gemma3.rope.freq_base_swa"] == 20_000.0
    assert fields["gemma3.rope.scaling.factor"] == 8.0
    assert all(check.passed for check in check_parity_now(folder, path, greedy_tokens=8))


def test_layers_that_follow_no_rule_are_refused(gemma: Path, tmp_path: Path) -> None:
    folder = changed(gemma, tmp_path, layer_types=["full_attention", *["sliding_attention"] * 5])
    with pytest.raises(UserError, match="at equal distances"):
        write_gguf(folder, tmp_path / "m.gguf", "F32", name="x")


@pytest.mark.parametrize(
    "change",
    [{"query_pre_attn_scalar": 168}, {"final_logit_softcapping": 30.0},
     {"use_bidirectional_attention": True}],
)  # fmt: skip
def test_what_llama_cpp_computes_otherwise_is_refused(
    gemma: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = changed(gemma, tmp_path, **change)
    with pytest.raises(UserError, match="as llama.cpp's Gemma 3 does not"):
        write_gguf(folder, tmp_path / "m.gguf", "F32", name="x")
    assert not list(tmp_path.glob("*.gguf"))


def test_norms_without_their_one_are_found(
    gemma: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The classic mistake with this family: the file loads and talks nonsense."""
    import formosa.export.gguf as module

    monkeypatch.setattr(module, "as_stored", lambda values, name, config: values)
    path = write_gguf(gemma, tmp_path / "m.gguf", "F32", name="x")
    with pytest.raises(ParityError, match="greedy"):
        check_parity_now(gemma, path, greedy_tokens=8)


def test_another_normalizer_is_refused(gemma: Path, tmp_path: Path) -> None:
    folder = changed(gemma, tmp_path)
    content = read_json(folder / "tokenizer.json")
    content["normalizer"] = {"type": "Lowercase"}
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(UserError, match="changes text in ways that are unknown"):
        write_gguf(folder, tmp_path / "m.gguf", "F32", name="x")


def changed(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    import shutil

    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    write_json(copy / "config.json", {**read_json(copy / "config.json"), **changes})
    return copy


@pytest.mark.model
def test_gemma_270m_comes_back_as_it_was(tmp_path: Path) -> None:
    """The embedded file, unpacked and written again: the same tokens, types, order of scores and
    shapes; numbers as near as bfloat16 has them."""
    import numpy as np
    from gguf import GGUFReader
    from gguf.quants import dequantize

    from formosa.checkpoints import checkpoint_folder
    from formosa.models import pull

    model = pull("gemma-3-270m")
    path = write_gguf(checkpoint_folder(model), tmp_path / "m.gguf", "BF16", name="Gemma 3 270m")
    theirs, ours = fields_of(model.path), fields_of(path)
    assert {
        key.partition(".")[2]
        for key in theirs
        if key.startswith(("gemma3.", "tokenizer.")) and theirs[key] != ours.get(key)
    } == {
        "ggml.scores",  # other numbers in the same order
        "ggml.eos_token_id",  # the end of a turn
        "ggml.add_bos_token", "ggml.add_eos_token", "ggml.add_sep_token",
    }  # fmt: skip
    assert order_of(theirs) == order_of(ours)
    originals = {tensor.name: tensor for tensor in GGUFReader(model.path).tensors}
    for tensor in GGUFReader(path).tensors:
        original = originals.pop(tensor.name)
        before = dequantize(original.data, original.tensor_type)
        after = dequantize(tensor.data, tensor.tensor_type)
        assert before.shape == after.shape
        assert np.abs(before - after).max() <= 0.005 * np.abs(before).max(), tensor.name
    assert not originals


def order_of(fields: dict[str, Any]) -> list[int]:
    scores, types = fields["tokenizer.ggml.scores"], fields["tokenizer.ggml.token_type"]
    normal = [i for i, kind in enumerate(types) if kind == NORMAL]
    return sorted(normal, key=lambda i: -scores[i])
