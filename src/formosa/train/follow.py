"""What happens beside the steps: log, measurements, the best one, spikes, whole checkpoints.

Imported only when a training starts: this module needs transformers.

The Trainer calls at each step, in this order: the step is done, it is logged (and measured here),
a checkpoint is written (and marked as whole here). Every process is called; the first one writes.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from formosa.train.checkpoint import finish_step, write_trained
from formosa.train.config import TrainConfig
from formosa.train.log import Log, Progress, Record, spike
from formosa.train.measure import HeldOut
from formosa.train.parallel import Arrangement
from formosa.train.reporters import Reporters
from formosa.train.trainer import not_finite
from formosa.wheels import Say

EARLY = 50  # a step at which a model should know that replies end


class Follow(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Follows one training.

    Args:
        config: the recipe's `train:` part.
        shared: how processes share the training.
        log: told everything.
        held_out: what is measured; None: nothing.
        best: where the best one is kept.
        reporters: other places for the curves.
        say: gets lines for people.
        progress: called after every step.
    """

    def __init__(
        self,
        config: TrainConfig,
        shared: Arrangement,
        log: Log,
        held_out: HeldOut | None,
        best: Path,
        reporters: Reporters,
        say: Say,
        progress: Progress,
    ) -> None:
        self._config, self._shared, self._log, self._held_out = config, shared, log, held_out
        self._best, self._reporters, self._say, self._progress = best, reporters, say, progress
        self.trainer: Any = None  # set before it trains
        self._began = self._step_began = time.monotonic()
        self._seconds_before = log.seconds

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for line in self._shared.check(self.trainer):
            self._say(line)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step_began = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "loss" not in logs:
            return
        kept = ("loss", "learning_rate", "grad_norm")  # DeepSpeed keeps the last one to itself
        values = {key: float(logs[key]) for key in kept if key in logs}
        if not math.isfinite(values["loss"]):  # where the norm didn't tell
            raise not_finite(state.global_step)
        self._step(state.global_step, state.max_steps, values)
        self._progress(state.global_step, state.max_steps, values["loss"])
        self._measure(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir)
        finish_step(folder, state.global_step, self._config.keep, self._shared.mark)

    def _append(self, record: Record) -> None:
        self._log.append(record)
        self._reporters.record(record)

    def _step(self, step: int, steps: int, values: dict[str, float]) -> None:
        now = time.monotonic()
        counted = self.trainer.counted
        before = self._log.recent_steps()
        record: Record = {
            "type": "step",
            "step": step,
            "steps": steps,
            **values,
            "tokens": counted.tokens,
            "learnt": counted.learnt,
            "seconds": round(self._seconds_before + now - self._began, 1),
            "tokens_per_second": round(counted.tokens / max(now - self._step_began, 1e-9), 1),
            "peak_memory_gb": round(peak_memory(), 2),
        }
        self._append(record)
        usual = spike(before, record)
        if usual is not None:
            self._append(
                {"type": "spike", "step": step, "loss": values["loss"], "usual": round(usual, 4)}
            )
            if self._log.stays_high(step):
                self._say(
                    f"the loss stays high: {values['loss']:.3f} at step {step}, the usual was "
                    f"{usual:.3f}; if it doesn't come down, lower train.learning_rate"
                )

    def _measure(self, step: int, last: int) -> None:
        if self._held_out is None:
            return
        if step % self._config.measure_every == 0 or step == last:
            found = self._held_out.measure(self.trainer, self._shared)
            self._append({"type": "measured", "step": step, **found})
            for number, answer in enumerate(self._held_out.answers, start=1):
                self._log.write({"type": "reply", "step": step, "row": number, **answer._asdict()})
            self._say(_words(found))
            self._keep_best(step, found)
            exact = found.get("exact_call")
        elif step == EARLY and self._held_out.asked and self._config.measure_rows:
            exact = self._held_out.stops(self.trainer, self._shared)._asdict()
        else:
            return
        if exact and exact["of"] and not exact["stopped"] and step != last:
            self._say(
                f"none of {exact['of']} replies ended within {self._config.measure_tokens} tokens: "
                "either they are long (raise train.measure_tokens), or the model doesn't learn to "
                "stop"
            )

    def _keep_best(self, step: int, found: dict[str, Any]) -> None:
        by = self._config.best
        if by == "none":
            return
        loss = value = found["loss"]
        if by == "exact_call":
            value = found["exact_call"]["correct"] / max(1, found["exact_call"]["of"])
        record = {"type": "best", "step": step, "by": by, "value": value, "loss": loss}
        before = self._log.of("best")
        if not before or _merit(record) > _merit(before[-1]):
            write_trained(self.trainer, self._shared, self._best)
            self._append(record)


def _merit(best: Record) -> tuple[float, float]:
    """Larger is better; among as many exact calls the smaller loss decides."""
    return (best["value"] if best["by"] == "exact_call" else 0.0, -best["loss"])


def _words(found: dict[str, Any]) -> str:
    words = f"held-out loss {found['loss']:.3f}"
    if "perplexity" in found:
        words += f", perplexity {found['perplexity']:,.2f}"
    if "call_loss" in found:
        words += f" (of rows with calls {found['call_loss']:.3f})"
    if exact := found.get("exact_call"):
        words += f", exact calls {exact['correct']} of {exact['of']}"
    if begun := found.get("relevance"):
        words += f", needless calls {begun['needless']} of {begun['others']}"
        words += f", missed {begun['missed']} of {begun['calls']}"
    return words


def peak_memory() -> float:
    """The most memory this process has used, in GB: of its GPU, or of the machine."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated()) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
