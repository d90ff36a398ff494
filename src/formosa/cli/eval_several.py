"""What several logs of a model say together; scores without questions that nobody can get right.

Such questions count in every first figure, since they count in everybody's. Figures without them
stand in a table of their own that says so, and are never mixed with the first.

Knows rows and words. What a figure is, is `formosa.evals.registry`'s and `formosa.results`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from formosa.cli.output import Output
from formosa.evals.registry import aggregates, known_bad
from formosa.results import report
from formosa.results.log import EvalLog
from formosa.results.metrics import Score, score

Figures = dict[str, dict[str, dict[str, float]]]  # model → scorer → figure → share of 1


def view_several(out: Output, logs: Sequence[EvalLog]) -> None:
    """A table for each log, and the figures over several tasks: of all questions, and without those
    that nobody can get right."""
    rest = [part for log in logs if (part := without_known_bad(log) or log).samples]
    # Several models may have been asked the same question.
    left_out = len({(log.start["task"]["name"], id) for log in logs for id in left_out_of(log)})
    made = _aggregates(logs)
    made_without = _aggregates(rest) if left_out else {}
    if out.json_mode:
        out.data(
            {
                "logs": [figures(log) for log in logs],
                "aggregates": made,
                "aggregates_without_known_bad": made_without,
            }
        )
        return
    for log in logs:
        if log.samples:  # a table each: with the task in a column, no terminal is wide enough
            name, model = log.start["task"]["name"], log.start["model"]["name"]
            out.table(report.score_rows(log), title=f"{name} · {model}")
        if not log.finished:
            out.say(f"{log.path} is interrupted: {len(log.samples)} of {log.planned} answers")
    # A table's own title would be broken to the table's width.
    if made:
        out.text("\nover several tasks\n")
        out.table(_rows(made))
    if made_without:
        out.text(f"\nover several tasks, {_without(left_out)}\n")
        out.table(_rows(made_without))


def figures(log: EvalLog) -> dict[str, Any]:
    """`report.figures`, and beside them the scores without questions that nobody can get right:
    `without_known_bad`, None where the log holds no such question."""
    rest = without_known_bad(log)
    without = rest and {
        "left_out": left_out_of(log),
        "scores": {
            name: score(rest, name)._asdict() for name in (rest.scorers if rest.samples else ())
        },
    }
    return {**report.figures(log), "without_known_bad": without}


def show_without_known_bad(out: Output, log: EvalLog) -> None:
    """The scores of the log without such questions, where it holds one."""
    rest = without_known_bad(log)
    if rest and rest.samples:
        out.text(f"\n{_without(len(left_out_of(log)))}\n")
        out.table(report.score_rows(rest))


def without_known_bad(log: EvalLog) -> EvalLog | None:
    """The log without such questions; None where it holds none."""
    left_out = left_out_of(log)
    return log.without(set(left_out)) if left_out else None


def left_out_of(log: EvalLog) -> list[str]:
    """The ids of such questions in the log."""
    bad = known_bad(str(log.start["task"].get("name")))
    return sorted({short.id for short in log.briefs} & bad)


def _without(count: int) -> str:
    questions = "1 question" if count == 1 else f"{count} questions"
    return f"without {questions} that nobody can get right"


def _rows(made: Figures) -> list[dict[str, Any]]:
    return [
        {"model": model, "scorer": scorer, "figure": name, "%": report.percent(value)}
        for model, scorers in made.items()
        for scorer, values in scorers.items()
        for name, value in values.items()
    ]


def _aggregates(logs: Sequence[EvalLog]) -> Figures:
    """Of finished logs only; models and scorers without a figure are left out."""
    scores: dict[str, dict[str, dict[str, Score]]] = {}
    for log in logs:
        if log.finished:
            model = scores.setdefault(str(log.start["model"]["name"]), {})
            for name in log.scorers:
                model.setdefault(name, {})[log.start["task"]["name"]] = score(log, name)
    made = {
        model: {name: found for name, tasks in scorers.items() if (found := aggregates(tasks))}
        for model, scorers in scores.items()
    }
    return {model: scorers for model, scorers in made.items() if scorers}
