"""A training of a tiny model: what it learns, writes and says."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import DataError, UserError
from formosa.files import read_json, read_jsonl
from formosa.train.run import encode, require_training
from train_rows import (
    CONFIG,
    changed,
    losses,
    records,
    train,
    write_documents,
    write_rows,
)

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def trained(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(tiny_checkpoint, folder)
    return folder


def test_the_loss_falls(trained: Path) -> None:
    values = losses(trained)
    assert list(values) == list(range(1, 9))
    assert values[8] < values[1]


def test_every_step_says_what_it_cost(trained: Path) -> None:
    steps = records(trained, "step")
    store = read_json(trained / "train" / "tokens" / "meta.json")["report"]
    assert sum(step["tokens"] for step in steps) == store["tokens"], "padding is no token"
    assert sum(step["learnt"] for step in steps) == store["trained"]
    for step in steps:
        assert step.keys() >= {"loss", "learning_rate", "grad_norm", "seconds"}
        assert step["tokens_per_second"] > 0
        assert step["steps"] == 8, "how many there will be, for who looks at it while it runs"
        assert step["peak_memory_gb"] > 0


def test_exact_calls_are_logged_beside_the_loss(trained: Path) -> None:
    measured = records(trained, "measured")
    assert [record["step"] for record in measured] == [4, 8]
    assert all(record["exact_call"]["of"] == 2 for record in measured)
    assert all(record["relevance"].keys() >= {"needless", "missed"} for record in measured)
    assert measured[1]["loss"] < measured[0]["loss"]


def test_held_out_replies_are_logged_with_their_verdict(trained: Path) -> None:
    replies = records(trained, "reply")
    assert [(reply["step"], reply["row"]) for reply in replies] == [(4, 1), (4, 2), (8, 1), (8, 2)]
    for reply in replies:
        assert reply["asked"] and reply["wanted"]
        assert isinstance(reply["said"], str) and isinstance(reply["right"], bool)
    right = sum(reply["right"] for reply in replies if reply["step"] == 8)
    assert right == records(trained, "measured")[1]["exact_call"]["correct"]


def test_the_summary_says_how_it_was_made(trained: Path) -> None:
    summary = read_json(trained / "train" / "summary.json")
    assert (summary["objective"], summary["method"]) == ("sft", "lora")
    wanted = {"rank": 4, "alpha": 8.0, "dropout": 0.0, "targets": "all-linear"}
    assert summary["lora"] == wanted
    assert (summary["rows"], summary["steps"], summary["processes"]) == (32, 8, 1)
    assert summary["trained_tokens"] < summary["tokens"]
    assert summary["versions"].keys() == {"torch", "transformers", "peft", "accelerate"}
    assert len(summary["heldout"]) == 2
    assert summary["best"] is None
    assert summary["tokens_per_second"] > 0


def test_the_checkpoint_is_whole_and_carries_one_stop_token(trained: Path) -> None:
    from formosa.chat.template import ChatTemplate
    from formosa.checkpoints import load_tokenizer

    folder = trained / "checkpoint"
    tokenizer = load_tokenizer(folder, own_format=False)
    source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    assert source == ChatTemplate.formosa().source == tokenizer.chat_template
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    for name in ("config.json", "generation_config.json"):
        value = read_json(folder / name)
        assert value["eos_token_id"] == tokenizer.eos_token_id
        assert value["pad_token_id"] == tokenizer.pad_token_id
    assert read_json(folder / "config.json")["dtype"] == "bfloat16"
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert not list(folder.rglob("*.bin")), "no pickles"
    left = {path.name for path in (trained / "train").iterdir()}
    assert left == {"log.jsonl", "summary.json", "tokens", "tokens.lock"}


def test_the_merged_checkpoint_is_base_plus_adapter(trained: Path, tiny_checkpoint: Path) -> None:
    """Summed in float32 and rounded once, layer by layer."""
    import torch
    from peft import PeftModel

    from formosa.checkpoints import load_weights, quiet_transformers

    base = load_weights(tiny_checkpoint, dtype="float32")
    with quiet_transformers():
        whole = PeftModel.from_pretrained(base, trained / "checkpoint" / "adapter")
        wanted = whole.merge_and_unload().to(torch.bfloat16).state_dict()
    found = load_weights(trained / "checkpoint", dtype="bfloat16").state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_full_tuning_changes_the_weights_and_writes_no_adapter(
    tiny_checkpoint: Path, tmp_path: Path, precision: str
) -> None:
    from formosa.checkpoints import load_weights

    config = changed(method="full", learning_rate=1e-3, max_steps=2, precision=precision)
    summary = train(tiny_checkpoint, tmp_path, config, rows=8)
    assert summary["lora"] is None
    assert not (tmp_path / "checkpoint" / "adapter").exists()
    assert read_json(tmp_path / "checkpoint" / "config.json")["dtype"] == "bfloat16"
    before = load_weights(tiny_checkpoint, dtype="bfloat16").state_dict()
    after = load_weights(tmp_path / "checkpoint", dtype="bfloat16").state_dict()
    moved = {name for name, weight in after.items() if (weight != before[name]).any()}
    assert "model.layers.1.mlp.down_proj.weight" in moved
    assert "model.embed_tokens.weight" in moved


def test_bfloat16_with_masters_learns_as_float32_does(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A small rate: what bfloat16 alone would round away."""
    found = {}
    for precision in ("bfloat16", "float32"):
        config = changed(method="full", learning_rate=3e-4, epochs=2, precision=precision)
        train(tiny_checkpoint, tmp_path / precision, config, rows=16)
        found[precision] = losses(tmp_path / precision)
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=2e-2)
    assert found["float32"][8] < 0.99 * found["float32"][2]


def test_frozen_embeddings_stay(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from formosa.checkpoints import load_weights

    config = changed(method="full", embeddings="freeze", learning_rate=1e-3, max_steps=2)
    train(tiny_checkpoint, tmp_path, config, rows=8)
    before = load_weights(tiny_checkpoint, dtype="bfloat16").get_input_embeddings().weight
    after = load_weights(tmp_path / "checkpoint", dtype="bfloat16").get_input_embeddings().weight
    assert (before == after).all()


def test_adapters_go_where_the_recipe_says(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = changed(lora={"rank": 2, "targets": ["q_proj", "v_proj"]}, max_steps=1)
    train(tiny_checkpoint, tmp_path, config, rows=4)
    saved = read_json(tmp_path / "checkpoint" / "adapter" / "adapter_config.json")
    assert sorted(saved["target_modules"]) == ["q_proj", "v_proj"]


def test_layers_that_do_not_exist_are_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = changed(lora={"targets": ["q_proj", "query"]})
    with pytest.raises(UserError) as error:
        train(tiny_checkpoint, tmp_path, config)
    assert error.value.message == "lora.targets names query, which this model doesn't have."
    assert "q_proj" in error.value.hint


def test_packed_and_checkpointed_it_learns_the_same_rows(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """All rows are in one step either way, so the first loss must be the same."""
    config = changed(rows_per_step=32, epochs=1)
    train(tiny_checkpoint, tmp_path / "groups", config)
    packed = changed(config, packing=True, activation_checkpointing=True, head_tokens=50)
    said: list[str] = []
    train(tiny_checkpoint, tmp_path / "packs", packed, say=said.append)
    (one,), (other,) = (records(tmp_path / name, "step") for name in ("groups", "packs"))
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    assert (other["tokens"], other["learnt"]) == (one["tokens"], one["learnt"])


def test_rows_that_share_their_tools_are_learnt_as_alone_for_fewer_tokens(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    config = changed(rows_per_step=32, epochs=1)
    train(tiny_checkpoint, tmp_path / "groups", config)
    shared = changed(config, share_prefix=True, activation_checkpointing=True)
    said: list[str] = []
    summary = train(tiny_checkpoint, tmp_path / "trees", shared, say=said.append)
    (one,), (other,) = (records(tmp_path / name, "step") for name in ("groups", "trees"))
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    assert other["learnt"] == one["learnt"]
    assert 3 * other["tokens"] < one["tokens"] == summary["tokens"]
    assert summary["share_prefix"]
    counts = f"of {other['tokens']:,} tokens, instead of {one['tokens']:,}"
    assert any("beginnings are shared" in line and counts in line for line in said)


def test_documents_are_learnt_whole(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Continued pre-training: every token has a label, and there is nothing to answer."""
    config = changed(objective="cpt", method="full", packing=True, max_tokens=128, max_steps=3)
    summary = train(tiny_checkpoint, tmp_path, config, rows=40, write=write_documents)
    assert summary["objective"] == "cpt"
    assert summary["tokens"] - summary["trained_tokens"] == summary["rows"], "all but the first"
    (measured,) = records(tmp_path, "measured")
    assert "exact_call" not in measured
    assert measured["perplexity"] == pytest.approx(math.exp(measured["loss"]), rel=1e-3)
    assert read_json(tmp_path / "checkpoint" / "config.json")["eos_token_id"] == 0


def test_the_best_checkpoint_is_the_one_that_is_exported(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured at steps 2, 4, 6 and 8; step 4 wins."""
    import torch

    from formosa.checkpoints import load_weights
    from formosa.train.measure import HeldOut

    found = iter([3.0, 1.0, 2.0, 1.0])
    weights: list[dict[str, Any]] = []

    def measure(self: Any, trainer: Any, shared: Any) -> dict[str, Any]:
        weights.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
        return {"loss": next(found)}

    monkeypatch.setattr(HeldOut, "measure", measure)
    config = changed(method="full", precision="bfloat16", best="loss", measure_every=2)
    said: list[str] = []
    summary = train(tiny_checkpoint, tmp_path, config, say=said.append)
    assert summary["best"] == {"step": 4, "by": "loss", "value": 1.0}
    assert "exported: step 4, the best by loss" in said
    assert [record["step"] for record in records(tmp_path, "best")] == [2, 4]
    assert not (tmp_path / "train" / "best").exists()
    exported = load_weights(tmp_path / "checkpoint", dtype="bfloat16").state_dict()
    assert all(torch.equal(value, weights[1][name]) for name, value in exported.items())
    assert any(not torch.equal(value, weights[3][name]) for name, value in exported.items())


def test_rows_are_encoded_once_for_all_processes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A launcher encodes before its processes start: they would wait too long for each other."""
    rows = write_rows(tmp_path / "train.jsonl", 4)
    encode(CONFIG, base=tiny_checkpoint, rows=rows, folder=tmp_path)
    written = (tmp_path / "train" / "tokens" / "ids.npy").stat().st_mtime_ns
    store = encode(CONFIG, base=tiny_checkpoint, rows=rows, folder=tmp_path)
    assert len(store) == 4
    assert (tmp_path / "train" / "tokens" / "ids.npy").stat().st_mtime_ns == written


def test_bad_rows_stop_before_the_weights_are_loaded(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import formosa.train.model as module

    monkeypatch.setattr(module, "load_weights", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(DataError, match="tokens; the recipe allows 16"):
        train(tiny_checkpoint, tmp_path, changed(max_tokens=16))


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "peft" else find(n))
    with pytest.raises(UserError, match="Training needs peft") as error:
        require_training()
    assert "formosa-lm[train]" in error.value.hint


def test_no_held_out_rows_is_no_measurement_of_calls(tiny_checkpoint: Path, tmp_path: Path) -> None:
    def none(path: Path, count: int) -> Path:
        write_rows(path, 0 if path.name == "heldout.jsonl" else count)
        return path

    summary = train(tiny_checkpoint, tmp_path, changed(max_steps=1), rows=4, write=none)
    assert [r["loss"] for r in summary["heldout"]] == [0.0] or summary["heldout"] == []


def test_a_loss_that_is_no_number_stops_the_training(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it reaches the weights: what was saved is whole, and the same command continues."""
    import torch

    from formosa.train.trainer import RowTrainer

    compute = RowTrainer.compute_loss

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = compute(self, *args, **kwargs)
        return loss * torch.nan if self.state.global_step == 4 else loss

    monkeypatch.setattr(RowTrainer, "compute_loss", broken)
    with pytest.raises(UserError) as error:
        train(tiny_checkpoint, tmp_path)
    assert "loss of step 5 is no number" in error.value.message
    assert "learning_rate" in error.value.hint
    assert list(losses(tmp_path)) == [1, 2, 3, 4]
    kept = tmp_path / "train" / "steps" / "checkpoint-4"
    assert (kept / "complete").exists()
    monkeypatch.undo()
    train(tiny_checkpoint, tmp_path)
    assert list(losses(tmp_path)) == list(range(1, 9))


def test_curves_go_to_tensorboard_too(tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    module = import_module("tensorboard.backend.event_processing.event_accumulator")
    config = changed(report_to=["tensorboard"], max_steps=4)
    train(tiny_checkpoint, tmp_path, config, rows=16)
    drawn = module.EventAccumulator(str(tmp_path / "train" / "tensorboard"))
    drawn.Reload()
    found = {event.step: event.value for event in drawn.Scalars("train/loss")}
    assert found == pytest.approx(losses(tmp_path))
    assert drawn.Scalars("heldout/exact_call")[0].step == 4


def test_the_log_is_json_line_by_line(trained: Path) -> None:
    steps = [record["step"] for _, record in read_jsonl(trained / "train" / "log.jsonl")]
    assert steps == sorted(steps)
