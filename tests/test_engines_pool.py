"""Several engines as one: who is asked, and what happens when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.engines.pool import EnginePool
from formosa.engines.protocol import Piece, Prompt, Sampling, TextEngine
from formosa.engines.scripted import ScriptedEngine
from formosa.errors import BusyError, ContextError, EngineError

GREEDY = Sampling()


class Flaky(ScriptedEngine):
    """Fails after so many pieces, as long as `broken`; counts what runs at once."""

    def __init__(self, name: str, *, after: int = 0, broken: bool = False) -> None:
        super().__init__(lambda _: f"{name} says this", name=name, context=100)
        self.broken, self.after = broken, after
        self.asked = self.running = self.most = self.closed = 0
        self.gate: asyncio.Event | None = None

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.gate is not None:
                await self.gate.wait()
            count = 0
            async with aclosing(super().generate(prompt, sampling)) as pieces:
                async for piece in pieces:
                    if self.broken and count == self.after:
                        raise EngineError(f"{self.info.name} broke")
                    count += 1
                    yield piece
        finally:
            self.running -= 1

    async def tag_tokens(self) -> frozenset[str]:
        return frozenset({"<think>"})

    async def tokenize(self, text: str) -> list[int]:
        if self.broken:
            raise EngineError(f"{self.info.name} broke")
        return await super().tokenize(text)

    async def aclose(self) -> None:
        self.closed += 1


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def say(pool: TextEngine) -> str:
    return "".join([piece.text async for piece in pool.generate("hi", GREEDY)])


def test_it_is_a_text_engine_that_knows_its_members() -> None:
    other = ScriptedEngine([], name="b", context=50, control_tokens=("<x>",))
    pool = EnginePool([Flaky("a"), other])
    assert isinstance(pool, TextEngine)
    assert (pool.info.name, pool.info.context) == ("a", 50)
    assert pool.info.control_tokens == {"<x>"}
    assert asyncio.run(pool.tag_tokens()) == {"<think>"}
    assert len(pool.info.details["engines"]) == 2
    with pytest.raises(ValueError, match="nothing"):
        EnginePool([])


def test_the_least_busy_is_asked() -> None:
    async def six() -> list[Flaky]:
        members = [Flaky(name) for name in "abc"]
        gate = asyncio.Event()
        for member in members:
            member.gate = gate
        pool = EnginePool(members)
        tasks = [asyncio.create_task(say(pool)) for _ in range(6)]
        while sum(member.running for member in members) < 6:
            await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        return members

    assert [member.most for member in asyncio.run(six())] == [2, 2, 2]


def test_a_request_that_has_not_begun_goes_to_another() -> None:
    bad, good = Flaky("bad", broken=True), Flaky("good")
    assert asyncio.run(say(EnginePool([bad, good]))) == "good says this"
    assert asyncio.run(EnginePool([bad, good]).tokenize("a")) == [97]


def test_a_busy_engine_hands_over_too() -> None:
    def full(_: str) -> str:
        raise BusyError("full", 3)

    pool = EnginePool([ScriptedEngine(full), Flaky("b")])
    assert asyncio.run(say(pool)) == "b says this"


def test_a_busy_engine_is_left_out_as_long_as_it_says_and_no_longer() -> None:
    clock = Clock()
    busy = True

    def answer(_: str) -> str:
        if busy:
            raise BusyError("full", 3)
        return "again"

    asked, other = ScriptedEngine(answer), Flaky("b")
    pool = EnginePool([asked, other], rest=30, clock=clock)
    assert asyncio.run(say(pool)) == "b says this"
    busy = False
    clock.now = 2.0
    assert asyncio.run(say(pool)) == "b says this"
    clock.now, other.broken = 3.0, True
    assert asyncio.run(say(pool)) == "again"


def test_what_the_engines_share_is_asked_of_one_that_answers() -> None:
    """Else every forced call would fail while the first machine is away."""

    class Away(Flaky):
        async def tag_tokens(self) -> frozenset[str]:
            raise EngineError("away")

    assert asyncio.run(EnginePool([Away("a"), Flaky("b")]).tag_tokens()) == {"<think>"}
    with pytest.raises(EngineError, match="away"):
        asyncio.run(EnginePool([Away("a"), Away("b")]).tag_tokens())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=4),
    st.lists(st.sampled_from(["ask", "leave", "toggle", "wait"]), max_size=12),
)
def test_whatever_breaks_a_reply_is_one_engine_s_whole_words_or_an_error(
    state: list[tuple[bool, int]], steps: list[str]
) -> None:
    """No reply is put together from two engines, nobody is asked twice for one reply, and none
    stays marked as busy."""
    clock = Clock()
    members = [Flaky(str(i), after=n, broken=broken) for i, (broken, n) in enumerate(state)]
    pool = EnginePool(members, rest=5, clock=clock)

    async def ask(enough: int | None) -> None:
        before = [member.asked for member in members]
        text = ""
        try:
            async with aclosing(pool.generate("hi", GREEDY)) as pieces:
                async for piece in pieces:
                    text += piece.text
                    if enough is not None and len(text) >= enough:
                        break
                else:
                    assert text in {f"{member.info.name} says this" for member in members}
        except EngineError:
            begun = any(member.broken and member.after for member in members)
            assert begun or all(member.broken for member in members)
        assert all(
            new - old <= 1 for old, new in zip(before, [m.asked for m in members], strict=True)
        )
        assert not any(member.running for member in members)
        assert not any(member.outstanding for member in pool._members)

    for i, step in enumerate(steps):
        if step == "toggle":
            member = members[i % len(members)]
            member.broken = not member.broken
        elif step == "wait":
            clock.now += 3
        else:
            asyncio.run(ask(2 if step == "leave" else None))


def test_what_was_said_can_not_be_taken_back() -> None:
    bad, good = Flaky("bad", broken=True, after=2), Flaky("good")
    with pytest.raises(EngineError, match="bad broke"):
        asyncio.run(say(EnginePool([bad, good])))
    assert good.asked == 0


def test_a_failed_engine_is_left_out_for_a_while() -> None:
    clock = Clock()
    bad, good = Flaky("bad", broken=True), Flaky("good")
    pool = EnginePool([bad, good], rest=30, clock=clock)
    for _ in range(3):
        asyncio.run(say(pool))
    assert (bad.asked, good.asked) == (1, 3)
    clock.now, bad.broken = 31, False
    good.broken = True
    assert asyncio.run(say(pool)) == "bad says this"


def test_when_all_fail_the_last_error_is_told_and_all_are_asked_again() -> None:
    members = [Flaky(name, broken=True) for name in "ab"]
    pool = EnginePool(members)
    for _ in range(2):
        with pytest.raises(EngineError, match="broke"):
            asyncio.run(say(pool))
    assert [member.asked for member in members] == [2, 2]
    with pytest.raises(EngineError):
        asyncio.run(pool.tokenize("a"))


def test_a_request_that_is_wrong_is_wrong_everywhere() -> None:
    members = [Flaky(name) for name in "ab"]

    async def ask() -> None:
        async for _ in EnginePool(members).generate("x" * 200, GREEDY):
            pass

    with pytest.raises(ContextError):
        asyncio.run(ask())
    assert [member.asked for member in members] == [1, 0]


def test_leaving_early_frees_the_member() -> None:
    first, second = Flaky("a"), Flaky("b")
    pool = EnginePool([first, second])

    async def leave_and_ask() -> str:
        async with aclosing(pool.generate("hi", GREEDY)) as pieces:
            async for _ in pieces:
                break
        return await say(pool)

    assert asyncio.run(leave_and_ask()) == "a says this"
    assert (first.running, second.asked) == (0, 0)


def test_closing_closes_all() -> None:
    members = [Flaky(name) for name in "ab"]
    asyncio.run(EnginePool(members).aclose())
    assert [member.closed for member in members] == [1, 1]
