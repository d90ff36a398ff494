"""The scripted replies, and what is right for each.

White space around tags is a matter of taste among servers, so it is not compared; arguments are
compared as values. What every client relies on is judged apart from the words: the status, the
stream that equals the whole, arguments that are JSON objects, the finish reason.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from formosa.serve.conformance.exchange import (
    LONGEST_EVIDENCE,
    Answer,
    Said,
    Streamed,
    shortened,
)
from formosa.serve.conformance.report import Level, Result, Verdict

PROBE_TEXT = "The parrot says 臺灣 42 < 43."  # to find out whether a model can be steered
WORDS = "words"  # the check that follows the vector's own level; the others must hold


@dataclass(frozen=True)
class Wanted:
    """A message. White space is left out of the texts; arguments are values."""

    reasoning: str = ""
    content: str = ""
    calls: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Wanted:
        return cls(
            _squeezed(value.get("reasoning", "")),
            _squeezed(value.get("content", "")),
            tuple((name, arguments) for name, arguments in value.get("calls", ())),
        )


@dataclass(frozen=True)
class Vector:
    """One scripted reply."""

    id: str
    text: str
    wanted: Wanted
    accepted: tuple[Wanted, ...]
    level: Level
    why: str
    cut: bool
    opened: bool
    thinks: bool  # only means something where the server separates reasoning

    @property
    def finish(self) -> str:
        if self.cut:
            return "length"
        return "tool_calls" if self.wanted.calls else "stop"


@functools.cache
def _file() -> dict[str, Any]:
    path = resources.files("formosa.serve.conformance").joinpath("vectors.yaml")
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


@functools.cache
def vectors() -> tuple[Vector, ...]:
    """All of them, in the order of the file."""
    return tuple(
        Vector(
            id=value["id"],
            text=value["text"],
            wanted=Wanted.of(value),
            accepted=tuple(map(Wanted.of, value.get("accept", ()))),
            level=value.get("level", "must"),
            why=value.get("why", "the words of the model must reach the client as they are meant"),
            cut=value.get("cut", False),
            opened=value.get("opened", False),
            thinks=value.get("thinks", False) or bool(value.get("reasoning")),
        )
        for value in _file()["vectors"]
    )


def tools() -> list[dict[str, Any]]:
    """The tools that every scripted request offers, in OpenAI's shape."""
    return [
        {"type": "function", "function": {"name": name, **value}}
        for name, value in _file()["tools"].items()
    ]


def judge(vector: Vector, whole: Answer, streamed: Streamed) -> Result:
    """Both answers of a server to one scripted reply."""
    if whole.status != 200:
        problem = f"whole: {whole.short()}"
        if broke := streamed.broke():
            problem += f"; stream: {broke}"
        return _result(vector, {"answers": False}, [problem])
    said, heard = whole.said(), streamed.said()
    checks, problems = {"answers": True}, []

    def check(name: str, fine: bool, problem: str) -> None:
        checks[name] = checks.get(name, True) and fine
        if not fine:
            problems.append(problem)

    broke = streamed.broke()
    check("answers", not broke, f"stream: {broke}")
    for how, message in (("whole", said), ("stream", heard)):
        check("shape", not message.faults, f"{how}: {'; '.join(message.faults)}")
        ids = [call.id for call in message.calls]
        check("shape", len(set(ids)) == len(ids), f"{how}: two calls with the same id")
        bad = [call.arguments for call in message.calls if not is_object(call.arguments)]
        check("arguments", not bad, f"{how}: arguments {shortened(' '.join(map(repr, bad)))}")
        finish = vector.finish
        if not vector.cut:  # whatever was called, the reason must say so
            finish = "tool_calls" if message.calls else "stop"
        right = message.finish == finish
        check("finish", right, f"{how}: finish_reason {message.finish!r} instead of {finish!r}")
    check("same", _message(said) == _message(heard), f"stream differs: {_shown(heard)}")
    for how, message in (("whole", said), ("stream", heard)):
        fits = _message(message) in (vector.wanted, *vector.accepted)
        check(f"{WORDS} {how}", fits, f"{how}: {_shown(message)}")
    return _result(vector, checks, problems)


def unjudged(vector: Vector, reason: str) -> Result:
    """The server's model could not be made to say it."""
    return _result(vector, {}, [reason], skipped=True)


def is_object(text: str) -> bool:
    """Whether `text` is one JSON object, as strict parsers read it."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(text, parse_constant=refuse), dict)
    except (ValueError, RecursionError):
        return False


def _result(
    vector: Vector, checks: dict[str, bool], problems: list[str], *, skipped: bool = False
) -> Result:
    broken = {name for name, fine in checks.items() if not fine}
    level: Level = vector.level
    verdict: Verdict = "pass"
    if skipped:
        verdict = "skip"
    elif any(not name.startswith(WORDS) for name in broken):
        verdict, level = "fail", "must"  # whatever the words should be
    elif broken:
        verdict = "note" if vector.level == "policy" else "fail"
    if vector.level == "policy":
        checks = {name: fine for name, fine in checks.items() if not name.startswith(WORDS)}
    what = f"{_told(vector.wanted)} · {vector.finish}"
    return Result(
        id=f"vectors.{vector.id}",
        what=shortened(what),
        why=vector.why,
        level=level,
        verdict=verdict,
        evidence=shortened("; ".join(dict.fromkeys(problems)), 4 * LONGEST_EVIDENCE),
        checks=checks,
    )


def _message(said: Said) -> Wanted:
    calls = []
    for call in said.calls:
        try:
            calls.append((call.name, json.loads(call.arguments)))
        except (ValueError, RecursionError):
            calls.append((call.name, call.arguments))
    return Wanted(_squeezed(said.reasoning), _squeezed(said.content), tuple(calls))


def _told(message: Wanted) -> str:
    parts = [
        f"{name} {text!r}"
        for name, text in (("reasoning", message.reasoning), ("content", message.content))
        if text
    ]
    parts += [f"{name}({json.dumps(value, ensure_ascii=False)})" for name, value in message.calls]
    return ", ".join(parts) or "nothing"


def _shown(said: Said) -> str:
    return shortened(f"{_told(_message(said))} · {said.finish}")


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
