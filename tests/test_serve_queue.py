"""Who runs, who waits, who is next, and who is sent away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.errors import BusyError
from formosa.serve.protocol import RequestError
from formosa.serve.queue import LONGEST_RETRY, Limits, Queue


class Guests:
    """Holders of places, each of whom stays until told to go."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.inside: list[int] = []
        self._leave: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, name: int) -> None:
        self._leave[name] = asyncio.Event()

        async def stay() -> None:
            async with self.queue.turn():
                self.inside.append(name)
                try:
                    await self._leave[name].wait()
                finally:
                    self.inside.remove(name)

        self._tasks[name] = asyncio.ensure_future(stay())
        await settled()

    async def go(self, name: int) -> None:
        self._leave[name].set()
        await settled()

    async def cancel(self, name: int) -> None:
        self._tasks[name].cancel()
        await settled()

    def error(self, name: int) -> BaseException | None:
        return self._tasks[name].exception()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def with_queue(running: int, waiting: int, use: Callable[[Guests], Awaitable[None]]) -> Queue:
    guests = Guests(Queue(running, waiting))

    async def run() -> None:
        await use(guests)

    asyncio.run(run())
    return guests.queue


def test_those_who_wait_get_their_turn_in_the_order_they_came() -> None:
    async def use(guests: Guests) -> None:
        for name in range(5):
            await guests.come(name)
        assert guests.inside == [0, 1]
        assert (guests.queue.running, guests.queue.waiting) == (2, 3)
        await guests.go(1)
        assert guests.inside == [0, 2]
        await guests.go(0)
        assert guests.inside == [2, 3]
        for name in (2, 3, 4):
            await guests.go(name)

    queue = with_queue(2, 9, use)
    assert (queue.running, queue.waiting) == (0, 0)


def test_a_full_queue_says_when_to_come_again() -> None:
    async def use(guests: Guests) -> None:
        for name in range(3):
            await guests.come(name)
        await guests.come(3)
        error = guests.error(3)
        assert isinstance(error, BusyError)
        assert 1 <= error.retry_after <= LONGEST_RETRY
        await guests.go(0)
        await guests.come(4)  # there is room again
        assert guests.queue.waiting == 2
        for name in (1, 2, 4):
            await guests.go(name)

    with_queue(1, 2, use)


def test_who_leaves_the_queue_costs_nothing() -> None:
    async def use(guests: Guests) -> None:
        for name in range(3):
            await guests.come(name)
        await guests.cancel(1)
        assert guests.queue.waiting == 1
        await guests.go(0)
        assert guests.inside == [2]
        await guests.cancel(2)
        assert guests.queue.running == 0

    with_queue(1, 2, use)


def test_a_place_that_was_given_to_someone_who_just_left_goes_to_the_next() -> None:
    """Both happen between two steps of the loop: nobody else would ever hand it on."""

    async def use(guests: Guests) -> None:
        for name in range(3):
            await guests.come(name)
        guests._leave[0].set()
        guests._tasks[0].add_done_callback(lambda _: guests._tasks[1].cancel())
        await settled()
        await settled()
        assert guests.inside == [2]
        await guests.go(2)
        assert guests.queue.running == 0

    with_queue(1, 2, use)


def test_a_stopped_queue_sends_those_away_who_wait_and_lets_the_others_end() -> None:
    async def use(guests: Guests) -> None:
        await guests.come(0)
        await guests.come(1)
        guests.queue.stop()
        await settled()
        await guests.come(2)
        assert guests.inside == [0]
        for name in (1, 2):
            error = guests.error(name)
            assert isinstance(error, RequestError)
            assert (error.status, error.code) == (503, "stopping")
        await guests.go(0)
        assert guests.queue.running == 0

    with_queue(1, 2, use)


def test_more_replies_than_could_ever_fit_are_a_bad_request() -> None:
    queue = Queue(2, 3)
    queue.check(5)
    with pytest.raises(RequestError) as caught:
        queue.check(6)
    assert (caught.value.status, caught.value.param) == (400, "n")


def test_the_time_to_come_again_grows_with_what_a_reply_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 30.0, 100.0, 130.0])
    # Not time.monotonic itself: the event loop lives by it.
    fake = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("formosa.serve.queue.time", fake)
    queue = Queue(1, 0)

    async def use() -> None:
        async with queue.turn():
            pass
        async with queue.turn():
            with pytest.raises(BusyError) as caught:
                queue.check()
            assert caught.value.retry_after == 30

    asyncio.run(use())


@pytest.mark.parametrize(("running", "waiting"), [(0, 1), (1, -1), (-3, 0)])
def test_limits_that_let_nobody_in_are_a_bug(running: int, waiting: int) -> None:
    with pytest.raises(ValueError, match="must run"):
        Limits(running, waiting)


@settings(max_examples=200, deadline=None)
@given(
    running=st.integers(1, 3),
    waiting=st.integers(0, 3),
    steps=st.lists(st.tuples(st.sampled_from(["come", "go", "cancel"]), st.integers(0, 9))),
)
def test_whatever_happens_no_place_is_lost_and_none_is_given_twice(
    running: int, waiting: int, steps: list[tuple[str, int]]
) -> None:
    async def use(guests: Guests) -> None:
        known: list[int] = []
        for step, which in steps:
            if step == "come":
                known.append(len(known))
                await guests.come(known[-1])
            elif known:
                await getattr(guests, step)(known[which % len(known)])
            assert guests.queue.running == len(guests.inside) <= running
            assert guests.queue.waiting <= waiting
            assert guests.queue.waiting == 0 or guests.queue.running == running
            assert guests.inside == sorted(guests.inside)
        for name in known:
            await guests.cancel(name)
        await settled()
        for task in guests._tasks.values():
            if task.done() and not task.cancelled():
                task.exception()
        assert (guests.queue.running, guests.queue.waiting) == (0, 0)

    with_queue(running, waiting, use)
