"""Curves for TensorBoard and trackio, beside our own log. Nothing leaves the machine.

We write the same numbers as log.jsonl and no more: no settings, no environment, no model card.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from formosa.errors import UserError

Report = Callable[[int, dict[str, float]], None]  # step, values by name
SCALARS = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "peak_memory_gb")


def require_reporters(names: Sequence[str]) -> None:
    """Raise where a wished-for package is missing, or would send its numbers away.

    Raises:
        UserError: says how to install it.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(
                f"train.report_to names {name}, which is not installed.", f"pip install {name}"
            )
    if "trackio" in names and os.environ.get("TRACKIO_SPACE_ID"):
        raise UserError(
            "TRACKIO_SPACE_ID is set, so trackio would send the curves to the hub.",
            "unset TRACKIO_SPACE_ID",
        )


class Reporters:
    """Everything of `report_to`.

    Args:
        names: tensorboard, trackio.
        folder: where TensorBoard's files go.
        name: of the run.
    """

    def __init__(self, names: Sequence[str], folder: Path, name: str) -> None:
        self._reports: list[Report] = []
        self._ends: list[Callable[[], Any]] = []
        if "tensorboard" in names:
            self._tensorboard(folder)
        if "trackio" in names:
            self._trackio(name)

    def _tensorboard(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        new: Any = SummaryWriter
        writer = new(log_dir=str(folder))

        def report(step: int, values: dict[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        self._reports.append(report)
        self._ends.append(writer.close)

    def _trackio(self, name: str) -> None:
        from importlib import import_module

        trackio: Any = import_module("trackio")  # not installed where types are checked
        trackio.init(project="formosa", name=name, resume="allow")
        self._reports.append(lambda step, values: trackio.log(values, step=step))
        self._ends.append(trackio.finish)

    def record(self, record: dict[str, Any]) -> None:
        """Pass on what can be drawn of a record of the log."""
        kind = record["type"]
        values: dict[str, float] = {}
        if kind == "step":
            values = {f"train/{name}": record[name] for name in SCALARS if name in record}
        elif kind == "measured":
            values = {
                f"heldout/{name}": record[name] for name in ("loss", "call_loss") if name in record
            }
            if exact := record.get("exact_call"):
                values["heldout/exact_call"] = exact["correct"] / max(1, exact["of"])
            if begun := record.get("relevance"):
                values["heldout/needless_calls"] = begun["needless"] / max(1, begun["others"])
                values["heldout/missed_calls"] = begun["missed"] / max(1, begun["calls"])
        for report in self._reports if values else ():
            report(record["step"], values)

    def close(self) -> None:
        for end in self._ends:
            end()
