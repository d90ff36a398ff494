"""How many requests at a time: a lane finds what its server takes, and backs off when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from formosa.chat.message import Message
from formosa.engines.asking import UnreachableError, seconds_of
from formosa.engines.protocol import ChatReply, ChatRequest, ModelInfo
from formosa.errors import BusyError, EngineError
from formosa.evals import lanes
from formosa.evals.lanes import BEGIN_WITH, DEAD_AFTER, MOST, Lane, Lanes, StoppedError

REQUEST = ChatRequest((Message("user", "?"),))
REPLY = ChatReply(Message("assistant", "!"), "stop")


class Server:
    """A model whose next replies or errors a test decides."""

    info = ModelInfo("m")

    def __init__(self, does: Callable[[int], Exception | None] = lambda n: None) -> None:
        self.asked = self.now = self.most = 0
        self._does = does

    async def reply(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        number = self.asked
        await asyncio.sleep(0)
        self.now -= 1
        if error := self._does(number):
            raise error
        return REPLY


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(lanes, "sleep", sleep)
    return asked


def ask(made: Lanes, count: int) -> list[object]:
    async def one(n: int) -> ChatReply:
        return await made.reply(REQUEST, await made.free(), f"q{n}")

    async def all_of_them() -> list[object]:
        return list(await asyncio.gather(*(one(n) for n in range(count)), return_exceptions=True))

    return asyncio.run(all_of_them())


def servers(*made: Server, concurrency: int | None = None) -> Lanes:
    return Lanes(made, concurrency)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds between two replies, as a test sets them."""
    step, now = [1.0], [0.0]

    def perf_counter() -> float:
        now[0] += step[0]
        return now[0]

    monkeypatch.setattr("formosa.evals.lanes.time.perf_counter", perf_counter)
    yield step


def rounds(lane: Lane, count: int, clock: list[float], takes: int) -> list[int]:
    """The limits after rounds on a server that answers `takes` requests at a time, each in 1 s."""
    limits: list[int] = []
    for _ in range(count):
        clock[0] = 1 / min(lane.limit, takes)
        before = lane.limit
        while lane.limit == before and len(limits) < count:
            lane.answered()
            if not lane._round:
                break
        limits.append(lane.limit)
    return limits


def test_a_lane_doubles_while_more_brings_more_and_then_stays(clock: list[float]) -> None:
    limits = rounds(Lane(Server(), None), 12, clock, takes=16)  # type: ignore[arg-type]
    assert limits[:3] == [8, 16, 32]
    assert limits[3] == 16  # the last doubling brought nothing
    assert all(16 <= limit <= 18 for limit in limits[3:])


def test_a_lane_never_asks_more_than_it_may(clock: list[float]) -> None:
    limits = rounds(Lane(Server(), None), 20, clock, takes=10_000)  # type: ignore[arg-type]
    assert max(limits) == MOST


def test_a_fixed_lane_stays(clock: list[float]) -> None:
    lane = Lane(Server(), 7)  # type: ignore[arg-type]
    assert set(rounds(lane, 5, clock, takes=99)) == {7}
    lane.busy(lane.begin())
    assert lane.limit == 7


def test_a_busy_server_halves_a_lane_once_for_all_that_was_under_way() -> None:
    lane = Lane(Server(), None)  # type: ignore[arg-type]
    lane.limit = 32
    serials = [lane.begin() for _ in range(32)]
    for serial in serials:
        lane.busy(serial)
    assert lane.limit == 16
    lane.busy(lane.begin())
    assert lane.limit == 8


def test_never_more_at_a_time_than_the_limit() -> None:
    server = Server()
    assert ask(servers(server, concurrency=3), 50) == [REPLY] * 50
    assert server.most == 3
    adaptive = Server()
    ask(servers(adaptive), 10)
    assert adaptive.most == BEGIN_WITH


def test_the_seconds_that_a_server_names_are_waited_for(waits: list[float]) -> None:
    server = Server(lambda n: BusyError("full", 7) if n == 1 else None)
    assert ask(servers(server, concurrency=1), 3) == [REPLY] * 3
    assert waits == [7]
    assert server.asked == 4


def test_a_server_that_is_always_busy_is_an_error_in_the_end() -> None:
    server = Server(lambda n: BusyError("full", 1))
    (error,) = ask(servers(server), 1)
    assert isinstance(error, BusyError)
    assert server.asked == lanes.BUSY_ATTEMPTS


def test_an_error_is_tried_three_times_with_growing_waits(waits: list[float]) -> None:
    server = Server(lambda n: EngineError("broke"))
    (error,) = ask(servers(server), 1)
    assert isinstance(error, EngineError)
    assert (server.asked, waits) == (3, [0.5, 1.0])


def test_thirty_requests_that_meet_nobody_at_once_count_once(waits: list[float]) -> None:
    """A server that restarts must not be given up because many were asking."""
    server = Server(lambda n: UnreachableError("nobody") if n <= 30 else None)
    assert ask(servers(server, concurrency=30), 40) == [REPLY] * 40
    assert set(waits) == {0.5}


def test_a_server_that_stays_away_stops_everything() -> None:
    server = Server(lambda n: UnreachableError("nobody"))
    found = ask(servers(server, concurrency=2), 20)
    assert all(isinstance(error, StoppedError) for error in found)
    assert server.asked <= 2 * DEAD_AFTER


def test_the_others_take_over() -> None:
    dead, alive = Server(lambda n: UnreachableError("nobody")), Server()
    assert ask(servers(dead, alive, concurrency=2), 30) == [REPLY] * 30
    assert alive.asked == 30


def test_the_load_is_shared_by_room() -> None:
    one, two = Server(), Server()
    ask(servers(one, two, concurrency=4), 80)
    assert abs(one.asked - two.asked) <= 8


def test_a_cancelled_wait_passes_its_turn_on() -> None:
    async def main() -> None:
        made = servers(Server(), concurrency=1)
        first = await made.free()
        waiting = [asyncio.create_task(made.free()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await made.reply(REQUEST, first, "q")
        turn = await asyncio.wait_for(waiting[1], 5)
        assert turn.serial == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3), ("0", 0), ("0.2", 1), ("", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("-4", 1),
     ("nan", 1), ("1e99", 1)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds
