"""The routes: `/v1/chat/completions`, `/v1/models`, `/health`.

Knows HTTP. Knows nothing of engines, templates or tokens: a chat model answers, or raises one of
our errors, which becomes an OpenAI error object. A client that goes away stops its generation,
whether it streams or not.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from formosa.engines.protocol import ChatEvent, ChatModel, ChatReply, Finished
from formosa.errors import EngineError, FormosaError
from formosa.serve.protocol import CompletionRequest, RequestError, read_request, request_error
from formosa.serve.stream import Answer, error_event

LARGEST_BODY = 32 * 2**20  # bytes
# What running replies get when the server's time to stop is over: it cancels their tasks.
STOPPING = RequestError(503, "the server is stopping")

T = TypeVar("T")


def create_app(
    models: Mapping[str, ChatModel],
    *,
    api_key: str | None = None,
    hosts: Sequence[str] | None = None,
    close: bool = False,
) -> Starlette:
    """An ASGI app that serves `models` under their names.

    Args:
        models: the first one answers requests that name none.
        api_key: asked for on every route but `/health`.
        hosts: names that a request's Host header may have; anything by default. On loopback
            without a key this keeps web pages out that resolve their own name to 127.0.0.1.
        close: close the models when the server stops.
    """
    if not models:
        raise ValueError("nothing to serve")
    gateway = _Gateway(models)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if close:
            for model in models.values():
                await model.aclose()

    middleware = []
    if hosts is not None:
        middleware.append(
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
        )
    if api_key is not None:
        middleware.append(Middleware(_KeyCheck, api_key=api_key))
    return Starlette(
        routes=[
            Route("/v1/chat/completions", gateway.chat_completions, methods=["POST"]),
            Route("/v1/models", gateway.list_models, methods=["GET"]),
            Route("/v1/models/{name:path}", gateway.show_model, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
        ],
        middleware=middleware,
        exception_handlers={
            RequestError: _answer_request_error,
            FormosaError: _answer_our_error,
            HTTPException: _answer_http_error,
        },
        lifespan=lifespan,
    )


class _Gateway:
    def __init__(self, models: Mapping[str, ChatModel]) -> None:
        self._models = dict(models)
        self._started = int(time.time())

    async def chat_completions(self, request: Request) -> Response:
        try:
            asked = read_request(await _body(request))
            name, model = self._model(asked.model)
            chat_request = asked.chat_request()
            answer = Answer(name, parallel=asked.parallel_tool_calls is not False)
            events = answer.events(model, chat_request)
            if asked.stream:
                return await _streamed(request, asked, answer, events)
            reply = await _unless_gone(request, _finished(events))
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it; the log of a proxy may
        except asyncio.CancelledError:
            raise STOPPING from None
        return JSONResponse(answer.whole(reply))

    async def list_models(self, _: Request) -> Response:
        data = [self._model_object(name) for name in self._models]
        return JSONResponse({"object": "list", "data": data})

    async def show_model(self, request: Request) -> Response:
        name, _ = self._model(request.path_params["name"])
        return JSONResponse(self._model_object(name))

    def _model(self, name: str | None) -> tuple[str, ChatModel]:
        if name is None:
            return next(iter(self._models.items()))
        if name not in self._models:
            known = ", ".join(self._models)
            raise RequestError(
                404,
                f"model: no model is called {name[:200]!r} here; there is {known}",
                param="model",
                code="model_not_found",
            )
        return name, self._models[name]

    def _model_object(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": self._started,
            "owned_by": "formosa",
            "max_model_len": self._models[name].info.context,
        }


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _body(request: Request) -> bytes:
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > LARGEST_BODY:
            raise RequestError(413, f"the body is larger than {LARGEST_BODY} bytes")
        parts.append(part)
    return b"".join(parts)


async def _finished(events: AsyncGenerator[ChatEvent, None]) -> ChatReply:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                return event.reply
    raise EngineError("The model gave no reply.")


async def _streamed(
    request: Request,
    asked: CompletionRequest,
    answer: Answer,
    events: AsyncGenerator[ChatEvent, None],
) -> Response:
    # The first event decides the status: what is wrong with the request is a 400, not a stream.
    try:
        first = await _unless_gone(request, anext(events))
    except BaseException:
        await events.aclose()
        raise
    parts = answer.sse(_put_back(first, events), usage=asked.wants_usage)
    return _EventStream(parts, events)


async def _put_back(
    first: ChatEvent, rest: AsyncGenerator[ChatEvent, None]
) -> AsyncGenerator[ChatEvent, None]:
    async with aclosing(rest):
        yield first
        async for event in rest:
            yield event


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away.

    Raises:
        ClientDisconnect: it did.
    """

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class _EventStream(StreamingResponse):
    """Server-sent events; the generators behind them are closed when the client goes away."""

    media_type = "text/event-stream"

    def __init__(
        self, content: AsyncGenerator[str, None], *behind: AsyncGenerator[Any, None]
    ) -> None:
        super().__init__(content, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        # Closing a generator that never began does not close what it would have read.
        self._generators = (content, *behind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            last = error_event(STOPPING)
            await send({"type": "http.response.body", "body": last.encode(), "more_body": False})
        finally:
            for generator in self._generators:
                await generator.aclose()


class _KeyCheck:
    """Asks for `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, api_key: str) -> None:
        self._app = app
        self._key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
            right = hmac.compare_digest(given.strip(), self._key)
            if scheme.lower() != b"bearer" or not right:
                error = RequestError(401, "wrong or missing API key", code="invalid_api_key")
                headers = {"www-authenticate": "Bearer"}
                await JSONResponse(error.body(), 401, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _answer_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return JSONResponse(error.body(), error.status)


async def _answer_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FormosaError)
    return await _answer_request_error(request, request_error(error))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = f"{request.method} {request.url.path}: {error.detail}"
    body = RequestError(error.status_code, words).body()
    return JSONResponse(body, error.status_code, error.headers)
