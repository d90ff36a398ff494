"""Options that say which tools a command may run: files of Python functions, and MCP servers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def tool_options(who: str) -> Callable[[F], F]:
    """Add the options; the command gets `tool_files` and `servers`.

    Args:
        who: asks for the calls, as the help says it.
    """

    def added(function: F) -> F:
        files = click.option(
            "--tools",
            "tool_files",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE.py",
            help=f"Let {who} call the @tool functions of this file. Runs the file. May be "
            "repeated.",
        )
        servers = click.option(
            "--mcp",
            "servers",
            multiple=True,
            metavar="COMMAND|URL|FILE",
            allow_from_autoenv=False,  # click would cut a command at its spaces
            help=f"Let {who} call the tools of an MCP server. NAME=… begins their names with "
            'NAME_. FILE.json holds {"mcpServers": …}. May be repeated.',
        )
        return files(servers(function))

    return added
