"""A trial finds what would fail late, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formosa.errors import UserError
from formosa.train import smoke
from train_rows import CONFIG, changed, losses, train

pytestmark = pytest.mark.train


def test_a_training_after_a_trial_has_the_same_bits(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = changed(precision="bfloat16", max_steps=4, lora={"rank": 4, "dropout": 0.1})
    said: list[str] = []
    train(tiny_checkpoint, tmp_path / "tried", config, smoke=True, say=said.append)
    train(tiny_checkpoint, tmp_path / "plain", config)
    assert losses(tmp_path / "tried") == losses(tmp_path / "plain")
    one, other = (
        (tmp_path / name / "checkpoint" / "model.safetensors").read_bytes()
        for name in ("tried", "plain")
    )
    assert one == other
    (line,) = [line for line in said if line.startswith("trial passed")]
    assert "measured, saved and continued" in line
    assert not (tmp_path / "tried" / "train" / "smoke").exists()


def test_too_little_memory_is_said_before_the_training(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the longest rows: not after four hours, when they come up."""
    import torch

    from formosa.train.trainer import RowTrainer

    seen: list[int] = []

    def full(self: Any, model: Any, inputs: dict[str, Any], *others: Any) -> Any:
        seen.append(inputs["input_ids"].numel())
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(RowTrainer, "training_step", full)
    with pytest.raises(UserError) as error:
        train(tiny_checkpoint, tmp_path, smoke=True)
    assert error.value.message == "The longest sequences don't fit into the memory."
    assert "activation_checkpointing" in error.value.hint
    store = list((tmp_path / "train" / "tokens").iterdir())
    assert store, "rows need not be encoded again"
    assert not (tmp_path / "train" / "smoke").exists()
    assert len(seen) == 1


def test_a_checkpoint_that_does_not_continue_is_found(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from formosa.train.optimizer import MasterAdamW
    from formosa.train.trainer import RowTrainer

    def lost(self: Any, *_: Any, **__: Any) -> None:
        for parameter in self.model.parameters():
            parameter.data += 0.5

    monkeypatch.setattr(RowTrainer, "_load_from_checkpoint", lost)
    monkeypatch.setattr(MasterAdamW, "load_state_dict", lambda self, state: None)
    config = changed(method="full", precision="bfloat16")
    with pytest.raises(UserError, match="A checkpoint doesn't continue"):
        train(tiny_checkpoint, tmp_path, config, smoke=True)


def test_a_training_that_continues_is_not_tried_again(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = tmp_path / "train" / "steps" / "checkpoint-2"
    complete.mkdir(parents=True)
    (complete / "complete").touch()
    monkeypatch.setattr(smoke, "_run", lambda trial: pytest.fail("tried"))
    training: Any = type("Training", (), {"steps": complete.parent, "config": CONFIG})()
    smoke.try_once(training)
