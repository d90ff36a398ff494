"""An MCP server for tests, a process of its own: `python mcp_server.py [http]`.

Its tools misbehave in every way that a real one can.
"""

from __future__ import annotations

import base64
import os
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

server = MCPServer("demo")
READS = ToolAnnotations(read_only_hint=True)
met = anyio.Event()
waiting: list[str] = []


@server.tool(annotations=READS)
def get_weather(location: str, unit: str = "celsius") -> str:
    """Get the weather.

    Args:
        location: A city.
    """
    return f"{location} 26 {unit}"


@server.tool(annotations=READS)
def report() -> dict[str, Any]:
    """Structured."""
    return {"溫度": 26, "list": [1, None]}


@server.tool(annotations=READS, structured_output=False)
def picture() -> list[Any]:
    """Text and an image."""
    return ["a map", Image(data=base64.b64decode("aGVsbG8="), format="png")]


@server.tool(annotations=READS)
def long() -> str:
    """Much text."""
    return "長" * 100_000


@server.tool()
def delete_all(path: str) -> str:
    """Destroys."""
    return f"deleted {path}"


@server.tool(annotations=READS)
def fail() -> str:
    """Raises."""
    raise ToolError("no such\ncity")


@server.tool(annotations=READS)
def die() -> str:
    """Ends the process."""
    print("\x1b[2Jlast words", file=sys.stderr)
    os._exit(3)


@server.tool(annotations=READS)
async def hang() -> str:
    """Never ends."""
    await anyio.sleep_forever()
    return ""


@server.tool(annotations=READS)
async def meet(who: str) -> str:
    """Ends when two are here at the same time."""
    waiting.append(who)
    if len(waiting) == 2:
        met.set()
    await met.wait()
    return f"{who} met"


@server.tool(annotations=READS)
def environment() -> str:
    """The names of what it can see."""
    return " ".join(sorted(os.environ))


@server.tool("dotted.name/with slash", annotations=READS)
def dotted() -> str:
    """A name that no chat API takes."""
    return "dotted"


def serve_http() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = server.streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run([listening])


if __name__ == "__main__":
    print("\x1b[31mnoise on standard error", file=sys.stderr)
    if sys.argv[1:2] == ["http"]:
        serve_http()
    elif sys.argv[1:2] == ["broken"]:
        sys.exit("\x1b[31mno key given")
    elif sys.argv[1:2] == ["silent"]:
        sys.stdin.read()
    else:
        if sys.argv[1:2] == ["babble"]:
            print("Welcome to my server!", flush=True)
        server.run()
