"""The former name of `train.run`."""

from __future__ import annotations

from formosa.train.run import require_training, train

train_sft = train

__all__ = ["require_training", "train_sft"]
