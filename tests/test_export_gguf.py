"""What `formosa export` writes, and whether its parity check can be fooled. Real llama.cpp."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import ParityError, UserError
from formosa.export.gguf import write_gguf
from formosa.export.parity import TIE, check_parity_now
from formosa.files import read_json, write_json

pytestmark = pytest.mark.train


def fields_of(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


@pytest.mark.parametrize("quantisation", list(TIE))
def test_every_quantisation_says_what_the_checkpoint_says(
    tiny_checkpoint: Path, tmp_path: Path, quantisation: Any
) -> None:
    path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", quantisation, name="tiny")
    checks = check_parity_now(tiny_checkpoint, path, report=tmp_path / "parity.json")
    assert [check.name for check in checks] == ["template", "tokens", "greedy", "divergence"]
    assert all(check.passed and check.compared > 10 for check in checks)
    report = read_json(tmp_path / "parity.json")
    assert report["quantisation"] == quantisation
    assert len(report["sha256"]) == 64


def test_the_file_carries_template_stop_token_and_provenance(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = write_gguf(
        tiny_checkpoint,
        tmp_path / "m.gguf",
        "F16",
        name="tiny",
        metadata={"general.license": "apache-2.0", "formosa.recipe.sha256": "ab"},
    )
    fields = fields_of(path)
    template = (tiny_checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    assert fields["tokenizer.chat_template"] == template
    tokens = fields["tokenizer.ggml.tokens"]
    assert tokens[fields["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[fields["tokenizer.ggml.eot_token_id"]] == "<|im_end|>"
    assert tokens[fields["tokenizer.ggml.padding_token_id"]] == "<|endoftext|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["tokenizer.ggml.pre"] == "smollm"
    assert fields["general.license"] == "apache-2.0"
    assert fields["formosa.recipe.sha256"] == "ab"
    assert fields["llama.attention.head_count_kv"] == 2


def test_long_context_factors_and_untied_heads_are_kept(tmp_path: Path) -> None:
    """Llama 3.2's shape: slowed-down frequencies, and a head of its own."""
    from formosa.checkpoints import load_tokenizer
    from formosa.files import write_text
    from tiny import write_tiny_checkpoint

    folder = write_tiny_checkpoint(
        tmp_path / "c",
        tie_word_embeddings=False,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    tokenizer = load_tokenizer(folder)
    tokenizer.save_pretrained(folder)
    write_text(folder / "chat_template.jinja", tokenizer.chat_template)
    path = write_gguf(folder, tmp_path / "m.gguf", "F32", name="tiny")
    assert all(check.passed for check in check_parity_now(folder, path))


def test_another_architecture_is_refused_with_what_to_do(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", {**config, "model_type": "gpt2"})
    with pytest.raises(UserError, match="gpt2 model; only the Llama architecture and") as error:
        write_gguf(folder, tmp_path / "m.gguf", "F16", name="x")
    assert "convert_hf_to_gguf" in error.value.hint
    assert not list(tmp_path.glob("*.gguf"))


def test_an_unknown_pre_tokenizer_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["pre_tokenizer"] = {"type": "Whitespace"}
    write_json(folder / "tokenizer.json", content)
    with pytest.raises(UserError, match="pre-tokenizer of .* is unknown"):
        write_gguf(folder, tmp_path / "m.gguf", "F16", name="x")


class TestParityFinds:
    """Each kind of damage that a file has been seen to suffer elsewhere."""

    def test_a_changed_template(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F16", name="x")
        other = tmp_path / "other"
        shutil.copytree(tiny_checkpoint, other)
        source = (other / "chat_template.jinja").read_text(encoding="utf-8")
        (other / "chat_template.jinja").write_text(source + " ", encoding="utf-8")
        with pytest.raises(ParityError, match="carries another template"):
            check_parity_now(other, path)

    def test_a_tokenizer_with_other_rules_for_digits(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        """What transformers makes of SmolLM2's GGUF file: plain byte-level BPE."""
        path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F16", name="x")
        other = tmp_path / "other"
        shutil.copytree(tiny_checkpoint, other)
        content = json.loads((other / "tokenizer.json").read_text(encoding="utf-8"))
        unused = "".join(content["model"]["merges"].pop())
        content["model"]["merges"].append(["1", "2"])
        content["model"]["vocab"]["12"] = content["model"]["vocab"].pop(unused)
        content["pre_tokenizer"] = content["pre_tokenizer"]["pretokenizers"][1]
        write_json(other / "tokenizer.json", content)
        with pytest.raises(ParityError, match="tokens: other ids near"):
            check_parity_now(other, path)

    def test_rows_in_the_wrong_order(
        self, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The permutation of the query rows left out: the file loads, and talks nonsense."""
        import formosa.export.gguf as module

        monkeypatch.setattr(module, "as_stored", lambda values, name, config: values)
        path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F32", name="x")
        report = tmp_path / "parity.json"
        with pytest.raises(ParityError, match="greedy: after"):
            check_parity_now(tiny_checkpoint, path, report=report)
        assert [c["passed"] for c in read_json(report)["checks"]] == [True, True, False, False]


def test_a_full_disk_leaves_the_old_file(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    import formosa.export.gguf as module

    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_tensors", full)
    with pytest.raises(UserError, match="disk is full"):
        write_gguf(tiny_checkpoint, path, "F16", name="x")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


# -- what is written ------------------------------------------------------------------------------


def tensors_of(path: Path) -> dict[str, tuple[Any, bytes]]:
    from gguf import GGUFReader

    return {t.name: (t.tensor_type, t.data.tobytes()) for t in GGUFReader(path).tensors}


def resaved(folder: Path, *parts: dict[str, Any]) -> None:
    """The checkpoint's weights in other files."""
    from safetensors.torch import save_file

    (folder / "model.safetensors").unlink()
    for n, part in enumerate(parts, start=1):
        name = f"model-{n:05}-of-{len(parts):05}.safetensors"
        save_file(part, folder / name, metadata={"format": "pt"})


def test_weights_in_several_files_are_the_same_weights(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """transformers cuts larger models into files of 5 GB."""
    from safetensors.torch import load_file

    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    resaved(folder, *({name: weights[name] for name in names[i::3]} for i in range(3)))
    one = write_gguf(tiny_checkpoint, tmp_path / "one.gguf", "Q8_0", name="x")
    three = write_gguf(folder, tmp_path / "three.gguf", "Q8_0", name="x")
    assert tensors_of(three) == tensors_of(one)


def test_a_tensor_that_llama_cpp_does_not_know_is_named_and_the_old_file_stays(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Written without it, the file would load and say something else."""
    from safetensors.torch import load_file

    folder, path = tmp_path / "c", tmp_path / "m.gguf"
    shutil.copytree(tiny_checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    extra = {"model.layers.0.self_attn.surprise.weight": weights["model.norm.weight"].clone()}
    resaved(folder, {**weights, **extra})
    path.write_bytes(b"old")
    with pytest.raises(UserError, match=r"unknown to llama\.cpp: model\.layers.*surprise"):
        write_gguf(folder, path, "F16", name="x")
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "m.gguf"]


def test_rows_that_do_not_fit_into_blocks_are_refused_with_what_fits(tmp_path: Path) -> None:
    """Q8_0 keeps 32 numbers together; a width of 48 was a traceback."""
    from tiny import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path / "c", hidden_size=48)
    with pytest.raises(UserError, match="rows of 48 numbers, which Q8_0 cannot store") as error:
        write_gguf(folder, tmp_path / "m.gguf", "Q8_0", name="x")
    assert "F16" in error.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    write_gguf(folder, tmp_path / "m.gguf", "F16", name="x")


def test_progress_counts_every_tensor_once(tiny_checkpoint: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = write_gguf(
        tiny_checkpoint,
        tmp_path / "m.gguf",
        "F16",
        name="x",
        progress=lambda done, of: told.append((done, of)),
    )
    count = len(tensors_of(path))
    assert told == [(n, count) for n in range(1, count + 1)]


def test_norms_stay_in_32_bits_whatever_the_matrices_are(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "Q8_0", name="x")
    kinds = {name: kind.name for name, (kind, _) in tensors_of(path).items()}
    assert {kinds[name] for name in kinds if "norm" in name} == {"F32"}
    assert {kinds[name] for name in kinds if "norm" not in name} == {"Q8_0"}


def test_the_rows_of_each_head_are_interleaved_by_halves() -> None:
    import numpy as np

    import formosa.export.architectures as module

    rows = np.arange(8).reshape(8, 1)
    config = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}

    def order(name: str) -> list[int]:
        return [int(row[0]) for row in module.permuted(rows, name, config)]

    assert order("blk.0.attn_q.weight") == [0, 2, 1, 3, 4, 6, 5, 7]
    assert order("blk.0.attn_k.weight") == [0, 4, 1, 5, 2, 6, 3, 7]  # one head for keys
    assert order("blk.0.attn_v.weight") == list(range(8))


def test_the_long_context_factors_are_those_of_transformers() -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    from formosa.export.architectures import long_context_factors as _long_context_factors

    rope: dict[str, Any] = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    shape: dict[str, Any] = {
        "hidden_size": 512, "num_attention_heads": 4, "max_position_embeddings": 131072,
    }  # fmt: skip
    factors = _long_context_factors({**shape, "rope_parameters": rope})
    assert factors is not None
    assert (factors[0], factors[-1], len(factors)) == (1.0, 8.0, 64)
    assert factors == sorted(factors)
    embedding = LlamaRotaryEmbedding(LlamaConfig(**shape, rope_parameters=rope))
    plain = [500000.0 ** (-2 * i / 128) for i in range(64)]
    slowed = [p / factor for p, factor in zip(plain, factors, strict=True)]
    assert embedding.inv_freq.tolist() == pytest.approx(slowed, rel=1e-5)
    # Older versions of transformers wrote the same settings elsewhere.
    older = {**shape, "rope_theta": 500000.0, "rope_scaling": {**rope}}
    assert _long_context_factors(older) == factors
    assert _long_context_factors(shape) is None


LLAMA_3 = (
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)


def test_the_rules_that_cut_text_are_recognised(tmp_path: Path) -> None:
    from formosa.checkpoints import PROVENANCE
    from formosa.export.vocabulary import pre_tokenizer as _pre_tokenizer

    split: dict[str, Any] = {"type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "Isolated"}
    llama: dict[str, Any] = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split]}}
    assert _pre_tokenizer(tmp_path, llama) == "llama-bpe"
    other = {**split, "pattern": {"Regex": LLAMA_3.replace("1,3", "1,2")}}
    two_digits: dict[str, Any] = {"pre_tokenizer": other}
    with pytest.raises(UserError, match="is unknown here"):
        _pre_tokenizer(tmp_path, two_digits)
    # A checkpoint that came out of a GGUF file remembers the name.
    write_json(tmp_path / PROVENANCE, {"pre_tokenizer": "qwen2"})
    assert _pre_tokenizer(tmp_path, two_digits) == "qwen2"
