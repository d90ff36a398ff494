"""Results meet their calls by id, in the order of the calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, ToolCall
from formosa.errors import MessageError
from formosa.serve.history import repair

CALLS = Message(
    "assistant",
    tool_calls=(ToolCall("get_weather", id="a"), ToolCall("search", id="b")),
)


def result(id: str, content: str = "…") -> Message:
    return Message("tool", content, tool_call_id=id)


def test_results_are_put_in_the_order_of_their_calls() -> None:
    """The card of F1 itself answers its two calls the other way round."""
    repaired = repair([Message("user", "?"), CALLS, result("b", "news"), result("a", "sun")])
    assert [m.content for m in repaired] == ["?", "", "sun", "news"]


def test_results_get_the_name_of_their_tool() -> None:
    assert [m.name for m in repair([CALLS, result("a"), result("b")])][1:] == [
        "get_weather",
        "search",
    ]


def test_a_wrong_tool_name_is_put_right() -> None:
    wrong = Message("tool", "…", tool_call_id="a", name="search")
    assert repair([CALLS, wrong])[1].name == "get_weather"


def test_ids_may_be_the_same_in_different_rounds() -> None:
    """Servers that count calls from 0 in every reply send `call_0` again and again."""
    first = Message("assistant", tool_calls=(ToolCall("one", id="call_0"),))
    second = Message("assistant", tool_calls=(ToolCall("two", id="call_0"),))
    history = [first, result("call_0", "1"), second, result("call_0", "2")]
    assert [(m.content, m.name) for m in repair(history) if m.role == "tool"] == [
        ("1", "one"),
        ("2", "two"),
    ]


def test_a_call_may_stay_unanswered() -> None:
    history = (CALLS, result("b"), Message("user", "never mind"))
    assert [m.role for m in repair(history)] == ["assistant", "tool", "user"]


def test_calls_without_ids_can_be_answered_by_number() -> None:
    calls = Message("assistant", tool_calls=(ToolCall("one"), ToolCall("two")))
    assert repair([calls, result("call_1")])[1].name == "two"


@pytest.mark.parametrize(
    ("history", "path"),
    [
        ([result("a")], "messages[0].tool_call_id"),
        ([CALLS, result("c")], "messages[1].tool_call_id"),
        ([CALLS, result("a"), result("a")], "messages[2].tool_call_id"),
        ([CALLS, result("")], "messages[1].tool_call_id"),
        ([CALLS, Message("user", "?"), result("a")], "messages[2].tool_call_id"),
        (
            [Message("assistant", tool_calls=(ToolCall("x", id="a"), ToolCall("y", id="a")))],
            "messages[0].tool_calls[1].id",
        ),
    ],
    ids=["no call", "unknown id", "answered twice", "no id", "too late", "one id for two calls"],
)
def test_a_result_that_answers_no_call_is_refused_with_its_path(
    history: list[Message], path: str
) -> None:
    with pytest.raises(MessageError) as caught:
        repair(history)
    assert caught.value.path == path


@given(st.permutations(range(5)), st.integers(0, 5))
def test_the_order_of_the_results_never_matters(order: list[int], answered: int) -> None:
    calls = Message("assistant", tool_calls=tuple(ToolCall(f"t{i}", id=f"c{i}") for i in range(5)))
    kept = [i for i in order if i < answered]
    repaired = repair([calls, *(result(f"c{i}") for i in kept)])
    assert [m.name for m in repaired[1:]] == [f"t{i}" for i in sorted(kept)]
    assert repair(repaired) == repaired
