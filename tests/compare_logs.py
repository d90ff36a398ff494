"""Logs for the pages of comparisons: written as the runner writes them, answers as a test likes."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals_arithmetic import start
from formosa.results.log import OUTCOMES, EvalLog, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary

NAMES = {name[0]: name for name in OUTCOMES}

Answers = Mapping[str, str]  # question → one letter a repeat: c(orrect) w u t f


def log_at(
    path: Path,
    answers: Answers,
    *,
    model: str = "m",
    sha256: str | None = None,
    task: str = "sums",
    scorers: Sequence[str] = ("exact",),
    subjects: Mapping[str, str] | None = None,
    replies: Mapping[str, str] | None = None,
    original: int | None = None,
    finished: bool = True,
    request: Mapping[str, Any] | None = None,
    **task_fields: Any,
) -> EvalLog:
    """A log whose answers end as given; every scorer says the same."""
    repeats = max((len(letters) for letters in answers.values()), default=1)
    record = start(
        samples=len(answers),
        repeats=repeats,
        scorers=tuple(scorers),
        task={"name": task, "version": 1, "source": "invented", "revision": "r1", **task_fields},
        model={
            "name": model, "path": None, "sha256": sha256 or f"sha-{model}",
            "template_sha256": "t", "details": {},
        },
        plan={
            "samples": len(answers), "repeats": repeats, "seed": 0,
            "original": original or len(answers), "sha256": "p",
        },
        request={"temperature": 0.0, "max_tokens": 64, **(request or {})},
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with LogWriter(path, record) as writer:
        for id, letters in answers.items():
            for repeat, letter in enumerate(letters):
                writer.append(_sample(id, repeat, NAMES[letter], scorers, subjects, replies))
        if finished:
            writer.finish(summary)
    return read_log(path)


def _sample(
    id: str,
    repeat: int,
    outcome: str,
    scorers: Sequence[str],
    subjects: Mapping[str, str] | None,
    replies: Mapping[str, str] | None,
) -> dict[str, Any]:
    text = (replies or {}).get(id, f"The answer to {id} is {outcome}.")
    failed = outcome == "failed"
    return {
        "type": "sample",
        "id": id,
        "repeat": repeat,
        "subject": (subjects or {}).get(id, ""),
        "request_sha256": f"asked-{id}-{repeat}",
        "reply": None if failed else {
            "text": text, "message": {"role": "assistant", "content": text}, "finish": "stop",
            "usage": [20, 7, 0],
        },
        "error": "the server is gone" if failed else None,
        "scores": {
            name: {
                "outcome": outcome, "answer": None if outcome == "unparsed" else text[:60],
                "why": f"by {name}",
            }
            for name in scorers
        },
        "gold": "B",
        "seconds": 0.5,
    }  # fmt: skip


def invented(
    folder: Path,
    *,
    questions: int = 240,
    subjects: int = 12,
    repeats: int = 1,
    skills: Sequence[tuple[str, float]] = (("base", 0.42), ("trained", 0.62), ("larger", 0.64)),
    task: str = "sums",
    scorers: Sequence[str] = ("exact",),
) -> list[Path]:
    """Logs of several models on the same questions, which differ in how hard they are."""
    chance = random.Random(5)
    hard = {f"q{n:03}": chance.uniform(-0.35, 0.35) for n in range(questions)}
    about = {id: f"subject {n % subjects}" for n, id in enumerate(hard)}
    paths = []
    for name, skill in skills:
        tilt = {f"subject {n}": chance.uniform(-0.2, 0.2) for n in range(subjects)}
        answers = {
            id: "".join(
                "c"
                if chance.random() < skill - hardness + tilt[about[id]]
                else chance.choice("wwwut")
                for _ in range(repeats)
            )
            for id, hardness in hard.items()
        }
        path = folder / f"{name}-{task}.jsonl"
        log_at(path, answers, model=name, task=task, subjects=about, scorers=scorers)
        paths.append(path)
    return paths


HOSTILE = (
    '<script>document.title="stolen"</script><img src=x onerror="document.title=1">'
    "\"'><svg onload=alert(1)> javascript:alert(1) =cmd|'/c calc'!A1 \u202egnp.exe"
)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
