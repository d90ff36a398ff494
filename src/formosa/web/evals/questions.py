"""The questions of a log, which the log itself does not hold.

They are put together again from the data set. Where the hash of the request is the one in the log,
that is what the model saw, to the letter. Where it is not, but data and right answer are the same
(the log is of an older Formosa, say), the question is shown and not called exact; else nothing is
shown.

Tasks that come with us, and data sets that are in the cache, are there at once; nothing is fetched,
since to look at a log must not talk to anybody.

A log may come from somebody else, so a file that it names as its questions is read only where it
lies in the places that the person named, or below the working folder. Questions of private tasks
(GPQA) are never shown.

Knows tasks and places. Knows nothing of pages.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from formosa.chat.message import Message, Tool
from formosa.errors import FormosaError
from formosa.evals.choice import Choice, order
from formosa.evals.plan import Plan
from formosa.evals.registry import load_logged
from formosa.evals.score import plan_of
from formosa.results.log import EvalLog, Record

Missing = Literal["private", "not here", "not yet", "other words"]
"""Why a question can't be shown: nobody may; its data are not on this machine; they are still being
read; the data or the task's words are other ones now."""

# Nothing is fetched while a page is being made.
_ALONE = {"HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}
_HUB = "huggingface_hub.constants"
_loading = threading.Lock()  # the environment is the whole process's


@dataclass(frozen=True)
class Option:
    """One option of a choice: the letter it had this time, and its place in the data."""

    letter: str
    text: str
    place: int
    right: bool


@dataclass(frozen=True)
class Question:
    """What the model was given.

    Attributes:
        exact: whether the log's hash says that these are the very words.
        options: of a multiple-choice question, in the order of this repeat.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    options: tuple[Option, ...] = ()
    exact: bool = True

    @property
    def text(self) -> str:
        """The last thing that was said to the model."""
        return self.messages[-1].content if self.messages else ""

    @property
    def first_line(self) -> str:
        """Its first line that says something."""
        return next((line.strip() for line in self.text.splitlines() if line.strip()), "")


class Questions:
    """The questions of one log.

    Args:
        start: its first record.
        folders: where files that it names may lie, beside the working folder.
    """

    def __init__(self, start: Record, folders: tuple[Path, ...] = ()) -> None:
        self._start, self._folders = start, folders
        self._plan: Plan | None = None
        self._samples: dict[str, Any] = {}
        self._missing: Missing | None = "not yet"
        self._texts: dict[str, str] | None = None
        if start["task"].get("private"):
            self._missing = "private"
        self._loader: threading.Thread | None = None

    def missing(self, wait_s: float = 0) -> Missing | None:
        """Why there are no questions; None where they are there.

        Args:
            wait_s: how long to wait for them while they are being read.
        """
        if self._missing == "not yet":
            if self._loader is None:
                self._loader = threading.Thread(
                    target=self._load, name="formosa-questions", daemon=True
                )
                self._loader.start()
            self._loader.join(wait_s)
        return self._missing

    def _load(self) -> None:
        try:
            with _loading, _alone():
                self._plan = _plan(self._start, self._folders)
            self._samples = {sample.id: sample for sample in self._plan.samples}
            self._missing = None
        except (FormosaError, OSError, ValueError, TypeError, KeyError, ImportError):
            self._missing = "not here"

    def of(self, record: Mapping[str, Any]) -> Question | Missing:
        """The question of a sample's record, as it was asked, or why it can't be shown."""
        if self._missing is not None or self._plan is None:
            return self._missing or "not here"
        sample = self._samples.get(record["id"])
        if sample is None:
            return "other words"
        repeat = int(record["repeat"])
        planned = self._plan.one(sample, repeat)
        exact = planned.sha256 == record.get("request_sha256")
        same_data = self._plan.task.revision == self._start["task"].get("revision")
        if not exact and not (same_data and planned.asked.gold == record.get("gold")):
            return "other words"
        options: tuple[Option, ...] = ()
        if isinstance(choice := sample.content, Choice):
            options = tuple(
                Option(letter, choice.options[place], place, place == choice.right)
                for letter, place in zip(
                    ascii_uppercase, order(sample, repeat, self._plan.seed), strict=False
                )
            )
        return Question(planned.asked.messages, planned.asked.tools, options, exact)

    def holding(self, text: str) -> set[str]:
        """The ids of questions whose last message holds `text`, letters A to Z in either case."""
        if self._missing is not None or self._plan is None:
            return set()
        if self._texts is None:
            ask, seed = self._plan.task.ask, self._plan.seed
            self._texts = {
                id: messages[-1].content.lower()
                for id, sample in self._samples.items()
                if (messages := ask(sample, 0, seed).messages)
            }
        wanted = text.lower()
        return {id for id, asked in self._texts.items() if wanted in asked}


def _plan(start: Record, folders: tuple[Path, ...]) -> Plan:
    """The log's plan.

    Raises:
        FormosaError, ValueError: the data are not here, or the log does not say what was asked.
    """
    task = start["task"]
    name = str(task["name"])
    log = EvalLog(Path("log"), start)
    if ":" not in name:
        return plan_of(log, load_logged(task))
    # A file, named as it was from the folder in which the run was begun.
    named = Path(name.partition(":")[2]).expanduser()
    for folder in (Path(), *folders):
        path = (folder if folder.is_dir() else folder.parent) / named
        if path.exists() and _lies_in(path, (Path(), *folders)):
            made = load_logged(task, data_dir=None if named.is_absolute() else path.parent)
            break
    else:
        raise ValueError(f"{name} is not here")
    return plan_of(log, made)


def _lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    real = path.resolve()
    roots = [(folder if folder.is_dir() else folder.parent).resolve() for folder in folders]
    return any(root in real.parents or root == real for root in roots)


@contextmanager
def _alone() -> Iterator[None]:
    """Without a network: neither the hub's library nor pip asks for anything."""
    before = {name: os.environ.get(name) for name in _ALONE}
    os.environ.update(_ALONE)
    # The hub's library reads its variable once: when it is loaded, before or in here.
    offline = str(before["HF_HUB_OFFLINE"]).upper() in ("1", "ON", "YES", "TRUE")
    if constants := sys.modules.get(_HUB):
        offline = getattr(constants, "HF_HUB_OFFLINE", offline)
        setattr(constants, "HF_HUB_OFFLINE", True)  # noqa: B010  # its type says it is Final
    try:
        yield
    finally:
        if constants := sys.modules.get(_HUB):
            setattr(constants, "HF_HUB_OFFLINE", offline)  # noqa: B010
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
