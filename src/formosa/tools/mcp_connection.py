"""A connection to one MCP server: opened, asked, closed, and its results as text.

Whatever a server says or does, a call ends in a text or in a `ToolError`, and opening it in a list
of tools or one sentence.

A connection lives in a task of its own, because the streams of `mcp` must be closed by the task
that opened them, and a chat is many tasks, one after the other.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from formosa.chat.message import json_text
from formosa.errors import UserError
from formosa.tools.address import is_loopback
from formosa.tools.mcp_servers import McpServer
from formosa.tools.registry import ToolError

if TYPE_CHECKING:
    import httpx2
    import mcp
    import mcp.types

PAGES = 100  # of a list of tools
WORDS = 300  # characters of a server's words that go into an error


class McpConnection:
    """A connection and the task it lives in."""

    def __init__(self, server: McpServer, seconds: float) -> None:
        self.server = server
        self._seconds = seconds
        self._client: mcp.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._status = 0  # of the last HTTP answer; `mcp` does not tell it

    async def open(self) -> list[mcp.types.Tool]:
        """Connect and return the tools the server lists.

        Raises:
            UserError: it can't be started or reached, or does not list its tools in time.
        """
        listed: asyncio.Future[list[mcp.types.Tool]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(listed))
        return await listed

    async def close(self) -> None:
        """Stop the server, or say goodbye to it. Never raises: there is nothing to be done."""
        task, self._task = self._task, None
        if task is None:
            return
        if self._client is None:
            task.cancel()  # still opening
        self._stop.set()
        await asyncio.wait([task])

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The result of a tool as text.

        Raises:
            ToolError: the tool failed, or the server did.
        """
        import mcp

        label = self.server.label
        if self._client is None or self._task is None or self._task.done():
            raise ToolError(f"the MCP server {label} has ended")
        try:
            result = await self._client.call_tool(name, arguments)
        except mcp.MCPError as error:
            if error.error.code == mcp.types.CONNECTION_CLOSED:
                raise ToolError(f"the MCP server {label} has ended") from error
            raise ToolError(f"MCP server {label}: {one_line(str(error))}") from error
        except Exception as error:  # streams that broke, results that fit no schema
            kind = type(error).__name__
            raise ToolError(f"MCP server {label}: {kind}: {one_line(str(error))}") from error
        text = _result_text(result)
        if result.is_error:
            raise ToolError(text or f"{name} failed and gave no reason")
        return text

    async def _live(self, listed: asyncio.Future[list[mcp.types.Tool]]) -> None:
        """Connect, list the tools, and stay until `close`."""
        tail = _Tail() if self.server.command else None
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._seconds):
                    client = await self._connected(stack, tail)
                    tools = await _all_tools(client)
                self._client = client
                if tail:
                    tail.writer.close()  # the server has its own copy: it ends when that does
                if not listed.done():
                    listed.set_result(tools)
                await self._stop.wait()
        except asyncio.CancelledError:
            listed.cancel()
            raise
        except Exception as error:  # anyio raises groups of them
            if not listed.done():
                listed.set_exception(self._explained(error, tail))
        finally:
            if tail:
                tail.writer.close()

    async def _connected(self, stack: AsyncExitStack, tail: _Tail | None) -> mcp.Client:
        import httpx2
        import mcp
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        server = self.server
        if tail is not None:
            parameters = mcp.StdioServerParameters(
                command=server.command[0],
                args=list(server.command[1:]),
                env=dict(server.env),
                cwd=server.cwd,
            )
            transport = stdio_client(parameters, errlog=tail.writer)
        else:
            http = await stack.enter_async_context(
                httpx2.AsyncClient(
                    headers=dict(server.headers),
                    timeout=httpx2.Timeout(30, read=300),
                    trust_env=not is_loopback(server.url),
                    event_hooks={"response": [self._note_status]},
                )
            )
            transport = streamable_http_client(server.url, http_client=http)
        return await stack.enter_async_context(mcp.Client(transport))

    async def _note_status(self, response: httpx2.Response) -> None:
        self._status = response.status_code

    def _explained(self, error: Exception, tail: _Tail | None) -> UserError:
        """One sentence for what went wrong, however deep it was packed."""
        causes = list(_leaves(error))
        cause = next((one for one in causes if isinstance(one, OSError | TimeoutError)), causes[0])
        label = self.server.label
        words = f": {said}" if tail and (said := tail.last_words()) else ""
        if isinstance(cause, TimeoutError):
            return UserError(
                f"MCP server {label} did not list its tools within {self._seconds:g} seconds{words}"
            )
        if isinstance(cause, OSError) and self.server.command:
            return UserError(
                f"Cannot start MCP server {label}: {cause.strerror or cause}.",
                f"is {self.server.command[0]} installed, and on the PATH?",
            )
        if self.server.command:
            words = words or f": {one_line(str(cause))}"
            return UserError(
                f"MCP server {label} ended before it listed its tools{words}",
                "run its command by itself to see what it says",
            )
        if self._status in (401, 403):
            return UserError(
                f"MCP server {label} lets nobody in without the right key (HTTP {self._status}).",
                'put it into "headers" of a servers.json: "Authorization": "Bearer ${MY_KEY}"',
            )
        status = f"HTTP {self._status}: " if self._status >= 400 else ""
        return UserError(
            f"MCP server {label} gives no tools: {status}{one_line(str(cause))}",
            "the URL of a server that speaks streamable HTTP often ends in /mcp",
        )


class _Tail:
    """The last words of a server on its standard error, which stay off the screen.

    A thread reads them, because the event loop does not always run, and a server whose pipe is
    full would wait for ever.
    """

    def __init__(self) -> None:
        read, write = os.pipe()
        self.writer = os.fdopen(write, "w")
        self._kept = b""
        self._thread = threading.Thread(target=self._drain, args=(read,), daemon=True)
        self._thread.start()

    def last_words(self) -> str:
        """The last line, once the server has ended."""
        self.writer.close()
        self._thread.join(1.0)
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        return one_line(lines[-1]) if lines else ""

    def _drain(self, read: int) -> None:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while chunk := pipe.read(4096):
                self._kept = (self._kept + chunk)[-4096:]


async def _all_tools(client: mcp.Client) -> list[mcp.types.Tool]:
    found: list[mcp.types.Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _result_text(result: mcp.types.CallToolResult) -> str:
    """What a model can read of a result: its texts, or its structured value where it has none.

    Pictures, sound and files are named, not shown.
    """
    texts = [text for block in result.content if (text := _block_text(block))]
    has_text = any(block.type == "text" for block in result.content)
    if not has_text and result.structured_content is not None:
        texts.append(json_text(result.structured_content))
    return "\n".join(texts)


def _block_text(block: mcp.types.ContentBlock) -> str:
    if block.type == "text":
        return block.text
    if block.type == "resource_link":
        return f"[resource {block.name}: {block.uri}]"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        if isinstance(text, str):
            return text
        data = getattr(block.resource, "blob", "")
        return f"[file {block.resource.uri}, {len(data) * 3 // 4} bytes]"
    return f"[{block.type}: {block.mime_type}, {len(block.data) * 3 // 4} bytes]"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def one_line(text: str) -> str:
    """A server's words as one short line that can't steer a terminal."""
    words = "".join(c if c.isprintable() else " " for c in text).split()
    line = " ".join(words)
    return line if len(line) <= WORDS else f"{line[:WORDS]}…"
