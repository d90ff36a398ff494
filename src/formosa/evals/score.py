"""Score replies that are there already: those of an old log, or outputs from elsewhere.

Asking and scoring are two things. A scorer that was corrected is applied to the replies of an old
log without asking again; outputs of another harness are scored by ours. Either makes a new log, and
the old one stays as it is. A question whose words changed since then is refused, not rescored: its
reply answers something else.

A row of outputs is a JSON object with `id`, `repeat` (0 if left out), and the reply: `text` (or
`output`, `response`, `content`), or `message` in OpenAI's shape, or `tool_calls`; `finish` may be
`stop` or `length`. The ids are those of `formosa eval run TASK --dry-run` and of any log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, ToolCall, json_text
from formosa.engines.protocol import ChatReply, ModelInfo, Sampling
from formosa.errors import DataError, LogError
from formosa.evals.plan import Plan, Planned, Shard, make_plan
from formosa.evals.record import purity_record, reply_from_record, reply_record, scores
from formosa.evals.task import Sample, Task
from formosa.files import read_jsonl, sha256_file
from formosa.results.log import EvalLog, Record
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary

TEXT_FIELDS = ("text", "output", "response", "content")


def plan_of(log: EvalLog, task: Task[Any]) -> Plan:
    """The plan that the log was made from, with the task as it is now."""
    plan, asked = log.start["plan"], log.start["request"]
    shard = plan.get("shard")
    sampling = Sampling(**{**asked, "stop": tuple(asked.get("stop") or ())})
    return make_plan(
        replace(task, needs=None),  # the log's sampling has it already
        repeats=plan["repeats"],
        limit=plan["samples"],
        seed=plan["seed"],
        sampling=sampling,
        shard=Shard(shard["number"], shard["of"]) if shard else None,
    )


def rescore(log: EvalLog, task: Task[Any], path: Path) -> EvalLog:
    """A new log in `path` with the replies of `log` and what the task's scorers make of them now.

    Raises:
        LogError: the task now asks in other words, or the log's replies were not kept.
    """
    plan = plan_of(log, task)
    samples = {sample.id: sample for sample in plan.samples}
    old = log.start
    start: Record = {
        **old,
        "task": task.describe(),
        "scorers": list(task.scorers),
        "rescored": {"log": log.path.name, "sha256": sha256_file(log.path)},
    }

    def records() -> Iterator[Record]:
        for record in log.samples:
            sample = samples.get(record["id"])
            if sample is None:
                raise LogError(f"{log.path}: {record['id']} is no question of {task.name} now.")
            planned = plan.one(sample, record["repeat"])
            if planned.sha256 != record.get("request_sha256"):
                raise LogError(
                    f"{log.path}: the question {record['id']} is asked in other words now, "
                    "so its reply can't be scored again.",
                    f"ask again: formosa eval run {task.name} …",
                )
            if record.get("reply") is None:
                failed = {"outcome": "failed", "answer": None, "why": record.get("error") or ""}
                yield {**record, "scores": {name: dict(failed) for name in task.scorers}}
                continue
            reply = reply_from_record(record["reply"], f"{log.path}: {record['id']}")
            made = _made(task, planned, plan.seed, reply)
            # What was kept stays: of a private reply it is more than what was rebuilt.
            yield {**record, **made, "reply": record["reply"], "purity": record.get("purity")}

    return _write(path, start, records(), complete=log.finished)


def score_outputs(
    outputs: Path,
    task: Task[Any],
    path: Path,
    *,
    model: str,
    repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
) -> EvalLog:
    """A log in `path` of ready outputs in a JSON-lines file.

    Args:
        outputs: rows as described above.
        task: whose questions were answered.
        path: of the new log.
        model: the name of who answered, for the log.
        repeats: how often each question was asked, as for `make_plan`.
        limit: of samples.
        seed: with which the questions were asked; it decides the order of options.

    Raises:
        DataError: a row has no reply, names no question, or names one twice.
        LogError: `path` is a log of something else.
    """
    plan = make_plan(task, repeats=repeats, limit=limit, seed=seed)
    samples = {sample.id: sample for sample in plan.samples}
    start = plan.start(ModelInfo(model, details={"engine": "ready outputs"}))
    start["outputs"] = {"file": outputs.name, "sha256": sha256_file(outputs)}
    seen: set[tuple[str, int]] = set()

    def records() -> Iterator[Record]:
        for number, row in read_jsonl(outputs):
            where = f"{outputs}:{number}"
            sample, repeat = _which(row, where, samples, repeats, task.name)
            if (sample.id, repeat) in seen:
                raise DataError(f"{where}: a second reply to {sample.id}, repeat {repeat}.")
            seen.add((sample.id, repeat))
            planned = plan.one(sample, repeat)
            reply = _reply(row, where)
            yield {
                "type": "sample",
                "id": sample.id,
                "repeat": repeat,
                "subject": sample.subject,
                "request_sha256": planned.sha256,
                "error": None,
                **_made(task, planned, plan.seed, reply),
                "seconds": None,
            }

    return _write(path, start, records(), complete=None)


def _made(task: Task[Any], planned: Planned, seed: int, reply: ChatReply) -> Record:
    return {
        "reply": reply_record(task, reply),
        "scores": scores(task, planned.sample, planned.repeat, seed, reply),
        "purity": purity_record(reply),
        "gold": planned.asked.gold,
    }


def _write(
    path: Path, start: Record, records: Iterator[Record], *, complete: bool | None
) -> EvalLog:
    """Write a log in one go; `complete` None: finished if nothing is missing."""
    if path.exists() and path.stat().st_size:
        raise LogError(f"{path} is there already.", "name another file with --out")
    try:
        with LogWriter(path, start) as writer:
            for record in records:
                writer.append(record)
            log = writer.log_so_far()
            if complete is None:
                complete = len(log.samples) == log.planned
            return writer.finish(summary) if complete else log
    except BaseException:
        path.unlink(missing_ok=True)  # half a log of ready replies is of no use
        raise


def _which(
    row: Any, where: str, samples: Mapping[str, Sample[Any]], repeats: int, task: str
) -> tuple[Sample[Any], int]:
    if not isinstance(row, dict) or "id" not in row:
        raise DataError(f"{where}: a row must be an object with an `id`.")
    sample, repeat = samples.get(str(row["id"])), row.get("repeat", 0)
    if sample is None:
        raise DataError(
            f"{where}: {task} has no question {row['id']!r}.",
            f"see its ids with: formosa eval run {task} --dry-run --model NAME",
        )
    if isinstance(repeat, bool) or not isinstance(repeat, int) or not 0 <= repeat < repeats:
        raise DataError(
            f"{where}: the repeat {repeat!r} is none of 0 to {repeats - 1}.", "give --repeats"
        )
    return sample, repeat


def _reply(row: Mapping[str, Any], where: str) -> ChatReply:
    message = row.get("message")
    if message is None:
        texts = [row[name] for name in TEXT_FIELDS if isinstance(row.get(name), str)]
        if not texts and not row.get("tool_calls"):
            raise DataError(
                f"{where}: there is no reply in the row.",
                f"put it into one of: {', '.join(TEXT_FIELDS)}, message, tool_calls",
            )
        message = {"content": texts[0] if texts else "", "tool_calls": row.get("tool_calls")}
    finish = row.get("finish") or row.get("finish_reason") or "stop"
    try:
        calls = tuple(
            ToolCall(
                str(call["function"]["name"]),
                _arguments(call["function"].get("arguments")),
                str(call.get("id") or f"call_{i}"),
            )
            for i, call in enumerate(message.get("tool_calls") or ())
        )
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        made = Message("assistant", str(message.get("content") or ""), str(reasoning), calls)
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{where}: the reply is no message in OpenAI's shape.") from error
    if finish == "length":
        return ChatReply(made, "length")
    return ChatReply(made, "tool_calls" if calls else "stop")


def _arguments(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value or {})
