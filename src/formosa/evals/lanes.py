"""How many requests at a time, and to which of several servers.

Each server is a lane. Where no number is given, a lane finds its own: it doubles while replies per
second rise, then adds one at a time, halves when the server says that it is busy, and stays where
more brings nothing. A server that says when to come again is left alone until then, by all.

What goes wrong with one request, and what follows:

    busy (429, 503)        the lane rests for Retry-After and halves; the request is asked again
    nobody there           the lane rests; five times in a row, and it is given up. The other
                           lanes take over its requests; without any, the run stops. Where the
                           server does answer when asked for its models, it is the request that
                           breaks the connection: that fails, and the others go on
    any other EngineError  the request is asked again, three times in all

Requests that were under way when the lane failed or was cut for the last time say nothing new, so
thirty of them count once.

Knows `ChatModel`s and their errors. Knows nothing of tasks or logs. Reads no clock to decide what
is asked, only how many at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from formosa.engines.asking import UnreachableError
from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest
from formosa.errors import BusyError, EngineError
from formosa.wheels import Say

ATTEMPTS = 3  # of one request, where the engine failed
BUSY_ATTEMPTS = 40  # of one request, where the server was busy
DEAD_AFTER = 5  # times in a row that nobody was there
BLAMED = 3  # requests in a row that may break the connection, before it is the server
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds
BEGIN_WITH = 4
MOST = 64  # requests to one server at a time, where it takes all it gets
GAIN = 1.1  # times as many replies per second are worth twice as many requests


sleep = asyncio.sleep  # a test puts another one here


class StoppedError(EngineError):
    """No server is left to ask."""


class Lane:
    """One server, and how many requests it is given at a time."""

    def __init__(self, model: ChatModel, limit: int | None) -> None:
        self.model = model
        self.limit = limit or BEGIN_WITH
        self.in_flight = 0
        self.dead = False
        self.answers = 0
        self.blamed = 0  # requests in a row that were said to break the connection
        self._fixed = limit is not None
        self._doubling = True
        self.resting = 0
        self._serial = 0  # of the requests begun
        self._counted = 0  # those up to here have had their say about failures
        self.failures = 0
        self._round: list[float] = []  # when the replies of this round came
        self._before = 0.0  # replies a second in the round before
        self._patience = 0  # rounds until more is tried again

    @property
    def free(self) -> bool:
        return not self.dead and not self.resting and self.in_flight < self.limit

    @property
    def load(self) -> float:
        return self.in_flight / self.limit

    def begin(self) -> int:
        self.in_flight += 1
        self._serial += 1
        return self._serial

    def answered(self) -> None:
        """A reply came."""
        self.answers += 1
        self.blamed = 0
        self.failures = 0
        if self._fixed:
            return
        self._round.append(time.perf_counter())
        if len(self._round) > max(16, 2 * self.limit):
            passed = self._round[-1] - self._round[0]
            self._adapt((len(self._round) - 1) / max(passed, 1e-9))
            self._round.clear()

    def _adapt(self, rate: float) -> None:
        if self._patience:
            self._patience -= 1
        elif self._doubling and rate >= GAIN * self._before:
            self.limit = min(2 * self.limit, MOST)
            self._doubling = self.limit < MOST
        elif self._doubling:  # the last doubling brought nothing
            self.limit = max(BEGIN_WITH, self.limit // 2)
            self._doubling, self._patience = False, 8
        elif rate > self._before:
            self.limit = min(self.limit + 1, MOST)
        else:
            self._patience = 8
        self._before = rate

    def busy(self, serial: int) -> None:
        """The server has too much to do."""
        self.failures = 0  # somebody is there
        if serial > self._counted and not self._fixed:
            self._counted = self._serial
            self.limit = max(1, self.limit // 2)
            self._doubling, self._before = False, 0.0
            self._round.clear()

    def unreachable(self, serial: int) -> int:
        """Nobody was there: how many times in a row by now."""
        if serial > self._counted:
            self._counted = self._serial
            self.failures += 1
        return self.failures


class Turn(NamedTuple):
    """Leave to send one request to a lane; its number tells what came before it."""

    lane: Lane
    serial: int


class Lanes:
    """The servers of a run.

    Args:
        models: of the same model, each on another server; or one.
        concurrency: requests to each at a time; None: as many as it takes.
        limit_s: seconds for one request, all told.
        say: takes remarks for the person.
    """

    def __init__(
        self,
        models: Sequence[ChatModel],
        concurrency: int | None,
        *,
        limit_s: float | None = None,
        say: Say | None = None,
    ) -> None:
        self.lanes = [Lane(model, concurrency) for model in models]
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._limit_s = limit_s
        self._say = say or (lambda _: None)

    async def free(self) -> Turn:
        """A turn on the lane with the most room, once there is room.

        Raises:
            StoppedError: no lane is left.
        """
        while True:
            free = [lane for lane in self.lanes if lane.free]
            if free:
                lane = min(free, key=lambda lane: lane.load)
                return Turn(lane, lane.begin())
            self._check()
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been given already
                raise

    async def reply(self, request: ChatRequest, turn: Turn, name: str) -> ChatReply:
        """The reply to one request, asked as often as it takes. The turn is used up.

        Args:
            request: what is asked.
            turn: as `free` gave it.
            name: of the sample, for remarks.

        Raises:
            EngineError: it failed for good.
            StoppedError: no server is left.
            FormosaError: what another try would not change.
        """
        attempts = busy = lost = 0
        answers = -1  # of the lane, when this request met nobody for the last time
        while True:
            lane = turn.lane
            try:
                return await self._try(request, turn)
            except BusyError as error:
                busy += 1
                if busy >= BUSY_ATTEMPTS:
                    raise
                lane.busy(turn.serial)
                await self._rest(lane, max(0.0, error.retry_after))
            except UnreachableError as error:
                lost += lane.answers > answers  # others were answered in between
                answers = lane.answers
                if lost >= ATTEMPTS:
                    raise  # it is this request that breaks the connection
                await self._unreachable(turn, error)
            except EngineError as error:
                attempts += 1
                lane.failures = 0  # somebody is there
                self._say(f"{name}: {error.message} (try {attempts} of {ATTEMPTS})")
                if attempts >= ATTEMPTS:
                    raise
                await sleep(_growing(attempts))
            turn = await self.free()

    async def _try(self, request: ChatRequest, turn: Turn) -> ChatReply:
        try:
            if self._limit_s is None:
                reply = await turn.lane.model.reply(request)
            else:
                async with asyncio.timeout(self._limit_s):
                    reply = await turn.lane.model.reply(request)
            turn.lane.answered()
            return reply
        except TimeoutError as error:
            raise EngineError(f"There was no reply within {self._limit_s:g} seconds.") from error
        finally:
            turn.lane.in_flight -= 1
            self._wake()

    async def _unreachable(self, turn: Turn, error: UnreachableError) -> None:
        lane, times = turn.lane, turn.lane.unreachable(turn.serial)
        if times < DEAD_AFTER:
            self._say(f"{error.message} (time {times} of {DEAD_AFTER})")
            await self._rest(lane, _growing(times))
        elif not lane.dead and await self._to_blame(lane):
            raise error
        elif not lane.dead:
            lane.dead = True
            left = sum(not other.dead for other in self.lanes)
            self._say(error.message + (f" {left} of {len(self.lanes)} go on." if left else ""))
            self._wake()

    async def _to_blame(self, lane: Lane) -> bool:
        """Whether it is the request that breaks the connection: the server is there otherwise."""
        alive: Callable[[], Awaitable[bool]] | None = getattr(lane.model, "alive", None)
        if alive is None or lane.blamed >= BLAMED or not (lane.answers or len(self.lanes) == 1):
            return False
        lane.blamed += 1
        lane.resting += 1  # nobody else, until this is known
        try:
            if found := await alive():
                lane.failures = 0
            return found
        finally:
            lane.resting -= 1
            self._wake()

    async def _rest(self, lane: Lane, seconds: float) -> None:
        """Nobody asks this lane for so long."""
        lane.resting += 1
        try:
            await sleep(seconds)
        finally:
            lane.resting -= 1
            self._wake()

    def _check(self) -> None:
        if all(lane.dead for lane in self.lanes):
            raise StoppedError(
                "No server answers any more; the answers so far are kept.",
                "start the server, then run the same command again to continue",
            )

    def _wake(self) -> None:
        """Let as many go on as there is room for; all, where nothing is left to wait for."""
        room = sum(max(lane.limit - lane.in_flight, 0) for lane in self.lanes if lane.free)
        if all(lane.dead for lane in self.lanes):
            room = len(self._waiting)
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1


def _growing(times: int) -> float:
    """Seconds to wait after so many failures."""
    return float(min(FIRST_WAIT * 2 ** (times - 1), LONGEST_WAIT))
