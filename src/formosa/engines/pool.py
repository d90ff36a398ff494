"""Several text engines as one: the least busy answers.

For one model on several machines. A request that has not begun goes to another engine when one
fails; once text came out it can't be taken back, so the error stays. An engine that failed is left
out for a while, and a busy one for as long as it says, unless all of them are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TypeVar

from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling, TextEngine
from formosa.errors import BusyError, EngineError

T = TypeVar("T")
REST = 30.0  # seconds that an engine is left out after a failure


class _Member:
    """One engine: what it has to do, and when it last failed."""

    def __init__(self, engine: TextEngine) -> None:
        self.engine = engine
        self.outstanding = 0
        self.rests_until = float("-inf")


class EnginePool:
    """A text engine made of others, which must serve the same model.

    Args:
        engines: at least one.
        rest: seconds that an engine is left out after a failure.
        clock: seconds that pass; for tests.
    """

    def __init__(
        self,
        engines: Sequence[TextEngine],
        *,
        rest: float = REST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not engines:
            raise ValueError("a pool of nothing")
        self._members = [_Member(engine) for engine in engines]
        self._rest = rest
        self._clock = clock

    @property
    def info(self) -> ModelInfo:
        """The first one's, with the smallest context and the control tokens of all."""
        infos = [member.engine.info for member in self._members]
        contexts = [info.context for info in infos if info.context is not None]
        return replace(
            infos[0],
            context=min(contexts, default=None),
            control_tokens=frozenset().union(*(info.control_tokens for info in infos)),
            details={**infos[0].details, "engines": [dict(info.details) for info in infos]},
        )

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        tried: list[_Member] = []
        while True:
            member = self._least_busy(tried)
            tried.append(member)
            begun = False
            member.outstanding += 1
            try:
                async with aclosing(member.engine.generate(prompt, sampling)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
                return
            except EngineError as error:
                self._let_rest(member, error)
                if begun or len(tried) == len(self._members):
                    raise
            finally:
                member.outstanding -= 1

    async def tokenize(self, text: str) -> list[int]:
        return await self._first_answer(lambda engine: engine.tokenize(text))

    async def tag_tokens(self) -> frozenset[str]:
        """Those of any engine that answers: all are the same program with the same model."""
        return await self._first_answer(lambda engine: engine.tag_tokens())

    async def _first_answer(self, ask: Callable[[TextEngine], Awaitable[T]]) -> T:
        tried: list[_Member] = []
        while True:
            member = self._least_busy(tried)
            tried.append(member)
            try:
                return await ask(member.engine)
            except EngineError as error:
                self._let_rest(member, error)
                if len(tried) == len(self._members):
                    raise

    async def aclose(self) -> None:
        await asyncio.gather(*(member.engine.aclose() for member in self._members))

    def _least_busy(self, tried: Sequence[_Member]) -> _Member:
        now = self._clock()
        left = [member for member in self._members if member not in tried]
        awake = [member for member in left if member.rests_until <= now]
        return min(awake or left, key=lambda member: (member.outstanding, member.rests_until))

    def _let_rest(self, member: _Member, error: EngineError) -> None:
        rest = self._rest
        if isinstance(error, BusyError):  # it works, and says when it will have room
            rest = min(rest, error.retry_after)
        member.rests_until = self._clock() + rest
