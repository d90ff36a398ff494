"""Run the calls of one reply: all at once, by name, answered by id, within limits.

Whatever goes wrong with a call is a result that the model can read, never an exception: an unknown
tool, wrong arguments, a refusal, an error in the tool, too much time, too much text. Only
cancelling the whole is passed on.

All questions to a person are asked first, one after the other, and only about calls that could
run; then everything runs at the same time. So no time limit passes while somebody thinks, and
nothing has happened yet when the answer to a later question is Ctrl-C.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.schema import describe
from formosa.errors import MessageError
from formosa.tools.registry import Registry, RunnableTool, ToolError

# Asked about a call whose tool needs it. True: run it.
Confirm = Callable[[ToolCall, Tool], bool | Awaitable[bool]]


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
    """The answer to one call.

    Attributes:
        content: the result, or what went wrong; cut to the limit.
        ok: false where the content is an error.
        seconds: how long the tool ran.
        confirmed: what a person said when asked; None where nobody was.
        size: characters of the whole result, before it was cut.
    """

    id: str
    name: str
    content: str
    ok: bool
    seconds: float
    confirmed: bool | None = None
    size: int = 0

    def message(self) -> Message:
        return Message("tool", self.content, tool_call_id=self.id, name=self.name)


Record = Callable[[ToolCall, ToolResult], object]


async def run_calls(
    calls: Sequence[ToolCall],
    registry: Registry,
    limits: Limits | None = None,
    *,
    confirm: Confirm | None = None,
    record: Record | None = None,
) -> tuple[ToolResult, ...]:
    """Run all calls at the same time.

    Args:
        calls: of one reply.
        registry: the only tools that run.
        limits: of time, text and number.
        confirm: asked about each call whose tool needs it, in their order. Without it such a call
            does not run.
        record: told of each call and its result as soon as it is there, also where it was refused
            or cancelled.

    Returns:
        One result for each call, in the order of the calls, with the id and the name of its call.
    """
    limits = limits or Limits()
    tell = record or (lambda call, result: None)
    admitted = [
        await _admit(call, place, registry, limits, confirm) for place, call in enumerate(calls)
    ]
    return tuple(await asyncio.gather(*(_finish(one, limits, tell) for one in admitted)))


def refused(call: ToolCall, reason: str, confirmed: bool | None = None) -> ToolResult:
    """The result of a call that was not run."""
    content = f"error: {reason}"
    return ToolResult(call.id, call.name, content, False, 0.0, confirmed, len(content))


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A call on its way: with what it needs to run, or with the reason why it will not."""

    call: ToolCall
    item: RunnableTool | None = None
    arguments: dict[str, Any] | None = None
    problem: str = ""
    confirmed: bool | None = None


async def _admit(
    call: ToolCall, place: int, registry: Registry, limits: Limits, confirm: Confirm | None
) -> _Admitted:
    """Find the tool, check the arguments, ask where that is needed."""
    if place >= limits.calls:
        return _Admitted(call, problem=f"not run; at most {limits.calls} calls in one reply")
    item = registry.get(call.name)
    if item is None:
        known = ", ".join(tool.name for tool in registry.tools) or "none"
        return _Admitted(call, problem=f"unknown tool {call.name!r}; the tools are: {known}")
    try:
        arguments = item.read(call.arguments)
    except MessageError as error:
        return _Admitted(call, problem=f"wrong arguments: {error}; expected {describe(item.tool)}")
    except Exception as error:  # a validator of the user's own types failed
        return _Admitted(call, problem=f"wrong arguments: {_explain(error)}")
    ready = _Admitted(call, item, arguments)
    if not item.confirm:
        return ready
    if confirm is None:
        return replace(ready, problem="not run; it needs a person's consent, and nobody was asked")
    answer = confirm(call, item.tool)
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is not True:
        return replace(ready, problem="not run; the user refused this call", confirmed=False)
    return replace(ready, confirmed=True)


async def _finish(one: _Admitted, limits: Limits, tell: Record) -> ToolResult:
    call = one.call
    if one.problem or one.item is None or one.arguments is None:
        result = _result(one, f"error: {one.problem}", False, 0.0, limits)
        tell(call, result)
        return result
    started = time.perf_counter()
    try:
        content, ok = await _answer(one.item, one.arguments, limits), True
    except ToolError as error:
        content, ok = f"error: {error}", False
    except asyncio.CancelledError:
        passed = time.perf_counter() - started
        tell(call, _result(one, "error: stopped while it ran", False, passed, limits))
        raise
    result = _result(one, content, ok, time.perf_counter() - started, limits)
    tell(call, result)
    return result


def _result(one: _Admitted, content: str, ok: bool, seconds: float, limits: Limits) -> ToolResult:
    # A lone surrogate can't be sent to any server; a question mark can.
    content = content.encode("utf-8", "replace").decode("utf-8")
    shown = _cut(content, limits.characters)
    return ToolResult(one.call.id, one.call.name, shown, ok, seconds, one.confirmed, len(content))


async def _answer(item: RunnableTool, arguments: dict[str, Any], limits: Limits) -> str:
    clock = asyncio.timeout(limits.seconds)
    try:
        async with clock:
            return await item.run(arguments)
    except ToolError:
        raise
    except TimeoutError as error:
        if clock.expired():
            raise ToolError(f"no result within {limits.seconds:g} seconds") from error
        raise ToolError(_explain(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # we are being stopped; otherwise the tool awaited something that was
        raise ToolError("the tool was cancelled") from error
    except (Exception, SystemExit) as error:
        raise ToolError(_explain(error)) from error


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: the first {limit} of {len(text)} characters]"


def _explain(error: BaseException) -> str:
    """The error in one line. No traceback: paths and source lines are not the model's business."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
