"""The table of logs: what stands in each one's first and last record.

A finished log says its scores at its end, so of a log of any length two lines are read; one that
has no end is indexed, and kept open for its page.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from formosa.errors import LogError
from formosa.results.index import State
from formosa.results.log import OUTCOMES, Record, check_start
from formosa.results.metrics import Outcomes, Score
from formosa.web.evals.figures import Scored, Spoken, scored
from formosa.web.evals.library import Library

TAIL = 1 << 16  # bytes in which the last record is looked for
HEAD = 1 << 20  # bytes of a first record
SORTS = ("task", "model", "score", "begun", "path")


@dataclass(frozen=True)
class Row:
    """A log with one of its scorers.

    Attributes:
        main: whether it is the log's first scorer, which stands for the log.
    """

    path: Path
    model: str
    task: str
    version: str
    begun: str
    state: State
    answers: int
    planned: int
    scored: Scored | None
    main: bool = True

    @property
    def failed(self) -> int:
        return self.scored.counts.failed if self.scored else 0


@dataclass(frozen=True)
class Problem:
    """A file that begins like a log and can't be read."""

    path: Path
    message: str


def rows(
    paths: Iterable[Path], library: Library, folders: Sequence[Path], say: Spoken
) -> tuple[list[Row], list[Problem]]:
    """A row for each scorer of each log, and what could not be read."""
    found: list[Row] = []
    problems = []
    for path in paths:
        try:
            found.extend(_rows(path, library, folders, say))
        except LogError as error:
            problems.append(Problem(path, error.message))
    return found, problems


def _rows(path: Path, library: Library, folders: Sequence[Path], say: Spoken) -> list[Row]:
    ends = _ends(path)
    made: list[Scored | None]
    if ends is not None:
        start, end = ends
        made = [_told(end, str(name), say) for name in start["scorers"]]
        if None not in made:
            answers = made[0].total if made and made[0] else 0
            return _made(path, start, "finished", answers, made)
    with library.open(path, folders) as opened:
        index = opened.index
        made = [
            scored(name, index.score(name), index.outcomes(name), say) for name in index.scorers
        ]
        return _made(path, index.start, index.state(), len(index), made)


def _made(
    path: Path, start: Record, state: State, answers: int, made: Sequence[Scored | None]
) -> list[Row]:
    task, model, plan = start["task"], start["model"], start["plan"]
    part = plan.get("shard") if isinstance(plan.get("shard"), dict) else plan
    try:
        planned = int(part["samples"]) * int(plan["repeats"])
    except (KeyError, TypeError, ValueError):
        planned = answers
    first = Row(
        path,
        str(model.get("name")),
        str(task.get("name")),
        str(task.get("version")),
        str(start.get("started") or ""),
        state,
        answers,
        planned,
        made[0] if made else None,
    )
    return [first, *(replace(first, scored=other, main=False) for other in made[1:])]


def _ends(path: Path) -> tuple[Record, Record] | None:
    """The first and the last record of a finished log; None where it is not finished.

    Raises:
        LogError: its first line is none of a log.
    """
    try:
        with path.open("rb") as file:
            first = file.readline(HEAD)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except OSError as error:
        raise LogError(f"Cannot read {path}: {error.strerror or error}.") from error
    last = tail[tail.rfind(b"\n", 0, len(tail) - 1) + 1 :]
    if not last.endswith(b"\n") or not last.startswith(b'{"type":"end"'):
        return None
    try:
        start, end = json.loads(first), json.loads(last)
    except (ValueError, RecursionError) as error:
        raise LogError(f"{path} is damaged: {error}.") from error
    if not isinstance(start, dict):
        raise LogError(f"{path} is not an evaluation log.")
    return check_start(path, start), end


def _told(end: Record, name: str, say: Spoken) -> Scored | None:
    """A scorer's figures as the last record tells them; None where it does not."""
    try:
        counts = Outcomes(*(int(end["counts"][name][outcome]) for outcome in OUTCOMES))
        told: Any = end["scores"][name]
        value, low, high = (float(told[part]) for part in ("value", "low", "high"))
        score = Score(value, low, high, int(told["questions"]), int(told["repeats"]))
    except (KeyError, TypeError, ValueError):
        return None
    return scored(name, score, counts, say)


def chosen(found: Sequence[Row], model: str, task: str, sort: str) -> list[Row]:
    """The rows of one model and one task ("" for all), in an order; scorers stay with their log."""
    keys: dict[str, Callable[[Row], Any]] = {
        "task": lambda row: (row.task, row.model),
        "model": lambda row: (row.model, row.task),
        "score": lambda row: -(row.scored.score.value if row.scored and row.scored.score else -1),
        "begun": lambda row: _newest_first(row.begun),
        "path": lambda row: str(row.path),
    }
    kept = [row for row in found if model in ("", row.model) and task in ("", row.task)]
    groups: dict[Path, list[Row]] = {}
    for row in kept:
        groups.setdefault(row.path, []).append(row)
    key = keys.get(sort, keys["path"])
    return [row for group in sorted(groups.values(), key=lambda g: key(g[0])) for row in group]


def _newest_first(text: str) -> list[int]:
    return [-ord(character) for character in text]
