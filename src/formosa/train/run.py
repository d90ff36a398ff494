"""A training from prepared rows to a checkpoint and its story.

    FOLDER/train/tokens/         the rows as token ids (tokens.py)
    FOLDER/train/log.jsonl       one object a step, and the measurements (log.py)
    FOLDER/train/summary.json    what a card needs to know
    FOLDER/train/steps/          checkpoints to continue from, removed at the end
    FOLDER/checkpoint/           what everything after training reads (checkpoint.py)

A run that was killed continues from the last whole checkpoint with the same rows in the same order.
With several processes every one of them calls `train`; the first one writes and speaks.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.checkpoints import load_tokenizer, only_one, quiet_transformers
from formosa.errors import UserError
from formosa.files import write_json
from formosa.processor import keeping_freed_memory
from formosa.train.batches import Groups, Order
from formosa.train.checkpoint import (
    last_complete,
    mark_of,
    step_of,
    write_checkpoint,
    write_trained,
)
from formosa.train.config import TrainConfig
from formosa.train.hardware import detect
from formosa.train.log import Log, Progress
from formosa.train.measure import HeldOut, place
from formosa.train.model import attention_of, trained_model
from formosa.train.parallel import Arrangement, arrange, barrier, is_first
from formosa.train.reporters import Reporters, require_reporters
from formosa.train.schedule import steps_of
from formosa.train.special_tokens import PreparedTokenizer, prepare_tokenizer
from formosa.train.summary import summary_of
from formosa.train.tokens import TokenStore, encode_file
from formosa.wheels import Say


def require_training() -> None:
    """Raise unless the packages of `formosa-lm[train]` are there.

    Raises:
        UserError: one is missing; the hint says how to install them.
    """
    from importlib.util import find_spec

    names = ("torch", "transformers", "peft", "accelerate", "gguf")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Training needs {', '.join(missing)}, which is not installed.",
            "pip install 'formosa-lm[train]'",
        )


def train(
    config: TrainConfig,
    *,
    base: Path,
    rows: Path,
    heldout: Path,
    folder: Path,
    say: Say = lambda line: None,
    progress: Progress = lambda step, steps, loss: None,
    smoke: bool = False,
) -> dict[str, Any]:
    """Train `base` on the JSONL file `rows`; return (and write) the summary.

    Args:
        config: the recipe's `train:` part.
        base: a checkpoint folder.
        rows: prepared training rows.
        heldout: prepared rows that are measured and never trained.
        folder: the run folder.
        say: gets lines for people.
        progress: called after every step.
        smoke: try everything that could fail late once, before the training itself.

    Raises:
        DataError: the rows don't fit; nothing was trained.
        UserError: a package is missing, the machine can't do what the recipe asks for, or the loss
            went astray.
    """
    require_training()
    require_reporters(config.report_to)
    shared = arrange(config)
    if not is_first():
        say, progress = (lambda line: None), (lambda step, steps, loss: None)
    tokenizer, prepared = _tokenizer(config, base)
    store = encode(config, base=base, rows=rows, folder=folder, say=say)
    for line in prepared.lines():
        say(line)
    training = Training(config, base, folder, shared, tokenizer, prepared, store, say, progress)
    training.held_out = HeldOut(heldout, config, tokenizer, prepared)
    if smoke:
        from formosa.train.smoke import try_once

        try_once(training)
    with keeping_freed_memory() if detect().kind == "cpu" else nullcontext():
        return training.run()


def encode(
    config: TrainConfig, *, base: Path, rows: Path, folder: Path, say: Say = lambda line: None
) -> TokenStore:
    """The rows as token ids, in FOLDER/train/tokens. Done once: a launcher calls it before it
    starts processes that wait for each other."""
    tokenizer, prepared = _tokenizer(config, base)
    target = folder / "train" / "tokens"
    with only_one(target.with_name("tokens.lock")):
        return encode_file(rows, tokenizer, prepared.template, config, target, say)


def _tokenizer(config: TrainConfig, base: Path) -> tuple[Any, PreparedTokenizer]:
    tokenizer = load_tokenizer(base, own_format=False)
    return tokenizer, prepare_tokenizer(tokenizer, config.family, objective=config.objective)


@dataclass
class Training:
    """What one training needs, in one process."""

    config: TrainConfig
    base: Path
    folder: Path
    shared: Arrangement
    tokenizer: Any
    prepared: PreparedTokenizer
    store: TokenStore
    say: Say
    progress: Progress
    held_out: HeldOut | None = None

    @property
    def steps(self) -> Path:
        return self.folder / "train" / "steps"

    def run(self) -> dict[str, Any]:
        """Train to the end, from the last whole checkpoint if there is one."""
        resume = last_complete(self.steps)
        if resume:
            self.shared.may_continue(mark_of(resume), self.folder)
        log = Log(self.folder / "train" / "log.jsonl", writing=is_first())
        log.begin(step_of(resume) if resume else 0)
        if resume:
            self.say(f"continuing after step {step_of(resume)}")
        with log, quiet_transformers():
            trainer = self.trainer(log, self.steps)
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        summary = summary_of(
            self.config,
            self.base,
            self.store,
            self.prepared,
            log,
            steps=trainer.state.global_step,
            epochs=float(trainer.state.epoch or 0),
            processes=self.shared.world,
        )
        self._finish(trainer, log)
        return summary_written(summary, self.folder)

    def trainer(
        self,
        log: Log,
        steps: Path,
        *,
        config: TrainConfig | None = None,
        only: list[int] | None = None,
    ) -> Any:
        """A Trainer with a freshly loaded model.

        Args:
            log: told what happens.
            steps: where its checkpoints go.
            config: other settings than the recipe's, for a trial.
            only: the groups that are trained, in this order.
        """
        from transformers import PrinterCallback, set_seed

        from formosa.train.follow import Follow
        from formosa.train.trainer import RowTrainer, arguments

        config = config or self.config
        set_seed(config.seed)
        model = trained_model(
            config,
            self.base,
            self.tokenizer,
            self.prepared,
            processes=self.shared.world,
            say=self.say,
        )
        joined = config.packing and attention_of(config).startswith("flash")
        groups = Groups(self.store, config, join=joined)
        if config.share_prefix and only is None:
            self.say(
                f"beginnings are shared: {groups.sequences:,} sequences of {groups.tokens:,} "
                f"tokens, instead of {self.store.tokens:,}"
            )
        rank, world = place(self.shared)
        order = Order(len(groups), seed=config.seed, process=rank, processes=world, only=only)
        autocast = config.precision == "bfloat16" and world > 1
        layers = list(getattr(model, "_no_split_modules", None) or ())
        count = steps_of(config, len(order), self.shared.accumulation)
        settings = arguments(
            config, str(steps), self.shared, layers, steps=count, autocast=autocast
        )
        reporters = Reporters(
            config.report_to if is_first() and only is None else (),
            self.folder / "train" / "tensorboard",
            self.folder.name,
        )
        follow = Follow(
            config,
            self.shared,
            log,
            self.held_out,
            self.folder / "train" / "best",
            reporters,
            self.say,
            self.progress,
        )
        self.shared.begin()
        trainer = RowTrainer(config, groups, order, model=model, args=settings, callbacks=[follow])
        trainer.remove_callback(PrinterCallback)  # standard output is for data here
        follow.trainer = trainer
        self.shared.settle(trainer)
        return trainer

    def _finish(self, trainer: Any, log: Log) -> None:
        """The checkpoint: of the best measurement, or of the last step."""
        best = log.of("best")
        trained = self.folder / "train" / ("best" if best else "trained")
        if not best:
            write_trained(trainer, self.shared, trained)
        barrier()
        if is_first():
            write_checkpoint(
                trained,
                self.folder / "checkpoint",
                base=self.base,
                tokenizer=self.tokenizer,
                prepared=self.prepared,
                about={"seed": self.config.seed},
            )
            if best:
                self.say(f"exported: step {best[-1]['step']}, the best by {best[-1]['by']}")
            shutil.rmtree(self.steps, ignore_errors=True)
            shutil.rmtree(trained, ignore_errors=True)
        barrier()


def summary_written(summary: dict[str, Any], folder: Path) -> dict[str, Any]:
    if is_first():
        write_json(folder / "train" / "summary.json", summary)
    return summary
