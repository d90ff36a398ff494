"""Ask every question of a plan and append to a log. What was answered is never asked again.

A run can be stopped at any moment, by Ctrl-C or kill -9, and continued: the log says which answers
are there, and only the rest is asked. Answers are logged in the order in which they come; no figure
depends on it.

Every planned sample ends in exactly one record. One that the engine could not answer is `failed`
for all scorers, with the reason; it is not asked again unless `retry` is set. Three kinds of errors
make a sample fail: EngineError (see `lanes.py` for how often it is tried), ContextError, and a
conversation that the model's chat template refuses. Everything else stops the run: errors of the
person, such as a full disk or a wrong key, a server that is gone, and our own bugs.

Knows tasks, `ChatModel`s and the log. Knows no files of data and opens no model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from formosa.engines.protocol import ChatModel, ChatReply, ModelInfo, Sampling
from formosa.errors import (
    ContextError,
    EngineError,
    FormosaError,
    MessageError,
    OtherRunError,
    UserError,
)
from formosa.evals.lanes import Lanes, StoppedError, Turn
from formosa.evals.plan import Plan, Planned, Shard, make_plan
from formosa.evals.record import (
    failed_scores,
    purity_record,
    reply_record,
    scores,
    without_keys,
)
from formosa.evals.task import Task
from formosa.results.log import EvalLog, Key, Record
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary
from formosa.wheels import Say

SYNC_S = 1.0  # seconds between forcing answers onto the disk

Progress = Callable[[int, int], None]  # answers in the log, answers planned


async def run_task(
    task: Task[Any],
    model: ChatModel | Sequence[ChatModel],
    log_path: Path,
    *,
    repeats: int = 1,
    limit: int | None = None,
    seed: int = 0,
    sampling: Sampling | None = None,
    shard: Shard | None = None,
    concurrency: int | None = 4,
    limit_s: float | None = None,
    retry: bool = False,
    progress: Progress | None = None,
    say: Say | None = None,
) -> EvalLog:
    """Ask what is missing in `log_path`, and return the whole log, finished.

    Args:
        task: what is asked.
        model: who is asked; several, where the same model is on several servers.
        log_path: begun or continued.
        repeats: see `make_plan`, as for `limit`, `seed`, `sampling` and `shard`.
        limit: of samples.
        seed: of the plan.
        sampling: greedy when left out.
        shard: only this part of the plan.
        concurrency: requests to each server at the same time; None: as many as it takes.
        limit_s: seconds for one request; it fails after that.
        retry: ask failed samples again.
        progress: told how many answers are there, at the beginning and after each.
        say: takes remarks for the person.

    Raises:
        OtherRunError: the log belongs to another run.
        LogError: the log is damaged, or is being written.
        StoppedError: no server answers any more; answered samples are kept.
        UserError: a bad argument, or the disk is full; answered samples are kept.
    """
    if concurrency is not None and concurrency < 1:
        raise UserError(f"A concurrency of {concurrency} asks nothing.", "give 1 or more")
    say = say or (lambda _: None)
    models = [*model] if isinstance(model, Sequence) else [model]
    plan = make_plan(task, repeats=repeats, limit=limit, seed=seed, sampling=sampling, shard=shard)
    with LogWriter(log_path, plan.start(shared_info(models))) as writer:
        missing = _missing(plan, writer.log, retry=retry)
        count = _Count(len(plan) - len(missing), len(plan), progress)
        if count.done:
            say(f"{log_path}: {count.done} of {count.total} answers are there")
        if missing:
            lanes = Lanes(models, concurrency, limit_s=limit_s, say=say)
            await _Run(task, lanes, writer, plan.seed, count).ask(
                planned for planned in plan.requests() if planned.key in missing
            )
        return writer.finish(summary)


def shared_info(models: Sequence[ChatModel]) -> ModelInfo:
    """What is known about the one model that all these servers have.

    Raises:
        UserError: they have different ones.
    """
    infos = [model.info for model in models]
    names = sorted({info.name for info in infos})
    if len(names) > 1:
        raise UserError(
            f"The servers have different models: {', '.join(names)}.",
            "give servers of one model, or name it with --model",
        )
    if len(infos) == 1:
        return infos[0]
    urls = [info.details.get("base_url") for info in infos]
    return replace(infos[0], details={**infos[0].details, "base_urls": urls})


def _missing(plan: Plan, log: EvalLog, *, retry: bool) -> set[Key]:
    """What is to be asked.

    Raises:
        OtherRunError: a question that is in the log would be asked differently now.
    """
    there = {short.key: short for short in log.briefs}
    if there:
        for planned in plan.requests():
            short = there.get(planned.key)
            if short and short.request != planned.sha256 and not (retry and short.failed):
                raise OtherRunError(
                    f"{log.path} belongs to another run: the question {planned.sample.id} "
                    "is asked in other words now.",
                    f"write into another folder with --out, or begin again after: rm {log.path}",
                )
    return {key for key in plan.every_key() if key not in there or (retry and there[key].failed)}


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
    lanes: Lanes
    writer: LogWriter
    seed: int
    count: _Count

    async def ask(self, requests: Iterator[Planned]) -> None:
        """Ask them all; the first error that stops the run stops all."""
        try:
            async with _synced(self.writer), asyncio.TaskGroup() as group:
                for planned in requests:
                    turn = await self.lanes.free()
                    group.create_task(self._one(planned, turn))
        except BaseExceptionGroup as errors:
            # One sentence for the person, not a tree: what follows the first error repeats it.
            raise _first(errors) from None

    async def _one(self, planned: Planned, turn: Turn) -> None:
        reply, problem = None, None
        begin = time.perf_counter()
        try:
            reply = await self.lanes.reply(planned.request, turn, planned.sample.id)
        except StoppedError:
            raise
        except (EngineError, ContextError, MessageError) as error:
            problem = type(error).__name__ if self.task.private else without_keys(error.message)
        seconds = time.perf_counter() - begin
        self.writer.append(await self._record(planned, reply, problem, seconds))
        self.count.one_more()

    async def _record(
        self, planned: Planned, reply: ChatReply | None, problem: str | None, seconds: float
    ) -> Record:
        if reply is None:
            made = failed_scores(self.task, problem or "")
        elif self.task.slow_scorers:
            made = await asyncio.to_thread(
                scores, self.task, planned.sample, planned.repeat, self.seed, reply
            )
        else:
            made = scores(self.task, planned.sample, planned.repeat, self.seed, reply)
        return {
            "type": "sample",
            "id": planned.sample.id,
            "repeat": planned.repeat,
            "subject": planned.sample.subject,
            "request_sha256": planned.sha256,
            "reply": reply_record(self.task, reply) if reply else None,
            "error": problem,
            "scores": made,
            "purity": purity_record(reply) if reply else None,
            "gold": planned.asked.gold,
            "seconds": round(seconds, 3),
        }


@asynccontextmanager
async def _synced(writer: LogWriter) -> AsyncGenerator[None, None]:
    """Force the log onto the disk once a second, and at the end."""

    async def again() -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            await asyncio.to_thread(writer.sync)

    task = asyncio.create_task(again())
    try:
        yield
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(ended, FormosaError):
        raise ended
    writer.sync()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first."""
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
