"""Run the calls of one reply: all at once, by name, answered by id, within limits.

Whatever goes wrong with a call is a result that the model can read, never an exception: an unknown
tool, wrong arguments, an error in the function, too much time, too much text. Only cancelling the
whole is passed on.

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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic_core

from formosa.chat.message import Message, ToolCall, json_text
from formosa.chat.schema import describe
from formosa.errors import MessageError
from formosa.tools.registry import RegisteredTool, Registry


@dataclass(frozen=True, slots=True)
class Limits:
    """What one round of calls may cost.

    Attributes:
        seconds: for each call.
        characters: of each result. Longer ones are cut, with a note, so that one web page does not
            fill the model's context.
        calls: of one reply. The rest is refused; a model in a loop writes hundreds.
    """

    seconds: float = 30.0
    characters: int = 4_000
    calls: int = 32


class ToolResult(NamedTuple):
    """The answer to one call; `ok` is false where the content is an error. Time in seconds."""

    id: str
    name: str
    content: str
    ok: bool
    seconds: float

    def message(self) -> Message:
        return Message("tool", self.content, tool_call_id=self.id, name=self.name)


class _CallError(Exception):
    """Why a call has no result, in words for the model."""


async def run_calls(
    calls: Sequence[ToolCall], registry: Registry, limits: Limits | None = None
) -> tuple[ToolResult, ...]:
    """Run all calls at the same time.

    Returns:
        One result for each call, in the order of the calls, with the id and the name of its call.
    """
    limits = limits or Limits()
    return tuple(
        await asyncio.gather(
            *(_run(call, place, registry, limits) for place, call in enumerate(calls))
        )
    )


def refused(call: ToolCall, reason: str) -> ToolResult:
    """The result of a call that was not run."""
    return ToolResult(call.id, call.name, f"error: {reason}", False, 0.0)


async def _run(call: ToolCall, place: int, registry: Registry, limits: Limits) -> ToolResult:
    if place >= limits.calls:
        return refused(call, f"not run; at most {limits.calls} calls in one reply")
    started = time.perf_counter()
    try:
        content, ok = await _answer(call, registry, limits), True
    except _CallError as error:
        content, ok = f"error: {error}", False
    # A lone surrogate can't be sent to any server; a question mark can.
    content = content.encode("utf-8", "replace").decode("utf-8")
    content = _cut(content, limits.characters)
    return ToolResult(call.id, call.name, content, ok, time.perf_counter() - started)


async def _answer(call: ToolCall, registry: Registry, limits: Limits) -> str:
    item = registry.get(call.name)
    if item is None:
        known = ", ".join(tool.name for tool in registry.tools) or "none"
        raise _CallError(f"unknown tool {call.name!r}; the tools are: {known}")
    try:
        arguments = item.read(call.arguments)
    except MessageError as error:
        raise _CallError(f"wrong arguments: {error}; expected {describe(item.tool)}") from error
    except Exception as error:  # a validator of the user's own types failed
        raise _CallError(f"wrong arguments: {_explain(error)}") from error
    clock = asyncio.timeout(limits.seconds)
    try:
        async with clock:
            return await _call(item, arguments)
    except TimeoutError as error:
        if clock.expired():
            raise _CallError(f"no result within {limits.seconds:g} seconds") from error
        raise _CallError(_explain(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # we are being stopped; otherwise the tool awaited something that was
        raise _CallError("the tool was cancelled") from error
    except (Exception, SystemExit) as error:
        raise _CallError(_explain(error)) from error


async def _call(item: RegisteredTool[..., Any], arguments: dict[str, Any]) -> str:
    def plain() -> Any:
        value = item.function(**arguments)
        # To text here, in the thread: a result may be large, or a generator with work in it.
        return value if inspect.isawaitable(value) else _text(value)

    if item.is_async:
        return _text(await item.function(**arguments))
    value = await _in_thread(plain)
    return value if isinstance(value, str) else _text(await value)


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


def _text(value: Any) -> str:
    """A string as it is; anything else as the JSON that models are trained to read."""
    if type(value) is str:
        return value
    plain = json.loads(pydantic_core.to_json(value, inf_nan_mode="strings"))
    return plain if isinstance(plain, str) else json_text(plain)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: the first {limit} of {len(text)} characters]"


def _explain(error: BaseException) -> str:
    """The error in one line. No traceback: paths and source lines are not the model's business."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
