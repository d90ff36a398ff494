"""The tools of the chat page: which there are, and running their calls in this process.

    GET  /tools      each tool with its schema, whether it needs consent, and the limits
    POST /tools/run  {"calls": [{"id", "name", "arguments"}], "agreed": [ids]}

The answer to a run is a stream of results, each as soon as it is there, with the id of its call.
Only registered tools run, by name, their arguments checked, within the limits of `formosa.tools`.

A call of a tool that needs consent runs only if its id is among the agreed ones: the page asks a
person and says so. The server can't see that person. What it can see is that the request comes from
its own page: a page of another origin can neither send JSON here (no CORS) nor, where it gives its
origin away, anything at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import urlsplit

import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from formosa.chat.message import ToolCall
from formosa.serve.connection import answering, event_stream
from formosa.serve.protocol import Body, RequestError, json_bytes, read_body, refused
from formosa.tools.registry import Registry, RunnableTool
from formosa.tools.runner import Limits, Record, ToolResult, run_calls

MOST_CALLS = 512  # in one request; the limits say how many of them run

Text = Annotated[str, pydantic.Field(min_length=1, max_length=200)]


class CallBody(Body):
    """A call as the model made it; its arguments are the text of a JSON object."""

    id: Text
    name: Text
    arguments: str = "{}"


class RunBody(Body):
    """Calls of one reply, and the ids of those that a person agreed to."""

    calls: Annotated[list[CallBody], pydantic.Field(min_length=1, max_length=MOST_CALLS)]
    agreed: list[str] = []


def tool_routes(
    registry: Registry, limits: Limits | None = None, record: Record | None = None
) -> list[Route]:
    """The two routes.

    Args:
        registry: all that can run. It may grow until the server answers its first request.
        limits: of each round of calls.
        record: told of each call and its result, whether it ran or not.
    """
    limits = limits or Limits()

    async def show(request: Request) -> Response:
        refuse_other_origins(request)
        return JSONResponse(
            {
                "tools": [shown_tool(item) for item in registry],
                "limits": {
                    "seconds": limits.seconds,
                    "characters": limits.characters,
                    "calls": limits.calls,
                },
            }
        )

    async def run(body: bytes) -> Response:
        asked = read_body(RunBody, body)
        results = run_as_they_come(read_calls(asked), registry, limits, set(asked.agreed), record)
        return await event_stream(results, _events)

    async def guarded(request: Request) -> Response:
        refuse_other_origins(request)
        return await answering(run)(request)

    return [
        Route("/tools", show, methods=["GET"]),
        Route("/tools/run", guarded, methods=["POST"]),
    ]


def refuse_other_origins(request: Request) -> None:
    """Refuse what a page of another origin asks for. Programs name no origin, and may ask.

    Behind a proxy that ends TLS the scheme is another one than the page's, so hosts are compared.

    Raises:
        RequestError: 403.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    host = request.headers.get("host", "").lower()
    if (origin is not None and _host(origin) != host) or site not in ("same-origin", "none"):
        raise RequestError(403, "only this server's own pages may ask for that")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # no browser says that
        return None


def shown_tool(item: RunnableTool) -> dict[str, Any]:
    """A tool for the page. Of a file only its name: folders are nobody's business."""
    source = item.source
    return {
        **item.tool.to_openai(),
        "confirm": item.confirm,
        "source": PurePath(source).name if PurePath(source).is_absolute() else source,
    }


def read_calls(asked: RunBody) -> list[ToolCall]:
    """The calls of a request.

    Raises:
        RequestError: two have one id, so that their results could not be told apart.
    """
    seen: set[str] = set()
    for i, call in enumerate(asked.calls):
        if call.id in seen:
            raise refused(f"calls[{i}].id", f"{call.id!r} names two calls")
        seen.add(call.id)
    return [ToolCall(call.name, call.arguments, call.id) for call in asked.calls]


async def run_as_they_come(
    calls: Sequence[ToolCall],
    registry: Registry,
    limits: Limits,
    agreed: Collection[str],
    record: Record | None = None,
) -> AsyncGenerator[ToolResult, None]:
    """Run all calls at the same time; each result as soon as it is there.

    Leaving early stops those that still run.
    """
    arrived: asyncio.Queue[ToolResult | None] = asyncio.Queue()

    def note(call: ToolCall, result: ToolResult) -> None:
        if record is not None:
            record(call, result)
        arrived.put_nowait(result)

    running = asyncio.ensure_future(
        run_calls(calls, registry, limits, confirm=lambda call, _: call.id in agreed, record=note)
    )
    running.add_done_callback(lambda _: arrived.put_nowait(None))
    try:
        while (result := await arrived.get()) is not None:
            yield result
        await running  # what went wrong besides the calls
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _events(results: AsyncGenerator[ToolResult, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(results):
        async for result in results:
            yield b"data: " + json_bytes(result._asdict()) + b"\n\n"
