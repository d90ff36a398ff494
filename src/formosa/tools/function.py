"""A Python function as a tool: `@tool`, its arguments, and running it.

Knows signatures, threads and what a result looks like as text. Knows nothing of models, limits or
other kinds of tools.

A plain function runs in a thread of its own. The thread is a daemon: one that never returns is left
behind after the time limit and does not hold up the end of the program (the threads of asyncio's
own pool would, and there are only a few of them). Trade-off: Python can't stop it, so it keeps
whatever it holds until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, overload

import pydantic_core

from formosa.chat.message import Tool, json_text
from formosa.chat.schema import read_arguments, tool_from_function
from formosa.errors import MessageError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class FunctionTool(Generic[P, R]):
    """A function and the tool that a model sees in it. Called like the function itself.

    Attributes:
        tool: name, description and JSON schema, from the signature and the docstring.
        function: a plain or an `async` function.
        confirm: whether a person must agree to each call.
    """

    tool: Tool
    function: Callable[P, R]
    confirm: bool = False

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def source(self) -> str:
        """The file it stands in."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return str(code.co_filename) if code else f"module {self.function.__module__}"

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    def read(self, arguments: str) -> dict[str, Any]:
        """Keyword arguments from the JSON text of a call, checked against the types.

        Raises:
            MessageError: one line that tells a model what to put right.
        """
        return read_arguments(self.function, arguments)

    async def run(self, arguments: dict[str, Any]) -> str:
        """Call the function; its result as text. What it raises is passed on."""
        # Any: ParamSpec can't say that checked keyword arguments fit.
        function: Callable[..., Any] = self.function

        def plain() -> Any:
            value = function(**arguments)
            # To text here, in the thread: a result may be large, or a generator with work in it.
            return value if inspect.isawaitable(value) else result_text(value)

        if self.is_async:
            return result_text(await function(**arguments))
        value = await _in_thread(plain)
        return value if isinstance(value, str) else result_text(await value)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(*, confirm: bool = False) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None, /, *, confirm: bool = False
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Mark a function as a tool. Its types and docstring become the schema.

    Used as `@tool`, or as `@tool(confirm=True)` where a person must agree to each call.

    Raises:
        MessageError: a parameter has no type, or one that JSON can't hold.
    """

    def marked(function: Callable[P, R]) -> FunctionTool[P, R]:
        if inspect.isasyncgenfunction(function):
            raise MessageError(function.__name__, "an async generator is no tool; return a value")
        return FunctionTool(tool_from_function(function), function, confirm)

    return marked if function is None else marked(function)


def result_text(value: Any) -> str:
    """A string as it is; anything else as the JSON that models are trained to read."""
    if type(value) is str:
        return value
    plain = json.loads(pydantic_core.to_json(value, inf_nan_mode="strings"))
    return plain if isinstance(plain, str) else json_text(plain)


async def _in_thread(function: Callable[[], Any]) -> Any:
    """What the function returns or raises, from a daemon thread."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if not outcome.done():  # it is done when the time limit came first
            outcome.set_result((value, error))

    def work() -> None:
        value, error = None, None
        try:
            value = context.run(function)
        except BaseException as raised:  # handed to the one who waits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name="formosa-tool", daemon=True).start()
    value, error = await outcome
    if error is not None:
        raise error
    return value
