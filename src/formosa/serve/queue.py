"""The queue in front of a model: how many replies run, how many wait, and who is next.

First come, first served. A place is given back the moment its client leaves, in the queue or while
its reply is written. When the queue is full the answer is 503 with `Retry-After`: waiting longer
than a client's patience would be work for nobody.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from formosa.errors import BusyError
from formosa.serve.protocol import refused, stopping

UNKNOWN_SLOTS = 256  # replies at a time for an engine that does not say how many it can write
LONGEST_RETRY = 60  # seconds
_WEIGHT = 0.2  # of the latest reply in the average time that a reply takes


@dataclass(frozen=True)
class Limits:
    """How much a model takes on.

    Attributes:
        running: replies at a time; None: as many as its engine has slots.
        waiting: replies that may wait for one of those places.
    """

    running: int | None = None
    waiting: int = 64

    def __post_init__(self) -> None:
        if (self.running is not None and self.running < 1) or self.waiting < 0:
            raise ValueError("at least one reply must run, and none less than none can wait")


class Queue:
    """The places of one model."""

    def __init__(self, running: int, waiting: int) -> None:
        self.most_running = running
        self.most_waiting = waiting
        self.running = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._seconds = 0.0  # that a reply takes, on average
        self._stopped = False

    @property
    def waiting(self) -> int:
        return len(self._line)

    def check(self, count: int = 1) -> None:
        """Raise unless `count` replies may come now.

        Raises:
            RequestError: the server is stopping, or so many would never fit.
            BusyError: the queue is full.
        """
        if self._stopped:
            raise stopping()
        most = self.most_running + self.most_waiting
        if count > most:
            raise refused("n", f"at most {most} replies can run and wait here")
        if self.running + self.waiting + count > most:
            seconds = self._seconds * (self.waiting + 1) / self.most_running
            raise BusyError(
                f"{self.running} replies are being written and {self.waiting} wait.",
                min(max(math.ceil(seconds), 1), LONGEST_RETRY),
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it for the length of the block.

        Raises:
            RequestError, BusyError: as `check`.
        """
        await self._enter()
        started = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - started
            self._seconds += _WEIGHT * (seconds - self._seconds) if self._seconds else seconds
            self._leave()

    def stop(self) -> None:
        """Let nobody in any more; those who wait are told so."""
        self._stopped = True
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_exception(stopping())

    async def _enter(self) -> None:
        self.check()
        if self.running < self.most_running:
            self.running += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._leave()  # it was our turn already: the next one takes it
            with suppress(ValueError):
                self._line.remove(place)
            raise

    def _leave(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)  # the place goes from hand to hand
                return
        self.running -= 1
