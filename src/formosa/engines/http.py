"""What the engines behind HTTP share: clients, server-sent events, and errors as sentences.

Knows HTTP and the error objects of OpenAI-compatible servers. Knows nothing of prompts or messages.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast
from weakref import WeakKeyDictionary

import httpx2

from formosa.errors import ContextError, EngineError, FormosaError, UnsupportedError

WORDS = 500  # characters of a server's own words that go into an error


class LoopClients:
    """One `AsyncClient` for each event loop that asks, closed when that loop ends.

    A connection belongs to the loop that opened it, and an engine may be used from the server's
    thread and from one `asyncio.run` after another.
    """

    def __init__(self, make: Callable[[], httpx2.AsyncClient]) -> None:
        self._make = make
        self._clients: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[httpx2.AsyncClient, AsyncGenerator[None, None]]
        ] = WeakKeyDictionary()

    async def get(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = self._make()
            # A loop that ends closes the generators that began on it: that closes the client.
            keeper = _closing(client)
            self._clients[loop] = client, keeper
            await anext(keeper)
        return self._clients[loop][0]

    async def aclose(self) -> None:
        """Close the connections of this loop."""
        found = self._clients.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found[1].aclose()


async def _closing(client: httpx2.AsyncClient) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


async def sse_objects(
    response: httpx2.Response, *, who: str
) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of a stream of server-sent events, up to `[DONE]`.

    Raises:
        EngineError: an event is not a JSON object, or is an error object.
        ContextError: the error says that the context is too small.
    """
    source = httpx2.EventSource(response, max_event_size=None)
    async with aclosing(cast(AsyncGenerator[Any, None], source.__aiter__())) as events:
        async for event in events:
            if event.data == "[DONE]":
                return
            if event.data:
                value = json_object(event.data, who=who)
                if value.get("error"):
                    raise error_from(value, who=who)
                yield value


def json_object(text: str, *, who: str) -> dict[str, Any]:
    """The JSON object that a server sent.

    Raises:
        EngineError: it is something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EngineError(f"{who} did not answer with a JSON object: {text[:80]!r}")
    return value


def error_from(
    body: str | Mapping[str, Any], *, who: str, status: int | None = None
) -> FormosaError:
    """The error that a server's answer means.

    `ContextError` where it says how long the prompt and the context are, `UnsupportedError` where
    it names the parameter that it refuses, `EngineError` otherwise.
    """
    if isinstance(body, str):
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):
            parsed = None
        fields = parsed if isinstance(parsed, dict) else {}
    else:
        fields = dict(body)
    error = fields.get("error", fields)
    if isinstance(error, dict):
        words = error.get("message") or error.get("detail") or ""
        lengths = error.get("n_prompt_tokens"), error.get("n_ctx")
    else:
        words, lengths = error, (None, None)
    if not words and isinstance(body, str):
        words = " ".join(body.split())
    text = str(words)[:WORDS].strip()
    context = _context_error(text, lengths)
    if context is not None:
        return context
    parameter = None
    if isinstance(error, dict):
        parameter = error.get("param")
        if status is None and isinstance(error.get("code"), int):  # in a stream that has begun
            status = error["code"]
    if status in (400, 422) and text.startswith("Grammar error"):  # vLLM's, without a parameter
        return UnsupportedError("grammar", f"{who} can't follow it: {text}")
    if status in (400, 422) and isinstance(parameter, str) and parameter != "model":
        return UnsupportedError(parameter, f"{who} refused it: {text}")
    code = f" ({status})" if status else ""
    return EngineError(f"{who} refused the request{code}: {text or 'without a word'}")


_OURS = re.compile(r"prompt has (\d+) tokens and (\d+) more were asked for.*context holds (\d+)")
_LIMIT = re.compile(r"maximum context length is (\d+)")
_SPLIT = re.compile(r"(\d+) in the messages, (\d+) in the completion")
_ASKED = re.compile(r"(?:requested|resulted in|has|contains) (?:about |at least )?(\d+)")


def _context_error(text: str, lengths: tuple[Any, Any]) -> ContextError | None:
    """Both lengths out of the words of llama.cpp, vLLM, OpenAI and ourselves."""
    prompt, limit = lengths
    if isinstance(prompt, int) and isinstance(limit, int):
        return ContextError(prompt, 1, limit)
    if match := _OURS.search(text):
        return ContextError(*map(int, match.groups()))
    if match := _LIMIT.search(text):
        if split := _SPLIT.search(text):
            return ContextError(int(split[1]), int(split[2]), int(match[1]))
        if asked := _ASKED.search(text, match.end()):
            return ContextError(int(asked[1]), 1, int(match[1]))
    return None
