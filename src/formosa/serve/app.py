"""The routes: chat and text completions, models, health, metrics, props; and pages, if given.

Knows HTTP. Knows nothing of engines, templates or tokens: a chat model answers, or raises one of
our errors, which becomes an OpenAI error object. A client that goes away stops its generation,
whether it streams or not, and whether it waits or is being answered.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.chat.reply import Defect
from formosa.engines.protocol import ChatEvent, ChatModel, ChatReply, Piece, Usage
from formosa.errors import FormosaError, UnsupportedError
from formosa.serve.chat import ChatBody
from formosa.serve.completions import TextAnswer, TextBody
from formosa.serve.connection import KeyCheck, answering, event_stream
from formosa.serve.metrics import CONTENT_TYPE, CountRequests, Metrics
from formosa.serve.pages import Pages
from formosa.serve.props import model_props, versions
from formosa.serve.protocol import RequestError, json_bytes, read_body, request_error, stopping
from formosa.serve.queue import Limits
from formosa.serve.raw import raw_fields
from formosa.serve.record import Record
from formosa.serve.replies import Replies
from formosa.serve.response_items import ResponseAnswer
from formosa.serve.responses import ResponseBody
from formosa.serve.served import Served
from formosa.serve.stream import ChatAnswer


def create_app(
    models: Mapping[str, ChatModel],
    *,
    api_key: str | None = None,
    hosts: Sequence[str] | None = None,
    close: bool = False,
    limits: Limits | None = None,
    record: Path | None = None,
    pages: Pages | None = None,
) -> Starlette:
    """An ASGI app that serves `models` under their names.

    `app.state.stop()` lets no request in any more, while those that run go on. `app.state.failed`
    is what kept it from starting, if one of our errors did.

    Args:
        models: the first one answers requests that name none.
        api_key: asked for on every route but `/health`.
        hosts: names that a request's Host header may have; anything by default. On loopback
            without a key this keeps web pages out that resolve their own name to 127.0.0.1.
        close: close the models when the server stops.
        limits: how much each model takes on.
        record: a JSON-lines file that gets each reply's raw text beside its parse.
        pages: what else is served here.

    Raises:
        UserError: the record can't be written.
    """
    if not models:
        raise ValueError("nothing to serve")
    pages = pages or Pages()
    gateway = Gateway(models, limits or Limits(), Record(record) if record else None)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(pages.around())
            except FormosaError as error:
                # Raised, it would be a traceback in uvicorn's log. `run_app` looks for it.
                app.state.failed = error
            yield
        if close:
            for model in models.values():
                await model.aclose()
        gateway.close()

    routes = [
        Route("/v1/chat/completions", answering(gateway.chat_completions), methods=["POST"]),
        Route("/v1/completions", answering(gateway.completions), methods=["POST"]),
        Route("/v1/responses", answering(gateway.responses), methods=["POST"]),
        Route("/v1/models", gateway.list_models, methods=["GET"]),
        Route("/v1/models/{name:path}", gateway.show_model, methods=["GET"]),
        Route("/health", gateway.health, methods=["GET"]),
        Route("/metrics", gateway.show_metrics, methods=["GET"]),
        Route("/props", gateway.props, methods=["GET"]),
        *pages.routes,
    ]
    paths = frozenset(route.path for route in routes)
    middleware = [Middleware(CountRequests, metrics=gateway.metrics, routes=paths)]
    if hosts is not None:
        middleware.append(
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
        )
    if api_key is not None:
        open_paths = {"/health", *pages.open}
        middleware.append(Middleware(KeyCheck, api_key=api_key, open_paths=open_paths))
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            RequestError: _answer_request_error,
            FormosaError: _answer_our_error,
            HTTPException: _answer_http_error,
            Exception: _answer_bug,
        },
        lifespan=lifespan,
    )
    app.state.stop = gateway.stop
    app.state.failed = None
    return app


class Gateway:
    """What stands behind the routes."""

    def __init__(
        self, models: Mapping[str, ChatModel], limits: Limits, record: Record | None
    ) -> None:
        self.metrics = Metrics()
        self._models = {
            name: Served(name, chat, limits, self.metrics) for name, chat in models.items()
        }
        self._record = record
        self._started = int(time.time())
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        for served in self._models.values():
            served.queue.stop()

    def close(self) -> None:
        if self._record is not None:
            self._record.close()

    # -- completions -------------------------------------------------------------------------

    async def chat_completions(self, body: bytes) -> Response:
        asked = read_body(ChatBody, body)
        served = self._find(asked.model)
        tags = await served.tag_tokens(asked.structured_outputs)
        requests = asked.requests(served.chat.info, tags)
        answer = ChatAnswer(served.name, logprobs=bool(asked.logprobs))
        replies = Replies(served, answer.id, requests, self._record, asked.in_its_words)

        def raw(ended: Sequence[ChatReply]) -> dict[str, Any] | None:
            return raw_fields(served.chat, requests, ended) if asked.wants_raw else None

        async def stream(
            events: AsyncGenerator[tuple[int, ChatEvent], None],
        ) -> AsyncGenerator[bytes, None]:
            usage = asked.wants_usage
            parts = answer.sse(events, choices=len(requests), usage=usage)
            async with aclosing(parts):
                async for part in parts:
                    yield part
            if not (usage or asked.wants_raw):
                return
            ended, reasoning = await replies.whole()
            if (fields := raw(ended)) is not None:
                yield answer.raw_event(fields, usage=usage)
            if usage:
                yield answer.usage_event(ended, reasoning)

        if asked.stream:
            return await event_stream(replies.events(), stream)
        await _read(replies.events())
        ended, reasoning = await replies.whole()
        return _json(answer.whole(ended, reasoning, raw=raw(ended)))

    async def responses(self, body: bytes) -> Response:
        asked = read_body(ResponseBody, body)
        served = self._find(asked.model)
        request = asked.request(served.chat.info)
        answer = ResponseAnswer(served.name, asked)
        replies = Replies(served, answer.id, [request], self._record, asked.in_its_words)
        if asked.stream:
            return await event_stream(
                replies.events(), lambda events: answer.sse(events, replies.whole), end=b""
            )
        async with aclosing(replies.events()) as events:
            async for _, event in events:
                answer.add(event)
        return _json(answer.whole(*await replies.whole()))

    async def completions(self, body: bytes) -> Response:
        asked = read_body(TextBody, body)
        served = self._find(asked.model)
        engine = served.engine
        if engine is None:
            raise UnsupportedError(
                "model", f"{served.name} answers conversations only", "use /v1/chat/completions"
            )
        tags = await served.tag_tokens(asked.structured_outputs)
        prompts, samplings = asked.prompts(), asked.samplings(tags)
        jobs = [(prompt, sampling) for prompt in prompts for sampling in samplings]
        answer = TextAnswer(served.name, jobs, each=len(samplings))
        pieces = served.run([engine.generate(*job) for job in jobs], _end_of_text)

        async def noted() -> AsyncGenerator[tuple[int, Piece], None]:
            async with aclosing(pieces):
                async for index, piece in pieces:
                    answer.add(index, piece)
                    if piece.finish is not None and self._record is not None:
                        self._record.text(answer, index, served)
                    yield index, piece

        if asked.stream:
            return await event_stream(
                noted(), lambda noted: answer.sse(noted, usage=asked.wants_usage)
            )
        await _read(noted())
        return _json(answer.whole())

    # -- the rest ----------------------------------------------------------------------------

    async def list_models(self, _: Request) -> Response:
        data = [served.object(self._started) for served in self._models.values()]
        return _json({"object": "list", "data": data})

    async def show_model(self, request: Request) -> Response:
        return _json(self._find(request.path_params["name"]).object(self._started))

    async def health(self, _: Request) -> Response:
        if self._stopping:
            raise stopping()
        return _json({"status": "ok"})

    async def show_metrics(self, _: Request) -> Response:
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    async def props(self, _: Request) -> Response:
        models = [model_props(served) for served in self._models.values()]
        return _json({"models": models, "versions": versions()})

    def _find(self, name: str | None) -> Served:
        if name is None:
            return next(iter(self._models.values()))
        if name not in self._models:
            known = ", ".join(self._models)
            raise RequestError(
                404,
                f"model: no model is called {name[:200]!r} here; there is {known}",
                param="model",
                code="model_not_found",
            )
        return self._models[name]


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type="application/json")


async def _read(events: AsyncGenerator[Any, None]) -> None:
    async with aclosing(events):
        async for _ in events:
            pass


def _end_of_text(piece: Piece) -> tuple[Usage | None, tuple[Defect, ...]] | None:
    return None if piece.finish is None else (piece.usage, ())


async def _answer_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    body = json_bytes(error.body())
    return Response(body, error.status, error.headers(), "application/json")


async def _answer_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FormosaError)
    return await _answer_request_error(request, request_error(error))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = f"{request.method} {request.url.path}: {error.detail}"
    body = json_bytes(RequestError(error.status_code, words).body())
    return Response(body, error.status_code, error.headers, "application/json")


async def _answer_bug(request: Request, _: Exception) -> Response:
    """The server logs it; a client learns nothing of it."""
    return await _answer_request_error(request, RequestError(500, "internal error"))
