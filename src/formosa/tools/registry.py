"""What may run: tools gathered by name, wherever they come from.

Knows what a tool must offer (`RunnableTool`) and which names are taken. Knows nothing of models,
and runs nothing itself.

Marking a function does not make it callable by a model, nor does connecting to an MCP server. A
tool must also stand in the `Registry` that is handed to the loop: which tools a model has is
visible at the place where it is asked.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from formosa.chat.message import Tool
from formosa.errors import UserError
from formosa.tools.function import FunctionTool


class ToolError(Exception):
    """Why a call has no result, in words for the model. Shown to it without a class name."""


@runtime_checkable
class RunnableTool(Protocol):
    """A tool that can be run: a function, or one of an MCP server."""

    @property
    def tool(self) -> Tool:
        """What a model is shown."""
        ...

    @property
    def confirm(self) -> bool:
        """Whether a person must agree to each call."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from, for people: a file, a server."""
        ...

    def read(self, arguments: str) -> dict[str, Any]:
        """Arguments from the JSON text of a call, checked.

        Raises:
            MessageError: one line that tells a model what to put right.
        """
        ...

    async def run(self, arguments: dict[str, Any]) -> str:
        """The result as text for the model.

        Raises:
            Exception: the call has no result. `ToolError` where the words are meant for a model.
        """
        ...


class Registry:
    """Tools by name, in the order they were added. Only these run."""

    def __init__(self, tools: Iterable[RunnableTool] = ()) -> None:
        self._by_name: dict[str, RunnableTool] = {}
        for item in tools:
            self.add(item)

    def add(self, item: RunnableTool) -> None:
        """Let a tool be called.

        Raises:
            UserError: the name is taken, or `item` is not a tool.
        """
        if not isinstance(item, RunnableTool):
            raise UserError(f"{item!r} is not a tool.", "put @tool before its def")
        name = item.tool.name
        if name in self._by_name:
            sources = f"one of {self._by_name[name].source}, one of {item.source}"
            raise UserError(
                f"Two tools are named {name!r}: {sources}.",
                "rename one, or give its MCP server a name (--mcp NAME=…, which begins the names "
                "of its tools): a model calls tools by name",
            )
        self._by_name[name] = item

    def get(self, name: str) -> RunnableTool | None:
        return self._by_name.get(name)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a model is shown."""
        return tuple(item.tool for item in self)

    def __iter__(self) -> Iterator[RunnableTool]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name


def load_tools(path: Path) -> list[FunctionTool[..., Any]]:
    """Run a Python file and return the tools that stand in it, in their order.

    The file runs with all rights of this process: only load one that its user named.

    Raises:
        UserError: the file is missing, does not run, or holds no tool.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file.", "name a Python file with @tool functions")
    name = f"formosa_tools_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file.", "its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up by name
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        where = f", line {line}" if (line := _line_in(path, error)) else ""
        raise UserError(f"{path}{where}: {type(error).__name__}: {error}") from error
    found: list[FunctionTool[..., Any]] = []
    for value in vars(module).values():
        if isinstance(value, FunctionTool) and not any(value is other for other in found):
            found.append(value)
    if not found:
        raise UserError(f"{path} holds no tool.", "from formosa import tool; put @tool on a def")
    return found


def _line_in(path: Path, error: BaseException) -> int | None:
    """The last line of `path` that the error passed through."""
    if isinstance(error, SyntaxError):
        return error.lineno
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
