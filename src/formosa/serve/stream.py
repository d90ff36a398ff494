"""A reply in OpenAI's shapes: one object, or server-sent events.

Both are made from the same events, so a streamed reply adds up to the one that is not streamed.
Reasoning goes out under both names that clients read (`reasoning_content`, `reasoning`). A tool
call is one delta, whole, with its index: clients that put pieces together find one piece.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from formosa.chat.message import Message, ToolCall, json_text
from formosa.chat.parser import Delta
from formosa.engines.protocol import (
    ChatEvent,
    ChatModel,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    Logprobs,
    Usage,
)
from formosa.errors import FormosaError
from formosa.serve.protocol import RequestError, request_error

_NUMBERED = re.compile(r"call_\d+")


class Answer:
    """One reply on its way to a client: its id, its time, and the ids of its calls.

    Args:
        model: the name that the client used.
        parallel: whether more than one call may be handed over.
    """

    def __init__(self, model: str, *, parallel: bool = True) -> None:
        self._model = model
        self._parallel = parallel
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self._sent_calls = 0

    async def events(
        self, chat: ChatModel, request: ChatRequest
    ) -> AsyncGenerator[ChatEvent, None]:
        """The model's events, with the call ids and the number of calls that the client gets."""
        calls: list[ToolCall] = []
        async with aclosing(chat.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    message = replace(event.reply.message, tool_calls=tuple(calls))
                    yield Finished(replace(event.reply, message=message))
                elif isinstance(event, Delta | Logprobs):
                    yield event
                elif self._parallel or not calls:
                    calls.append(self._with_own_id(event))
                    yield calls[-1]

    def _with_own_id(self, call: ToolCall) -> ToolCall:
        """The parser numbers calls within a reply; a conversation needs ids that stay unique."""
        if call.id and not _NUMBERED.fullmatch(call.id):
            return call
        return replace(call, id=f"call_{secrets.token_hex(12)}")

    # -- one object --------------------------------------------------------------------------

    def whole(self, reply: ChatReply) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": _message(reply.message),
            "logprobs": None,
            "finish_reason": reply.finish,
        }
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": _usage(reply.usage),
        }

    # -- a stream ----------------------------------------------------------------------------

    async def sse(
        self, events: AsyncGenerator[ChatEvent, None], *, usage: bool
    ) -> AsyncGenerator[str, None]:
        """Server-sent events; an engine that fails in the middle ends them with an error event."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Finished):
                        yield self._chunk({}, event.reply.finish)
                        if usage:
                            yield self._usage_chunk(event.reply.usage)
                    elif not isinstance(event, Logprobs):
                        yield self._chunk(self._delta(event))
        except FormosaError as error:
            yield error_event(request_error(error))
            return
        yield "data: [DONE]\n\n"

    def _delta(self, event: Delta | ToolCall) -> dict[str, Any]:
        if isinstance(event, ToolCall):
            index = self._sent_calls
            self._sent_calls += 1
            return {"tool_calls": [{"index": index, **_call(event)}]}
        if event.kind == "reasoning":
            return {"reasoning_content": event.text, "reasoning": event.text}
        return {"content": event.text}

    def _chunk(self, delta: dict[str, Any], finish: FinishReason | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _sse({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _usage_chunk(self, usage: Usage | None) -> str:
        head = self._head("chat.completion.chunk")
        return _sse({**head, "choices": [], "usage": _usage(usage)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}


def error_event(error: RequestError) -> str:
    """The event that ends a stream which can't go on."""
    return _sse(error.body())


def _sse(value: dict[str, Any]) -> str:
    return f"data: {json_text(value)}\n\n"


def _message(message: Message) -> dict[str, Any]:
    value: dict[str, Any] = {
        "role": "assistant",
        "content": None if message.tool_calls and not message.content else message.content,
        "refusal": None,
    }
    if message.reasoning:
        value["reasoning_content"] = value["reasoning"] = message.reasoning
    if message.tool_calls:
        value["tool_calls"] = [_call(call) for call in message.tool_calls]
    return value


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
