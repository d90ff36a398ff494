"""Ask, run the calls, ask again, until the model answers.

Knows messages and tools. Knows nothing of HTTP, tokens or terminals: what happens on the way is
told to `on_event`.

Every call in a transcript has its result, also where the loop stopped before running it. So a
transcript can always be continued, and no server refuses it for a call without an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Delta
from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest, Finished, Sampling
from formosa.errors import EngineError, UserError
from formosa.tools.registry import Registry, RunnableTool
from formosa.tools.runner import Confirm, Limits, Record, ToolResult, refused, run_calls

Stopped = Literal["answer", "steps", "length"]
ConverseEvent = Delta | ToolCall | ToolResult | Finished


@dataclass(frozen=True, slots=True)
class Transcript:
    """A conversation with everything that was said and run.

    Attributes:
        messages: what was given, then replies and results in their order.
        replies: one for each time the model was asked.
        stopped: `answer`: the model answered without a call. `steps`: it was asked `max_steps`
            times, or wrote exactly the same calls twice in a row. `length`: a reply was cut off;
            its calls were not run.
    """

    messages: tuple[Message, ...]
    replies: tuple[ChatReply, ...]
    stopped: Stopped

    @property
    def answer(self) -> str:
        """What the last reply says, without its reasoning and calls."""
        return self.replies[-1].message.content


async def converse(
    model: ChatModel,
    messages: str | Sequence[Message],
    tools: Registry | Iterable[RunnableTool] = (),
    *,
    sampling: Sampling | None = None,
    max_steps: int = 8,
    limits: Limits | None = None,
    confirm: Confirm | None = None,
    record: Record | None = None,
    on_event: Callable[[ConverseEvent], None] | None = None,
) -> Transcript:
    """Let the model call tools until it answers.

    Args:
        model: is asked at most `max_steps` times.
        messages: the conversation so far, or one question; the next turn is the model's.
        tools: what it is shown, and all that can run.
        sampling: how tokens are chosen, the same in every step; greedy by default.
        max_steps: at least 1.
        limits: of each round of calls.
        confirm: asked about calls of tools that need it; without it those do not run.
        record: told of each call and its result, whether it ran or not.
        on_event: told of deltas, calls, results and finished replies, as they come.

    Raises:
        UserError: two tools have one name.
        ContextError: the conversation no longer fits.
        EngineError: the model failed.
    """
    if max_steps < 1:
        raise ValueError("max_steps must be at least 1")
    tell = on_event or (lambda event: None)
    note = record or (lambda call, result: None)
    registry = tools if isinstance(tools, Registry) else Registry(tools)
    history = [Message("user", messages)] if isinstance(messages, str) else list(messages)
    used = {call.id for message in history for call in message.tool_calls}
    replies: list[ChatReply] = []
    before: tuple[ToolCall, ...] = ()
    while True:
        request = ChatRequest(tuple(history), registry.tools, sampling or Sampling())
        reply = await _ask(model, request, used, tell)
        replies.append(reply)
        history.append(reply.message)
        calls = reply.message.tool_calls
        used.update(call.id for call in calls)
        reason: str | None = None
        stopped: Stopped = "steps"
        if reply.finish == "length":
            stopped, reason = "length", "not run; the reply was cut off at its length limit"
        elif not calls:
            stopped, reason = "answer", ""
        elif same_calls(calls, before):
            reason = "not run; the same calls were just made"
        elif len(replies) >= max_steps:
            reason = f"not run; the limit of {max_steps} steps is reached"
        if reason is None:
            results = await run_calls(calls, registry, limits, confirm=confirm, record=record)
        else:
            results = tuple(refused(call, reason) for call in calls)
            for call, result in zip(calls, results, strict=True):
                note(call, result)
        for result in results:
            tell(result)
        history.extend(result.message() for result in results)
        if reason is not None:
            return Transcript(tuple(history), tuple(replies), stopped)
        before = calls


def converse_sync(
    model: ChatModel,
    messages: str | Sequence[Message],
    tools: Registry | Iterable[RunnableTool] = (),
    *,
    sampling: Sampling | None = None,
    max_steps: int = 8,
    limits: Limits | None = None,
    confirm: Confirm | None = None,
    record: Record | None = None,
    on_event: Callable[[ConverseEvent], None] | None = None,
) -> Transcript:
    """`converse` for code without an event loop. Same arguments, same errors.

    Raises:
        UserError: an event loop is running here, which this call would stop.
    """
    refuse_running_loop("converse_sync(...)", "await converse(...)")
    return asyncio.run(
        converse(
            model,
            messages,
            tools,
            sampling=sampling,
            max_steps=max_steps,
            limits=limits,
            confirm=confirm,
            record=record,
            on_event=on_event,
        )
    )


def refuse_running_loop(called: str, instead: str) -> None:
    """Raise in code that runs in an event loop, such as a notebook or an `async def`.

    Raises:
        UserError: with what to write instead.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UserError(
        f"{called} is for code without an event loop, and one is running here.",
        f"write `{instead}` instead",
    )


def same_calls(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> bool:
    """Whether both are the same calls in the same order, whatever their ids."""
    return len(calls) == len(others) and all(
        one.same(other) or (one.name, one.arguments) == (other.name, other.arguments)
        for one, other in zip(calls, others, strict=True)
    )


async def _ask(
    model: ChatModel, request: ChatRequest, used: set[str], tell: Callable[[ConverseEvent], None]
) -> ChatReply:
    """One reply, with ids that no other call of the conversation has.

    A parser numbers the calls of each reply from `call_0`, and some servers send no id or the same
    one twice; results are answered by id, so here every call gets its own.
    """
    taken = set(used)
    ids: list[str] = []

    def renamed(place: int, call: ToolCall) -> ToolCall:
        if place == len(ids):
            new, number = call.id, len(taken)
            while not new or new in taken:
                new, number = f"call_{number}", number + 1
            taken.add(new)
            ids.append(new)
        return replace(call, id=ids[place])

    told = 0
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            if isinstance(event, ToolCall):
                tell(renamed(told, event))
                told += 1
            elif isinstance(event, Finished):
                message = event.reply.message
                calls = tuple(renamed(i, call) for i, call in enumerate(message.tool_calls))
                reply = replace(event.reply, message=replace(message, tool_calls=calls))
                for call in calls[told:]:  # a model that does not stream its calls
                    tell(call)
                tell(Finished(reply))
                return reply
            elif isinstance(event, Delta):
                tell(event)
    raise EngineError(f"{model.info.name} gave no reply.")
