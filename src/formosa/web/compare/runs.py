"""Whole runs beside each other: their logs paired by task, and the figures over several tasks.

A run folder holds logs of one or several models (`base-…`, `trained-…`). One folder: all its models
are compared, the base first. Several folders: the trained model of each. A task that a model was
asked more than once counts with its finished log of the most answers.

All p-values of the page are Holm's over all its differences. Figures over several tasks have an
interval where they are plain means of tasks (`several.mean_difference`); others have none.

Knows logs and figures. Knows no HTML and no language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from formosa.errors import LogError
from formosa.evals.bfcl import task as bfcl
from formosa.evals.bfcl.aggregates import AST
from formosa.evals.registry import aggregates
from formosa.results.log import EvalLog
from formosa.results.metrics import Score, question_differences, score
from formosa.results.several import mean_difference
from formosa.web.compare.sides import (
    LETTERS,
    Against,
    Paired,
    Side,
    against,
    model_name,
    refused,
    sides_of,
    with_holm,
)

MEAN = "ast_mean"


class RunSide(NamedTuple):
    """One model of a run.

    Attributes:
        sides: task → its log as a side of a comparison; all have this letter and name.
    """

    letter: str
    name: str
    folder: Path
    sides: Mapping[str, Side]

    @property
    def label(self) -> str:
        return f"{self.letter} · {self.name}"


class TaskRow(NamedTuple):
    """One task by one scorer.

    Attributes:
        scores: of each side, in their order; None where it has none.
        others: each other side against the first; None where one of the two has no such log.
    """

    task: str
    scorer: str
    scores: Sequence[Score | None]
    others: Sequence[Against | None]


class FigureRow(NamedTuple):
    """One figure over several tasks; `differences` are to the first, `paired` where there is an
    interval."""

    figure: str
    scorer: str
    values: Sequence[float | None]
    differences: Sequence[float | None]
    paired: Sequence[Paired | None]


class Runs(NamedTuple):
    """All that can be said of the runs; `family` is the number of differences with a p."""

    sides: Sequence[RunSide]
    tasks: Sequence[TaskRow]
    figures: Sequence[FigureRow]
    family: int


def run_sides(groups: Mapping[Path, Sequence[EvalLog]]) -> list[RunSide]:
    """The models of these folders.

    Args:
        groups: each folder's logs.

    Raises:
        LogError: there is no log in any.
    """
    found: list[tuple[Path, str, list[EvalLog]]] = []
    for folder, logs in groups.items():
        models: dict[str, list[EvalLog]] = {}
        for log in logs:
            models.setdefault(_role(log), []).append(log)
        names = sorted(models, key=lambda name: (_ORDER.get(name, 2), name))
        if len(groups) > 1 and "trained" in models:
            names = ["trained"]
        found += [(folder, name, models[name]) for name in names]
    if not found:
        raise LogError("There is no evaluation log in these folders.", "formosa eval run TASK")
    named = [model_name(logs[0]) for _, _, logs in found]
    made = []
    for letter, name, (folder, _, logs) in zip(LETTERS, named, found, strict=False):
        shown = f"{name} ({folder.name})" if named.count(name) > 1 else name
        tasks: dict[str, Side] = {}
        for task in sorted({str(log.start["task"].get("name")) for log in logs}):
            best = best_of(log for log in logs if log.start["task"].get("name") == task)
            (side,) = sides_of([best])
            tasks[task] = side._replace(letter=letter, name=shown)
        made.append(RunSide(letter, shown, folder, tasks))
    return made


_ORDER = {"base": 0, "trained": 1}


def _role(log: EvalLog) -> str:
    """`base` or `trained` as a run names its logs; else the model's name."""
    first, dash, _ = log.path.name.partition("-")
    return first if dash and first in _ORDER else model_name(log)


def best_of(logs: Iterable[EvalLog]) -> EvalLog:
    """Of several logs of one task the finished one, then the one with the most answers, then the
    latest."""
    return max(
        logs,
        key=lambda log: (log.finished, len(log.samples), str(log.start.get("started")), log.path),
    )


def compare_runs(sides: Sequence[RunSide]) -> Runs:
    """Every task and figure that the first side and others have."""
    names = sorted({task for run in sides for task in run.sides}, key=_task_order)
    tasks = [row for name in names for row in _task_rows(name, sides)]
    figures = _figure_rows(sides)
    found = [
        one.paired[row.scorer]
        for row in tasks
        for one in row.others
        if one and row.scorer in one.paired
    ]
    found += [paired for row in figures for paired in row.paired if paired]
    fixed = iter(with_holm(found))
    tasks = [
        row._replace(
            others=[
                one._replace(paired={row.scorer: next(fixed)})
                if one and row.scorer in one.paired
                else one
                for one in row.others
            ]
        )
        for row in tasks
    ]
    figures = [
        row._replace(paired=[paired and next(fixed) for paired in row.paired]) for row in figures
    ]
    return Runs(sides, tasks, figures, len(found))


def _task_order(name: str) -> tuple[int, str]:
    """BFCL's in the order of its tables, before and after them by name."""
    known = list(bfcl.TASKS)
    return (known.index(name), "") if name in known else (len(known), name)


def _task_rows(task: str, sides: Sequence[RunSide]) -> list[TaskRow]:
    logs = [run.sides.get(task) for run in sides]
    first = logs[0]
    compared = [against(first, side, task) if first and side else None for side in logs[1:]]
    scorers = dict.fromkeys(name for side in logs if side for name in side.shares)
    rows = []
    for scorer in scorers:
        scores = [
            score(side.log, scorer) if side and side.shares.get(scorer) else None for side in logs
        ]
        if any(scores):
            others = [
                one and one._replace(paired={k: v for k, v in one.paired.items() if k == scorer})
                for one in compared
            ]
            rows.append(TaskRow(task, scorer, scores, others))
    return rows


def _figure_rows(sides: Sequence[RunSide]) -> list[FigureRow]:
    """Figures over several tasks, from finished logs only."""
    scorers = dict.fromkeys(
        name for run in sides for side in run.sides.values() for name in side.shares
    )
    rows = []
    for scorer in scorers:
        made = [_figures(run, scorer) for run in sides]
        for figure in dict.fromkeys(name for values in made for name in values):
            values = [found.get(figure) for found in made]
            first = values[0]
            rows.append(
                FigureRow(
                    figure,
                    scorer,
                    values,
                    [
                        None if first is None or value is None else value - first
                        for value in values[1:]
                    ],
                    [_mean(figure, scorer, sides[0], run) for run in sides[1:]],
                )
            )
    return rows


def _figures(run: RunSide, scorer: str) -> dict[str, float]:
    return aggregates(
        {
            task: score(side.log, scorer)
            for task, side in run.sides.items()
            if side.log.finished and side.shares.get(scorer)
        }
    )


def _mean(figure: str, scorer: str, a: RunSide, b: RunSide) -> Paired | None:
    """The paired difference of BFCL's plain mean; None for other figures, and where not every
    question was asked of both."""
    family, _, name = figure.partition(" ")
    if name != MEAN:
        return None
    tasks = [
        task
        for task in bfcl.TASKS
        if bfcl.parsed(task).family == family and bfcl.parsed(task).category in AST
    ]
    exact = []
    for task in tasks:
        one, other = a.sides.get(task), b.sides.get(task)
        if not one or not other or refused(one, other) or scorer not in one.shares:
            return None
        if one.shares[scorer].keys() != other.shares.get(scorer, {}).keys():
            return None
        if not (one.log.finished and other.log.finished):
            return None
        found = question_differences(one.shares[scorer], other.shares[scorer])
        exact.append(list(found.values()))
    made = mean_difference(exact)
    return Paired(figure, made, made.p, 1)
