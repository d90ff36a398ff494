"""The evaluation log, one JSON-lines file for one task and one model: its records, and reading it.

    {"type": "start", "schema": 1, "task": …, "model": …, "request": …, "plan": …, "scorers": …}
    {"type": "sample", "id": "q7", "repeat": 0, "reply": …, "scores": {"box": {"outcome": …}}, …}
    …
    {"type": "end", "finished": …, "counts": …, "scores": …}

A log without its last record is honest: it was interrupted, and `LogWriter` (`log_writer.py`)
continues it. A torn last line is what was being written when the process died; it does not count. A
sample that is there twice (asked again after it failed) counts once, with its last record; an `end`
that has samples after it is out of date and does not count.

Knows the shape of the records. Knows nothing of tasks, models or scores, and writes nothing.

Memory: a log of 100,000 samples fits, since a read log keeps a `Brief` of each and finds the rest
in the file when somebody wants it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard, get_args, overload

from formosa.errors import LogError
from formosa.files import explain_read_error

SCHEMA = 1

Outcome = Literal["correct", "wrong", "unparsed", "truncated", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Record = dict[str, Any]
Key = tuple[str, int]  # (sample id, repeat)


class Brief(NamedTuple):
    """What the figures need of a sample: small, so that all of a log's fit into memory."""

    id: str
    repeat: int
    subject: str
    outcomes: tuple[Outcome, ...]  # in the order of the log's scorers
    failed: bool
    request: str  # the sha256 of what was asked; "" where the log does not say
    seconds: float | None
    tokens: tuple[int, int] | None  # of the prompt and of the reply
    purity: tuple[int, int, int] | None  # see `results/effort.py`
    offset: int = -1  # where its line begins in the file

    @property
    def key(self) -> Key:
        return self.id, self.repeat


class Stored(Sequence[Record]):
    """The samples of a file, each read when it is wanted. An append-only file keeps its places."""

    def __init__(self, path: Path, briefs: Sequence[Brief]) -> None:
        self.path = path
        self.briefs = briefs

    def __len__(self) -> int:
        return len(self.briefs)

    def __iter__(self) -> Iterator[Record]:
        return self._read(self.briefs)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return list(self._read(self.briefs[index]))
        return next(self._read([self.briefs[index]]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(a == b for a, b in zip(self, other, strict=True))

    def _read(self, briefs: Sequence[Brief]) -> Iterator[Record]:
        if not briefs:
            return
        try:
            with self.path.open("rb") as file:
                for brief in briefs:
                    file.seek(brief.offset)
                    record: Record = json.loads(file.readline())
                    yield record
        except (OSError, ValueError) as error:
            raise LogError(f"{self.path} was changed while it was being read: {error}.") from error


@dataclass(frozen=True)
class EvalLog:
    """A log as read.

    Attributes:
        samples: one record for each (id, repeat), in the order in which they first appear.
        end: the last record, or None where samples are missing or came after it.
    """

    path: Path
    start: Record
    samples: Sequence[Record] = field(default_factory=list)
    end: Record | None = None

    @property
    def finished(self) -> bool:
        return self.end is not None

    @property
    def planned(self) -> int:
        """How many samples the plan asks for: questions (of this shard) times repeats."""
        plan = self.start["plan"]
        shard = plan.get("shard")
        return int((shard or plan)["samples"]) * int(plan["repeats"])

    @property
    def scorers(self) -> list[str]:
        return [str(name) for name in self.start["scorers"]]

    @cached_property
    def briefs(self) -> Sequence[Brief]:
        """What the figures need, in the order of `samples`."""
        if isinstance(self.samples, Stored):
            return self.samples.briefs
        return [brief(sample, self.scorers) for sample in self.samples]

    def without(self, ids: Collection[str]) -> EvalLog:
        """The log as if these questions had not been asked: for figures, not for writing."""
        kept = [i for i, short in enumerate(self.briefs) if short.id not in ids]
        if isinstance(self.samples, Stored):
            return replace(self, samples=Stored(self.path, [self.briefs[i] for i in kept]))
        return replace(self, samples=[self.samples[i] for i in kept])

    def failed(self) -> list[Record]:
        """The samples that never got an answer."""
        return [self.samples[i] for i, short in enumerate(self.briefs) if short.failed]

    @property
    def failures(self) -> int:
        """How many those are."""
        return sum(short.failed for short in self.briefs)


def brief(record: Mapping[str, Any], scorers: Sequence[str], offset: int = -1) -> Brief:
    """The brief of a sample record whose scores were checked; other fields may be anything."""
    reply = record.get("reply")
    usage = reply.get("usage") if isinstance(reply, dict) else None
    seconds, purity = record.get("seconds"), record.get("purity")
    return Brief(
        str(record["id"]),
        int(record["repeat"]),
        sys.intern(str(record.get("subject") or "")),
        _SAME.setdefault(
            outcomes := tuple(record["scores"][name]["outcome"] for name in scorers), outcomes
        ),
        "failed" in outcomes,
        str(record.get("request_sha256") or ""),
        float(seconds) if isinstance(seconds, int | float) else None,
        (usage[0], usage[1]) if _integers(usage, 2) else None,
        (purity[0], purity[1], purity[2]) if _integers(purity, 3) else None,
        offset,
    )


_SAME: dict[tuple[Outcome, ...], tuple[Outcome, ...]] = {}  # one tuple for equal outcomes


def _integers(value: Any, count: int) -> TypeGuard[list[int]]:
    return (
        isinstance(value, list)
        and len(value) >= count
        and all(isinstance(part, int) for part in value[:count])
    )


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_log(path: Path) -> EvalLog:
    """The log in `path`, finished or interrupted.

    Raises:
        LogError: it is missing, no evaluation log, damaged, or of a newer schema; the sentence
            names the line.
    """
    if not path.exists():
        raise LogError(
            f"{path} does not exist.", f"list the logs there are: formosa eval ls {path.parent}"
        )
    start: Record | None = None
    end: Record | None = None
    scorers: list[str] = []
    samples: dict[Key, Brief] = {}
    for number, offset, record in _records(path):
        kind = record.get("type") if isinstance(record, dict) else None
        if start is None:
            if kind != "start":
                raise LogError(f"{path} is not an evaluation log: line {number} is no start.")
            start = check_start(path, record)
            scorers = [str(name) for name in start["scorers"]]
        elif kind == "sample":
            check_sample(path, number, record, start)
            made = brief(record, scorers, offset)
            samples[made.key] = made
            end = None
        elif kind == "end":
            end = record
        else:
            raise LogError(
                f"{path}:{number} is damaged: a record of the type {kind!r}.",
                "keep the file for inspection and run into another folder (--out)",
            )
    if start is None:
        raise LogError(f"{path} is empty: the run was stopped before its first record.")
    return EvalLog(path, start, Stored(path, list(samples.values())), end)


def _records(path: Path) -> Iterator[tuple[int, int, Any]]:
    """(number, place, value) of every whole line."""
    try:
        opened = path.open("rb")
    except OSError as error:
        problem = explain_read_error(error, path)
        raise LogError(problem.message, problem.hint) from error
    offset = 0
    with opened as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # the writer was killed here
            if line.strip():
                try:
                    yield number, offset, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise LogError(f"{path}:{number} is not JSON: {error}.") from error
            offset += len(line)


def check_start(path: Path, record: Record) -> Record:
    if record.get("schema") != SCHEMA:
        raise LogError(
            f"{path} has the log schema {record.get('schema')}, and this Formosa knows {SCHEMA}.",
            "read it with the version that wrote it: pip install -U formosa-lm",
        )
    for name, kind in (
        ("task", dict),
        ("model", dict),
        ("request", dict),
        ("plan", dict),
        ("scorers", list),
    ):
        if not isinstance(record.get(name), kind):
            raise LogError(f"{path}:1 is damaged: `{name}` is missing or of another type.")
    return record


def check_sample(path: Path, number: int, record: Record, start: Record) -> None:
    problem = ""
    scores = record.get("scores")
    if not isinstance(record.get("id"), str) or not isinstance(record.get("repeat"), int):
        problem = "a sample without an id and a repeat"
    elif not isinstance(scores, dict) or set(scores) != set(start["scorers"]):
        problem = f"the scores of sample {record['id']} are not those of the start"
    elif any(
        not isinstance(score, dict) or score.get("outcome") not in OUTCOMES
        for score in scores.values()
    ):
        problem = f"sample {record['id']} ends as none of {', '.join(OUTCOMES)}"
    if problem:
        raise LogError(f"{path}:{number} is damaged: {problem}.")
