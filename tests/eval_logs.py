"""Logs of invented runs, for the evaluation pages and what they read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply, ModelInfo, Sampling, Usage
from formosa.evals.plan import make_plan
from formosa.evals.record import failed_scores, purity_record, reply_record, scores
from formosa.evals.registry import load_task
from formosa.files import json_line
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary

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


def mini_log(path: Path, *, limit: int = 6, repeats: int = 2, finished: bool = True) -> Path:
    """A log of our own small task, as the runner would write it, with all kinds of outcomes: the
    first reply is right, then one is wrong, one says nothing, one is cut, one failed; and so on."""
    task = load_task("mini-zh-tw")
    plan = make_plan(task, limit=limit, repeats=repeats, sampling=Sampling(max_tokens=64))
    start = plan.start(ModelInfo("小模型", path="runs/mini/model.gguf", sha256="a" * 64))
    start["started"] = "2026-11-22T05:54:03Z"
    with LogWriter(path, start) as writer:
        for number, planned in enumerate(plan.requests()):
            gold = str(planned.asked.gold)
            other = "ABCD"["ABCD".index(gold) - 1]
            kind = number % 5
            text = (
                f"題目問的是這個，所以答案是 \\box{{{gold}}}",
                f"我想應該是這樣：\n\\box{{{other}}}",
                "我不知道。",
                "先看選項",
                "",
            )[kind]
            reply = ChatReply(
                Message("assistant", text, reasoning="先想一想" if kind == 1 else ""),
                "length" if kind == 3 else "stop",
                Usage(300, 20 + number),
                f"<think>先想一想</think>{text}" if kind == 1 else text,
            )
            failed = kind == 4
            problem = "no answer in 60 s"
            writer.append(
                {
                    "type": "sample",
                    "id": planned.sample.id,
                    "repeat": planned.repeat,
                    "subject": planned.sample.subject,
                    "request_sha256": planned.sha256,
                    "reply": None if failed else reply_record(task, reply),
                    "error": problem if failed else None,
                    "scores": failed_scores(task, problem)
                    if failed
                    else scores(task, planned.sample, planned.repeat, plan.seed, reply),
                    "purity": None if failed else purity_record(reply),
                    "gold": planned.asked.gold,
                    "seconds": 1.5,
                }
            )
        if finished:
            writer.finish(summary)
    return path
