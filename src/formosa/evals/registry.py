"""A task by its name. A benchmark's module is imported when it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formosa.errors import DataError
from formosa.evals.task import Task

TASKS = {
    "mini-zh-tw": "40 questions about everyday Taiwan, multiple choice; our own, comes with us",
    "bfcl-simple": "function calling: one function, one call (400 questions)",
    "bfcl-multiple": "function calling: one call, several functions to choose from (200)",
    "bfcl-parallel": "function calling: several calls of one function (200)",
    "bfcl-parallel-multiple": "function calling: several calls of several functions (200)",
    "bfcl-irrelevance": "function calling: no function fits, and none must be called (240)",
}
"""Name → one line for people."""


def load_task(
    name: str, *, data_dir: Path | None = None, say: Callable[[str], None] | None = None
) -> Task[Any]:
    """The task called `name`, with its data.

    Args:
        name: one of `TASKS`.
        data_dir: where a benchmark's data are; fetched into the cache when left out. Tasks that
            come with us don't need it.
        say: told about a download.

    Raises:
        DataError: no such task, or its data cannot be read.
        ModelError: its data cannot be fetched.
    """
    if name == "mini-zh-tw":
        from formosa.evals.mini import mini_zh_tw

        return mini_zh_tw()
    if name in TASKS:
        from formosa.evals.bfcl.task import bfcl_task

        return bfcl_task(name, data_dir=data_dir, say=say)
    near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0.5)
    raise DataError(
        f"There is no task called {name}." + (f" Did you mean {near[0]}?" if near else ""),
        f"the tasks: {', '.join(TASKS)}",
    )
