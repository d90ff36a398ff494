"""A log that may be published: what became of every answer, and no text of the benchmark.

Many benchmarks must not be spread (GPQA asks for it), and a copy on the web ends in training data.
The replies have to go too: they quote the questions. What stays is what figures are made of: the
outcome by each scorer, the tokens, the seconds, the counts of the purity, and the sha256 of what
was asked, so that somebody who has the benchmark can tell which question it was. The first record
names the sha256 of the whole log, which shows later that it is the one that was redacted.

A reply looks as one of a private task does, so whatever reads those reads these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from formosa.errors import LogError
from formosa.files import json_line, replacing, sha256_file
from formosa.results.log import EvalLog, Record, read_log


def redact(log: EvalLog, path: Path) -> EvalLog:
    """Write `log` without texts into `path`, whole or not at all, and read it.

    Raises:
        LogError: the log is not finished (the rest of it would have texts), is redacted already,
            or is what lies in `path`.
        UserError: `path` can't be written.
    """
    if not log.finished:
        raise LogError(
            f"{log.path} is not finished: {len(log.samples)} of {log.planned} answers.",
            f"ask the rest first: formosa eval retry {log.path}",
        )
    if "redacted" in log.start:
        raise LogError(f"{log.path} is redacted already.", "publish it as it is")
    if path.exists() and path.resolve() == log.path.resolve():
        raise LogError(f"{path} would be written over itself.", "name another folder with --out")
    model = {**log.start["model"]}
    if model.get("path"):
        model["path"] = PurePath(str(model["path"])).name  # a machine's folders are nobody's affair
    start = {**log.start, "model": model, "redacted": {"sha256": sha256_file(log.path)}}
    with replacing(path) as file:
        file.write(json_line(start))
        for record in log.samples:
            file.write(json_line(_without_texts(record)))
        file.write(json_line(log.end))
    return read_log(path)


def _without_texts(record: Mapping[str, Any]) -> Record:
    reply = record.get("reply")
    kept: Record | None = None
    if isinstance(reply, dict):
        kept = {"private": {}, "finish": reply.get("finish"), "usage": reply.get("usage")}
    return {
        "type": "sample",
        "id": record["id"],
        "repeat": record["repeat"],
        "subject": record.get("subject"),
        "request_sha256": record.get("request_sha256"),
        "reply": kept,
        "error": None
        if record.get("error") is None
        else "failed",  # servers quote what they refuse
        "scores": {
            name: {"outcome": score["outcome"], "answer": None, "why": ""}
            for name, score in record["scores"].items()
        },
        "purity": record.get("purity"),
        "gold": None,
        "seconds": record.get("seconds"),
    }
