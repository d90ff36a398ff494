"""A killed training continues as if nothing had happened: real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from formosa.files import read_jsonl
from formosa.train.config import TrainConfig
from train_rows import CONFIG, changed, losses, records, train, write_rows

pytestmark = pytest.mark.train

SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from formosa.train import follow, run
from formosa.train.config import TrainConfig

folder, where, at = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
config = TrainConfig.model_validate_json(sys.argv[5])

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(step, steps, loss):
    if where == "step" and step == at:
        die()

if where == "save":  # the files are there, the mark is not
    finish = follow.finish_step
    follow.finish_step = lambda *given: die() if given[1] == at else finish(*given)
if where == "export":
    run.write_checkpoint = die

run.train(config, base=Path(sys.argv[1]), rows=folder / "train.jsonl",
          heldout=folder / "heldout.jsonl", folder=folder, progress=progress)
"""


def killed(base: Path, folder: Path, where: str, at: int, config: TrainConfig) -> None:
    """A training of its own process that is killed (SIGKILL) at a step."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.jsonl", 32)
    write_rows(folder / "heldout.jsonl", 3)
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(base), str(folder), where, str(at)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, config.model_dump_json()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


class StoppedError(Exception):
    """Stands for a kill where what matters is only what lies on the disk."""


def stopped(base: Path, folder: Path, at: int, config: TrainConfig) -> None:
    def progress(step: int, steps: int, loss: float) -> None:
        if step == at:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(base, folder, config, progress=progress)


def continued(base: Path, folder: Path, config: TrainConfig, after: int) -> Path:
    """Run it to the end; it must say where it goes on."""
    said: list[str] = []
    train(base, folder, config, say=said.append)
    assert f"continuing after step {after}" in said
    return folder


def assert_same(one: Path, other: Path) -> None:
    """The same losses and the same weights, to the bit; nothing logged twice."""
    assert losses(one) == losses(other)
    steps = [record["step"] for _, record in read_jsonl(one / "train" / "log.jsonl")]
    assert steps == sorted(steps)
    assert records(one, "measured") == records(other, "measured")
    weights = [folder / "checkpoint" / "model.safetensors" for folder in (one, other)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


MASTERS = changed(method="full", precision="bfloat16", packing=True, epochs=2.0, max_tokens=800)
DROPOUT = changed(lora={"rank": 4, "alpha": 8, "dropout": 0.1}, precision="bfloat16")


def test_a_killed_run_continues_with_the_same_batches_and_losses(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """kill -9 after step 7, in the second epoch; the last checkpoint is of step 6. The optimizer's
    float32 masters continue, not the rounded weights."""
    killed(tiny_checkpoint, tmp_path / "killed", "step", 7, MASTERS)
    assert list(losses(tmp_path / "killed")) == list(range(1, 8))
    continued(tiny_checkpoint, tmp_path / "killed", MASTERS, after=6)
    train(tiny_checkpoint, tmp_path / "whole", MASTERS)
    assert len(losses(tmp_path / "whole")) == 8
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_run_killed_while_it_saves_continues_from_the_checkpoint_before(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A checkpoint that looks whole but was not finished is no checkpoint. Dropout throws the same
    dice again."""
    killed(tiny_checkpoint, tmp_path / "killed", "save", 6, DROPOUT)
    torn = tmp_path / "killed" / "train" / "steps" / "checkpoint-6"
    assert (torn / "trainer_state.json").exists()
    continued(tiny_checkpoint, tmp_path / "killed", DROPOUT, after=4)
    train(tiny_checkpoint, tmp_path / "whole", DROPOUT)
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_run_killed_after_its_last_step_takes_no_step_more(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """It ends inside an epoch, where transformers alone would take one step too many."""
    config = changed(max_steps=3, epochs=5.0)
    killed(tiny_checkpoint, tmp_path, "export", 0, config)
    assert not (tmp_path / "checkpoint").exists()
    continued(tiny_checkpoint, tmp_path, config, after=3)
    assert list(losses(tmp_path)) == [1, 2, 3]
    assert (tmp_path / "checkpoint" / "model.safetensors").exists()


def test_only_so_many_checkpoints_are_kept(tiny_checkpoint: Path, tmp_path: Path) -> None:
    for keep, left in ((1, ["checkpoint-6"]), (2, ["checkpoint-4", "checkpoint-6"])):
        folder = tmp_path / str(keep)
        stopped(tiny_checkpoint, folder, 7, changed(keep=keep, measure_rows=0))
        steps = folder / "train" / "steps"
        assert sorted(path.name for path in steps.glob("checkpoint-*")) == left


def test_the_best_so_far_survives_a_kill(tiny_checkpoint: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, best="loss", measure_every=2, measure_rows=0)
    stopped(tiny_checkpoint, tmp_path / "killed", 7, config)
    assert (tmp_path / "killed" / "train" / "best" / "adapter").exists()
    one = train(tiny_checkpoint, tmp_path / "killed", config)
    other = train(tiny_checkpoint, tmp_path / "whole", config)
    assert one["best"] == other["best"]
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_only_whole_checkpoints_are_continued_from(tmp_path: Path) -> None:
    from formosa.train.checkpoint import COMPLETE, last_complete

    assert last_complete(tmp_path / "nothing") is None
    for step in (2, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10", "by number, not by name"
    assert not (tmp_path / "checkpoint-12").exists()
