"""One client's connection: its body, its key, whether it is still there, and a stream to it.

A reply runs in the very task of its request. When the client leaves, that task is cancelled, and
with it whatever it waits for: a place in the queue, an engine, a slow network.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from formosa.errors import EngineError, FormosaError
from formosa.serve.metrics import CLIENT_LEFT
from formosa.serve.protocol import RequestError, json_bytes, stopping
from formosa.serve.stream import DONE, error_event

LARGEST_BODY = 32 * 2**20  # bytes
BODY_SECONDS = 60  # a client that takes longer to send its body is not waited for

E = TypeVar("E")


async def read_json(request: Request) -> bytes:
    """The body of a request that says it is JSON.

    Only such a request makes a browser ask first whether a page may send it, so a web page can't
    keep a model on this machine busy.

    Raises:
        RequestError: it says something else, is too large, or does not come.
        ClientDisconnect: the client left.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise RequestError(415, "the header Content-Type must be application/json")
    parts, length = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                length += len(part)
                if length > LARGEST_BODY:
                    raise RequestError(413, f"the body is larger than {LARGEST_BODY} bytes")
                parts.append(part)
    except TimeoutError:
        raise RequestError(408, "the body did not come in time") from None
    return b"".join(parts)


@asynccontextmanager
async def unless_gone(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block when the client goes away. Its body must have been read before.

    Raises:
        ClientDisconnect: it did.
    """
    task = asyncio.current_task()
    assert task is not None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    watcher = asyncio.ensure_future(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        watcher.cancel()


def answering(
    handler: Callable[[bytes], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Hand over the body, and cancel the handler when the client leaves."""

    async def answer(request: Request) -> Response:
        try:
            body = await read_json(request)
            async with unless_gone(request.receive):
                return await handler(body)
        except ClientDisconnect:
            # Nobody reads it; the log of a proxy may.
            raise RequestError(CLIENT_LEFT, "the client went away") from None
        except asyncio.CancelledError:  # the server's time is over
            raise stopping() from None

    return answer


async def event_stream(
    events: AsyncGenerator[E, None],
    written: Callable[[AsyncGenerator[E, None]], AsyncGenerator[bytes, None]],
    *,
    end: bytes = DONE,
) -> Response:
    """A stream of what `written` makes of the events, and `end` where all went well.

    The first event decides the status: what is wrong with the request is a 400, not a stream.
    """
    try:
        first = await anext(events)
    except StopAsyncIteration:
        raise EngineError("The model gave no reply.") from None
    except BaseException:
        await events.aclose()
        raise
    return EventStream(written(_put_back(first, events)), events, end)


async def _put_back(first: E, rest: AsyncGenerator[E, None]) -> AsyncGenerator[E, None]:
    async with aclosing(rest):
        yield first
        async for event in rest:
            yield event


class EventStream(Response):
    """Server-sent events. What goes wrong in the middle is the last event."""

    media_type = "text/event-stream"

    def __init__(
        self, parts: AsyncGenerator[bytes, None], behind: AsyncGenerator[Any, None], end: bytes
    ) -> None:
        self.background = None
        self.status_code = 200
        self._parts = parts
        # Closing a generator that never began does not close what it would have read.
        self._behind = behind
        self._end = end
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def write(part: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": more})

        last = self._end
        try:
            async with unless_gone(receive):
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
                async for part in self._parts:
                    await write(part)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:
            last = error_event(stopping())
        except (FormosaError, RequestError) as error:
            last = error_event(error)
        except Exception as error:
            await write(error_event(error), False)
            raise  # a bug: the server logs it
        finally:
            for generator in (self._parts, self._behind):
                await generator.aclose()
        await write(last, False)


class KeyCheck:
    """Asks for `Authorization: Bearer KEY`, but not on paths that hold nothing to guard."""

    def __init__(
        self, app: ASGIApp, api_key: str, open_paths: Collection[str] = ("/health",)
    ) -> None:
        self._app = app
        self._key = api_key.encode()
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open:
            scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
            right = hmac.compare_digest(given.strip(), self._key)
            if scheme.lower() != b"bearer" or not right:
                error = RequestError(401, "wrong or missing API key", code="invalid_api_key")
                headers = {"www-authenticate": "Bearer"}
                body = json_bytes(error.body())
                answer = Response(body, 401, headers, "application/json")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
