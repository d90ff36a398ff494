"""Fewer bits where little is multiplied with them: what is noted, and what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import formosa
from formosa.chat.message import Message
from formosa.cli.export_importance import calibration_texts
from formosa.data.rows import Row, write_rows
from formosa.errors import DataError, ModelError
from formosa.export.gguf import write_gguf
from formosa.export.importance import Importance, columns_of, importance
from formosa.export.native import quantise
from formosa.export.reference import Reference
from formosa.files import sha256_text

TEXTS = ["台北的天氣如何？請查詢明天的氣溫。", "the weather <|im_start|> name arguments"]


@pytest.mark.train
def test_the_squares_of_what_a_layer_meets_are_noted(tiny_checkpoint: Path) -> None:
    """The last layer's input is known from transformers itself."""
    import torch

    reference = Reference(tiny_checkpoint)
    found = importance(reference, TEXTS[:1])
    ids = reference.tokenizer.encode(TEXTS[0], add_special_tokens=False)
    with torch.no_grad():
        made = reference.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    wanted = made.double().pow(2).mean(dim=0).numpy()
    columns = columns_of("model.embed_tokens.weight", found.columns)
    assert columns is not None  # tied: the output's
    assert np.allclose(columns, np.maximum(wanted, wanted.mean() * 1e-4), rtol=1e-4)
    assert found.tokens == len(ids)
    assert found.sha256 == sha256_text(TEXTS[0])
    shapes = {name: len(values) for name, values in found.columns.items()}
    assert shapes["model.layers.0.self_attn.q_proj.weight"] == 64
    assert all((values > 0).all() for values in found.columns.values())


@pytest.mark.train
def test_long_texts_are_read_in_windows_up_to_the_limit(tiny_checkpoint: Path) -> None:
    reference, seen = Reference(tiny_checkpoint), list[int]()
    read = reference.logits

    def logits(ids: Any, last: int | None = None) -> Any:
        seen.append(len(ids))
        return read(ids, last)

    reference.logits = logits  # type: ignore[method-assign]
    found = importance(reference, ["1" * 300, "2" * 300, "never read"], tokens=500)
    assert seen == [256, 44, 200]
    assert found.tokens == 500
    assert found.sha256 == sha256_text("1" * 300 + "\0" + "2" * 300)
    assert not [m for m in reference.model.modules() if m._forward_pre_hooks], "hooks are left"


@pytest.mark.train
def test_nothing_to_read_is_an_error(tiny_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="The text for the importance of columns is empty"):
        importance(Reference(tiny_checkpoint), ["", ""])


def test_the_error_goes_where_it_weighs_least() -> None:
    """Each kind of block that a level may hold, on numbers drawn once."""
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    draw = np.random.default_rng(7)
    values = draw.normal(size=(8, 256)).astype(np.float32)
    weights = draw.exponential(size=256).astype(np.float32) ** 3 + 1e-3
    for kind in ("Q4_0", "Q5_0", "Q5_1", "Q4_K", "Q5_K"):
        errors = [
            float((weights * (dequantize(made, GGMLQuantizationType[kind]) - values) ** 2).sum())
            for made in (quantise(values, kind), quantise(values, kind, weights))
        ]
        assert errors[1] < errors[0], kind


def test_columns_of_another_matrix_are_a_bug_and_said() -> None:
    values = np.ones((2, 32), dtype=np.float32)
    with pytest.raises(RuntimeError, match="for the importance of 32 columns"):
        quantise(values, "Q4_0", np.ones(31))


@pytest.mark.train
def test_a_file_says_that_it_was_made_with_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from gguf import GGUFReader

    noted = importance(Reference(tiny_checkpoint), TEXTS)
    plain = write_gguf(tiny_checkpoint, tmp_path / "a.gguf", "Q4_0", name="x")
    better = write_gguf(tiny_checkpoint, tmp_path / "b.gguf", "Q4_0", name="x", importance=noted)
    a, b = GGUFReader(plain), GGUFReader(better)
    assert b.fields["quantize.imatrix.entries_count"].contents() == len(noted.columns)
    assert b.fields["formosa.importance.sha256"].contents() == noted.sha256
    assert "formosa.importance.sha256" not in a.fields
    pairs = list(zip(a.tensors, b.tensors, strict=True))
    assert all((x.name, x.tensor_type) == (y.name, y.tensor_type) for x, y in pairs)
    other = {x.name for x, y in pairs if not np.array_equal(x.data, y.data)}
    assert "blk.0.ffn_down.weight" in other
    assert not any("norm" in name for name in other)


def test_a_matrix_that_met_nothing_is_quantised_as_before() -> None:
    noted = Importance({"a.weight": np.ones(4)}, 1, "")
    assert columns_of("b.weight", noted.columns) is None
    assert columns_of("model.embed_tokens.weight", noted.columns) is None
    assert columns_of("a.weight", noted.columns) is not None


# -- the command ----------------------------------------------------------------------------------


@pytest.mark.train
def test_rows_are_read_as_the_model_reads_them(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [Row.of([Message("user", "Hi"), Message("assistant", "Yes")]), Row.of(text="A text.")]
    write_rows(path, rows)
    assert calibration_texts(path, tiny_checkpoint) == [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n",
        "A text.",
    ]
    (tmp_path / "b.txt").write_text("台北", encoding="utf-8")
    assert calibration_texts(tmp_path / "b.txt", tiny_checkpoint) == ["台北"]
    assert calibration_texts(None, tiny_checkpoint) == []
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is no text in UTF-8"):
        calibration_texts(tmp_path / "c.txt", tiny_checkpoint)


@pytest.mark.train
def test_levels_and_single_files_take_it(tiny_checkpoint: Path, tmp_path: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "gguf"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    words = ["--importance", text, "--level", "Q4_0"]
    done = formosa("export", "levels", tiny_checkpoint, "--out", out, "--tokens", 1, *words)
    assert done.code == 0, done.err
    assert "noted which columns matter, on " in done.err
    done = formosa("export", "gguf", tiny_checkpoint, tmp_path / "one.gguf", *words)
    assert done.code == 0, done.err
    empty = tmp_path / "empty.txt"
    empty.touch()
    done = formosa("export", "gguf", tiny_checkpoint, out / "x.gguf", "--importance", empty)
    assert (done.code, "is empty" in done.err) == (1, True)
