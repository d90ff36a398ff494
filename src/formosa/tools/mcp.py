"""Tools of MCP servers, over standard streams or HTTP, with the official `mcp` package.

    async with mcp_tools("python weather.py", "https://example.com/mcp") as tools:
        await converse(model, "台北氣溫如何？", [*tools, my_own_tool])

Knows the protocol's tools, and no more of it: a server that asks for our model, our files or our
user gets a refusal. Its tools are those it listed when it was opened; what it adds later does not
run. How it is spoken to stands in `mcp_connection`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jsonschema
from jsonschema.validators import validator_for

from formosa.chat.message import Tool, read_object
from formosa.errors import MessageError, UserError
from formosa.tools.mcp_connection import McpConnection, one_line
from formosa.tools.mcp_servers import McpServer, read_servers

if TYPE_CHECKING:
    import mcp
    import mcp.types

NAME = 64  # characters of a tool's name: the limit of the OpenAI API
PROBLEMS = 5  # of wrong arguments that are told at once


@dataclass(frozen=True)
class McpTool:
    """A tool of a server.

    Attributes:
        tool: as a model is shown it: a name that every API takes, the schema without titles.
        confirm: true unless the server says that the tool only reads.
        source: the server, for people.
    """

    tool: Tool
    confirm: bool
    source: str
    _connection: McpConnection = field(repr=False)
    _name: str  # what the server calls it
    _schema: dict[str, Any] = field(repr=False)

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments of a call, checked against the server's schema.

        Raises:
            MessageError: one line that tells a model what to put right.
        """
        value = read_object(arguments, "")
        problems = [
            f"{'.'.join(map(str, error.absolute_path)) or 'arguments'}: {one_line(error.message)}"
            for error in _validator(self._schema).iter_errors(value)
        ]
        if problems:
            raise MessageError("", "; ".join(problems[:PROBLEMS]))
        return value

    async def run(self, arguments: dict[str, Any]) -> str:
        return await self._connection.call(self._name, arguments)


@asynccontextmanager
async def mcp_tools(
    *servers: str | McpServer, seconds: float = 60.0, say: Callable[[str], None] | None = None
) -> AsyncGenerator[list[McpTool], None]:
    """The tools of these servers, all opened at once, closed when the block ends.

    Args:
        servers: a command line, a URL or a JSON file each (see `mcp_servers`), or a `McpServer`.
        seconds: until a server must have listed its tools.
        say: takes remarks for the person, such as a tool that can't be used.

    Raises:
        UserError: `mcp` is not installed; a server can't be started or reached, or says nothing.
    """
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise UserError(
            "MCP servers need the `mcp` package.", "pip install 'formosa-lm[mcp]'"
        ) from error
    # Without any handler, Python prints what this package warns of between the lines of a chat.
    logging.getLogger("mcp").addHandler(logging.NullHandler())
    wanted = [
        server
        for item in servers
        for server in ([item] if isinstance(item, McpServer) else read_servers(item))
    ]
    connections = [McpConnection(server, seconds) for server in wanted]
    async with AsyncExitStack() as stack:
        for connection in connections:
            stack.push_async_callback(connection.close)
        listed = await asyncio.gather(*(one.open() for one in connections))
        yield [
            tool
            for connection, tools in zip(connections, listed, strict=True)
            for tool in _registered(connection, tools, say)
        ]


def _registered(
    connection: McpConnection, listed: list[mcp.types.Tool], say: Callable[[str], None] | None
) -> Iterator[McpTool]:
    server = connection.server
    names = [_valid_name(f"{server.name}_{item.name}" if server.name else item.name)
             for item in listed]  # fmt: skip
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise UserError(f"MCP server {server.label} has two tools named {doubled[0]!r}.")
    for name, item in zip(names, listed, strict=True):
        try:
            _validator_class(item.input_schema).check_schema(item.input_schema)
            shown = Tool.of(name, item.description or "", _without_titles(item.input_schema))
        except (jsonschema.SchemaError, RecursionError, ValueError) as error:
            if say:
                said = one_line(str(error))
                say(f"left out: {name} of {server.label}; its schema is broken: {said}")
            continue
        hints = item.annotations
        yield McpTool(
            tool=shown,
            confirm=not (hints and hints.read_only_hint and not hints.destructive_hint),
            source=f"MCP server {server.label}",
            _connection=connection,
            _name=item.name,
            _schema=item.input_schema,
        )


def _valid_name(name: str) -> str:
    """The name as every API takes it: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:NAME]


def _validator_class(schema: dict[str, Any]) -> Any:
    # Any: jsonschema's types call it a protocol that can't be made.
    return validator_for(schema, default=jsonschema.Draft202012Validator)


def _validator(schema: dict[str, Any]) -> Any:
    from referencing import Registry

    # An empty registry: a `$ref` to the web is an error, and not fetched.
    return _validator_class(schema)(schema, registry=Registry())


def _without_titles(schema: Any) -> Any:
    """The schema without the titles that pydantic writes, as models are trained to see it."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for key, value in schema.items():
        if key in ("properties", "$defs") and isinstance(value, dict):
            result[key] = {name: _without_titles(item) for name, item in value.items()}
        elif key in ("default", "enum", "const", "examples"):
            result[key] = value
        elif not (key == "title" and isinstance(value, str)) and key != "$schema":
            result[key] = _without_titles(value)
    return result
