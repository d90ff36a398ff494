"""MATH-500 and GSM8K: problems whose answer is an expression or a number.

MATH-500
    Source:   https://huggingface.co/datasets/HuggingFaceH4/MATH-500, `test.jsonl`, 500 rows
    Licence:  MIT (of MATH, whose problems these are)
    Row:      {"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$.", "answer": "2",
               "subject": "Prealgebra", "level": 1}
GSM8K
    Source:   https://huggingface.co/datasets/openai/gsm8k, config `main`, test, 1,319 rows
    Licence:  MIT
    Row:      {"question": "Ann has 2 pens and buys 3. How many has she?",
               "answer": "2 + 3 = <<2+3=5>>5\\n#### 5"}
Version: 1 — raise it when the prompt, the reading or the comparison changes

The prompt is that of lighteval 0.8.0 for MATH-500, word for word, zero-shot; GSM8K is asked with
the same one, so its figures are not those of the usual 8-shot prompt. The revision is the commit
that `main` stands for at the time, unless one is chosen; the log records it.

What differs from lighteval: the right answer of MATH-500 is the last box of the solution; the last
box of the reply counts, and without a box only words that announce an answer; a comparison that
cannot be finished is `unparsed`, not wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.hub import fetch
from formosa.evals.math.answers import boxed, find_answer
from formosa.evals.math.compare import require, shared
from formosa.evals.tables import Row, find_files, read_table, revision_of
from formosa.evals.task import Asked, Sample, ScoreRecord, Task, unread
from formosa.wheels import Say

READER = "boxed/1"

# Raw string: the model is to see one backslash. Two blanks follow the first sentence.
PROMPT = r"""Solve the following math problem efficiently and clearly.  The last line of your response should be of the following format: 'Therefore, the final answer is: $\boxed{ANSWER}$. I hope it is correct' (without quotes) where ANSWER is just the final number or expression that solves the problem. Think step by step before answering.

{problem}"""  # noqa: E501


class Problem(NamedTuple):
    """A problem and its right answer, in LaTeX."""

    text: str
    answer: str
    subject: str


class _Source(NamedTuple):
    repo: str
    patterns: tuple[str, ...]  # of its files; the first that fits a folder is read
    licence: str
    read: Callable[[Row, str], Problem]


def _text(row: Row, column: str, where: str) -> str:
    value = row.values.get(column)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: the column {column} is missing or empty.")
    return value


def _math_problem(row: Row, where: str) -> Problem:
    """The right answer is the last box of the solution; the column `answer` where there is none."""
    boxes = [box for box in boxed(str(row.values.get("solution") or "")) if box.strip()]
    answer = boxes[-1] if boxes else _text(row, "answer", where)
    subject = row.values.get("subject")
    return Problem(
        _text(row, "problem", where), answer, subject if isinstance(subject, str) else ""
    )


def _gsm_problem(row: Row, where: str) -> Problem:
    solution = _text(row, "answer", where)
    _, mark, answer = solution.rpartition("####")
    if not mark or not answer.strip():
        raise DataError(f"{where}: the answer lacks its last line, `#### 5`.")
    return Problem(_text(row, "question", where), answer.strip().replace(",", ""), "")


_SOURCES: Mapping[str, _Source] = {
    "math-500": _Source("HuggingFaceH4/MATH-500", ("test.jsonl", "**/test*"), "MIT", _math_problem),
    "gsm8k": _Source("openai/gsm8k", ("main/test*", "test*", "**/test*"), "MIT", _gsm_problem),
}

TASKS: dict[str, str] = {
    "math-500": "500 problems of competitions, answers compared by math-verify",
    "gsm8k": "1,319 word problems of primary school with a number as answer, zero-shot",
}
"""Name → one line for people."""


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Say | None = None,
) -> Task[Problem]:
    """A task by its name.

    Args:
        name: one of `TASKS`.
        data_dir: a folder with the data's files, or the file; without it they come from the hub.
        revision: a commit, branch or tag on the hub; `main` when left out.
        say: told about a download.

    Raises:
        DataError: an unknown name, or data that cannot be fetched or read.
        UserError: math-verify is not installed.
    """
    if name not in _SOURCES:
        raise DataError(f"There is no task {name}.", f"one of {', '.join(TASKS)}")
    version = require()
    wanted = _SOURCES[name]
    if data_dir is None:
        fetched = fetch(wanted.repo, [wanted.patterns[0]], revision or "main", say)
        folder, commit = fetched.folder, fetched.commit
    else:
        folder, commit = data_dir, ""
    paths = find_files(folder, wanted.patterns)
    rows = [(path, row) for path in paths for row in read_table(path).rows]
    return Task(
        name=name,
        version=1,
        source=f"https://huggingface.co/datasets/{wanted.repo}" if commit else "own files",
        revision=commit or revision_of(paths),
        licence=wanted.licence,
        language="en",
        samples=[
            _sample(f"{name}-{number:04}", wanted.read(row, f"{path}:{row.line}"))
            for number, (path, row) in enumerate(rows)
        ],
        ask=ask,
        scorers={"boxed": score},
        decoder=f"{READER}, math-verify {version}",
        slow_scorers=True,
    )


def _sample(name: str, problem: Problem) -> Sample[Problem]:
    return Sample(name, problem, problem.subject)


def ask(sample: Sample[Problem], repeat: int, seed: int) -> Asked:
    """The problem in the prompt. Repeats differ by the sampling seed only."""
    text = PROMPT.replace("{problem}", sample.content.text)
    return Asked((Message("user", text),), gold=sample.content.answer)


def score(sample: Sample[Problem], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """Whether the reply's answer is the right one. May take seconds; safe in threads."""
    if not reply.message.content.strip():
        return unread(reply, "the reply has no text outside its reasoning")
    answer, where = find_answer(reply.message.content)
    if answer is None:
        return unread(reply, where)
    found = shared().compare(sample.content.answer, answer)
    if found.equal is None:
        return ScoreRecord("unparsed", answer, f"read from {where}; {found.how}")
    return ScoreRecord(
        "correct" if found.equal else "wrong",
        answer,
        f"read from {where}; {found.how}; {sample.content.answer} is right",
    )
