"""The evaluation log: one JSON-lines file for one task and one model, written as the run goes.

    {"type": "start", "schema": 1, "task": …, "model": …, "request": …, "plan": …, "scorers": …}
    {"type": "sample", "id": "q7", "repeat": 0, "reply": …, "scores": {"box": {"outcome": …}}, …}
    …
    {"type": "end", "finished": …, "counts": …, "scores": …}

A log without its last record is honest: it was interrupted, and `LogWriter` continues it. A torn
last line is what was being written when the process died, and is cut. A sample that is there twice
(asked again after it failed) counts once, with its last record; an `end` that has samples after it
is out of date and does not count.

Knows the shape of the records. Knows nothing of tasks, models or scores, and asks nothing.

Two processes can't write one log: the writer holds `flock` on it. The lock is the file's own, so
there is no second file to clean up, and the kernel drops it when the process dies. Trade-off: on
network file systems without locks the log cannot be written at all.

What survives: every record is handed to the system before `append` returns, so kill -9 loses
nothing of it. It is forced onto the disk by `sync`, which the runner calls once a second: a power
cut may cost the answers of the last second, and those are asked again. (An fdatasync for each
record would be the slowest part of a run against a quick server.)

Memory: a log of 100,000 samples fits, since a read log keeps a `Brief` of each and finds the rest
in the file when somebody wants it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard, get_args, overload

from formosa.errors import LogError
from formosa.files import JsonLines, explain_os_error, explain_read_error, sha256_file

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


def sample_key(record: Mapping[str, Any]) -> Key:
    return str(record["id"]), int(record["repeat"])


def has_failed(record: Mapping[str, Any]) -> bool:
    """Whether the engine gave no answer. What a model *wrote* never fails."""
    return any(score["outcome"] == "failed" for score in record["scores"].values())


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def log_sha256(path: Path) -> str:
    """What a card's link names the log by."""
    return sha256_file(path)


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
            start = _checked_start(path, record)
            scorers = [str(name) for name in start["scorers"]]
        elif kind == "sample":
            _check_sample(path, number, record, start)
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


def _checked_start(path: Path, record: Record) -> Record:
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


def _check_sample(path: Path, number: int, record: Record, start: Record) -> None:
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


class LogWriter:
    """Appends to one log, alone. A context manager.

    Opening it on a log that is there continues that log, if it was begun for the same thing.

    Attributes:
        log: what was in the file when it was opened.

    Raises:
        LogError: another process writes this log; or it belongs to another task, model, plan or
            request; or it is damaged.
        UserError: the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path, start: Mapping[str, Any]) -> None:
        self._path = path
        self._lock = _locked(path)
        try:
            self._lines = JsonLines(path, sync=False)
            try:
                if path.stat().st_size == 0:
                    self._lines.append(dict(start))
                    self.sync()
                self.log = read_log(path)
                _refuse_other(self.log, start)
            except BaseException:
                self._lines.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise
        self._briefs = {short.key: short for short in self.log.briefs}
        self._end = self.log.end
        self._size = os.fstat(self._lock).st_size
        self._scorers = self.log.scorers

    def append(self, record: Mapping[str, Any]) -> None:
        """Hand one sample record to the system, so that it outlives this process."""
        length = self._lines.append(record)
        short = brief(record, self._scorers, self._size)
        self._size += length
        self._briefs[short.key] = short
        self._end = None

    def sync(self) -> None:
        """Force what was appended onto the disk. May be called from another thread."""
        try:
            os.fdatasync(self._lock)
        except OSError as error:
            raise explain_os_error(error, self._path) from error

    def finish(self, summary: Callable[[EvalLog], Mapping[str, Any]]) -> EvalLog:
        """Write the end record, made by `summary` from all samples in the file, and return the log.

        Nothing is written where the log already ends with a record that says the same.
        """
        log = self.log_so_far()
        made = dict(summary(log))
        if self._end is None or {key: self._end.get(key) for key in made} != made:
            # As it will be read: a value of another JSON type must not be written twice.
            self._end = json.loads(json.dumps({"type": "end", "finished": now(), **made}))
            self._size += self._lines.append(self._end)
            self.sync()
        return self.log_so_far()

    def log_so_far(self) -> EvalLog:
        """What the file holds by now."""
        samples = Stored(self._path, list(self._briefs.values()))
        return EvalLog(self._path, self.log.start, samples, self._end)

    def close(self) -> None:
        self._lines.close()
        if self._lock >= 0:
            with suppress(OSError):  # said at the next write, if it matters
                os.fdatasync(self._lock)
            os.close(self._lock)  # and with it the lock
            self._lock = -1

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _locked(path: Path) -> int:
    """A descriptor that holds the only lock on `path`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LogError(
            f"Another run is writing {path}.",
            "wait for it to end, or write into another folder with --out",
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise LogError(
            f"Cannot lock {path}: {error.strerror or error}.",
            "choose a folder on a local disk with --out",
        ) from error
    return descriptor


def _refuse_other(log: EvalLog, start: Mapping[str, Any]) -> None:
    found = differences(log.start, start)
    if found:
        raise LogError(
            f"{log.path} belongs to another run: {'; '.join(found)}.",
            f"write into another folder with --out, or begin again after: rm {log.path}",
        )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What keeps two start records from being the same run, as `request.max_tokens: 64, now 128`.

    A model that was moved or renamed is still the same where its sha256 is known. The version of
    our code may differ: what changes a score raises the task's version.
    """
    a, b = (json.loads(json.dumps(value)) for value in (old, new))
    hashed = bool(a["model"].get("sha256") and b["model"].get("sha256"))
    fields = [
        (part, key) for part in ("task", "request", "plan") for key in sorted({*a[part], *b[part]})
    ]
    fields += [("model", "sha256" if hashed else "name"), ("model", "template_sha256")]
    found = [
        _difference(f"{part}.{key}", a[part].get(key), b[part].get(key))
        for part, key in fields
        if a[part].get(key) != b[part].get(key)
    ]
    if a["scorers"] != b["scorers"]:
        found.append(_difference("scorers", a["scorers"], b["scorers"]))
    # The plan's hash only repeats what the other fields say, unless it is all that differs.
    others = [text for text in found if not text.startswith("plan.sha256")]
    return others or found


def _difference(name: str, old: Any, new: Any) -> str:
    def short(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 40 else text[:16] + '…"'

    return f"{name}: {short(old)} in the log, {short(new)} now"
