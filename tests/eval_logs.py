"""Logs of invented runs, for the evaluation pages and what they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from formosa.files import json_line

Record = dict[str, Any]


def start_of(
    scorers: Sequence[str] = ("box",), samples: int = 3, repeats: int = 1, **changes: Any
) -> Record:
    """A first record, as the runner writes it."""
    return {
        "type": "start",
        "schema": 1,
        "task": {
            "name": "invented",
            "version": 2,
            "source": "nowhere",
            "revision": "sha256:" + "0" * 64,
            "licence": "CC0-1.0",
            "language": "zh-TW",
        },
        "model": {
            "name": "a model",
            "path": "runs/a/model.gguf",
            "sha256": "a" * 64,
            "template_sha256": "b" * 64,
            "details": {"engine": "llama.cpp", "version": "1", "quantisation": "Q8_0"},
        },
        "request": {"temperature": 0.0, "top_p": None, "max_tokens": 64, "stop": []},
        "plan": {
            "samples": samples,
            "repeats": repeats,
            "seed": 0,
            "original": samples,
            "sha256": "c" * 64,
        },
        "scorers": list(scorers),
        "started": "2026-11-22T05:54:03Z",
        "code": {"version": "0.1.0", "git": None},
        **changes,
    }


def sample_of(
    id: str,
    outcome: str = "correct",
    *,
    repeat: int = 0,
    text: str = r"想了一下，\box{A}",
    scorers: Sequence[str] = ("box",),
    subject: str = "地理",
    answer: str | None = "A",
    why: str = r"read A from “\box{A}”; B is right",
    **changes: Any,
) -> Record:
    """A sample, with its fields in the order in which the runner writes them."""
    failed = outcome == "failed"
    message = {"role": "assistant", "content": text}
    reply = {"text": text, "message": message, "finish": "stop", "usage": [30, 12, 3]}
    return {
        "type": "sample",
        "id": id,
        "repeat": repeat,
        "subject": subject,
        "request_sha256": "d" * 64,
        "reply": None if failed else reply,
        "error": "no answer in 60 s" if failed else None,
        "scores": {
            name: {"outcome": outcome, "answer": None if failed else answer, "why": why}
            for name in scorers
        },
        "purity": None if failed else [5, 1, 0],
        "gold": "B",
        "seconds": 1.25,
        **changes,
    }


def end_of() -> Record:
    """A last record; its figures are nobody's here."""
    return {"type": "end", "finished": "2026-11-22T05:54:32Z", "counts": {}, "scores": {}}


def write_log(path: Path, *records: Record) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(map(json_line, records)))
    return path


def append(path: Path, records: Iterable[Record]) -> None:
    with path.open("ab") as file:
        file.writelines(map(json_line, records))
