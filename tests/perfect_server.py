"""A chat model that does everything that is asked of it, and a wire that distorts what it says."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx2
from jsonschema import Draft202012Validator, SchemaError

from formosa.chat.message import Message, ToolCall, json_text
from formosa.chat.reply import Delta
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    Logprob,
    Logprobs,
    ModelInfo,
    Named,
    TokenLogprob,
    Usage,
)
from formosa.errors import ContextError, UnsupportedError

CONTEXT = 2000  # words
GREEDY = "Red and green and blue are the three colours that most people name at once, always."
WORDS = ["red", "green", "blue", "white", "black", "pink", "grey", "brown", "violet", "orange"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "get_weather": {"city": "Taipei", "unit": "celsius"},
    "get_time": {"zone": "UTC"},
    "go": {"place": "Taipei"},
}


class Perfect:
    """A ChatModel whose tokens are words. A long reply never ends by itself."""

    def __init__(self) -> None:
        self.info = ModelInfo("perfect", context=CONTEXT, details={"slots": 2})

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        prompt = sum(len(message.content.split()) + 1 for message in request.messages)
        sampling = request.sampling
        if prompt + (sampling.max_tokens or 1) > CONTEXT:
            raise ContextError(prompt, sampling.max_tokens or 1, CONTEXT)
        if "one thousand" in request.messages[-1].content and (sampling.max_tokens or 0) > 100:
            yield Delta("content", "one")
            await asyncio.Event().wait()
        text, call = self._reply(request)
        tokens = text.split(" ")
        tokens = [tokens[0], *(f" {token}" for token in tokens[1:])]
        finish: FinishReason = "stop"
        if sampling.max_tokens is not None and len(tokens) > sampling.max_tokens:
            tokens, finish = tokens[: sampling.max_tokens], "length"
        said = "".join(tokens)
        ends = [said.find(stop) for stop in sampling.stop if stop in said]
        if ends:
            said, finish = said[: min(ends)], "stop"
            tokens = [said]
        calls: tuple[ToolCall, ...] = ()
        if call is not None and finish == "stop":
            calls, said, finish = (call,), "", "tool_calls"
            yield call
        else:
            for token in tokens:
                yield Delta("content", token)
        logprobs = tuple(_logprob(token, sampling.logprobs or 0) for token in tokens)
        if sampling.logprobs is None:
            logprobs = ()
        else:
            yield Logprobs(logprobs)
        message = Message("assistant", content=said, tool_calls=calls)
        usage = Usage(prompt, len(tokens))
        yield Finished(ChatReply(message, finish, usage, logprobs=logprobs))

    def _reply(self, request: ChatRequest) -> tuple[str, ToolCall | None]:
        if request.tool_choice == "required" or isinstance(request.tool_choice, Named):
            named = request.tool_choice
            name = named.name if isinstance(named, Named) else request.tools[0].name
            text = json_text(ARGUMENTS.get(name, {}))
            return f"<tool_call> {text} of {name} </tool_call>", ToolCall(name, text, "call_0")
        if request.json_schema is not None:
            try:
                Draft202012Validator.check_schema(dict(request.json_schema))
            except SchemaError as error:
                raise UnsupportedError("response_format", error.message) from error
            return '{"colour": "red", "count": 3, "sure": true}', None
        if request.sampling.temperature > 0:
            chosen = random.Random(request.sampling.seed)
            return " ".join(chosen.choice(WORDS) for _ in range(30)), None
        return " ".join([GREEDY] * 3), None

    async def reply(self, request: ChatRequest) -> ChatReply:
        async for event in self.stream(request):
            if isinstance(event, Finished):
                return event.reply
        raise AssertionError

    async def aclose(self) -> None:
        return None


def _logprob(token: str, top: int) -> Logprob:
    chosen = TokenLogprob(token, -0.25, token.encode())
    return Logprob(chosen, (chosen, TokenLogprob(" or", -1.5, b" or"))[:top])


Distortion = Callable[[dict[str, Any], int, str], tuple[int, str]]


class Distorting(httpx2.BaseTransport):
    """Passes requests on, and changes what comes back."""

    def __init__(self, distortion: Distortion) -> None:
        self._wire = httpx2.HTTPTransport()
        self._distortion = distortion

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self._wire.handle_request(request)
        text = response.read().decode()
        response.close()
        try:
            asked = json.loads(request.content or b"{}")
        except (ValueError, RecursionError):
            asked = {}
        asked = asked if isinstance(asked, dict) else {}
        status, text = self._distortion(
            {"path": request.url.path, **asked}, response.status_code, text
        )
        kind = response.headers.get("content-type", "")
        return httpx2.Response(status, text=text, headers={"content-type": kind})

    def close(self) -> None:
        self._wire.close()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def sse(chunks: list[dict[str, Any]], *, done: bool = True) -> str:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")
