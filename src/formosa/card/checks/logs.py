"""A foreign card's figures against logs from elsewhere (`--logs`).

A log supports a figure where it is of the card's model (by name), of that benchmark, whole, and one
of its figures rounds to the printed one: the score of a scorer, or its plain mean over subjects. A
log of a part of the questions, or an interrupted one, can only say whether the figure lies inside
its interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from formosa.card.checks.agreement import Shown, own_figures
from formosa.card.checks.benchmarks import benchmark_of, task_benchmark
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.model_index import entry_name
from formosa.card.checks.numbers import of_float, same
from formosa.card.checks.subject import Subject, same_name
from formosa.card.values import finite
from formosa.errors import LogError
from formosa.results.log import EvalLog
from formosa.results.metrics import score, subject_mean

_MODES = ("box", "pattern")
_MISFITS = (LogError, KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError)


class Followed(NamedTuple):
    """A figure that a log was found for."""

    line: int
    head: str
    finding: Finding


def logs(card: Subject) -> Iterator[Finding]:
    """What the logs say of each figure of the card's model."""
    yield from (followed.finding for followed in follow(card))


def follow(card: Subject) -> list[Followed]:
    """Each figure for which there is a log of the same model and benchmark, the best word of all.

    Support by one log counts before a difference from another: that may be of another mode.
    """
    if not card.logs:
        return []
    targets = own_figures(card) + _entries(card)
    result = []
    for shown in targets:
        words = [
            word
            for log in card.logs
            if _is_of(card, log) and task_benchmark(str(log.start["task"]["name"])) ==
            shown.benchmark
            for word in _compare(shown, log)
        ]  # fmt: skip
        rank = ("log-supports", "log-differs", "log-partial")
        if words:
            best = min(words, key=lambda word: rank.index(word.code))
            result.append(Followed(shown.line, shown.head, best))
    return result


def _entries(card: Subject) -> list[Shown]:
    """The entries of the model-index, as figures."""
    made = []
    for i, entry in enumerate(card.results):
        if finite(entry.metric_value):
            value, digits = of_float(entry.metric_value)
            name = benchmark_of(entry.dataset_name, entry.dataset_type)
            where, line = entry_name(entry), card.result_line(i)
            made.append(Shown(name, value, digits, where, line, (), (), "model-index"))
    return made


def _is_of(card: Subject, log: EvalLog) -> bool:
    model = log.start.get("model")
    if not isinstance(model, dict) or not card.own_name:
        return False
    said = [str(model.get(key) or "") for key in ("name", "hub_id", "path")]
    return any(same_name(name.rstrip("/"), card.own_name) for name in said if name)


def _compare(shown: Shown, log: EvalLog) -> Iterator[Finding]:
    try:
        yield _word(shown, log)
    except _MISFITS:
        return  # a log of another shape says nothing about a figure


def _word(shown: Shown, log: EvalLog) -> Finding:
    mode = next((cell.strip().lower() for cell in shown.row
                 if cell.strip().lower() in _MODES), "")  # fmt: skip
    scorers = [name for name in log.scorers if not mode or name == mode or name not in _MODES]
    name = log.path.name
    plan = log.start["plan"]
    whole = log.finished and (plan.get("samples") or 0) >= (plan.get("original") or 0)
    seen = []
    for scorer in scorers or log.scorers:
        made = score(log, scorer)
        for kind, value in (("", made.value), (" over subjects", subject_mean(log, scorer))):
            percent = Decimal(repr(100 * value))
            if whole and same(shown.value, shown.decimals, percent, shown.decimals):
                message = f"{shown.value} follows from {name} ({scorer}{kind}, {percent:.2f})."
                return found("log-supports", shown.line, shown.where, message)
        seen.append(
            f"{scorer} {100 * made.value:.2f} ({100 * made.low:.2f} to {100 * made.high:.2f})"
        )
    said = "; ".join(seen)
    if whole:
        message = f"The card says {shown.value}; {name} says {said}, of all questions."
        return found("log-differs", shown.line, shown.where, message)
    share = f"{plan.get('samples')} of {plan.get('original')} questions"
    state = share if log.finished else f"interrupted, {len(log.samples)} answers"
    message = f"The card says {shown.value}; {name} ({state}) says {said}: no support yet."
    return found("log-partial", shown.line, shown.where, message)
