"""The replies to one conversation, whatever the shape that they are sent in.

Each is watched, kept and recorded as it ends; call ids become unique on their way.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from formosa.chat.message import ToolCall
from formosa.chat.reply import Defect, Delta
from formosa.engines.protocol import (
    ChatEvent,
    ChatModel,
    ChatReply,
    ChatRequest,
    Finished,
    Logprobs,
    Usage,
)
from formosa.errors import EngineError, MessageError, UnsupportedError
from formosa.serve.protocol import RequestError
from formosa.serve.record import Record
from formosa.serve.served import Served

_NUMBERED = re.compile(r"call_\d+")


class Replies:
    """The choices of one answer.

    Args:
        served: the model.
        id: of the answer, for the record.
        requests: one for each choice.
        record: where they are kept, if anywhere.
        in_its_words: says an engine's refusal with the client's own field.
    """

    def __init__(
        self,
        served: Served,
        id: str,
        requests: Sequence[ChatRequest],
        record: Record | None,
        in_its_words: Callable[[MessageError | UnsupportedError], RequestError],
    ) -> None:
        self._served = served
        self._id = id
        self._requests = requests
        self._record = record
        self._in_its_words = in_its_words
        self._ended: dict[int, ChatReply] = {}

    async def events(self) -> AsyncGenerator[tuple[int, ChatEvent], None]:
        """The events of all choices as they come, each with the number of its choice."""
        served = self._served
        replies = [_with_own_ids(served.chat, request) for request in self._requests]
        try:
            async with aclosing(served.run(replies, _ending)) as events:
                async for index, event in events:
                    if isinstance(event, Finished):
                        self._ended[index] = event.reply
                        if self._record is not None:
                            request = self._requests[index]
                            self._record.chat(self._id, index, served, request, event.reply)
                    yield index, event
        except (MessageError, UnsupportedError) as error:
            raise self._in_its_words(error) from error

    async def whole(self) -> tuple[list[ChatReply], int | None]:
        """All replies once they have ended, and how many of their tokens were reasoning.

        Raises:
            EngineError: one has not.
        """
        if len(self._ended) < len(self._requests):
            raise EngineError("The model gave no reply.")
        ordered = [self._ended[index] for index in range(len(self._requests))]
        return ordered, await self._served.reasoning_tokens(ordered)


def _ending(event: ChatEvent) -> tuple[Usage | None, tuple[Defect, ...]] | None:
    return (event.reply.usage, event.reply.defects) if isinstance(event, Finished) else None


async def _with_own_ids(chat: ChatModel, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
    """The model's events. The parser numbers calls within a reply, while a conversation needs ids
    that stay unique; and where only one call may come, a second one is not handed on."""
    calls: list[ToolCall] = []
    async with aclosing(chat.stream(request)) as events:
        async for event in events:
            if isinstance(event, Finished):
                message = replace(event.reply.message, tool_calls=tuple(calls))
                yield Finished(replace(event.reply, message=message))
            elif isinstance(event, Delta | Logprobs):
                yield event
            elif request.parallel or not calls:
                if not event.id or _NUMBERED.fullmatch(event.id):
                    event = replace(event, id=f"call_{secrets.token_hex(12)}")
                calls.append(event)
                yield event
