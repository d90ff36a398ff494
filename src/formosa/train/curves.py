"""The curves of a training: its log as series of points that can be drawn.

Knows train/log.jsonl and numbers, nothing of pages. A log of a running training is read as far as
it goes; what is not there (older logs say less) gives no curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from formosa.errors import DataError
from formosa.files import read_json, read_jsonl

POINTS = 400  # of a drawn curve; more would be closer together than a pixel
SMOOTH_FROM = 60  # points from which on a curve gets a smoothed one beside it


class Point(NamedTuple):
    """A value at a step."""

    step: int
    value: float


@dataclass(frozen=True)
class Series:
    """A curve of one run.

    Attributes:
        label: what it is, beside the run's name; "" where the chart says it.
        points: by step.
        marked: whether every point is drawn, since there are few and each is a measurement.
        faint: whether it is only the ground of a smoothed one.
    """

    label: str
    points: tuple[Point, ...]
    marked: bool = False
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """What is drawn together: a quantity over the steps.

    Attributes:
        title: of the quantity.
        unit: of its values; "" for plain numbers.
        note: how to read it.
        curves: gives the series of a story.
        share: whether values are shares, drawn from 0 to 100 %.
    """

    title: str
    unit: str
    note: str
    curves: Callable[[Story], list[Series]]
    share: bool = False


@dataclass(frozen=True)
class Story:
    """What a run has written of its training.

    Attributes:
        name: of the run's folder.
        records: of the log, in order.
        summary: of a finished training; None of one that runs or was stopped.
    """

    name: str
    records: tuple[dict[str, Any], ...]
    summary: dict[str, Any] | None

    def points(self, kind: str, key: str) -> tuple[Point, ...]:
        """One figure of the records of one type; without those that are no number."""
        found = ((r.get("step"), r.get(key)) for r in self.records if r.get("type") == kind)
        return tuple(
            Point(step, float(value))
            for step, value in found
            if isinstance(step, int) and isinstance(value, int | float) and math.isfinite(value)
        )

    def last(self, kind: str) -> dict[str, Any]:
        """The latest record of a type; empty where there is none."""
        return next((r for r in reversed(self.records) if r.get("type") == kind), {})

    @property
    def exact(self) -> tuple[Point, ...]:
        """Share of held-out rows with exactly the right calls."""
        return self.shares("exact_call", "correct", "of")

    def shares(self, name: str, part: str, whole: str) -> tuple[Point, ...]:
        """One count of a measurement on held-out rows, by another."""
        found = []
        for record in self.records:
            counts = record.get(name) if record.get("type") == "measured" else None
            if isinstance(counts, dict) and counts.get(whole):
                found.append(Point(record["step"], counts[part] / counts[whole]))
        return tuple(found)


def read_story(place: Path) -> Story:
    """The story of a run's folder, or of its train folder or its log.

    Raises:
        DataError: there is no log, or it holds something else.
    """
    log = find_log(place)
    records = tuple(record for _, record in read_jsonl(log) if isinstance(record, dict))
    if records and not any("type" in record and "step" in record for record in records):
        raise DataError(f"{log} is no log of a training.")
    folder = log.parent
    summary = folder / "summary.json"
    name = folder.resolve().parent.name if folder.resolve().name == "train" else folder.name
    value = read_json(summary) if summary.exists() else None
    return Story(name, records, value if isinstance(value, dict) else None)


def find_log(place: Path) -> Path:
    """The log of a run's folder, or of its train folder, or a log itself.

    Raises:
        DataError: there is none.
    """
    for log in (place / "train" / "log.jsonl", place / "log.jsonl", place):
        if log.is_file():
            return log
    raise DataError(
        f"{place} has no train/log.jsonl.",
        "name a run's folder, such as runs/mini, in which a training has begun",
    )


def thinned(points: Sequence[Point], most: int = POINTS) -> tuple[Point, ...]:
    """At most about `most` points, the lowest and the highest of each stretch among them: a spike
    must not vanish."""
    if len(points) <= most:
        return tuple(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[Point] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p.value), max(stretch, key=lambda p: p.value)}
        kept.extend(sorted(ends))
    return tuple(kept)


def smoothed(points: Sequence[Point]) -> tuple[Point, ...]:
    """A running mean over a twentieth of the points, centred."""
    half = max(1, len(points) // 40)
    sums = [0.0]
    for point in points:
        sums.append(sums[-1] + point.value)
    found = []
    for i, point in enumerate(points):
        start, end = max(0, i - half), min(len(points), i + half + 1)
        found.append(Point(point.step, (sums[end] - sums[start]) / (end - start)))
    return tuple(found)


def _noisy(label: str, points: tuple[Point, ...]) -> list[Series]:
    """A curve with a smoothed one over it, where there are many points."""
    if len(points) < SMOOTH_FROM:
        return [Series(label, points)] * bool(points)
    return [
        Series(f"{label}, every step".lstrip(", "), thinned(points), faint=True),
        Series(label, thinned(smoothed(points))),
    ]


def _loss(story: Story) -> list[Series]:
    held_out = story.points("measured", "loss")
    calls = story.points("measured", "call_loss")
    found = _noisy("training", story.points("step", "loss"))
    found += [Series("held out", held_out, marked=True)] * bool(held_out)
    return found + [Series("held out, with calls", calls, marked=True)] * bool(calls)


def _smooth(key: str) -> Callable[[Story], list[Series]]:
    return lambda story: _noisy("", story.points("step", key))


def _plain(key: str) -> Callable[[Story], list[Series]]:
    def curves(story: Story) -> list[Series]:
        points = thinned(story.points("step", key))
        return [Series("", points)] * bool(points)

    return curves


def _exact(story: Story) -> list[Series]:
    return [Series("", story.exact, marked=True)] * bool(story.exact)


def _relevance(story: Story) -> list[Series]:
    needless = story.shares("relevance", "needless", "others")
    missed = story.shares("relevance", "missed", "calls")
    found = [Series("where none should be", needless, marked=True)] * bool(needless)
    return found + [Series("none where one should be", missed, marked=True)] * bool(missed)


CHARTS = (
    Chart("Loss", "nats", "Mean cross entropy of a learnt token; lower is better.", _loss),
    Chart("Exact calls", "", "Held-out rows answered with exactly the right calls.", _exact,
          share=True),
    Chart("Wrongly called", "", "Held-out rows whose reply begins as a call and should not, or "
          "should and does not; lower is better.", _relevance, share=True),
    Chart("Learning rate", "", "As the schedule has it.", _plain("learning_rate")),
    Chart("Gradient norm", "", "Before clipping; a jump often comes before a spike of the loss.",
          _smooth("grad_norm")),
    Chart("Speed", "tokens/s", "Over all processes.", _smooth("tokens_per_second")),
    Chart("Memory", "GB", "At its peak, of the first process.",
          _plain("peak_memory_gb")),
)  # fmt: skip
