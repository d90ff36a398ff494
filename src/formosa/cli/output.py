"""The one place that prints: data on standard output, talk on standard error.

Commands don't print. They hand over values (`data`, `table`, `text`) and remarks (`say`, `hint`),
and every command has `--json` through the decorator `command_output`.

Remarks and tables may hold the words of a model, a tool or a server. They are shown by `visible`:
no word steers the terminal, nor looks like something it is not. `text` alone passes on as it is.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


class Output:
    """Where a command's values and remarks go.

    Args:
        json_mode: values as JSON, one document; remarks stay on standard error.
    """

    def __init__(self, *, json_mode: bool = False) -> None:
        self.json_mode = json_mode
        # What is shown may be a model's: no markup, no ":smile:", nothing coloured by guessing.
        self._out = _plain(sys.stdout)
        self._err = _plain(sys.stderr)

    def data(self, value: Any, human: str | Table | None = None) -> None:
        """The result: `value` as JSON, or `human` (text or table) for people."""
        if self.json_mode or human is None:
            indent = None if self.json_mode else 2
            self.text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
        elif isinstance(human, str):
            self.text(human + "\n")
        else:
            self._out.print(human)

    def table(self, rows: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
        """Rows with the same keys: a JSON list, or a table with the keys as its heads."""
        heads = list(rows[0]) if rows else []
        # Cells hold model output, and rich would read "[...]" in a plain string as markup.
        heading = Text(visible(title)) if title else None
        drawn = Table(title=heading, title_justify="left", box=None, pad_edge=False)
        for head in heads:
            numeric = all(isinstance(row[head], int | float) for row in rows)
            drawn.add_column(
                Text(visible(head)), justify="right" if numeric else "left", overflow="fold"
            )
        for row in rows:
            drawn.add_row(*(Text(visible(_cell(row[head]))) for head in heads))
        self.data(list(rows), drawn if rows else "(nothing)")

    def text(self, text: str) -> None:
        """Text that is the result itself, such as a rendered prompt or a piece of a reply: its
        very characters, where rich would expand tabs and drop carriage returns."""
        self._out.file.write(text)
        self._out.file.flush()

    def say(self, text: str) -> None:
        """A remark for people. Never data."""
        self._err.print(visible(text))

    def hint(self, text: str) -> None:
        self._err.print(visible(f"hint: {text}"), style="dim")

    def progress(self, *, download: bool = False) -> Progress:
        """A progress bar on standard error; silent where that is no terminal."""
        count = DownloadColumn() if download else MofNCompleteColumn()
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            count,
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=self._err,
            transient=False,
            disable=not self._err.is_terminal,
        )


# Control characters, and those that change the direction of text so that it reads as another.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Control characters as pictures: a model's words must not steer the terminal."""
    return _CONTROL.sub(lambda m: chr(0x2400 + ord(m[0])) if ord(m[0]) < 0x20 else "\ufffd", text)


def _plain(file: TextIO) -> Console:
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def command_output(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` to a command and hand it an `Output` as its first argument `out`."""

    @click.option("--json", "json_mode", is_flag=True, help="Print the result as JSON.")
    @functools.wraps(function)
    def wrapped(*args: Any, json_mode: bool, **kwargs: Any) -> Any:
        return function(Output(json_mode=json_mode), *args, **kwargs)

    return wrapped


def columns(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Only the named fields of every row, in that order."""
    return [{name: row.get(name) for name in names} for row in rows]
