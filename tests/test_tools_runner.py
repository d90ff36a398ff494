"""Calls run at once, by name, answered by id; whatever goes wrong becomes a result."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.tools.function import FunctionTool, tool
from formosa.tools.registry import Registry, ToolError
from formosa.tools.runner import Confirm, Limits, ToolResult, run_calls

LONG = Limits(seconds=60)  # never reached when the code is right
SHORT = Limits(seconds=0.01)


@tool
def echo(text: str) -> str:
    """Say it again."""
    return text


def run(
    *calls: ToolCall, tools: list[FunctionTool[..., Any]], limits: Limits = LONG
) -> tuple[ToolResult, ...]:
    return asyncio.run(run_calls(calls, Registry(tools), limits))


def answer(function: Callable[[], Any], limits: Limits = LONG) -> ToolResult:
    """The result of calling a function without arguments."""
    function.__annotations__.setdefault("return", object)
    item = tool(function)
    (result,) = run(ToolCall(item.name, "{}", "x"), tools=[item], limits=limits)
    return result


def test_results_are_answered_by_id_in_the_order_of_the_calls() -> None:
    """The F1 card's own example gives the weather call the result of the search."""
    calls = [ToolCall.of("echo", {"text": text}, id) for text, id in [("甲", "b"), ("乙", "a")]]
    assert [(r.id, r.name, r.content, r.ok) for r in run(*calls, tools=[echo])] == [
        ("b", "echo", "甲", True),
        ("a", "echo", "乙", True),
    ]


def test_the_first_to_finish_is_not_the_first_in_the_answer() -> None:
    done = asyncio.Event()

    @tool
    async def slow() -> str:
        """Ends after the other one."""
        await done.wait()
        return "slow"

    @tool
    async def fast() -> str:
        """Lets the other one end."""
        done.set()
        return "fast"

    results = run(ToolCall("slow", "{}", "1"), ToolCall("fast", "{}", "2"), tools=[slow, fast])
    assert [result.content for result in results] == ["slow", "fast"]


def test_async_tools_run_at_the_same_time() -> None:
    """Each waits for the other: one after the other would never end."""
    here, there = asyncio.Event(), asyncio.Event()

    @tool
    async def left() -> str:
        """Meets right."""
        here.set()
        await there.wait()
        return "met"

    @tool
    async def right() -> str:
        """Meets left."""
        there.set()
        await here.wait()
        return "met"

    results = run(ToolCall("left", "{}", "1"), ToolCall("right", "{}", "2"), tools=[left, right])
    assert [result.content for result in results] == ["met", "met"]


def test_plain_functions_run_at_the_same_time_however_few_cores_there_are() -> None:
    """The shared thread pool of asyncio has six threads on two cores."""
    everyone = threading.Barrier(20)

    @tool
    def meet() -> str:
        """Wait for the others."""
        everyone.wait()
        return threading.current_thread().name

    results = run(*(ToolCall("meet", "{}", str(i)) for i in range(20)), tools=[meet])
    assert all(result.ok for result in results)
    assert "MainThread" not in {result.content for result in results}


def test_an_async_tool_that_never_ends_is_stopped_at_the_limit() -> None:
    cleaned = []

    async def hang() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return "never"

    result = answer(hang, SHORT)
    assert (result.content, result.ok) == ("error: no result within 0.01 seconds", False)
    assert cleaned == [True]


def test_a_plain_function_that_never_ends_does_not_hold_up_the_program() -> None:
    """A thread can't be stopped. It must be one that the interpreter does not wait for."""
    release = threading.Event()
    threads: list[threading.Thread] = []

    def hang() -> str:
        threads.append(threading.current_thread())
        release.wait()
        return "too late"

    result = answer(hang, SHORT)  # asyncio.run inside has closed its loop when this returns
    assert (result.content, result.ok) == ("error: no result within 0.01 seconds", False)
    assert threads[0].daemon
    release.set()  # the late result meets a closed loop, and nobody hears of it
    threads[0].join()


def test_one_slow_call_does_not_cost_the_others() -> None:
    @tool
    async def hang() -> str:
        """Never ends."""
        await asyncio.Event().wait()
        return ""

    results = run(
        ToolCall("hang", "{}", "1"),
        ToolCall.of("echo", {"text": "here"}, "2"),
        tools=[hang, echo],
        limits=Limits(seconds=0.2),
    )
    assert [result.ok for result in results] == [False, True]


def test_a_result_that_is_too_long_is_cut_with_a_note() -> None:
    result = answer(giving("big", "長" * 1000), Limits(characters=10))
    assert result.content == "長" * 10 + "\n[cut: the first 10 of 1000 characters]"
    assert result.ok
    exact = answer(giving("exact", "長" * 10), Limits(characters=10))
    assert exact.content == "長" * 10


def test_a_long_error_is_cut_too() -> None:
    def fail() -> str:
        raise ValueError("x" * 100_000)

    assert len(answer(fail, Limits(characters=100)).content) < 200


def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    (result,) = run(ToolCall("ecco", "{}", "1"), tools=[echo])
    assert not result.ok
    assert result.content == "error: unknown tool 'ecco'; the tools are: echo"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{}", "text: Field required"),
        ('{"text": 3}', "text: Input should be a valid string"),
        ('{"text": "a", "txet": "b"}', "txet: Extra inputs are not permitted"),
        ('{"text": ', "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("", "Invalid JSON"),
        ('{"text": ' * 5000, "Invalid JSON"),
        ('{"text": "\ud800"}', "unable to parse"),
    ],
)
def test_wrong_arguments_are_answered_with_what_to_put_right(arguments: str, problem: str) -> None:
    """The function is not called; the model gets the reason and the signature."""
    (result,) = run(ToolCall("echo", arguments, "1"), tools=[echo])
    assert not result.ok
    assert result.content.startswith("error: wrong arguments: ")
    assert problem in result.content
    assert "expected echo(text: string)" in result.content


def raising(error: BaseException) -> Callable[[], Any]:
    def fails() -> str:
        raise error

    return fails


def raising_async(error: BaseException) -> Callable[[], Coroutine[Any, Any, str]]:
    async def fails() -> str:
        raise error

    return fails


@pytest.mark.parametrize("kind", [raising, raising_async])
@pytest.mark.parametrize(
    ("error", "content"),
    [
        (ValueError("no such\n  city"), "error: ValueError: no such city"),
        (KeyError("台北"), "error: KeyError: '台北'"),
        (RuntimeError(), "error: RuntimeError"),
        (TimeoutError("upstream"), "error: TimeoutError: upstream"),
        (SystemExit(2), "error: SystemExit: 2"),
        (StopIteration(), "error: RuntimeError: coroutine raised StopIteration"),
        (asyncio.CancelledError(), "error: the tool was cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_a_tool_raises_is_a_result(
    kind: Callable[[BaseException], Callable[[], Any]], error: BaseException, content: str
) -> None:
    result = answer(kind(error))
    assert (result.content, result.ok) == (content, False)


def giving(name: str, value: Any) -> Callable[[], Any]:
    def function() -> Any:
        return value

    function.__name__ = name
    return function


class Strange:
    pass


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("plain 文字", "plain 文字"),
        ("", ""),
        (None, "null"),
        (26, "26"),
        (True, "true"),
        ({"溫度": 26.5, "list": [1, None]}, '{"溫度": 26.5, "list": [1, null]}'),
        ((1, "a"), '[1, "a"]'),
        (date(2025, 4, 7), "2025-04-07"),
        (float("nan"), "NaN"),
        ({"x": float("inf")}, '{"x": "Infinity"}'),
    ],
    ids=repr,
)
def test_results_become_text_that_a_model_can_read(value: Any, content: str) -> None:
    """JSON with spaces and without escapes, as in training."""
    result = answer(giving("give", value))
    assert (result.content, result.ok) == (content, True)


def test_a_result_that_is_no_json_is_an_error() -> None:
    result = answer(giving("give", Strange()))
    assert not result.ok
    assert "Strange" in result.content


def test_a_lone_surrogate_in_a_result_does_not_reach_the_server() -> None:
    """It can't be written as UTF-8; the request after it would fail."""
    assert answer(giving("give", "a\ud800b")).content == "a?b"


def test_a_plain_function_that_returns_a_coroutine_is_awaited() -> None:
    """What a decorator around an async function looks like."""

    async def inner() -> str:
        return "inside"

    @functools.wraps(inner)
    def outer() -> Any:
        return inner()

    assert answer(outer).content == "inside"


def test_calls_beyond_the_limit_are_refused_and_still_answered() -> None:
    calls = [ToolCall.of("echo", {"text": str(i)}, str(i)) for i in range(5)]
    results = run(*calls, tools=[echo], limits=Limits(calls=3))
    assert [result.ok for result in results] == [True, True, True, False, False]
    assert [result.id for result in results] == ["0", "1", "2", "3", "4"]
    assert results[4].content == "error: not run; at most 3 calls in one reply"


@tool(confirm=True)
def delete(path: str) -> str:
    """Delete a file."""
    return f"deleted {path}"


def asked_about(
    *calls: ToolCall, confirm: Confirm | None, tools: Sequence[FunctionTool[..., Any]] = ()
) -> tuple[ToolResult, ...]:
    registry = Registry([delete, echo, *tools])
    return asyncio.run(run_calls(calls, registry, LONG, confirm=confirm))


DELETE = ToolCall.of("delete", {"path": "/a"}, "1")


def test_a_tool_that_needs_consent_does_not_run_where_nobody_is_asked() -> None:
    (result,) = asked_about(DELETE, confirm=None)
    assert not result.ok
    assert result.content == "error: not run; it needs a person's consent, and nobody was asked"
    assert result.confirmed is None


def test_a_refused_call_is_answered_and_the_others_run() -> None:
    """The model must know that it was not done, and every call needs its answer."""
    say = ToolCall.of("echo", {"text": "甲"}, "2")
    refused, ran = asked_about(DELETE, say, confirm=lambda call, shown: False)
    assert refused.content == "error: not run; the user refused this call"
    assert (refused.ok, refused.confirmed) == (False, False)
    assert (ran.content, ran.ok, ran.confirmed) == ("甲", True, None)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_consent_may_be_asked_by_a_function_of_either_kind(kind: str) -> None:
    seen: list[tuple[str, str]] = []

    def agree(call: ToolCall, shown: Tool) -> bool:
        seen.append((call.arguments, shown.description))
        return True

    async def agree_later(call: ToolCall, shown: Tool) -> bool:
        await asyncio.sleep(0)
        return agree(call, shown)

    (result,) = asked_about(DELETE, confirm=agree if kind == "plain" else agree_later)
    assert (result.content, result.confirmed) == ("deleted /a", True)
    assert seen == [('{"path": "/a"}', "Delete a file.")]


def test_only_true_is_consent() -> None:
    """Not "n", not None from a function that forgot to return."""
    for answer in ("n", None, 1):
        (result,) = asked_about(DELETE, confirm=lambda call, shown, given=answer: given)  # type: ignore[misc]
        assert not result.ok


def test_nobody_is_asked_about_a_call_that_cannot_run() -> None:
    def never(call: ToolCall, shown: Tool) -> bool:
        raise AssertionError

    wrong = ToolCall.of("delete", {"file": "/a"}, "1")
    (result,) = asked_about(wrong, confirm=never)
    assert "wrong arguments" in result.content


def test_all_questions_come_before_anything_runs() -> None:
    """Ctrl-C at the second question must not find the first call done."""
    happened: list[str] = []

    @tool
    async def act() -> str:
        """Act."""
        happened.append("ran")
        return ""

    def confirm(call: ToolCall, shown: Tool) -> bool:
        happened.append("asked")
        return True

    asked_about(ToolCall("act", "{}", "0"), DELETE, DELETE, confirm=confirm, tools=[act])
    assert happened == ["asked", "asked", "ran"]


def test_anything_that_has_a_tool_can_be_registered_and_run() -> None:
    """MCP servers are one kind; a database or a device may be another."""

    class Thing:
        tool = Tool("thing", "Does.")
        confirm = False
        source = "the test"

        def read(self, arguments: str) -> dict[str, Any]:
            return {"n": len(arguments)}

        async def run(self, arguments: dict[str, Any]) -> str:
            if arguments["n"] > 2:
                raise ToolError("too much")
            return "done"

    calls = ToolCall("thing", "{}", "1"), ToolCall("thing", "{   }", "2")
    results = asyncio.run(run_calls(calls, Registry([Thing()]), LONG))
    assert [result.content for result in results] == ["done", "error: too much"]


def test_stopping_the_whole_stops_the_tools() -> None:
    """Only a cancellation from outside is passed on."""
    cleaned = []

    async def main() -> None:
        started = asyncio.Event()

        @tool
        async def hang() -> str:
            """Never ends."""
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)
            return ""

        task = asyncio.create_task(run_calls([ToolCall("hang", "{}", "1")], Registry([hang])))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == [True]


def test_a_result_is_a_tool_message_with_id_and_name() -> None:
    """Some chat templates refuse a tool message without a name."""
    result = ToolResult("call_7", "echo", "甲", True, 0.0)
    assert result.message() == Message("tool", "甲", tool_call_id="call_7", name="echo")


def test_nothing_to_run_is_fine() -> None:
    assert run(tools=[]) == ()


@given(
    st.lists(
        st.builds(
            ToolCall,
            st.sampled_from(["echo", "", "echo ", "rm"]) | st.text(),
            st.sampled_from(['{"text": "a"}', "{}", "null"])
            | st.text()
            | st.dictionaries(st.sampled_from(["text", "x"]), st.text() | st.none()).map(
                json.dumps
            ),
            st.text(),
        ),
        max_size=5,
    )
)
def test_any_calls_give_one_result_each_and_no_exception(calls: list[ToolCall]) -> None:
    results = run(*calls, tools=[echo])
    assert [(r.id, r.name) for r in results] == [(call.id, call.name) for call in calls]
    for result in results:
        result.content.encode("utf-8")
        assert result.ok or result.content.startswith("error: ")
