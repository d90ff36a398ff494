"""The files beside a card, each read once; evaluations put together from the logs of their shards.

The files may be anybody's: they are read only inside the card's folder, and whatever is wrong in
them is a CardError or LogError, never a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from formosa.errors import CardError
from formosa.files import read_json, sha256_file
from formosa.results.log import EvalLog, Key, Record, read_log
from formosa.results.same_run import differences


class RunFiles:
    """The files beside a card.

    Every method raises UserError where a file is missing, damaged or outside the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log: Callable[[str], EvalLog] = cache(lambda name: read_log(self.path(name)))
        self.json: Callable[[str], Any] = cache(lambda name: read_json(self.path(name)))
        self.sha256: Callable[[str], str] = cache(lambda name: sha256_file(self.path(name)))
        self.joined: Callable[[tuple[str, ...]], EvalLog] = cache(self._joined)

    def path(self, name: str) -> Path:
        """The file `name`, which must lie in the card's folder, links followed.

        Raises:
            CardError: it is absolute, leads out of the folder, or is no file.
        """
        path = self.root / name
        try:
            inside = path.resolve().is_relative_to(self.root.resolve())
            is_file = path.is_file()
        except (OSError, ValueError, RuntimeError) as error:
            raise CardError(f"{name!r} is no path: {error}.") from error
        if PurePosixPath(name).is_absolute() or not inside:
            raise CardError(f"{name} lies outside of the card's folder.")
        if not is_file:
            raise CardError(
                f"{name} does not exist beside the card.",
                "keep the run folder's files with the card",
            )
        return path

    def evaluations(self, names: Sequence[str]) -> list[EvalLog]:
        """One log for each role and task among the files, in the order in which they appear."""
        groups: dict[tuple[str, str], list[str]] = {}
        for name in names:
            key = role_of(name), str(self.log(name).start["task"].get("name"))
            groups.setdefault(key, []).append(name)
        return [self.joined(tuple(group)) for group in groups.values()]

    def evaluation(self, names: Sequence[str]) -> EvalLog:
        """The one evaluation that these files are.

        Raises:
            CardError: they are several.
        """
        found = self.evaluations(names)
        if len(found) != 1:
            raise CardError(f"{' and '.join(names)} are {len(found)} evaluations, not one.")
        return found[0]

    def _joined(self, names: tuple[str, ...]) -> EvalLog:
        """The log of an evaluation from those of its shards; a log that has none is itself."""
        logs = [self.log(name) for name in names]
        if len(logs) == 1 and not shard_of(logs[0]):
            return logs[0]
        whole = _whole(logs[0].start)
        parts: dict[int, str] = {}
        for name, log in zip(names, logs, strict=True):
            number, of = shard_of(log) or (0, 0)
            if not number or of != len(logs) or number in parts:
                raise CardError(
                    f"{', '.join(names)} are not all the shards of one evaluation.",
                    "put them together: formosa eval merge MERGED LOG...",
                )
            if found := differences(whole, _whole(log.start)):
                raise CardError(
                    f"{name} is of another run than {names[0]}: {'; '.join(found)}.",
                    "keep the logs of one evaluation in one folder",
                )
            parts[number] = name
        samples: dict[Key, Record] = {}
        for number in sorted(parts):
            log = self.log(parts[number])
            for short, sample in zip(log.briefs, log.samples, strict=True):
                if short.key in samples:
                    raise CardError(f"Two shards hold {short.id}, repeat {short.repeat}.")
                samples[short.key] = sample
        ends = [str(log.end.get("finished")) for log in logs if log.end is not None]
        end = {"type": "end", "finished": max(ends)} if len(ends) == len(logs) else None
        return replace(logs[0], start=whole, samples=list(samples.values()), end=end)


def shard_of(log: EvalLog) -> tuple[int, int] | None:
    """(number, of) where a log is a part of an evaluation.

    Raises:
        CardError: what it says of its shard can't be read.
    """
    shard = log.start["plan"].get("shard")
    if not shard:
        return None
    try:
        return int(shard["number"]), int(shard["of"])
    except (KeyError, TypeError, ValueError) as error:
        raise CardError(f"{log.path.name} says of its shard: {shard!r}.") from error


def role_of(name: str) -> str:
    """`base` or `trained`: how the name of a log begins."""
    return PurePosixPath(name).name.split("-")[0]


def _whole(start: Record) -> Record:
    return {**start, "plan": {k: v for k, v in start["plan"].items() if k != "shard"}}


def at_pointer(value: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901), such as `/rows/train`.

    Raises:
        CardError: nothing stands there.
    """
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise CardError(f"Nothing stands at {pointer}.") from error
    return value


def pointer_to(*steps: str | int) -> str:
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
