"""Any OpenAI-compatible server as an engine.

`RemoteChat` hands over messages: the server renders and parses, and we believe what it says.
`RemoteText` hands over our own rendering (`/v1/completions`) and returns raw text, so that our
parser reads it: the same words give the same message, whatever the server's chat layer thinks.

An answer that breaks off is an error, never a short answer. Retries: see `endpoint.py`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

import httpx2

from formosa.chat.message import Message, ToolCall, with_call_ids
from formosa.chat.parser import Delta
from formosa.engines.endpoint import Endpoint
from formosa.engines.http import sse_objects
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    ModelInfo,
    Piece,
    Prompt,
    Sampling,
    Usage,
)
from formosa.errors import EngineError, MessageError, UserError


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """What was asked for, and nothing else: the rest is the server's default."""
    body: dict[str, Any] = {"temperature": sampling.temperature}
    for name in ("top_p", "top_k", "min_p", "seed", "max_tokens", "presence_penalty",
                 "frequency_penalty"):  # fmt: skip
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details") or {}
    return Usage(
        int(value.get("prompt_tokens") or 0),
        int(value.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )


class RemoteText:
    """Continues text on a server with `/v1/completions`.

    Where the server has `/tokenize` (vLLM, llama.cpp), prompts go as token ids, so that it adds no
    token of its own.

    Args:
        base_url: as in `http://127.0.0.1:8000/v1`.
        model: the name that the server uses; may be left out where it has only one.
        api_key: sent as a bearer token, and only to this server.
        timeout: seconds that the server may be silent.
        transport: carries the requests; for tests and unusual networks.

    Raises:
        UserError: the address is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 600,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = Endpoint(
            base_url, model=model, api_key=api_key, timeout=timeout, transport=transport
        )
        self._tokenizes: bool | None = None

    @property
    def info(self) -> ModelInfo:
        return self._endpoint.info

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        if not isinstance(prompt, str):
            prompt = "".join(prompt)
        ids = await self._ids(prompt)
        if sampling.max_tokens is None:  # servers would stop after 16 tokens
            context = await self._endpoint.context()
            if context is None or ids is None:
                raise UserError(
                    f"{self._endpoint.who} does not say how long its context is.",
                    "give max_tokens",
                )
            sampling = replace(sampling, max_tokens=max(context - len(ids), 1))
        body = {
            "model": await self._endpoint.model(),
            "prompt": prompt if ids is None else ids,
            "stream": True,
            "stream_options": {"include_usage": True},
            "skip_special_tokens": False,  # vLLM would drop tags that are control tokens
            **_sampling(sampling),
        }
        finish: Literal["stop", "length"] | None = None
        usage: Usage | None = None
        async with (
            self._endpoint.ask("/completions", body) as response,
            aclosing(sse_objects(response, who=self._endpoint.who)) as events,
        ):
            async for event in events:
                usage = _usage(event.get("usage")) or usage
                for choice in event.get("choices") or ():
                    if choice.get("text"):
                        yield Piece(choice["text"])
                    if choice.get("finish_reason"):
                        finish = "length" if choice["finish_reason"] == "length" else "stop"
        if finish is None:
            raise EngineError(f"{self._endpoint.who} broke off before the reply ended.")
        yield Piece("", finish, usage)

    async def tokenize(self, text: str) -> list[int]:
        ids = await self._ids(text)
        if ids is None:
            raise EngineError(f"{self._endpoint.who} has no /tokenize.")
        return ids

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    async def _ids(self, text: str) -> list[int] | None:
        if self._tokenizes is False:
            return None
        body = {
            # the names of vLLM …
            "model": await self._endpoint.model(),
            "prompt": text,
            "add_special_tokens": False,
            # … and of llama.cpp
            "content": text,
            "add_special": False,
            "parse_special": True,
        }
        root = self._endpoint.url.removesuffix("/v1")
        try:
            tokens = (await self._endpoint.json(f"{root}/tokenize", body)).get("tokens")
        except EngineError:
            if self._tokenizes:
                raise
            tokens = None
        self._tokenizes = isinstance(tokens, list)
        return tokens if isinstance(tokens, list) else None


class RemoteChat:
    """Answers conversations on a server with `/v1/chat/completions`.

    Args:
        base_url: as in `http://127.0.0.1:8000/v1`.
        model: the name that the server uses; may be left out where it has only one.
        api_key: sent as a bearer token, and only to this server.
        timeout: seconds that the server may be silent.
        transport: carries the requests; for tests and unusual networks.

    Raises:
        UserError: the address is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = 600,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = Endpoint(
            base_url, model=model, api_key=api_key, timeout=timeout, transport=transport
        )

    @property
    def info(self) -> ModelInfo:
        return self._endpoint.info

    async def reply(self, request: ChatRequest) -> ChatReply:
        body = await self._body(request)
        answer = await self._endpoint.json("/chat/completions", body)
        choices = answer.get("choices")
        if not isinstance(choices, list) or not choices:
            raise EngineError(f"{self._endpoint.who} answered without a choice.")
        message = _message(choices[0].get("message"), who=self._endpoint.who)
        finish = _finish(choices[0].get("finish_reason"), message)
        return ChatReply(message, finish, _usage(answer.get("usage")))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        body = await self._body(request)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        parts: dict[Literal["reasoning", "content"], list[str]] = {"reasoning": [], "content": []}
        calls = _CallDeltas()
        reason: Any = None
        usage: Usage | None = None
        async with (
            self._endpoint.ask("/chat/completions", body) as response,
            aclosing(sse_objects(response, who=self._endpoint.who)) as events,
        ):
            async for event in events:
                usage = _usage(event.get("usage")) or usage
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
        yield Finished(ChatReply(message, _finish(reason, message), usage))

    async def aclose(self) -> None:
        await self._endpoint.aclose()

    async def _body(self, request: ChatRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": await self._endpoint.model(),
            "messages": [message.to_openai() for message in request.messages],
            **_sampling(request.sampling),
        }
        if request.tools:
            body["tools"] = [tool.to_openai() for tool in request.tools]
        if request.template_variables:
            body["chat_template_kwargs"] = dict(request.template_variables)
        return body


def _delta(kind: Literal["reasoning", "content"], text: Any) -> Delta | None:
    return Delta(kind, text) if isinstance(text, str) and text else None


class _CallDeltas:
    """Pieces of tool calls, put together by their index.

    A call is whole when the next one begins, or at the end. Some servers leave the index out: then
    a piece with a new id or a name begins the next call.
    """

    def __init__(self) -> None:
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
        self.whole.extend(new)
        return list(new)


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
