"""Which MCP server is meant: from a command line, a URL, or the JSON file other clients use.

    python weather.py            a command, started here and spoken to over its standard streams
    files=npx -y some-server /x  the same; the names of its tools begin with files_
    https://example.com/mcp      a server on the web (streamable HTTP)
    servers.json                 {"mcpServers": {"files": {"command": "npx", "args": [...]}}}

Knows spellings only; nothing is started or asked here.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from formosa.errors import UserError
from formosa.files import read_json

_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31})=(.+)", re.DOTALL)
_URL = re.compile(r"https?://", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class McpServer:
    """A server to be started (`command`) or asked (`url`): one of the two.

    Attributes:
        command: program and arguments. No shell is involved.
        url: of a server that speaks streamable HTTP.
        name: put before the names of its tools, with a `_`; they are kept when it is empty.
        env: variables the program gets besides the few that are safe (PATH, HOME, …). The rest of
            this process's environment stays here.
        headers: sent with every request to `url`.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    name: str = ""
    # May hold keys, so they are in no message.
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise UserError("An MCP server is either a command or a URL.")

    @property
    def label(self) -> str:
        """What people call it. Of a command only the program and what it runs: options may hold
        keys."""
        if self.name:
            return self.name
        if self.url:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        words = [word for word in self.command[1:] if not word.startswith("-")]
        return shlex.join([self.command[0], *words[:1]])


def read_servers(text: str) -> list[McpServer]:
    """The servers that `text` names: see the top of this module. A file may name several.

    Raises:
        UserError: it names none, or the file does not fit.
    """
    if text.endswith(".json") and len(text.split()) == 1 and "=" not in text:
        return servers_from_file(Path(text))
    named = _NAMED.fullmatch(text.strip())
    name, rest = (named[1], named[2].strip()) if named else ("", text.strip())
    if _URL.match(rest):
        return [McpServer(url=rest, name=name)]
    try:
        command = tuple(shlex.split(rest))
    except ValueError as error:
        raise UserError(f"Cannot read the MCP command {rest!r}: {error}.") from error
    if not command:
        raise UserError("An MCP server needs a command or a URL.", 'such as --mcp "npx -y server"')
    return [McpServer(command, name=name)]


def servers_from_file(path: Path) -> list[McpServer]:
    """The servers of a file with `mcpServers` (as Claude, Cursor and others have it).

    `${NAME}` and `${NAME:-default}` in its texts stand for variables of the environment, so keys
    need not be in the file. A server that is `disabled` is left out.

    Raises:
        UserError: the file can't be read, or a server in it can't be used.
    """
    value = read_json(path)
    listed = value.get("mcpServers", value.get("servers")) if isinstance(value, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{path} names no MCP server.", 'it needs {"mcpServers": {"name": {…}}}')
    found = []
    for name, item in listed.items():
        where = f"{path}: {name}"
        if not isinstance(item, dict):
            raise UserError(f"{where}: must be an object.")
        if item.get("disabled"):
            continue
        if item.get("type") == "sse":
            raise UserError(f"{where}: the old SSE transport is not spoken.", "use its /mcp URL")
        arguments = item.get("args", [])
        if not isinstance(arguments, list):
            raise UserError(f"{where}: args must be a list.")
        command = item.get("command")
        words = [command, *arguments] if command else []
        cwd = item.get("cwd")
        try:
            found.append(
                McpServer(
                    command=tuple(_text(word, f"{where}: command") for word in words),
                    url=_text(item.get("url", ""), f"{where}: url"),
                    name=name,
                    env=_texts(item.get("env", {}), f"{where}: env"),
                    headers=_texts(item.get("headers", {}), f"{where}: headers"),
                    cwd=Path(_text(cwd, f"{where}: cwd")) if cwd else None,
                )
            )
        except UserError as error:
            raise UserError(
                f"{where}: {error.message}" if where not in error.message else error.message,
                error.hint,
            ) from error
    return found


def _texts(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError(f"{where} must be an object.")
    return {str(key): _text(item, f"{where}.{key}") for key, item in value.items()}


def _text(value: Any, where: str) -> str:
    """The text with variables of the environment put in."""
    if not isinstance(value, str):
        raise UserError(f"{where} must be text.")

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            raise UserError(f"{where}: ${{{match[1]}}} is not set.", f"export {match[1]}=…")
        return found

    return _VARIABLE.sub(variable, value)
