"""Results meet their calls by id, in the order of the calls."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, ToolCall
from formosa.errors import MessageError
from formosa.serve.history import MALFORMED, object_text, read_messages, repair

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
        ([CALLS, result(""), result(""), result("")], "messages[3].tool_call_id"),
        ([CALLS, Message("tool", "…", name="other")], "messages[1].tool_call_id"),
        ([CALLS, Message("user", "?"), result("a")], "messages[2].tool_call_id"),
        (
            [Message("assistant", tool_calls=(ToolCall("x", id="a"), ToolCall("y", id="a")))],
            "messages[0].tool_calls[1].id",
        ),
    ],
    ids=[
        "no call",
        "unknown id",
        "answered twice",
        "one too many",
        "no call of that name",
        "too late",
        "one id for two calls",
    ],  # fmt: skip
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


@st.composite
def rounds(draw: st.DrawFn) -> tuple[list[Message], list[Message]]:
    """A conversation as clients send it, and as a template is to see it: in each round some calls
    are answered, in any order, some of them by number alone; ids come again in later rounds."""
    sent: list[Message] = []
    wanted: list[Message] = []
    for number in range(draw(st.integers(1, 4))):
        count = draw(st.integers(0, 4))
        numbered = draw(st.booleans())  # calls without ids are named by their place
        calls = tuple(ToolCall(f"tool{i}", id="" if numbered else f"c{i}") for i in range(count))
        answered = draw(st.lists(st.sampled_from(range(count)), unique=True)) if count else []
        ids = [f"call_{i}" if numbered else f"c{i}" for i in range(count)]
        said = Message("assistant", f"round {number}", tool_calls=calls)
        sent.append(said)
        wanted.append(replace(said, tool_calls=tuple(map(_with_id, calls, ids))))
        name = draw(st.sampled_from(["", "tool0", "wrong"]))
        sent += [Message("tool", f"{number}.{i}", tool_call_id=ids[i], name=name) for i in answered]
        wanted += [
            Message("tool", f"{number}.{i}", tool_call_id=ids[i], name=f"tool{i}")
            for i in sorted(answered)
        ]
        if draw(st.booleans()):
            sent.append(Message("user", "go on"))
            wanted.append(sent[-1])
    return sent, wanted


def _with_id(call: ToolCall, id: str) -> ToolCall:
    return replace(call, id=id)


@given(rounds())
def test_every_round_of_a_conversation_is_put_in_order_by_itself(
    conversation: tuple[list[Message], list[Message]],
) -> None:
    sent, wanted = conversation
    assert list(repair(sent)) == wanted
    assert list(repair(wanted)) == wanted


def test_results_without_ids_answer_in_order_or_by_name() -> None:
    """Clients of servers without ids (Ollama's API) have none to send back."""
    plain = repair([CALLS, Message("tool", "1"), Message("tool", "2")])
    assert [(m.name, m.tool_call_id) for m in plain[1:]] == [("get_weather", "a"), ("search", "b")]
    named = repair([CALLS, Message("tool", "2", name="search"), Message("tool", "1")])
    assert [(m.name, m.content) for m in named[1:]] == [("get_weather", "1"), ("search", "2")]


def test_a_result_without_an_id_leaves_the_call_that_another_result_names() -> None:
    repaired = repair([CALLS, Message("tool", "2"), result("a", "1")])
    assert [(m.name, m.content) for m in repaired[1:]] == [("get_weather", "1"), ("search", "2")]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ('{"city":  "台北"}', '{"city":  "台北"}'),
        ('"{\\"city\\": 1}"', '{"city": 1}'),
        ("{'city': True}", '{"city": true}'),
        ('{"a": "line\nbreak"}', None),
    ],
    ids=["an object stays as it is", "written twice", "Python's quotes", "a raw line break"],
)
def test_arguments_are_read_as_leniently_as_a_models_words(
    arguments: str, wanted: str | None
) -> None:
    text = object_text(arguments)
    assert isinstance(json.loads(text), dict)
    assert MALFORMED not in text
    assert wanted in (None, text)


@pytest.mark.parametrize("text", ['{"x', "[1]", "nothing", "3", "null ", '{"x": NaN}', "{" * 9000])
def test_arguments_that_say_no_object_are_shown_to_the_model_as_they_are(text: str) -> None:
    assert json.loads(object_text(text)) in ({MALFORMED: text}, {})


@given(st.text(min_size=1))
def test_whatever_the_arguments_are_an_object_comes_out(text: str) -> None:
    assert isinstance(json.loads(object_text(text)), dict)


def test_messages_are_read_and_put_in_order_at_once() -> None:
    def call(name: str, arguments: object) -> dict[str, object]:
        return {"type": "function", "function": {"name": name, "arguments": arguments}}

    calls = [call("one", {"a": 1}), call("two", "{broken"), call("three", None)]
    assistant, one, two = read_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "b"}]},
            {"role": "tool", "tool_call_id": "call_0", "content": None},
        ]
    )
    assert [c.values() for c in assistant.tool_calls] == [{"a": 1}, {MALFORMED: "{broken"}, {}]
    assert (one.name, one.content, two.name, two.content) == ("one", "", "two", "b")


@pytest.mark.parametrize(
    ("calls", "path"),
    [
        ("x", "messages[0].tool_calls"),
        (["x"], "messages[0].tool_calls[0]"),
        ([{"function": 3}], "messages[0].tool_calls[0].function"),
        ([{"function": {"name": "f", "arguments": [1]}}],
         "messages[0].tool_calls[0].function.arguments"),
        ([{"function": {"name": "", "arguments": "{}"}}], "messages[0].tool_calls[0].name"),
    ],
)  # fmt: skip
def test_what_is_no_call_is_refused_with_its_path(calls: object, path: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_messages([{"role": "assistant", "tool_calls": calls}])
    assert caught.value.path == path
