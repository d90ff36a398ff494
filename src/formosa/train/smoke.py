"""A trial before a long training: everything that could fail late is tried once, at once.

Two steps on the longest sequences (the memory they take is the most the training will ever take),
a measurement, and a checkpoint, which is loaded again: its next step must have the loss that it
had. All of it happens in FOLDER/train/smoke, which is removed; the
training then begins with a freshly loaded model and the same dice, so its bits are those of a
training without a trial.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from formosa.checkpoints import quiet_transformers
from formosa.errors import UserError
from formosa.train.batches import Groups
from formosa.train.checkpoint import last_complete
from formosa.train.log import Log
from formosa.train.parallel import barrier, is_first

if TYPE_CHECKING:
    from formosa.train.run import Training

SAME = 0.02  # relative: arithmetic on a GPU is not the same to the bit


def try_once(training: Training) -> None:
    """Try it. Nothing where a killed training continues: it has shown that it works.

    Raises:
        UserError: it doesn't fit into the memory, or a checkpoint doesn't continue.
    """
    if last_complete(training.steps):
        return
    trial = _small(training)
    if is_first():
        shutil.rmtree(trial.folder, ignore_errors=True)
    try:
        records = _run(trial)
    finally:
        barrier()
        if is_first():
            shutil.rmtree(trial.folder, ignore_errors=True)
        _let_go()
    (first, whole, continued) = records
    if not math.isclose(whole["loss"], continued["loss"], rel_tol=SAME, abs_tol=1e-3):
        raise UserError(
            f"A checkpoint doesn't continue: its next step has loss {continued['loss']:.4f}, "
            f"not {whole['loss']:.4f}.",
            "this should not happen; please report it with the recipe",
        )
    training.say(
        f"trial passed: {first['tokens']:,} tokens in the longest step, "
        f"{whole['tokens_per_second']:,.0f} tokens/s, peak memory "
        f"{whole['peak_memory_gb']:.1f} GB; measured, saved and continued"
    )


def _small(training: Training) -> Training:
    """The same training, of two steps without accumulation."""
    world = training.shared.world
    config = training.config.model_copy(
        update={
            "max_steps": 2,
            "epochs": 1.0,
            "warmup_steps": 0,
            "rows_per_step": training.config.rows_at_once * world,
            "save_every": 1,
            "best": "none",
            "report_to": (),
        }
    )
    held_out = copy.copy(training.held_out)
    if held_out:
        held_out.rows = sorted(held_out.rows, key=lambda row: -len(row.ids))[: 4 * world]
        held_out.asked = held_out.asked[: 2 * world]
    return replace(
        training,
        config=config,
        folder=training.folder / "train" / "smoke",
        shared=replace(training.shared, config=config),
        say=lambda line: None,
        progress=lambda step, steps, loss: None,
        held_out=held_out,
    )


def _run(trial: Training) -> list[dict[str, Any]]:
    """The records of both steps, and of the second one, continued."""
    world = trial.shared.world
    longest = Groups(trial.store, trial.config).longest()[: 2 * world]
    only = (longest * (2 * world))[: 2 * world]
    log = Log(trial.folder / "log.jsonl", writing=is_first())
    log.begin(0)
    with log, quiet_transformers(), _memory_in_words():
        trial.trainer(log, trial.steps, only=only).train()
        _let_go()
        first = trial.steps / "checkpoint-1"
        trial.trainer(log, trial.steps, only=only).train(resume_from_checkpoint=str(first))
    return log.of("step")


@contextlib.contextmanager
def _memory_in_words() -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(
            "The longest sequences don't fit into the memory.",
            "lower train.rows_at_once, train.max_tokens or train.head_tokens, or set "
            "train.activation_checkpointing: true; formosa train plan says what it takes",
        ) from error


def _let_go() -> None:
    """Give back what the trial's models took."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
