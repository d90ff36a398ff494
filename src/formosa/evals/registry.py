"""A task by its name. A benchmark's module is imported when its names are wanted, and not before.

Each module of `MODULES` has `TASKS` (name → one line for people) and
`load(name, *, data_dir, revision, say) -> Task`; where it takes names of a form, such as
`file:PATH`, it has `PREFIX`, too: a text or a tuple of texts that those names begin with.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from formosa.errors import DataError
from formosa.evals.task import Task
from formosa.results.metrics import Score
from formosa.wheels import Say

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
several tasks of one model and one scorer; and with `known_bad(task: str) -> frozenset[str]`: ids of
items that no model can get right."""

DEFAULT = (
    "mini-zh-tw",
    "bfcl-simple",
    "bfcl-multiple",
    "bfcl-parallel",
    "bfcl-parallel-multiple",
    "bfcl-irrelevance",
)
"""What a recipe asks that names no tasks: small, and without a download from a hub."""


_COMMIT = re.compile(r"[0-9a-f]{40}")


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
    say: Say | None = None,
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


def load_logged(
    task: Mapping[str, Any],
    *,
    data_dir: Path | None = None,
    say: Say | None = None,
) -> Task[Any]:
    """The task of a log, with the data that the log was made from.

    Where these are a commit of a hub, it is that commit: the data set may have newer ones by now,
    and a run is continued with the questions it began with.

    Args:
        task: what the log says of it (`start["task"]`).
        data_dir: as for `load_task`.
        say: likewise.

    Raises:
        DataError, ModelError: as `load_task`.
    """
    name, revision = str(task["name"]), str(task.get("revision"))
    if data_dir is None and _COMMIT.fullmatch(revision):
        return load_task(name, revision=revision, say=say)
    return load_task(name, data_dir=data_dir, say=say)


def aggregates(scores: Mapping[str, Score]) -> dict[str, float]:
    """Every named figure that the scores of these tasks allow; shares of 1.

    Args:
        scores: by the name of the task, of one model and one scorer.
    """
    found: dict[str, float] = {}
    for name in AGGREGATES:
        found.update(importlib.import_module(name).aggregates(scores))
    return found


def known_bad(task: str) -> frozenset[str]:
    """Ids of the task's items that no model can get right; empty where none are known."""
    found: frozenset[str] = frozenset()
    for name in AGGREGATES:
        found |= importlib.import_module(name).known_bad(task)
    return found


def _modules() -> Iterator[ModuleType]:
    return map(importlib.import_module, MODULES)


def _takes(module: ModuleType, name: str) -> bool:
    return name in module.TASKS or name.startswith(getattr(module, "PREFIX", ()))
