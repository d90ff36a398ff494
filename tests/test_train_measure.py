"""Held-out rows are measured the same, however many processes share them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.template import ChatTemplate
from formosa.train.log import Log, spike
from formosa.train.measure import HeldOut, shares
from train_rows import CONFIG, changed, records, train, write_documents, write_rows


@given(st.integers(0, 50), st.integers(1, 6), st.integers(1, 5))
def test_every_row_counts_once_in_equally_many_rounds(rows: int, size: int, world: int) -> None:
    """A sharded model answers only when all its processes ask."""
    parts = [list(shares(range(rows), size, rank, world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1
    counted = [row for part in parts for group, count in part for row in group[:count]]
    assert sorted(counted) == list(range(rows))
    for part in parts:
        assert all(1 <= len(group) <= size for group, _ in part)


@pytest.mark.train
def test_the_loss_weighs_every_learnt_token_the_same(tiny_checkpoint: Path) -> None:
    """Rows of different lengths, together or alone: the same mean as over all positions."""
    import torch

    from formosa.chat.message import Message
    from formosa.checkpoints import load_tokenizer, load_weights
    from formosa.train.loss import score_labels
    from formosa.train.measure import held_out_losses
    from formosa.train.rows import Conversation, RowEncoder, RowSettings

    tokenizer = load_tokenizer(tiny_checkpoint)
    model = load_weights(tiny_checkpoint, dtype="float32").eval()
    conversations = [
        Conversation("x", (Message("user", "go"), Message("assistant", words)), ())
        for words in ("no", "a much longer answer, 很長的回答 " * 3, "yes", "and so on", "5")
    ]
    encoder = RowEncoder(tokenizer, ChatTemplate.formosa(), RowSettings())
    rows = [row for outcome in encoder.encode(conversations) for row in outcome.rows]
    total = 0.0
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
        labels = torch.tensor(row.labels[1:])
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
    score_labels(model, 7)
    found = held_out_losses(model, rows)
    assert found == pytest.approx((total, sum(row.trained for row in rows)), rel=1e-4)
    assert held_out_losses(model, []) == (0.0, 0.0)


@pytest.mark.train
def test_the_loss_of_rows_with_calls_is_told_beside_that_of_all(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Words can be said in many ways: their loss hides whether calls get better."""
    from formosa.train import run

    rows = write_rows(tmp_path / "train.jsonl", 8)
    calls = rows.read_text(encoding="utf-8").splitlines()[:2]
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    said: list[str] = []

    def measured(lines: list[str]) -> dict[str, Any]:
        folder = tmp_path / f"run{len(lines)}"
        folder.mkdir()
        heldout = folder / "heldout.jsonl"
        heldout.write_text("\n".join(lines) + "\n", encoding="utf-8")
        config = changed(max_steps=2, measure_every=2)
        run.train(
            config,
            base=tiny_checkpoint,
            rows=rows,
            heldout=heldout,
            folder=folder,
            say=said.append,
        )
        return records(folder, "measured")[-1]

    mixed, alone = measured([json.dumps(talk), *calls]), measured(calls)
    assert "call_loss" not in alone, "all of them have calls"
    assert mixed["call_loss"] == pytest.approx(alone["loss"], abs=2e-4) != mixed["loss"]
    assert any(f"(of rows with calls {mixed['call_loss']:.3f})" in line for line in said)


@pytest.mark.train
def test_documents_are_measured_and_not_asked(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from formosa.checkpoints import load_tokenizer
    from formosa.train.special_tokens import prepare_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint, own_format=False)
    prepared = prepare_tokenizer(tokenizer, objective="cpt")
    config = changed(objective="cpt")
    documents = write_documents(tmp_path / "documents.jsonl", 3)
    assert not HeldOut(documents, config, tokenizer, prepared).asked
    replay = write_rows(tmp_path / "rows.jsonl", 3)
    held_out = HeldOut(replay, config, tokenizer, prepared)
    assert (len(held_out.rows), held_out.asked) == (3, [])


@pytest.mark.train
def test_held_out_rows_longer_than_training_ever_sees_are_left_out(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """One of a hundred thousand tokens would take the memory that training never needs."""
    from formosa.checkpoints import load_tokenizer
    from formosa.train.special_tokens import prepare_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint, own_format=False)
    prepared = prepare_tokenizer(tokenizer)
    path = write_rows(tmp_path / "rows.jsonl", 3)
    kept = HeldOut(path, changed(max_tokens=300), tokenizer, prepared)
    left_out = HeldOut(path, changed(max_tokens=100), tokenizer, prepared)
    assert (len(kept.rows), len(left_out.rows)) == (3, 0)


@pytest.mark.train
def test_a_model_that_never_stops_is_said_early(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A model that was never taught to stop looks fine by its loss."""
    said: list[str] = []
    train(tiny_checkpoint, tmp_path, changed(max_steps=5), rows=20, say=said.append)
    (warning,) = [line for line in said if "doesn't learn to stop" in line]
    assert warning.startswith("none of 2 replies ended within 8 tokens")


# -- the log --------------------------------------------------------------------------------------


def test_a_log_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with_lines = Log(path)
    with_lines.begin(0)
    with with_lines as log:
        for step in range(1, 6):
            log.append({"type": "step", "step": step, "loss": 1.0, "seconds": step * 2.0})
    again = Log(path)
    again.begin(3)
    with again as log:
        assert [record["step"] for record in log.of("step")] == [1, 2, 3]
        assert log.seconds == 6.0
        assert log.recent_steps() == log.of("step")
    assert len(path.read_text().splitlines()) == 3
    fresh = Log(path)
    fresh.begin(0)
    fresh.close()
    assert path.read_text() == ""


def test_what_is_only_written_is_not_remembered_but_kept(tmp_path: Path) -> None:
    """Replies by the dozen would push the latest steps out of what a spike is held against."""
    path = tmp_path / "log.jsonl"
    first = Log(path)
    first.begin(0)
    with first as log:
        for step in (1, 2):
            log.append({"type": "step", "step": step})
            log.write({"type": "reply", "step": step})
        assert [record["type"] for record in log.records] == ["step", "step"]
    again = Log(path)
    again.begin(1)
    again.close()
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == [
        *("step", "reply"),
    ]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", writing=False)
    log.begin(0)
    log.append({"type": "step", "step": 1})
    log.write({"type": "reply", "step": 1})
    assert log.of("step") == [{"type": "step", "step": 1}]
    assert not (tmp_path / "log.jsonl").exists()


def steps(*losses: float) -> list[dict[str, Any]]:
    return [{"loss": loss, "learnt": 250} for loss in losses]


def test_a_spike_is_far_above_what_is_usual() -> None:
    usual = steps(2.0, 2.1, 1.9, 2.05, 1.95, 2.0, 2.1, 1.9)
    (high, less) = steps(6.0, 2.4)
    assert spike(usual, high) == pytest.approx(2.0)
    assert spike(usual, less) is None
    assert spike(usual[:3], high) is None, "too early to know"
    assert spike([*usual, *steps(9.0)], high) == pytest.approx(2.0), "one is not the new usual"


def test_a_few_short_rows_are_no_spike() -> None:
    """Chat among tool calls, as seen in the demo: 89 learnt tokens of 250, and six times the
    loss."""
    usual = steps(*([0.5] * 10))
    assert spike(usual, {"loss": 3.2, "learnt": 89}) is None
    assert spike(usual, {"loss": 3.2, "learnt": 200}) == pytest.approx(0.5)


@given(st.lists(st.floats(0.01, 10), min_size=8, max_size=40))
def test_a_loss_among_the_others_is_no_spike(losses: list[float]) -> None:
    (middle,) = steps(sorted(losses)[len(losses) // 2])
    assert spike(steps(*losses), middle) is None


@pytest.mark.train
def test_a_loss_that_stays_high_is_said_and_a_spike_alone_only_logged(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from formosa.train.trainer import RowTrainer
    from train_rows import records

    compute = RowTrainer.compute_loss

    def jumping(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = compute(self, *args, **kwargs)
        return loss * 20 if self.state.global_step in (8, 10, 11, 12) else loss

    monkeypatch.setattr(RowTrainer, "compute_loss", jumping)
    said: list[str] = []
    config = changed(CONFIG, max_steps=14, measure_rows=0, epochs=4.0)
    train(tiny_checkpoint, tmp_path, config, rows=16, say=said.append)
    assert [record["step"] for record in records(tmp_path, "spike")] == [9, 11, 12, 13]
    (line,) = [line for line in said if "stays high" in line]
    assert "at step 13" in line
