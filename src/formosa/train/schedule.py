"""How many steps there are, and their rates: a rise, then cosine, linear, constant or stable.

Pure arithmetic: the plan of a training and its curves use it too.
"""

from __future__ import annotations

import math

from formosa.train.config import TrainConfig


def steps_of(config: TrainConfig, batches: int, accumulation: int) -> int:
    """How many steps a training takes.

    Args:
        config: its settings.
        batches: groups of sequences that a process computes in an epoch.
        accumulation: groups that make one step; the last step of an epoch may have fewer.
    """
    steps = math.ceil(config.epochs * math.ceil(batches / accumulation))
    return steps if config.max_steps is None else min(steps, config.max_steps)


def rate(config: TrainConfig, step: int, steps: int) -> float:
    """The share of the peak rate that step number `step` (from 0) of `steps` uses.

    The last step of the warm-up has the peak, and its first one is not 0 as in transformers'
    schedules, which would waste it. `final_rate` is what the step after the last one would have.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "stable":
        left = min(1.0, (steps - step) / max(1, math.ceil(config.decay_share * steps)))
        return config.final_rate + (1 - config.final_rate) * max(0.0, left)
    done = min(1.0, (step - config.warmup_steps) / max(1, steps - config.warmup_steps))
    left = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.final_rate + (1 - config.final_rate) * left
