"""Ask every question of a plan and append to a log. What was answered is never asked again.

The plan is made first: which samples, how often, and each request whole. It depends on the task,
the limit, the repeats, the seed and the sampling alone. So a run can be stopped at any moment, by
Ctrl-C or kill -9, and continued: the log says which answers are there, and only the rest is asked.

Requests whose prompts begin alike (same system message, same tools) follow each other, since
engines keep the state of the last prompts; repeats of a question follow each other, too. Answers
are logged in the order in which they come; no figure depends on it.

Every planned sample ends in exactly one record. One that the engine could not answer is `failed`
for all scorers, with the reason; it is not asked again unless `retry` is set. Three kinds of errors
make a sample fail: EngineError (asked three times before that), ContextError, and a conversation
that the model's chat template refuses. Everything else stops the run: errors of the person, such as
a full disk, and our own bugs.

Knows tasks, a `ChatModel` and the log. Knows no files of data and opens no model.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import stamina

from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest, ModelInfo, Sampling
from formosa.errors import ContextError, EngineError, LogError, MessageError, UserError
from formosa.evals.task import Asked, Sample, Task, plan_sha256, request_seed, subset
from formosa.files import sha256_json
from formosa.results.code import code
from formosa.results.log import SCHEMA, EvalLog, Key, LogWriter, Record, has_failed, now, sample_key
from formosa.results.metrics import summary

ATTEMPTS = 3  # of one request, where the engine failed

Progress = Callable[[int, int], None]  # answers in the log, answers planned
Say = Callable[[str], None]

# stamina logs every retry as a warning, which Python prints where no handler is set; we say it.
logging.getLogger("stamina").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Planned:
    """One request of a plan."""

    sample: Sample[Any]
    repeat: int
    asked: Asked
    request: ChatRequest
    sha256: str

    @property
    def key(self) -> Key:
        return self.sample.id, self.repeat


@dataclass(frozen=True)
class Plan:
    """All requests of one task, in the order in which they are asked."""

    task: Task[Any]
    requests: tuple[Planned, ...]
    repeats: int
    seed: int
    sampling: Sampling

    def start(self, info: ModelInfo) -> Record:
        """The first record of the log of this plan and that model."""
        ids = [planned.sample.id for planned in self.requests if planned.repeat == 0]
        return {
            "type": "start",
            "schema": SCHEMA,
            "task": self.task.describe(),
            "model": {
                "name": info.name,
                "path": info.path,
                "sha256": info.sha256,
                "template_sha256": info.template.sha256 if info.template else None,
                "details": dict(info.details),
            },
            "request": asdict(self.sampling),
            "plan": {
                "samples": len(ids),
                "repeats": self.repeats,
                "seed": self.seed,
                "original": len(self.task.samples),
                "sha256": plan_sha256(self.task, sorted(ids), self.repeats, self.seed),
            },
            "scorers": list(self.task.scorers),
            "started": now(),
            "code": code(),
        }


def make_plan(
    task: Task[Any],
    *,
    repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
) -> Plan:
    """Every request of a task.

    Args:
        task: what is asked.
        repeats: how often each sample is asked.
        limit: ask only so many samples, spread evenly and always the same ones.
        seed: of the order of options, and of the sampling where the temperature is not 0.
        sampling: greedy when left out. A seed in it is used for every request alike.

    Raises:
        UserError: no repeats, or a limit below one.
    """
    if repeats < 1:
        raise UserError(f"{repeats} repeats leave nothing to ask.", "give 1 or more")
    sampling = sampling or Sampling()
    requests = []
    for sample in subset(task.samples, limit):
        for repeat in range(repeats):
            asked = task.ask(sample, repeat, seed)
            chosen = sampling
            if sampling.temperature > 0 and sampling.seed is None:
                chosen = replace(sampling, seed=request_seed(seed, sample.id, repeat))
            request = ChatRequest(asked.messages, asked.tools, chosen)
            requests.append(Planned(sample, repeat, asked, request, sha256_json(asdict(request))))
    return Plan(task, tuple(_neighbours(requests)), repeats, seed, sampling)


def _neighbours(requests: list[Planned]) -> Iterator[Planned]:
    """The same requests, those with the same beginning one after another."""
    groups: dict[Any, list[Planned]] = {}
    for planned in requests:
        groups.setdefault(planned.asked.shared(), []).append(planned)
    for group in groups.values():
        yield from group


async def run_task(
    task: Task[Any],
    model: ChatModel,
    log_path: Path,
    *,
    repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    concurrency: int = 4,
    retry: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> EvalLog:
    """Ask what is missing in `log_path`, and return the whole log, finished.

    Args:
        task: what is asked.
        model: who is asked.
        log_path: begun or continued.
        repeats: see `make_plan`, as for `limit`, `seed` and `sampling`.
        limit: of samples.
        seed: of the plan.
        sampling: greedy when left out.
        concurrency: requests at the same time.
        retry: ask failed samples again.
        progress: told how many answers are there, at the beginning and after each.
        say: takes remarks for the person.

    Raises:
        LogError: the log belongs to another run, is damaged, or is being written.
        UserError: a bad argument, or the disk is full; answered samples are kept.
    """
    if concurrency < 1:
        raise UserError(f"A concurrency of {concurrency} asks nothing.", "give 1 or more")
    plan = make_plan(task, repeats=repeats, limit=limit, seed=seed, sampling=sampling)
    with LogWriter(log_path, plan.start(model.info)) as writer:
        missing = _missing(plan, writer.log, retry=retry)
        count = _Count(len(plan.requests) - len(missing), len(plan.requests), progress)
        if say and count.done:
            say(f"{log_path}: {count.done} of {count.total} answers are there")
        run = _Run(task, model, writer, plan.seed, count, say or (lambda _: None))
        await run.ask(missing, concurrency)
        return writer.finish(summary)


def _missing(plan: Plan, log: EvalLog, *, retry: bool) -> list[Planned]:
    """What is to be asked.

    Raises:
        LogError: a question that is in the log would be asked differently now.
    """
    there = {sample_key(record): record for record in log.samples}
    missing = []
    for planned in plan.requests:
        record = there.get(planned.key)
        if record is None or (retry and has_failed(record)):
            missing.append(planned)
        elif record.get("request_sha256") != planned.sha256:
            raise LogError(
                f"{log.path} belongs to another run: the question {planned.sample.id} "
                "is asked in other words now.",
                f"write into another folder with --out, or begin again after: rm {log.path}",
            )
    return missing


class _Count:
    """How far the run is."""

    def __init__(self, done: int, total: int, progress: Progress | None) -> None:
        self.done, self.total, self._progress = done, total, progress
        self._tell()

    def one_more(self) -> None:
        self.done += 1
        self._tell()

    def _tell(self) -> None:
        if self._progress:
            self._progress(self.done, self.total)


@dataclass(frozen=True)
class _Run:
    task: Task[Any]
    model: ChatModel
    writer: LogWriter
    seed: int
    count: _Count
    say: Say

    async def ask(self, requests: list[Planned], concurrency: int) -> None:
        """Ask them all, so many at a time; the first error that stops the run stops all."""
        waiting = iter(requests)

        async def worker() -> None:
            for planned in waiting:
                self.writer.append(await self._record(planned))
                self.count.one_more()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(requests))):
                    group.create_task(worker())
        except BaseExceptionGroup as errors:
            # One sentence for the person, not a tree: what follows the first error repeats it.
            raise errors.exceptions[0] from None

    async def _record(self, planned: Planned) -> Record:
        reply, problem = None, None
        begin = time.perf_counter()
        try:
            reply = await self._reply(planned)
        except (EngineError, ContextError, MessageError) as error:
            problem = error.message
        seconds = time.perf_counter() - begin
        return {
            "type": "sample",
            "id": planned.sample.id,
            "repeat": planned.repeat,
            "subject": planned.sample.subject,
            "request_sha256": planned.sha256,
            "reply": _reply_record(reply) if reply else None,
            "error": problem,
            "scores": self._scores(planned, reply, problem or ""),
            "gold": planned.asked.gold,
            "seconds": round(seconds, 3),
        }

    async def _reply(self, planned: Planned) -> ChatReply:
        attempts = stamina.retry_context(
            on=EngineError, attempts=ATTEMPTS, timeout=None, wait_initial=0.5
        )
        async for attempt in attempts:
            with attempt:
                try:
                    return await self.model.reply(planned.request)
                except EngineError as error:
                    self.say(
                        f"{planned.sample.id}: {error.message} (try {attempt.num} of {ATTEMPTS})"
                    )
                    raise
        raise AssertionError("stamina raises what the last attempt raised")

    def _scores(self, planned: Planned, reply: ChatReply | None, problem: str) -> Record:
        if reply is None:
            failed = {"outcome": "failed", "answer": None, "why": problem}
            return {name: dict(failed) for name in self.task.scorers}
        try:
            return {
                name: asdict(scorer(planned.sample, planned.repeat, self.seed, reply))
                for name, scorer in self.task.scorers.items()
            }
        except Exception as error:
            error.add_note(f"while scoring the sample {planned.sample.id} of {self.task.name}")
            raise


def _reply_record(reply: ChatReply) -> Mapping[str, Any]:
    return {
        "text": reply.text,
        "message": reply.message.to_openai(),
        "finish": reply.finish,
        "usage": list(reply.usage) if reply.usage else None,
    }
