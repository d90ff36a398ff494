"""A little task for the tests of the runner and the log, and models that answer it.

The right answer is in the prompt, so a scripted model can be right or wrong as a test likes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.evals.task import Asked, Sample, ScoreRecord, Task, shuffled, unread
from formosa.results.log import SCHEMA, Record


def ask(sample: Sample[int], repeat: int, seed: int) -> Asked:
    parts = shuffled([sample.content, 1, 2], seed, sample.id, repeat)
    question = f"{sample.id}: {' + '.join(map(str, parts))} = ?"
    return Asked((Message("user", question),), gold=sample.content + 3)


def exact(sample: Sample[int], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    answer = reply.message.content.strip()
    if not answer.isdigit():
        return unread(reply, "no number")
    right = answer == str(sample.content + 3)
    return ScoreRecord("correct" if right else "wrong", answer, "compared as text")


def parity(sample: Sample[int], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """Only whether odd or even is right."""
    answer = reply.message.content.strip()
    if not answer.isdigit():
        return unread(reply, "no number")
    right = int(answer) % 2 == (sample.content + 3) % 2
    return ScoreRecord("correct" if right else "wrong", answer, "compared modulo 2")


def arithmetic(questions: int = 10) -> Task[int]:
    samples = [Sample(f"sum-{n}", n, "even" if n % 2 == 0 else "odd") for n in range(questions)]
    return Task(
        "sums", 1, "invented", "r1", "CC0-1.0", "en", samples, ask, {"exact": exact, "odd": parity}
    )


def answer(prompt: str) -> str:
    """Right, except that multiples of five are answered with words and of three too high."""
    found = re.search(r"sum-(\d+):", prompt)
    assert found
    n = int(found[1])
    if n % 5 == 4:
        return "I don't know"
    return str(n + 4 if n % 3 == 2 else n + 3)


def model(script: Callable[[str], str] = answer) -> tuple[TemplatedChat, ScriptedEngine]:
    engine = ScriptedEngine(script)
    return TemplatedChat(engine), engine


def facts(path: Path) -> list[str]:
    """A log's records without times, in an order that does not depend on who answered first."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for record in records:
        for field in ("started", "finished", "seconds"):
            record.pop(field, None)
    return sorted(json.dumps(record, ensure_ascii=False) for record in records)


def start(
    samples: int = 2, repeats: int = 1, scorers: tuple[str, ...] = ("exact",), **changes: Any
) -> Record:
    """A start record as a log has it."""
    return {
        "type": "start",
        "schema": SCHEMA,
        "task": {"name": "sums", "version": 1, "source": "invented", "revision": "r1"},
        "model": {"name": "m", "path": None, "sha256": "aa", "template_sha256": "t", "details": {}},
        "request": {"temperature": 0.0, "max_tokens": 64},
        "plan": {"samples": samples, "repeats": repeats, "seed": 0, "original": 9, "sha256": "p"},
        "scorers": list(scorers),
        "started": "2026-01-01T00:00:00Z",
        "code": {"version": "0", "git": None},
        **changes,
    }


def scored(id: str, outcome: str = "correct", repeat: int = 0, **more: Any) -> Record:
    """A sample record with one scorer."""
    return {
        "type": "sample",
        "id": id,
        "repeat": repeat,
        "subject": "",
        "scores": {"exact": {"outcome": outcome, "answer": None, "why": ""}},
        **more,
    }
