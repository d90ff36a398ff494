"""A task by its name. A benchmark's module is imported when its names are wanted, and not before.

Each module of `MODULES` has `TASKS` (name → one line for people) and
`load(name, *, data_dir, revision, say) -> Task`; where it takes names of a form, such as
`file:PATH`, it has `PREFIX`, too: a text or a tuple of texts that those names begin with.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from formosa.errors import DataError
from formosa.evals.task import Task
from formosa.results.metrics import Score

MODULES = (
    "formosa.evals.mini",
    "formosa.evals.bfcl.task",
    "formosa.evals.tmmluplus",
    "formosa.evals.mmlu",
    "formosa.evals.tw_legal",
    "formosa.evals.math.task",
    "formosa.evals.gpqa",
    "formosa.evals.choice_files",
)

AGGREGATES = ("formosa.evals.bfcl.aggregates",)
"""Modules with `aggregates(scores: Mapping[str, Score]) -> dict[str, float]`: named figures over
several tasks of one model and one scorer."""

DEFAULT = (
    "mini-zh-tw",
    "bfcl-simple",
    "bfcl-multiple",
    "bfcl-parallel",
    "bfcl-parallel-multiple",
    "bfcl-irrelevance",
)
"""What a recipe asks that names no tasks: small, and without a download from a hub."""


class _Tasks(Mapping[str, str]):
    """The `TASKS` of all modules, read when they are wanted."""

    def __getitem__(self, name: str) -> str:
        for module in _modules():
            if name in module.TASKS:
                return str(module.TASKS[name])
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for module in _modules():
            yield from module.TASKS

    def __len__(self) -> int:
        return sum(len(module.TASKS) for module in _modules())


TASKS: Mapping[str, str] = _Tasks()
"""Name → one line for people."""


def is_task(name: str) -> bool:
    """Whether `load_task` knows the name; a file that it names may still be missing."""
    return any(_takes(module, name) for module in _modules())


def load_task(
    name: str,
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Task[Any]:
    """The task called `name`, with its data.

    Args:
        name: one of `TASKS`, or of a form that one of them shows, as `file:PATH`.
        data_dir: where a benchmark's data are; fetched into the cache when left out. Tasks that
            come with us don't need it.
        revision: of the data, where a benchmark has several; its own by default.
        say: told about a download.

    Raises:
        DataError: no such task, or its data cannot be read.
        ModelError: its data cannot be fetched.
    """
    for module in _modules():
        if _takes(module, name):
            task: Task[Any] = module.load(name, data_dir=data_dir, revision=revision, say=say)
            return task
    near = difflib.get_close_matches(name, list(TASKS), n=1, cutoff=0.5)
    raise DataError(
        f"There is no task called {name}." + (f" Did you mean {near[0]}?" if near else ""),
        "list them: formosa eval tasks",
    )


def aggregates(scores: Mapping[str, Score]) -> dict[str, float]:
    """Every named figure that the scores of these tasks allow; shares of 1.

    Args:
        scores: by the name of the task, of one model and one scorer.
    """
    found: dict[str, float] = {}
    for name in AGGREGATES:
        found.update(importlib.import_module(name).aggregates(scores))
    return found


def _modules() -> Iterator[ModuleType]:
    return map(importlib.import_module, MODULES)


def _takes(module: ModuleType, name: str) -> bool:
    return name in module.TASKS or name.startswith(getattr(module, "PREFIX", ()))
