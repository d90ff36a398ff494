"""How a training stands: running, finished or stopped, at which step of how many, and until when.

A log says what was; whether somebody still writes it, the lock of its run folder says. A log of a
folder without one (a training that no run folder holds) counts as running while it is fresh.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from formosa.card.values import read_yaml
from formosa.errors import UserError
from formosa.files import explain_read_error, is_locked, read_json
from formosa.run.state import LOCK
from formosa.train.curves import Story, find_log, read_story

State = Literal["running", "finished", "stopped"]

LATEST = 50  # steps that say how long a step takes
FRESH = 120  # seconds after which a log without a lock is not being written any more
LONGEST_RECIPE = 1 << 20  # bytes


class Steps(NamedTuple):
    """Steps of a training; `known` is False where they were reckoned from rows and settings."""

    number: int
    known: bool


@dataclass(frozen=True)
class Run:
    """A training as its page shows it.

    Attributes:
        folder: of the run.
        recipe: what it was told; {} where there is no recipe.
        report: what became of the rows; {} where nothing says it yet.
        left: seconds until the last step; None where nobody can say.
        version: another one where the log has changed.
    """

    folder: Path
    story: Story
    state: State
    recipe: Mapping[str, Any]
    report: Mapping[str, Any]
    steps: Steps | None
    left: float | None
    version: tuple[Any, ...] = ()

    @property
    def step(self) -> int:
        return int(self.story.last("step").get("step", 0))

    def setting(self, name: str) -> Any:
        """A key of the recipe's `train:`; None where it isn't written."""
        train = self.recipe.get("train")
        return train.get(name) if isinstance(train, dict) else None


def read_run(place: Path, *, now: float | None = None) -> Run:
    """The training of a run's folder, its train folder or its log.

    Raises:
        DataError: there is no log, or it holds something else.
    """
    log = find_log(place)
    try:
        status = log.stat()
    except OSError as error:
        raise explain_read_error(error, log) from error
    train = log.parent
    folder = train.parent if train.resolve().name == "train" else train
    version = log, status.st_mtime_ns, status.st_size, _changed(train / "summary.json")
    story = _story(*version)
    recipe = _recipe(folder / "recipe.yaml")
    report = _report(train, story)
    state = _state(folder, story, (time.time() if now is None else now) - status.st_mtime)
    steps = _steps(story, recipe, report)
    left = _left(story, steps) if state == "running" else None
    return Run(folder, story, state, recipe, report, steps, left, version)


@lru_cache(maxsize=16)
def _story(log: Path, changed: int, size: int, summary: int) -> Story:
    return read_story(log)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _recipe(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LONGEST_RECIPE:
            return {}
        return read_yaml(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UserError, ValueError, yaml.YAMLError):
        return {}


def _report(train: Path, story: Story) -> Mapping[str, Any]:
    """The report of the rows: of the encoded ones while it trains, else of the summary."""
    try:
        value = read_json(train / "tokens" / "meta.json")
        found = value.get("report") if isinstance(value, dict) else None
    except UserError:
        found = None
    if not isinstance(found, dict):
        found = (story.summary or {}).get("encoded")
    return found if isinstance(found, dict) else {}


def _state(folder: Path, story: Story, age: float) -> State:
    if story.summary is not None:
        return "finished"
    lock = folder / LOCK
    if lock.exists():
        return "running" if is_locked(folder / LOCK) else "stopped"
    return "running" if age < FRESH else "stopped"


def _steps(story: Story, recipe: Mapping[str, Any], report: Mapping[str, Any]) -> Steps | None:
    """What the summary or the log says, else rows and settings, where a sequence is a row."""
    for said in ((story.summary or {}).get("steps"), story.last("step").get("steps")):
        if isinstance(said, int) and _count(said):
            return Steps(said, True)
    train = recipe.get("train")
    train = train if isinstance(train, dict) else {}
    most: Any = train.get("max_steps")
    samples: Any = report.get("samples")
    group, epochs = train.get("rows_per_step", 8), train.get("epochs", 1)
    apart = not (train.get("packing") or train.get("share_prefix"))
    if not (apart and _count(samples) and _count(group) and _positive(epochs)):
        return Steps(int(most), False) if _count(most) else None
    count = math.ceil(epochs * math.ceil(samples / group))
    return Steps(min(count, most) if _count(most) else count, False)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6


def _left(story: Story, steps: Steps | None) -> float | None:
    """By the time that the latest steps took, measurements between them included."""
    latest = [r for r in story.records[-4 * LATEST :] if r.get("type") == "step"][-LATEST:]
    times = Story("", tuple(latest), None).points("step", "seconds")
    if steps is None or len(times) < 2 or times[-1].step <= times[0].step:
        return None
    each = (times[-1].value - times[0].value) / (times[-1].step - times[0].step)
    return max(0.0, each * (steps.number - times[-1].step))


def speed(story: Story) -> float | None:
    """The median of its tokens a second; None where its log has none."""
    values = [point.value for point in story.points("step", "tokens_per_second")]
    return statistics.median(values) if values else None


class Reply(NamedTuple):
    """A held-out question as the model answered it at a step.

    Attributes:
        row: number of the held-out row, from 1.
        right: whether it holds exactly the right calls; `ended`: by itself.
    """

    step: int
    row: int
    asked: str
    wanted: str
    said: str
    right: bool
    ended: bool


def replies(records: Sequence[Mapping[str, Any]]) -> dict[int, tuple[Reply, ...]]:
    """The replies that a log holds, by step, the latest first; {} of logs that hold none."""
    found: dict[int, list[Reply]] = {}
    for record in records:
        if record.get("type") != "reply" or not isinstance(record.get("step"), int):
            continue
        texts = [record.get(key) for key in ("asked", "wanted", "said")]
        asked, wanted, said = (text if isinstance(text, str) else "" for text in texts)
        row = record.get("row")
        made = Reply(
            record["step"],
            row if isinstance(row, int) else 0,
            asked,
            wanted,
            said,
            record.get("right") is True,
            record.get("ended") is True,
        )
        found.setdefault(made.step, []).append(made)
    return {step: tuple(found[step]) for step in sorted(found, reverse=True)}
