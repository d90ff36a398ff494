"""A log as a Parquet table, or in the format of inspect_ai, which `inspect view` opens.

Parquet: a row for each sample; of every scorer its outcome, answer and reason; the start record as
JSON in the file's metadata (`formosa.start`).

inspect_ai: its JSON log (version 2). Our five outcomes become its values: correct is C, everything
else I, with the outcome in the score's metadata, so its accuracy equals ours with one repeat.
Repeats are its epochs. A log does not hold the questions, so without `questions` their place is
taken by a remark.

Logs of private tasks hold no texts; they are refused all the same, since an export is for showing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from formosa.errors import LogError, UserError
from formosa.files import replacing
from formosa.results.effort import effort
from formosa.results.log import EvalLog, Record
from formosa.results.metrics import score

BATCH = 1000  # rows written at a time
Questions = Callable[[str, int], list[dict[str, Any]]]  # (id, repeat) → messages, OpenAI's shape
NO_QUESTION = "(the question is not in the log; export with --questions)"


def to_parquet(log: EvalLog, path: Path) -> None:
    """Write the samples of `log` as a table.

    Raises:
        UserError: pyarrow is not installed, or `path` can't be written.
        LogError: the log is of a private task.
    """
    _refuse_private(log)
    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        import pyarrow.parquet as pq  # type: ignore[import-untyped]
    except ImportError as error:
        raise UserError("Parquet needs pyarrow.", "pip install pyarrow") from error
    text, number, count = pa.string(), pa.float64(), pa.int64()
    columns = {
        "id": text, "repeat": count, "subject": text, "error": text, "gold": text, "text": text,
        "content": text, "reasoning": text, "tool_calls": text, "finish": text,
        "prompt_tokens": count, "completion_tokens": count, "seconds": number,
        "han": count, "simplified_only": count, "mainland_han": count,
    }  # fmt: skip
    for name in log.scorers:
        columns |= {f"{name}.outcome": text, f"{name}.answer": text, f"{name}.why": text}
    start = json.dumps(log.start, ensure_ascii=False)
    schema = pa.schema(list(columns.items()), metadata={"formosa.start": start})
    rows = (_row(record, columns) for record in log.samples)
    with replacing(path) as file, pq.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _row(record: Record, columns: Mapping[str, Any]) -> Record:
    reply = record.get("reply") or {}
    message = reply.get("message") or {}
    usage = reply.get("usage") or [None, None]
    han, simplified, mainland = record.get("purity") or (None, None, None)
    row = {
        "id": record["id"],
        "repeat": record["repeat"],
        "subject": record.get("subject"),
        "error": record.get("error"),
        "gold": json.dumps(record.get("gold"), ensure_ascii=False),
        "text": reply.get("text"),
        "content": message.get("content"),
        "reasoning": message.get("reasoning_content"),
        "tool_calls": (
            json.dumps(message["tool_calls"], ensure_ascii=False)
            if message.get("tool_calls")
            else None
        ),
        "finish": reply.get("finish"),
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "seconds": record.get("seconds"),
        "han": han,
        "simplified_only": simplified,
        "mainland_han": mainland,
    }
    for name, made in record["scores"].items():
        for part in ("outcome", "answer", "why"):
            row[f"{name}.{part}"] = made.get(part)
    # A lone surrogate, which a model may write, is no UTF-8.
    return {
        name: _storable(row[name]) if isinstance(row[name], str) else row[name] for name in columns
    }


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def to_inspect(log: EvalLog, path: Path, questions: Questions | None = None) -> None:
    """Write `log` as inspect_ai does.

    Args:
        log: finished or not; an unfinished one has the status `cancelled`.
        path: should end in `.json`, which is how inspect_ai knows the format.
        questions: the messages of a question as it was asked.

    Raises:
        LogError: the log is of a private task, or has no answers.
        UserError: `path` can't be written.
    """
    _refuse_private(log)
    head = {
        "version": 2,
        "status": "success" if log.finished else "cancelled",
        "eval": _eval(log),
        "plan": {"name": "plan", "steps": [], "config": _config(log)},
        "results": _results(log),
        "stats": _stats(log),
    }
    with replacing(path) as file:
        text = json.dumps(head, ensure_ascii=True, indent=1)
        file.write(text.removesuffix("\n}").encode())
        file.write(b',\n "samples": [')
        for i, record in enumerate(log.samples):
            made = json.dumps(_sample(record, log, questions), ensure_ascii=True)
            file.write((",\n  " if i else "\n  ").encode() + made.encode())
        file.write(b"\n ]\n}\n")


def _time(text: Any) -> str:
    return str(text or "1970-01-01T00:00:00Z").replace("Z", "+00:00")


def _model(log: EvalLog) -> str:
    return f"formosa/{log.start['model'].get('name')}"


def _config(log: EvalLog) -> Record:
    asked = log.start["request"]
    names = ("temperature", "top_p", "top_k", "max_tokens", "seed")
    return {name: asked[name] for name in names if asked.get(name) is not None}


def _eval(log: EvalLog) -> Record:
    task, plan = log.start["task"], log.start["plan"]
    ids = list(dict.fromkeys(short.id for short in log.briefs))
    name = str(task.get("name"))
    identity = str(plan.get("sha256") or "")[:22]
    return {
        "eval_id": identity,
        "run_id": identity,
        "created": _time(log.start.get("started")),
        "task": name,
        "task_id": identity,
        "task_version": task.get("version") or 0,
        "task_attribs": {},
        "task_args": {},
        "dataset": {
            "name": name,
            "location": str(task.get("source") or ""),
            "samples": len(ids),
            "sample_ids": ids,
            "shuffled": False,
        },
        "model": _model(log),
        "model_args": {},
        "model_generate_config": _config(log),
        "config": {"epochs": plan["repeats"], "limit": plan["samples"]},
        "packages": {"formosa-lm": str((log.start.get("code") or {}).get("version") or "")},
        "metadata": {"formosa": {k: log.start[k] for k in ("task", "model", "plan", "request")}},
        "scorers": [{"name": scorer} for scorer in log.scorers],
    }


def _results(log: EvalLog) -> Record:
    made = []
    for name in log.scorers:
        found = score(log, name)
        values = {"accuracy": found.value, "ci_low": found.low, "ci_high": found.high}
        made.append(
            {
                "name": name,
                "scorer": name,
                "params": {},
                "metrics": {
                    metric: {"name": metric, "value": value, "params": {}}
                    for metric, value in values.items()
                },
            }
        )
    return {
        "total_samples": log.planned,
        "completed_samples": len(log.samples) - log.failures,
        "scores": made,
    }


def _stats(log: EvalLog) -> Record:
    spent = effort(log)
    usage = {
        "input_tokens": spent.prompt_tokens or 0,
        "output_tokens": spent.completion_tokens or 0,
        "total_tokens": (spent.prompt_tokens or 0) + (spent.completion_tokens or 0),
    }
    return {
        "started_at": _time(log.start.get("started")),
        "completed_at": _time((log.end or {}).get("finished") or log.start.get("started")),
        "model_usage": {_model(log): usage},
    }


def _sample(record: Record, log: EvalLog, questions: Questions | None) -> Record:
    reply = record.get("reply") or {}
    message = reply.get("message") or {}
    asked = questions(record["id"], record["repeat"]) if questions else None
    shown = [{"role": m["role"], "content": m.get("content") or ""} for m in asked or []]
    content: Any = message.get("content") or ""
    if message.get("reasoning_content"):
        content = [
            {"type": "reasoning", "reasoning": message["reasoning_content"]},
            {"type": "text", "text": content},
        ]
    answer: Record = {"role": "assistant", "content": content, "source": "generate"}
    if message.get("tool_calls"):
        answer["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    finish = {"length": "max_tokens", "tool_calls": "tool_calls"}.get(
        str(reply.get("finish")), "stop"
    )
    gold = record.get("gold")
    sample = {
        "id": record["id"],
        "epoch": record["repeat"] + 1,
        "input": shown or NO_QUESTION,
        "target": gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False),
        "messages": [*shown, answer] if reply else shown,
        "output": {
            "model": _model(log),
            "choices": [{"message": answer, "stop_reason": finish}] if reply else [],
        },
        "scores": {name: _score(made) for name, made in record["scores"].items()},
        "metadata": {"subject": record.get("subject") or ""},
        "store": {},
        "events": [],
        "attachments": {},
        "model_usage": {},
        "total_time": record.get("seconds"),
    }
    if record.get("error"):
        sample["error"] = {"message": record["error"], "traceback": "", "traceback_ansi": ""}
    return sample


def _score(made: Mapping[str, Any]) -> Record:
    return {
        "value": "C" if made["outcome"] == "correct" else "I",
        "answer": made.get("answer"),
        "explanation": made.get("why"),
        "metadata": {"outcome": made["outcome"]},
    }


def _call(call: Mapping[str, Any]) -> Record:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = None
    parsed = {"arguments": arguments} if isinstance(arguments, dict) else {
        "arguments": {}, "parse_error": str(function["arguments"]),
    }  # fmt: skip
    return {"id": call.get("id") or "", "function": function["name"], "type": "function", **parsed}


def _refuse_private(log: EvalLog) -> None:
    if log.start["task"].get("private"):
        raise LogError(f"{log.path} is of a task whose questions and replies are not to be shown.")
