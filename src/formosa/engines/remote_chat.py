"""Any OpenAI-compatible server as a chat model: it renders and parses, and we believe what it says.

What can be seen is checked all the same: a forced call must have come, and no more calls than were
asked for. A schema can't be seen to hold; servers that take one are believed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

from formosa.chat.message import Message, ToolCall, with_call_ids
from formosa.chat.reply import Delta
from formosa.engines.dialect import asks_for_more, sampling_fields
from formosa.engines.endpoint import Remote, Server
from formosa.engines.http import sse_objects
from formosa.engines.logprobs import from_content
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    Logprob,
    Logprobs,
    Named,
    Usage,
    forces_call,
)
from formosa.engines.remote import read_usage
from formosa.errors import EngineError, MessageError, UnsupportedError


class RemoteChat(Remote):
    """Answers conversations on a server with `/v1/chat/completions`. Made as `Remote` is."""

    async def reply(self, request: ChatRequest) -> ChatReply:
        body = await self._body(request)
        answer = await self._endpoint.json("/chat/completions", body)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise EngineError(f"{self._endpoint.who} answered without a choice.")
        first = choices[0]
        message = _message(first.get("message"), who=self._endpoint.who)
        tokens = _logprobs(first.get("logprobs"), request.sampling.logprobs)
        usage = read_usage(answer.get("usage"))
        return self._reply(request, message, first.get("finish_reason"), usage, tokens)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        body = await self._body(request)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        parts: dict[Literal["reasoning", "content"], list[str]] = {"reasoning": [], "content": []}
        calls = _CallDeltas(limit=None if request.parallel else 1)
        reason: Any = None
        usage: Usage | None = None
        tokens: list[Logprob] = []
        async with (
            self._endpoint.ask("/chat/completions", body) as response,
            aclosing(sse_objects(response, who=self._endpoint.who)) as events,
        ):
            async for event in events:
                usage = read_usage(event.get("usage")) or usage
                for choice in event.get("choices") or ():
                    delta = choice.get("delta") or {}
                    reason = choice.get("finish_reason") or reason
                    thought = delta.get("reasoning_content") or delta.get("reasoning")
                    pieces = (_delta("reasoning", thought), _delta("content", delta.get("content")))
                    for piece in filter(None, pieces):
                        parts[piece.kind].append(piece.text)
                        yield piece
                    for call in calls.feed(delta.get("tool_calls") or ()):
                        yield call
                    if new := _logprobs(choice.get("logprobs"), request.sampling.logprobs):
                        tokens.extend(new)
                        yield Logprobs(new)
        if reason is None:
            raise EngineError(f"{self._endpoint.who} broke off before the reply ended.")
        for call in calls.flush():
            yield call
        message = Message(
            "assistant",
            content="".join(parts["content"]),
            reasoning="".join(parts["reasoning"]),
            tool_calls=tuple(calls.whole),
        )
        yield Finished(self._reply(request, message, reason, usage, tuple(tokens)))

    def _reply(
        self,
        request: ChatRequest,
        message: Message,
        reason: Any,
        usage: Usage | None,
        tokens: tuple[Logprob, ...],
    ) -> ChatReply:
        """The reply, if it is what was asked for."""
        if not request.parallel:  # several servers send more all the same
            message = replace(message, tool_calls=message.tool_calls[:1])
        finish = _finish(reason, message)
        if forces_call(request) and finish == "stop":
            raise EngineError(f"{self._endpoint.who} sent no call, although one was forced.")
        if request.sampling.logprobs is not None and message.content and not tokens:
            raise UnsupportedError("logprobs", f"{self._endpoint.who} sent none")
        return ChatReply(message, finish, usage, logprobs=tokens)

    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        sampling, who = request.sampling, self._endpoint.who
        if sampling.grammar is not None:
            raise UnsupportedError(
                "grammar", "a chat server would hold it against its own idea of a reply"
            )
        server = await self._endpoint.server() if asks_for_more(sampling) else Server("unknown")
        body: dict[str, Any] = {
            "model": await self._endpoint.model(),
            "messages": [message.to_openai() for message in request.messages],
            **sampling_fields(sampling, server, who=who),
        }
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if request.tools and request.tool_choice != "none":
            body["tools"] = [tool.to_openai() for tool in request.tools]
            if isinstance(request.tool_choice, Named):
                function = {"name": request.tool_choice.name}
                body["tool_choice"] = {"type": "function", "function": function}
            elif request.tool_choice == "required":
                body["tool_choice"] = "required"
            if not request.parallel:
                body["parallel_tool_calls"] = False
        if request.json_schema is not None:
            body["response_format"] = _response_format(request.json_schema)
        if request.template_variables:
            body["chat_template_kwargs"] = dict(request.template_variables)
        return body


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    if not schema:
        return {"type": "json_object"}
    named = {"name": "reply", "schema": dict(schema), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def _logprobs(value: Any, top: int | None) -> tuple[Logprob, ...]:
    if top is None or not isinstance(value, dict):
        return ()
    return from_content(value.get("content"), top)


def _delta(kind: Literal["reasoning", "content"], text: Any) -> Delta | None:
    return Delta(kind, text) if isinstance(text, str) and text else None


class _CallDeltas:
    """Pieces of tool calls, put together by their index.

    A call is whole when the next one begins, or at the end. Some servers leave the index out: then
    a piece with a new id or a name begins the next call.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self._limit = limit  # calls after these are left out
        self._open: dict[int, dict[str, str]] = {}
        self.whole: list[ToolCall] = []

    def feed(self, deltas: Any) -> list[ToolCall]:
        for delta in deltas:
            function = delta.get("function") or {}
            index = delta.get("index")
            if not isinstance(index, int):
                begins = bool(function.get("name")) or not self._open
                index = max(self._open, default=-1) + begins
            call = self._open.setdefault(index, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or delta.get("id") or ""
            call["name"] += function.get("name") or ""
            arguments = function.get("arguments") or ""
            if not isinstance(arguments, str):  # Ollama sends an object
                arguments = json.dumps(arguments, ensure_ascii=False)
            call["arguments"] += arguments
        return self._close(keep_last=True)

    def flush(self) -> list[ToolCall]:
        return self._close(keep_last=False)

    def _close(self, *, keep_last: bool) -> list[ToolCall]:
        ready = sorted(self._open)[len(self.whole) : -1 if keep_last else None]
        calls = [self._open[index] for index in ready]
        new = with_call_ids(
            [ToolCall(c["name"], c["arguments"] or "{}", c["id"]) for c in calls],
            start=len(self.whole),
        )
        limit = self._limit
        wanted = new if limit is None else new[: max(limit - len(self.whole), 0)]
        self.whole.extend(new)
        return list(wanted)


def _message(value: Any, *, who: str) -> Message:
    """The reply of a server; fields that no message has (`refusal`, `audio`) are left out."""
    if not isinstance(value, dict):
        raise EngineError(f"{who} answered without a message.")
    kept = {
        key: value.get(key)
        for key in ("content", "reasoning", "reasoning_content", "tool_calls")
        if value.get(key)
    }
    try:
        message = Message.from_openai({"role": "assistant", **kept}, "message")
    except MessageError:
        message = _lenient(kept)
    return replace(message, tool_calls=with_call_ids(message.tool_calls))


def _lenient(value: dict[str, Any]) -> Message:
    """A reply whose calls are not valid: kept as it is, for whoever judges it."""
    calls = []
    for call in value.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            name, arguments = function.get("name"), function.get("arguments")
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            calls.append(ToolCall(str(name or ""), text, str(call.get("id") or "")))
    return Message(
        "assistant",
        content=str(value.get("content") or ""),
        reasoning=str(value.get("reasoning_content") or value.get("reasoning") or ""),
        tool_calls=tuple(calls),
    )


def _finish(reason: Any, message: Message) -> FinishReason:
    if reason == "length":
        return "length"
    return "tool_calls" if message.tool_calls else "stop"
