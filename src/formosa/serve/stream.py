"""A chat reply in OpenAI's shapes: one object, or server-sent events.

Both are made from the same events, so a streamed reply adds up to the one that is not streamed.
Reasoning goes out under both names that clients read (`reasoning_content`, `reasoning`). A tool
call is one delta, whole, with its index: clients that put pieces together find one piece.

This is the path of every token: what is the same in all chunks of a stream is made to text once.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Delta
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    Finished,
    FinishReason,
    Logprob,
    Logprobs,
    Usage,
)
from formosa.errors import FormosaError
from formosa.serve.logprobs import chat_logprobs
from formosa.serve.protocol import RequestError, json_bytes, request_error

DONE = b"data: [DONE]\n\n"


class ChatAnswer:
    """The reply to one request on its way to a client: its id, its time, its shape.

    Args:
        model: the name that the client used.
        logprobs: whether they were asked for.
    """

    def __init__(self, model: str, *, logprobs: bool = False) -> None:
        self._model = model
        self._logprobs = logprobs
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    # -- one object --------------------------------------------------------------------------

    def whole(
        self,
        replies: Sequence[ChatReply],
        reasoning: int | None = None,
        *,
        raw: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object; `reasoning` is how many tokens were reasoning, where that is known. `raw` is
        that of `raw.py`, where it was asked for."""
        choices = [
            {
                "index": index,
                "message": _message(reply.message),
                "logprobs": chat_logprobs(reply.logprobs) if self._logprobs else None,
                "finish_reason": reply.finish,
            }
            for index, reply in enumerate(replies)
        ]
        usage = usage_object(joint_usage([reply.usage for reply in replies]), reasoning)
        more = {} if raw is None else {"formosa": raw}
        return {**self._head("chat.completion"), "choices": choices, "usage": usage, **more}

    # -- a stream ----------------------------------------------------------------------------

    async def sse(
        self, events: AsyncGenerator[tuple[int, ChatEvent], None], *, choices: int, usage: bool
    ) -> AsyncGenerator[bytes, None]:
        """Server-sent events up to the end of all choices. Usage and `DONE` are the caller's.

        With `usage` a chunk with usage will follow, so all others say that they have none.
        """
        head = json.dumps(self._head("chat.completion.chunk"), ensure_ascii=False)[:-1]
        end = ', "usage": null}\n\n' if usage else "}\n\n"
        streams = [_Choice(index, f"data: {head}", end) for index in range(choices)]
        for stream in streams:
            yield stream.chunk({"role": "assistant", "content": ""})
        async with aclosing(events):
            async for index, event in events:
                stream = streams[index]
                if isinstance(event, Delta):
                    if self._logprobs:  # they come behind the text that they belong to
                        if stream.held is not None:
                            yield stream.chunk(stream.held)
                        stream.held = _delta(event)
                    else:
                        yield stream.text_chunk(event)
                elif isinstance(event, Logprobs):
                    held, stream.held = stream.held or {}, None
                    yield stream.chunk(held, logprobs=event.tokens)
                else:
                    if stream.held is not None:
                        yield stream.chunk(stream.held)
                        stream.held = None
                    if isinstance(event, Finished):
                        yield stream.chunk({}, event.reply.finish)
                    else:
                        yield stream.call_chunk(event)

    def usage_event(self, replies: Sequence[ChatReply], reasoning: int | None = None) -> bytes:
        usage = usage_object(joint_usage([reply.usage for reply in replies]), reasoning)
        return _sse({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})

    def raw_event(self, raw: Mapping[str, Any], *, usage: bool) -> bytes:
        """What was asked for with `formosa.raw`; with `usage` another chunk will follow."""
        more: dict[str, Any] = {"usage": None} if usage else {}
        head = self._head("chat.completion.chunk")
        return _sse({**head, "choices": [], "formosa": raw, **more})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._model}


class _Choice:
    """One choice of a stream."""

    def __init__(self, index: int, start: str, end: str) -> None:
        self._start = f'{start}, "choices": [{{"index": {index}, "delta": '
        self._plain = f', "logprobs": null, "finish_reason": null}}]{end}'
        self._end = end
        self._calls = 0
        self.held: dict[str, Any] | None = None  # a delta whose logprobs are due

    def text_chunk(self, delta: Delta) -> bytes:
        text = json.dumps(delta.text, ensure_ascii=False)
        if delta.kind == "content":
            line = f'{self._start}{{"content": {text}}}{self._plain}'
        else:
            line = f'{self._start}{{"reasoning_content": {text}, "reasoning": {text}}}{self._plain}'
        return line.encode("utf-8", "backslashreplace")

    def call_chunk(self, call: ToolCall) -> bytes:
        index = self._calls
        self._calls += 1
        return self.chunk({"tool_calls": [{"index": index, **call_object(call)}]})

    def chunk(
        self,
        delta: Mapping[str, Any],
        finish: FinishReason | None = None,
        logprobs: tuple[Logprob, ...] = (),
    ) -> bytes:
        rest = {
            "logprobs": chat_logprobs(logprobs) if logprobs else None,
            "finish_reason": finish,
        }
        ending = json.dumps(rest, ensure_ascii=False)[1:]
        line = f"{self._start}{json.dumps(delta, ensure_ascii=False)}, {ending}]{self._end}"
        return line.encode("utf-8", "backslashreplace")


def error_event(error: Exception) -> bytes:
    """The event that ends a stream which can't go on."""
    if isinstance(error, FormosaError):
        error = request_error(error)
    if not isinstance(error, RequestError):
        error = RequestError(500, "internal error")
    return _sse(error.body())


def usage_object(usage: Usage | None, reasoning: int | None = None) -> dict[str, Any] | None:
    """OpenAI's shape. Where nobody counted the reasoning its number is left out, never 0."""
    if usage is None:
        return None
    value: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
    if reasoning is not None:
        value["completion_tokens_details"] = {"reasoning_tokens": min(reasoning, usage.completion)}
    return value


def joint_usage(usages: Sequence[Usage | None]) -> Usage | None:
    """Of several choices for one prompt: the prompt counts once."""
    known = [usage for usage in usages if usage is not None]
    if not known or len(known) < len(usages):
        return None
    return known[0]._replace(completion=sum(usage.completion for usage in known))


def call_object(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _sse(value: dict[str, Any]) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"


def _delta(delta: Delta) -> dict[str, Any]:
    if delta.kind == "reasoning":
        return {"reasoning_content": delta.text, "reasoning": delta.text}
    return {"content": delta.text}


def _message(message: Message) -> dict[str, Any]:
    value: dict[str, Any] = {
        "role": "assistant",
        "content": None if message.tool_calls and not message.content else message.content,
        "refusal": None,
    }
    if message.reasoning:
        value["reasoning_content"] = value["reasoning"] = message.reasoning
    if message.tool_calls:
        value["tool_calls"] = [call_object(call) for call in message.tool_calls]
    return value
