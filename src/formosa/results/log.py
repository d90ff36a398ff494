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
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from formosa.errors import LogError, UserError
from formosa.files import JsonLines, explain_os_error, read_jsonl, sha256_file

SCHEMA = 1

Outcome = Literal["correct", "wrong", "unparsed", "truncated", "failed"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

Record = dict[str, Any]
Key = tuple[str, int]  # (sample id, repeat)


@dataclass(frozen=True)
class EvalLog:
    """A log as read.

    Attributes:
        samples: one record for each (id, repeat), in the order in which they first appear.
        end: the last record, or None where samples are missing or came after it.
    """

    path: Path
    start: Record
    samples: list[Record] = field(default_factory=list)
    end: Record | None = None

    @property
    def finished(self) -> bool:
        return self.end is not None

    @property
    def planned(self) -> int:
        """How many samples the plan asks for: questions times repeats."""
        return int(self.start["plan"]["samples"]) * int(self.start["plan"]["repeats"])

    @property
    def scorers(self) -> list[str]:
        return [str(name) for name in self.start["scorers"]]

    def failed(self) -> list[Record]:
        """The samples that never got an answer."""
        return [sample for sample in self.samples if has_failed(sample)]


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
    samples: dict[Key, Record] = {}
    for number, record in _records(path):
        kind = record.get("type") if isinstance(record, dict) else None
        if start is None:
            if kind != "start":
                raise LogError(f"{path} is not an evaluation log: line {number} is no start.")
            start = _checked_start(path, record)
        elif kind == "sample":
            _check_sample(path, number, record, start)
            samples[sample_key(record)] = record
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
    return EvalLog(path, start, list(samples.values()), end)


def _records(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        yield from read_jsonl(path)
    except LogError:
        raise
    except UserError as error:
        raise LogError(error.message, error.hint) from error


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
            self._lines = JsonLines(path)
            try:
                if path.stat().st_size == 0:
                    self._lines.append(dict(start))
                self.log = read_log(path)
                _refuse_other(self.log, start)
            except BaseException:
                self._lines.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, record: Mapping[str, Any]) -> None:
        """Put one sample record on the disk before returning."""
        self._lines.append(dict(record))

    def finish(self, summary: Callable[[EvalLog], Mapping[str, Any]]) -> EvalLog:
        """Write the end record, made by `summary` from all samples in the file, and return the log.

        Nothing is written where the log already ends with a record that says the same.
        """
        log = read_log(self._path)
        made = dict(summary(log))
        if log.end is None or {key: log.end.get(key) for key in made} != made:
            self._lines.append({"type": "end", "finished": now(), **made})
            log = read_log(self._path)
        return log

    def close(self) -> None:
        self._lines.close()
        if self._lock >= 0:
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
