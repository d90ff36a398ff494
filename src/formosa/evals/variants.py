"""The ways in which one set of multiple-choice questions can be asked, and their names.

    tmmluplus                   our protocol: asked for a box, read as box and as pattern
    tmmluplus-logit             the letters' own probabilities
    tmmluplus-twinkle-box       Twinkle Eval of April 2025, for checking published tables
    tmmluplus-twinkle-pattern   the same, without a system prompt

Knows names. A benchmark's module has the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from formosa.errors import DataError
from formosa.evals.choice import Choice, ChoiceSet, choice_task
from formosa.evals.logit import logit_task
from formosa.evals.task import Task
from formosa.evals.twinkle import twinkle_task

_BUILD: Mapping[str, Callable[[ChoiceSet, str], Task[Choice]]] = {
    "": choice_task,
    "-logit": logit_task,
    "-twinkle-box": lambda questions, name: twinkle_task(questions, "box", name),
    "-twinkle-pattern": lambda questions, name: twinkle_task(questions, "pattern", name),
}

_SAY: Mapping[str, str] = {
    "": "{line}",
    "-logit": "{name}, by the letters' log-probabilities",
    "-twinkle-box": "{name} as Twinkle Eval of April 2025 asked and read it, box",
    "-twinkle-pattern": "{name} as Twinkle Eval of April 2025 asked and read it, pattern",
}

SUFFIXES = tuple(_BUILD)


def variants(name: str, line: str) -> dict[str, str]:
    """The names of all variants of the set `name`, each with a line for people."""
    return {name + suffix: _SAY[suffix].format(name=name, line=line) for suffix in SUFFIXES}


def task_in(questions: ChoiceSet, name: str, suffix: str | None = None) -> Task[Choice]:
    """The task called `name`.

    Args:
        questions: the data.
        name: that of the set with one of `SUFFIXES`.
        suffix: which one, where the name does not end in it.

    Raises:
        DataError: there is no such variant, or the questions do not fit it.
    """
    if suffix is None:
        suffix = name.removeprefix(questions.name)
    if suffix not in _BUILD:
        raise DataError(
            f"There is no task called {name}.",
            f"the tasks: {', '.join(variants(questions.name, ''))}",
        )
    return _BUILD[suffix](questions, name)
