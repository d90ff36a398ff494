"""Figures over several BFCL categories, each with a name and a formula of its own.

"Overall" and "Simple" mean something else in every version of the leaderboard, and in the papers
that quote it. Here every figure has a name of its own:

    ast_mean        plain mean of simple (Python), multiple, parallel, parallel_multiple
    ast_micro       correct of all items of these four (1,000)
    ast_irr         the same with irrelevance (1,240)
    simple_mean     plain mean of Python, Java and JavaScript: "Simple" of v2 to v4
    simple_micro    correct of all items of the three (550): "Simple" of v1
    overall_1480    correct of all items of ast_irr and the four executable categories: "Overall" of
                    MediaTek's fork, of the Breeze 2 paper, and of v1 without Java, JavaScript, REST
    v1_overall      the same with Java, JavaScript and REST (1,700)
    v3_non_live     plain mean of simple_mean, the other three, and irrelevance (from April 2025)
    v3_live         correct of all items of the six live categories (2,251)
    v4_non_live     plain mean of simple_mean and the other three: "Non-Live AST" of v2 to v4
    v4_live         correct of all items of the four live AST categories (1,351)
    v4_irrelevance  plain mean of irrelevance and live_irrelevance

A figure without one of its categories has no value: the leaderboard counts such a category as 0,
which reads like a score. The overall figures of v3 and v4 need multi-turn and agentic categories,
which are not asked here, so they are not offered.

Executable categories are not run here (their functions reach the internet). Whoever ran them
elsewhere passes the counts, as `{"executable_simple": (93, 100), …}`.

Pure functions of counts. Categories of one family of tasks and one model belong together: English
and Chinese, tool calls and prompting are never mixed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from formosa.errors import DataError
from formosa.evals.bfcl import lenient, zhtw
from formosa.evals.bfcl.task import TASKS, parsed
from formosa.results.metrics import Score

Counts = Mapping[str, tuple[float, int]]
"""Category → (correct, items). Where items are asked several times: the sum of their shares."""

AST = ("simple_python", "multiple", "parallel", "parallel_multiple")
SIMPLE = ("simple_python", "simple_java", "simple_javascript")
LIVE_AST = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
LIVE = (*LIVE_AST, "live_irrelevance", "live_relevance")
EXECUTABLE = (
    "executable_simple",
    "executable_multiple_function",
    "executable_parallel_function",
    "executable_parallel_multiple_function",
)


class Aggregate(NamedTuple):
    """A figure.

    Attributes:
        value: a share of 1; None where a category is missing.
        correct: items; None for means, which are no count, and where a category is missing.
        items: of all categories that are there.
        formula: for people.
        missing: categories without a count.
    """

    name: str
    value: float | None
    correct: float | None
    items: int
    formula: str
    missing: tuple[str, ...] = ()


Part = str | tuple[str, ...]  # a category, or several whose plain mean is one part


def aggregates(scores: Mapping[str, Score]) -> dict[str, float]:
    """The figures that can be had from the scores of these tasks, as `bfcl ast_mean`.

    Args:
        scores: by the name of the task, of one model and one scorer; other tasks are passed over.
    """
    families: dict[str, dict[str, tuple[float, int]]] = {}
    for task, score in scores.items():
        if task in TASKS:
            what = parsed(task)
            part = (score.value * score.questions, score.questions)
            families.setdefault(what.family, {})[what.category] = part
    return {
        f"{family} {one.name}": one.value
        for family, known in families.items()
        for one in figures(known)
        if one.value is not None
    }


def known_bad(task: str) -> frozenset[str]:
    """Ids of the task's items that nobody can get right, or that only a wrong answer gets right.

    English and Chinese items have the same ids, but not the same faults. Empty for other tasks.
    """
    if task not in TASKS:
        return frozenset()
    return zhtw.KNOWN_BAD if parsed(task).chinese else lenient.KNOWN_BAD


def figures(counts: Counts, executed: Counts | None = None) -> tuple[Aggregate, ...]:
    """Every figure above, in that order.

    Args:
        counts: of the categories that were asked, named as in v4.
        executed: of executable categories that were run elsewhere, named as in v1.

    Raises:
        DataError: a count that cannot be, such as more correct answers than items.
    """
    known = {**counts, **(executed or {})}
    for category, (correct, items) in known.items():
        if not 0 <= correct <= items or items < 1:
            raise DataError(f"{category}: {correct} of {items} items cannot be correct.")
    ast_irr = (*AST, "irrelevance")
    return (
        _mean("ast_mean", AST, known),
        _micro("ast_micro", AST, known),
        _micro("ast_irr", ast_irr, known),
        _mean("simple_mean", SIMPLE, known),
        _micro("simple_micro", SIMPLE, known),
        _micro("overall_1480", (*ast_irr, *EXECUTABLE), known),
        _micro("v1_overall", (*ast_irr, *SIMPLE[1:], *EXECUTABLE, "rest"), known),
        _mean("v3_non_live", (SIMPLE, *AST[1:], "irrelevance"), known),
        _micro("v3_live", LIVE, known),
        _mean("v4_non_live", (SIMPLE, *AST[1:]), known),
        _micro("v4_live", LIVE_AST, known),
        _mean("v4_irrelevance", ("irrelevance", "live_irrelevance"), known),
    )


def counts(
    records: Iterable[Mapping[str, Any]], scorer: str = "ast", leave_out: Collection[str] = ()
) -> dict[str, tuple[int, int]]:
    """Correct answers and answers of each category, from the sample records of logs.

    A failed request counts as an answer that is not correct: it is never a verdict, and a figure
    must not rise because a server broke. Repeats count as answers.

    Args:
        records: of one family of tasks and one model.
        scorer: `ast` or `ast_lenient`.
        leave_out: ids of items to leave out, such as `lenient.KNOWN_BAD`.
    """
    found: dict[str, tuple[int, int]] = {}
    for record in records:
        if record["id"] in leave_out:
            continue
        correct, items = found.get(record["subject"], (0, 0))
        right = record["scores"][scorer]["outcome"] == "correct"
        found[record["subject"]] = (correct + right, items + 1)
    return found


def _micro(name: str, categories: Sequence[str], known: Counts) -> Aggregate:
    there = [known[category] for category in categories if category in known]
    missing = tuple(category for category in categories if category not in known)
    correct, items = sum(part[0] for part in there), sum(part[1] for part in there)
    formula = f"correct of all items: {' + '.join(categories)}"
    if missing:
        return Aggregate(name, None, None, items, formula, missing)
    return Aggregate(name, correct / items, correct, items, formula)


def _mean(name: str, parts: Sequence[Part], known: Counts) -> Aggregate:
    """The plain mean; a part of several categories is their plain mean."""
    groups = [(part,) if isinstance(part, str) else part for part in parts]
    categories = [category for group in groups for category in group]
    missing = tuple(category for category in categories if category not in known)
    items = sum(known[category][1] for category in categories if category in known)
    formula = "plain mean of " + ", ".join(
        group[0] if len(group) == 1 else f"mean({', '.join(group)})" for group in groups
    )
    if missing:
        return Aggregate(name, None, None, items, formula, missing)
    means = [_plain([known[one][0] / known[one][1] for one in group]) for group in groups]
    return Aggregate(name, _plain(means), None, items, formula)


def _plain(values: Sequence[float]) -> float:
    return sum(values) / len(values)
