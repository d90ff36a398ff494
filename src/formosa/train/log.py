"""The story of a training, one JSON object a line: FOLDER/train/log.jsonl.

    {"type": "step", "step", "steps", "loss", "learning_rate", "grad_norm", "tokens", "learnt",
     "seconds", "tokens_per_second", "peak_memory_gb"}
    {"type": "spike", "step", "loss", "usual"}                      a loss far above those before it
    {"type": "measured", "step", "loss", "call_loss",               on held-out rows, and on those
     "exact_call": {…},                                             of them that have calls; of
     "relevance": {…}}                                              documents "perplexity" instead
    {"type": "reply", "step", "row", "asked", "wanted", "said",     one of its rows, as it was
     "right", "ended"}                                              answered
    {"type": "best", "step", "by", "value", "loss"}                 the best measured so far

`loss` is the mean cross entropy of a learnt token in natural logarithms, `seconds` the time spent
so far over all attempts, `steps` how many there will be. Only the first process writes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from formosa.files import JsonLines, read_jsonl

Record = dict[str, Any]
Progress = Callable[[int, int, float], None]  # step, steps, loss

WINDOW = 32  # steps that say what a usual loss is
FEWEST = 8
STAYS = 3  # spikes in a row that are worth a word


class Log:
    """An append-only log.

    Args:
        path: of the file.
        writing: whether this process writes; the others only remember.
    """

    def __init__(self, path: Path, *, writing: bool = True) -> None:
        self.path, self._writing = path, writing
        self.records: list[Record] = []
        self._lines: JsonLines | None = None

    def begin(self, step: int) -> None:
        """Open it; forget what a killed attempt wrote after `step`, where this one continues."""
        found = [r for _, r in read_jsonl(self.path)] if self.path.exists() else []
        self.records = [record for record in found if record["step"] <= step] if step else []
        if not self._writing:
            return
        if len(self.records) != len(found):
            self.path.unlink()
        self._lines = JsonLines(self.path, sync=False)
        if len(self.records) != len(found):
            for record in self.records:
                self._lines.append(record)

    def append(self, record: Record) -> None:
        """Remember it, and write it."""
        self.records.append(record)
        self.write(record)

    def write(self, record: Record) -> None:
        """Write it only: what people read and nothing here looks at again."""
        if self._lines:
            self._lines.append(record)

    def close(self) -> None:
        if self._lines:
            self._lines.close()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, kind: str) -> list[Record]:
        """The records of one type, in order."""
        return [record for record in self.records if record["type"] == kind]

    def recent_steps(self) -> list[Record]:
        """The latest steps, as many as `spike` looks at; not a million."""
        latest = self.records[-4 * WINDOW :]
        return [record for record in latest if record["type"] == "step"][-WINDOW:]

    def stays_high(self, step: int) -> bool:
        """Whether `step` and those just before it are spikes: one alone is the dice's business."""
        spikes = [r["step"] for r in self.records[-4 * STAYS :] if r["type"] == "spike"]
        return spikes[-STAYS:] == [*range(step - STAYS + 1, step + 1)]

    @property
    def seconds(self) -> float:
        """Time spent so far, over all attempts."""
        return max((float(r.get("seconds", 0)) for r in self.records), default=0.0)


def spike(before: Sequence[Record], step: Record) -> float | None:
    """The usual loss, where that of `step` is far above it: six deviations and half as much again.

    A step with less than half the usual learnt tokens says nothing: a few short rows of chat among
    tool calls are no sign that a training goes astray.

    Args:
        before: the steps before, the latest last.
        step: this one.
    """
    recent = before[-WINDOW:]
    if len(recent) < FEWEST:
        return None
    if step["learnt"] < statistics.median(record["learnt"] for record in recent) / 2:
        return None
    losses = [float(record["loss"]) for record in recent]
    usual = statistics.median(losses)
    deviation = statistics.median(abs(loss - usual) for loss in losses) * 1.4826  # as a normal's
    return usual if step["loss"] > max(usual + 6 * deviation, 1.5 * usual) else None
