"""How a card asked: which task, how often, and which figure of the log is the one it prints.

Read from the card itself: the benchmark from the column, `box` or `pattern` and the number of runs
from the row, the harness from the text. What the card does not say (temperature, tokens, order of
options) is that harness's default, and the report says so.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from formosa.card.checks.agreement import Shown
from formosa.card.checks.benchmarks import tasks_of
from formosa.card.checks.numbers import figure
from formosa.card.checks.subject import Subject

_RUNS = re.compile(r"測試次數|\bruns?\b|repeats?|次數", re.IGNORECASE)
_TWINKLE = re.compile(r"twinkle\s*eval|ai-twinkle/Eval", re.IGNORECASE)
_OTHER = re.compile(r"lighteval|lm[-_ ]eval\S*|opencompass|helm|bfcl|inspect", re.IGNORECASE)
_CHOICE = frozenset({"tmmluplus", "mmlu", "tw-legal", "mini-zh-tw"})
MOST_REPEATS = 10


class Protocol(NamedTuple):
    """How to ask again.

    Attributes:
        task: of `formosa eval run`.
        scorer: whose outcomes count; "" for the task's first.
        by_subject: whether the figure is the plain mean over subjects.
        remark: what the card leaves open, or where we differ.
        allows: tokens of a reply, where `max_tokens` was made less than that; else 0.
    """

    task: str
    repeats: int = 1
    scorer: str = ""
    by_subject: bool = False
    top_p: float | None = None
    max_tokens: int = 512
    remark: str = ""
    allows: int = 0

    def command(self, who: str = "--base-url URL") -> str:
        """The line to paste."""
        words = ["formosa eval run", self.task, who]
        words += ["--repeats", str(self.repeats)] if self.repeats > 1 else []
        words += ["--top-p", f"{self.top_p:g}"] if self.top_p is not None else []
        words += ["--max-tokens", str(self.max_tokens)] if self.max_tokens != 512 else []
        return " ".join(words)


def protocol_of(card: Subject, shown: Shown) -> Protocol | None:
    """How the figure was asked, as far as the card says; None where no task asks it."""
    tasks = tasks_of(shown.benchmark)
    if not tasks:
        return None
    task, repeats = tasks[0], _repeats(shown)
    if task in _CHOICE:
        mode = _mode(shown.row)
        if twinkle(card):
            return Protocol(
                f"{task}-twinkle-{mode or 'box'}",
                repeats,
                "twinkle",
                by_subject=True,
                top_p=0.9,
                max_tokens=4096,
                remark="the card does not say its sampling: Twinkle Eval's defaults are taken",
            )
        return Protocol(task, repeats, mode, remark="the card names no harness that is known here")
    if task.startswith("bfcl-"):
        remark = "the card does not say which harness, mode or decoder made its columns"
        return Protocol(task, repeats, "ast", remark=remark)
    remark = "asked by our own prompt, not by the harness of the card"
    return Protocol(task, repeats, max_tokens=4096, remark=remark)


def counts_runs(head: str) -> bool:
    """Whether a column says how often something was asked, and so is no score."""
    return _RUNS.search(head) is not None


def _mode(row: tuple[str, ...]) -> str:
    return next((cell.strip().lower() for cell in row
                 if cell.strip().lower() in ("box", "pattern")), "")  # fmt: skip


def _repeats(shown: Shown) -> int:
    for head, cell in zip(shown.heads, shown.row, strict=False):
        number = figure(cell)
        if counts_runs(head) and number and 1 <= number.value <= MOST_REPEATS:
            return int(number.value)
    return 1


def twinkle(card: Subject) -> bool:
    """Whether the card says that Twinkle Eval made its figures."""
    return any(_TWINKLE.search(text[:1000]) for _, text in card.parts.prose)
