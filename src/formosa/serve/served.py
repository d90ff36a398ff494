"""One model that is served: its queue, its numbers, and several replies at once.

Knows nothing of HTTP. A reply takes its turn in the queue, is watched from its first event to its
last, and gives its place back before its last event is handed on: a client that reads slowly does
not keep the next one waiting for an end that has come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from formosa.chat.reply import Defect
from formosa.engines.protocol import ChatModel, ChatReply, TextEngine, Usage
from formosa.errors import FormosaError
from formosa.serve.metrics import Metrics
from formosa.serve.queue import UNKNOWN_SLOTS, Limits, Queue
from formosa.serve.structured import has_exact_texts

E = TypeVar("E")
# Of an event: None while the reply goes on, else its usage and its malformed calls.
Ending = Callable[[E], tuple[Usage | None, tuple[Defect, ...]] | None]
AHEAD = 64  # events of several choices that may wait for a slow reader


class Served:
    """A model under its name."""

    def __init__(self, name: str, chat: ChatModel, limits: Limits, metrics: Metrics) -> None:
        self.name = name
        self.chat = chat
        slots = chat.info.details.get("slots")
        running = limits.running or (slots if isinstance(slots, int) else UNKNOWN_SLOTS)
        self.queue = Queue(running, limits.waiting)
        self._numbers = metrics.watch(name, self.queue)

    @property
    def engine(self) -> TextEngine | None:
        """The text engine behind the chat model; None where another server renders."""
        engine = getattr(self.chat, "engine", None)
        return engine if isinstance(engine, TextEngine) else None

    async def run(
        self, replies: Sequence[AsyncGenerator[E, None]], ending: Ending[E]
    ) -> AsyncGenerator[tuple[int, E], None]:
        """The events of all replies as they come, each with the number of its reply.

        Leaving early stops them all.

        Raises:
            RequestError, BusyError: the queue does not take them.
        """
        self.queue.check(len(replies))
        turns = [self._turn(reply, ending) for reply in replies]
        async with aclosing(_numbered(turns[0]) if len(turns) == 1 else _merged(turns)) as events:
            async for event in events:
                yield event

    async def _turn(
        self, events: AsyncGenerator[E, None], ending: Ending[E]
    ) -> AsyncGenerator[E, None]:
        numbers, came = self._numbers, time.perf_counter()
        last: list[E] = []
        began = False
        try:
            async with self.queue.turn(), aclosing(events):
                async for event in events:
                    if not began:
                        began = True
                        numbers.began(time.perf_counter() - came)
                    end = ending(event)
                    if end is not None:
                        numbers.ended(time.perf_counter() - came, *end)
                        last.append(event)
                    else:
                        yield event
        except (asyncio.CancelledError, GeneratorExit):
            numbers.cancelled()
            raise
        for event in last:
            yield event

    async def tag_tokens(self, structured_outputs: Any) -> frozenset[str]:
        """The tags that a grammar names as tokens here, where the shape that is asked for may hold
        one; else nobody is asked."""
        engine = self.engine
        if engine is None or not has_exact_texts(structured_outputs):
            return frozenset()
        return await engine.tag_tokens()

    async def reasoning_tokens(self, replies: Sequence[ChatReply]) -> int | None:
        """How many tokens of the replies were reasoning, its tags aside; None if nobody can tell.

        The engine counts by tokenising the reasoning once more.
        """
        engine = self.engine
        if engine is None:
            return None
        thoughts = [reply.message.reasoning for reply in replies if reply.message.reasoning]
        with suppress(FormosaError):
            return sum([len(await engine.tokenize(thought)) for thought in thoughts])
        return None

    def object(self, created: int) -> dict[str, Any]:
        """As `/v1/models` shows it."""
        return {
            "id": self.name,
            "object": "model",
            "created": created,
            "owned_by": "formosa",
            "max_model_len": self.chat.info.context,
        }


async def _numbered(events: AsyncGenerator[E, None]) -> AsyncGenerator[tuple[int, E], None]:
    async with aclosing(events):
        async for event in events:
            yield 0, event


async def _merged(
    several: Sequence[AsyncGenerator[E, None]],
) -> AsyncGenerator[tuple[int, E], None]:
    arrived: asyncio.Queue[tuple[int, E] | None] = asyncio.Queue(AHEAD)

    async def pump(index: int, events: AsyncGenerator[E, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    await arrived.put((index, event))
        finally:
            if (task := asyncio.current_task()) and not task.cancelling():
                await arrived.put(None)

    pumps = [asyncio.ensure_future(pump(i, events)) for i, events in enumerate(several)]
    try:
        running = len(pumps)
        while running:
            item = await arrived.get()
            if item is not None:
                yield item
                continue
            running -= 1
            for task in pumps:
                if task.done() and not task.cancelled() and (error := task.exception()):
                    raise error
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
