"""Logs of shards put together, and the one form in which two logs of a run can be compared.

**Merging** loses nothing: a missing shard leaves an unfinished log and is named, and the merged
log can be merged again with what was missing, or continued by `formosa eval retry`. A question that
is in two logs counts once: an answer beats a failure, and two different answers are an error, since
no rule could say which one is right.

**The canonical form** of a log is its records without times and without what depends on them (the
tokens that came from an engine's cache, the version of our code), samples sorted by id and repeat.
It is the same for a run that was killed ten times, one that was sharded, and one that was not.

Knows logs. Knows nothing of tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from formosa.errors import LogError
from formosa.files import canonical_json, json_line, replacing
from formosa.results.log import EvalLog, Key, Record, now, read_log
from formosa.results.metrics import summary
from formosa.results.same_run import differences

_TIMES = {"started", "finished", "seconds", "code"}


def merge(logs: Sequence[EvalLog], path: Path, say: Callable[[str], None]) -> EvalLog:
    """Write the answers of all `logs` into `path`, whole or not at all, and read it.

    Args:
        logs: of the shards of one plan. A log that is in `path` already is merged too.
        path: of the merged log.
        say: is told which shards are missing or unfinished.

    Raises:
        LogError: no log, logs of different runs, or two different answers to one question.
        UserError: `path` can't be written.
    """
    if not logs:
        raise LogError("There is nothing to merge.", "name the logs of the shards")
    if path.exists() and all(log.path.resolve() != path.resolve() for log in logs):
        logs = [*logs, read_log(path)]
    start = _whole(logs[0].start)
    for log in logs[1:]:
        if found := differences(start, _whole(log.start)):
            raise LogError(
                f"{log.path} is of another run than {logs[0].path}: {'; '.join(found)}.",
                "merge logs that were made with the same options but --shard",
            )
    start["started"] = min(str(log.start.get("started")) for log in logs)
    places = _places(logs)
    with replacing(path) as file:
        file.write(json_line(start))
        for key in sorted(places):
            log, index = places[key]
            file.write(json_line(log.samples[index]))
    merged = read_log(path)
    missing = merged.planned - len(merged.samples)
    if missing:
        for problem in _gaps(logs):
            say(problem)
        say(f"{missing} of {merged.planned} answers are missing")
        return merged
    with path.open("ab") as out:
        out.write(json_line({"type": "end", "finished": now(), **summary(merged)}))
    return read_log(path)


def _whole(start: Mapping[str, Any]) -> Record:
    """The start record of the whole that a shard is part of."""
    plan = {name: value for name, value in start["plan"].items() if name != "shard"}
    return {**start, "plan": plan}


def _places(logs: Sequence[EvalLog]) -> dict[Key, tuple[EvalLog, int]]:
    """Where the record of each sample is to be taken from."""
    places: dict[Key, tuple[EvalLog, int]] = {}
    for log in logs:
        for index, short in enumerate(log.briefs):
            there = places.get(short.key)
            if there is not None and not short.failed:
                other, place = there
                if not other.briefs[place].failed:
                    _same(other, place, log, index)
                    continue
            if there is None or not short.failed:
                places[short.key] = (log, index)
    return places


def _same(a: EvalLog, a_index: int, b: EvalLog, b_index: int) -> None:
    first, second = a.samples[a_index], b.samples[b_index]
    if canonical_sample(first) != canonical_sample(second):
        raise LogError(
            f"{a.path} and {b.path} have different answers to {first['id']} "
            f"(repeat {first['repeat']}).",
            "leave out one of the two logs",
        )


def _gaps(logs: Sequence[EvalLog]) -> Iterator[str]:
    """One sentence for each shard that is missing or unfinished."""
    shards = [log.start["plan"].get("shard") for log in logs]
    sizes = {shard["of"] for shard in shards if shard}
    unsharded = [str(log.path) for log, shard in zip(logs, shards, strict=True) if not shard]
    but = f" (but {', '.join(unsharded)} may hold answers of theirs)" if unsharded else ""
    for size in sorted(sizes):
        there = {shard["number"] for shard in shards if shard and shard["of"] == size}
        if absent := [str(n) for n in range(1, size + 1) if n not in there]:
            word = "shard" if len(absent) == 1 else "shards"
            yield f"{word} {', '.join(absent)} of {size} not given{but}"
    for log, shard in zip(logs, shards, strict=True):
        if shard and len(log.samples) < log.planned:
            yield (
                f"shard {shard['number']} of {shard['of']} is unfinished: "
                f"{len(log.samples)} of {log.planned} answers in {log.path}"
            )


def canonical_sample(record: Mapping[str, Any]) -> str:
    """One sample without times, as text."""
    kept = {name: value for name, value in record.items() if name not in _TIMES}
    reply = kept.get("reply")
    if isinstance(reply, dict) and isinstance(reply.get("usage"), list):
        kept["reply"] = {**reply, "usage": reply["usage"][:2]}
    return canonical_json(kept)


def canonical_lines(log: EvalLog) -> Iterator[str]:
    """The records of the canonical form."""
    start = {name: value for name, value in _whole(log.start).items() if name not in _TIMES}
    yield canonical_json(start)
    for index in sorted(range(len(log.briefs)), key=lambda i: log.briefs[i].key):
        yield canonical_sample(log.samples[index])
    if log.end is not None:
        yield canonical_json({k: v for k, v in log.end.items() if k not in _TIMES})


def result_sha256(log: EvalLog) -> str:
    """The hash of the canonical form: the same for every way to the same answers."""
    digest = hashlib.sha256()
    for line in canonical_lines(log):
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
