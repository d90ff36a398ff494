"""One log as an entry of the leaderboard: whose it is, where it stands, and its scores.

There are three kinds of tables, as in the cards: multiple choice (a row for each model and way of
reading), function calling (a row for each model and family), and the rest. A lenient second
reading is no entry. Of a log only what the tables need is kept, so that many fit into memory.

Knows logs and the names of tasks. Knows no other entries.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Literal, NamedTuple

from formosa.errors import LogError
from formosa.evals.bfcl import task as bfcl
from formosa.evals.twinkle import figures_of
from formosa.evals.variants import SUFFIXES
from formosa.files import explain_read_error, is_locked
from formosa.results.index import LogIndex, State
from formosa.results.log import OUTCOMES
from formosa.results.metrics import Score, question_shares_of

Kind = Literal["choice", "bfcl", "other"]
KINDS: tuple[Kind, ...] = ("choice", "bfcl", "other")

CHOICE = ("box", "pattern", "logit", "twinkle")  # scorers by which such tasks are known
_VARIANT = re.compile("|".join(sorted(filter(None, map(re.escape, SUFFIXES)), reverse=True)))
_CORRECT = OUTCOMES.index("correct")


class Reading(NamedTuple):
    """An entry's scores by one scorer.

    Attributes:
        name: what the row says: the scorer, the variant of the task, or BFCL's family.
        score: None where there are no answers yet.
        deviation: of the accuracies of the runs through all questions, a share of 1; None with one.
        card: mean and ± as Twinkle Eval's cards print them, where the log was asked its way.
        shares: question → share of its answers that are correct.
    """

    name: str
    score: Score | None
    deviation: float | None
    card: str
    shares: Mapping[str, Fraction]


class Entry(NamedTuple):
    """One log.

    Attributes:
        model: its name; `identity` tells two of that name apart: the file's sha256, where known.
        column: the task without its variant or family, which is said by the reading.
        same: entries with equal `same` were asked the same questions of the same task.
        asked: questions; `original`: as many as the task has.
    """

    path: Path
    model: str
    identity: str
    kind: Kind
    task: str
    column: str
    same: tuple[object, ...]
    asked: int
    original: int
    repeats: int
    seed: object
    settings: tuple[tuple[str, object], ...]
    state: State
    answers: int
    planned: int
    started: str
    readings: Sequence[Reading]

    @property
    def finished(self) -> bool:
        return self.state == "finished"

    @property
    def whole(self) -> bool:
        """Whether all questions of the task were asked."""
        return self.finished and self.asked >= self.original


def entry(path: Path) -> Entry:
    """The entry of a log as it is now.

    Raises:
        LogError: it can't be read as a log.
    """
    try:
        status = path.stat()
    except OSError as error:
        problem = explain_read_error(error, path)
        raise LogError(problem.message, problem.hint) from error
    made = _entry(path, status.st_ino, status.st_size, status.st_mtime_ns)
    if made.finished:
        return made
    # Whether somebody is writing it is no matter of the file's version.
    return made._replace(state="running" if is_locked(path) else "interrupted")


@lru_cache(maxsize=256)
def _entry(path: Path, file: int, size: int, changed: int) -> Entry:
    """The file's number, size and time say which version of it this is."""
    return _made(LogIndex(path))


def _made(log: LogIndex) -> Entry:
    task, model, plan = (log.start[part] for part in ("task", "model", "plan"))
    name = str(task.get("name"))
    kind, column, variant = place_of(name, log.scorers)
    ids = frozenset(log.ids)
    # A seed orders the options, so other seeds are other questions; but for one shuffle they test
    # the same, and repeats average over it: it is said beside, not kept apart.
    same = (name, task.get("version"), task.get("revision"), hash(ids), len(ids))
    return Entry(
        log.path,
        str(model.get("name") or "?"),
        str(model.get("sha256") or model.get("path") or ""),
        kind,
        name,
        column,
        same,
        len(ids),
        int(plan.get("original") or plan.get("samples") or 0),
        int(plan.get("repeats") or 1),
        plan.get("seed"),
        tuple(sorted((key, value) for key, value in log.start["request"].items() if _plain(value))),
        log.state(),
        len(log),
        log.planned,
        str(log.start.get("started") or ""),
        [_reading(log, scorer, kind, variant) for scorer in _readings(log.scorers, kind, variant)],
    )


def place_of(task: str, scorers: Sequence[str]) -> tuple[Kind, str, str]:
    """(kind of table, column, variant or family) of a task."""
    if task in bfcl.TASKS:
        family = bfcl.parsed(task).family
        return "bfcl", task.removeprefix(f"{family}-"), family
    name, colon, rest = task.partition(":")
    found = _VARIANT.search(name)
    if found and found.end() == len(name):
        return "choice", name[: found.start()] + colon + rest, found[0].lstrip("-")
    if set(scorers) & set(CHOICE):
        return "choice", task, ""
    return "other", task, ""


def _readings(scorers: Sequence[str], kind: Kind, variant: str) -> Sequence[str]:
    """Those that have a row: the main one of a variant or family, else all but lenient ones."""
    if variant or kind == "bfcl":
        return scorers[:1]
    return [name for name in scorers if not name.endswith("_lenient")]


def _reading(log: LogIndex, scorer: str, kind: Kind, variant: str) -> Reading:
    right = Counter(compress(log.question, map(_CORRECT.__eq__, log.outcome[scorer])))
    of = Counter(log.question)
    shares = question_shares_of(
        (sys.intern(log.ids[place]), right[place], answers) for place, answers in of.items()
    )
    return Reading(
        variant or scorer,
        log.score(scorer),
        _deviation(log, scorer),
        _card(log, scorer),
        shares,
    )


def _deviation(log: LogIndex, scorer: str) -> float | None:
    of = Counter(log.repeat)
    if len(of) < 2:
        return None
    right = Counter(compress(log.repeat, map(_CORRECT.__eq__, log.outcome[scorer])))
    shares = [right[run] / answers for run, answers in of.items()]
    mean = math.fsum(shares) / len(shares)
    return math.sqrt(math.fsum((share - mean) ** 2 for share in shares) / len(shares))


def _card(log: LogIndex, scorer: str) -> str:
    if not scorer.startswith("twinkle") or len(log) < log.planned:
        return ""
    made = figures_of(
        (log.subjects[subject], run, OUTCOMES[place])
        for subject, run, place in zip(log.subject, log.repeat, log.outcome[scorer], strict=True)
    )
    return made.card() if made.files else ""


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float)
