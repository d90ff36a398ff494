"""What `formosa export` writes, and whether its parity check can be fooled. Real llama.cpp."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import ParityError, UserError
from formosa.export.gguf import write_gguf
from formosa.export.parity import check_parity_now
from formosa.files import read_json, write_json

pytestmark = pytest.mark.train


def fields_of(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader

    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


@pytest.mark.parametrize("quantisation", ["F32", "F16", "BF16", "Q8_0"])
def test_every_quantisation_says_what_the_checkpoint_says(
    tiny_checkpoint: Path, tmp_path: Path, quantisation: Any
) -> None:
    path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", quantisation, name="tiny")
    checks = check_parity_now(tiny_checkpoint, path, report=tmp_path / "parity.json")
    assert [check.name for check in checks] == ["template", "tokens", "greedy"]
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
    with pytest.raises(UserError, match="gpt2 model; only the Llama architecture") as error:
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

        monkeypatch.setattr(module, "_permuted", lambda values, name, config: values)
        path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F32", name="x")
        report = tmp_path / "parity.json"
        with pytest.raises(ParityError, match="greedy: after"):
            check_parity_now(tiny_checkpoint, path, report=report)
        assert [c["passed"] for c in read_json(report)["checks"]] == [True, True, False]


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
