"""Rows judged in this process, or in several: the verdicts are the same and in the same order.

Records are dealt out in small chunks, and no more chunks are on their way than keep the workers
busy: a source is never in memory as a whole. The first few thousand records are judged here, so
that a small source starts no process.

Workers are started afresh (`spawn`): a fork would copy the threads' locks of a process that draws a
progress bar. They get the benchmarks once. Ctrl-C, which a terminal sends to all of them, is the
parent's, which takes it between two chunks.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context
from typing import NamedTuple

from formosa.data.cleaning_config import Policy
from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark, BenchmarkIndex
from formosa.data.formats.draft import Reader, Setting
from formosa.data.formats.registry import FORMATS
from formosa.data.interrupts import kept_interrupts, without_interrupts
from formosa.data.judging import Checks, Judge, Verdict
from formosa.data.sources.record import Record
from formosa.errors import DataError, UserError

CHUNK = 64  # records at a time
HERE = 4096  # records that are judged before processes are started
AHEAD = 3  # chunks on their way for each worker


class _Work(NamedTuple):
    """How records of one source are read; equal for all its chunks."""

    source: str
    format: str
    setting: Setting
    policy: Policy


class Workers:
    """Judges records of sources.

    Args:
        config: the recipe's `data:`.
        benchmarks: what must not be trained on.
        processes: how many; 1 judges everything here.
    """

    def __init__(
        self, config: DataConfig, benchmarks: Sequence[Benchmark] = (), processes: int = 1
    ) -> None:
        self._config = config
        self._benchmarks = tuple(benchmarks)
        self._processes = processes
        self._index = _index(config, self._benchmarks)
        self._judged = 0
        self._pool: ProcessPoolExecutor | None = None

    @property
    def index(self) -> BenchmarkIndex | None:
        """The benchmarks, ready for look-ups in this process."""
        return self._index

    def judge(
        self, records: Iterable[Record], source: str, reader: Reader, policy: Policy
    ) -> Iterator[Verdict]:
        """A verdict on every row, in order.

        Raises:
            DataError: a source can't be read further.
            UserError: a worker was killed.
        """
        work = _Work(source, reader.format.name, reader.setting, policy)
        checks = Checks(self._config, policy, self._index)
        here = Judge(source, reader, checks, self._config, signed=False)
        waiting = iter(records)
        if self._processes > 1:
            first = list(islice(waiting, max(0, HERE - self._judged)))
            self._judged += len(first)
            yield from here(first)
            yield from self._elsewhere(work, waiting)
        else:
            yield from here(waiting)

    def _elsewhere(self, work: _Work, records: Iterator[Record]) -> Iterator[Verdict]:
        chunks = iter(lambda: list(map(_plain, islice(records, CHUNK))), [])
        first = next(chunks, None)
        if first is None:
            return
        waiting: deque[Future[list[Verdict]]] = deque()
        with kept_interrupts() as interrupt:
            try:
                pool = self._started()
                for chunk in chain([first], chunks):
                    interrupt()
                    with without_interrupts():  # a call may start a process
                        waiting.append(pool.submit(_judge, work, chunk))
                    if len(waiting) >= AHEAD * self._processes:
                        yield from waiting.popleft().result()
                while waiting:
                    interrupt()
                    yield from waiting.popleft().result()
            except BrokenProcessPool as error:
                raise UserError(
                    "A process that judged rows was killed, most likely for want of memory.",
                    "run the same command again with fewer --workers",
                ) from error

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._processes,
                mp_context=get_context("spawn"),
                initializer=_begin,
                initargs=(self._config, self._benchmarks),
            )
        return self._pool

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def usual_processes() -> int:
    """As many as this process may use cores, four at most: each takes some 100 MB."""
    return min(4, len(os.sched_getaffinity(0)))


def _index(config: DataConfig, benchmarks: Sequence[Benchmark]) -> BenchmarkIndex | None:
    return BenchmarkIndex(benchmarks, config.decontaminate) if benchmarks else None


def _plain(record: Record) -> Record:
    """A record that can be sent: errors of a class of their own may not come through."""
    error = record.value
    if not isinstance(error, DataError):
        return record
    plain = DataError(error.message, error.hint)
    plain.reason = getattr(error, "reason", "")  # type: ignore[attr-defined]
    return Record(record.where, plain)


# -- in a worker ----------------------------------------------------------------------------------

_given: tuple[DataConfig, BenchmarkIndex | None] | None = None
_judges: dict[_Work, Judge] = {}


def _begin(config: DataConfig, benchmarks: Sequence[Benchmark]) -> None:
    global _given
    _given = (config, _index(config, benchmarks))


def _judge(work: _Work, records: Sequence[Record]) -> list[Verdict]:
    assert _given is not None
    config, index = _given
    if work not in _judges:
        reader = Reader(FORMATS[work.format], work.setting)
        checks = Checks(config, work.policy, index)
        signed = config.duplicates.near is not None
        _judges[work] = Judge(work.source, reader, checks, config, signed=signed)
    return list(_judges[work](records))
