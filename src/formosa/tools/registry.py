"""What may run: functions marked with `@tool`, gathered by name.

Knows functions and their schemas. Knows nothing of models, and runs nothing itself.

Marking a function does not make it callable by a model. It must also stand in the `Registry` that
is handed to the loop: which tools a model has is visible at the place where it is asked.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from formosa.chat.message import Tool
from formosa.chat.schema import read_arguments, tool_from_function
from formosa.errors import MessageError, UserError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class RegisteredTool(Generic[P, R]):
    """A function and the tool that a model sees in it. Called like the function itself.

    Attributes:
        tool: name, description and JSON schema, from the signature and the docstring.
        function: a plain or an `async` function.
    """

    tool: Tool
    function: Callable[P, R]

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def read(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments from the JSON text of a call, checked against the types.

        Raises:
            MessageError: one line that tells a model what to put right.
        """
        return read_arguments(self.function, arguments)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


def tool(function: Callable[P, R]) -> RegisteredTool[P, R]:
    """Mark a function as a tool. Its types and docstring become the schema.

    Raises:
        MessageError: a parameter has no type, or one that JSON can't hold.
    """
    if inspect.isasyncgenfunction(function):
        raise MessageError(function.__name__, "an async generator is no tool; return a value")
    return RegisteredTool(tool_from_function(function), function)


class Registry:
    """Tools by name, in the order they were added. Only these run."""

    def __init__(self, tools: Iterable[RegisteredTool[..., Any]] = ()) -> None:
        self._by_name: dict[str, RegisteredTool[..., Any]] = {}
        for item in tools:
            self.add(item)

    def add(self, item: RegisteredTool[..., Any]) -> None:
        """Let a tool be called.

        Raises:
            UserError: the name is taken, or `item` was not marked with `@tool`.
        """
        if not isinstance(item, RegisteredTool):
            raise UserError(f"{item!r} is not a tool.", "put @tool before its def")
        if item.name in self._by_name:
            raise UserError(
                f"Two tools are named {item.name!r}.", "rename one: a model calls tools by name"
            )
        self._by_name[item.name] = item

    def get(self, name: str) -> RegisteredTool[..., Any] | None:
        return self._by_name.get(name)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a model is shown."""
        return tuple(item.tool for item in self)

    def __iter__(self) -> Iterator[RegisteredTool[..., Any]]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name


def load_tools(path: Path) -> list[RegisteredTool[..., Any]]:
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
    found: list[RegisteredTool[..., Any]] = []
    for value in vars(module).values():
        if isinstance(value, RegisteredTool) and not any(value is other for other in found):
            found.append(value)
    if not found:
        raise UserError(
            f"{path} holds no tool.", "from formosa.tools.registry import tool; put @tool on a def"
        )
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
