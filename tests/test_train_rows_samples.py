"""Which turns a sample teaches, behind which history; and how a long dialogue is cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chat_strategies import conversations
from formosa.chat.message import Message, Tool, ToolCall
from formosa.train.samples import Sample, split, turn_by_turn, whole, without_earlier_thinking

TOOL = Tool.of("f", "", {})
SYSTEM = Message("system", "sys")


def user(text: str = "u") -> Message:
    return Message("user", text)


def said(text: str = "a", thought: str = "") -> Message:
    return Message("assistant", text, reasoning=thought)


def learnt(sample: Sample) -> list[str]:
    return [sample.messages[i].content for i in sample.learnt]


def bare(messages: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(replace(message, reasoning="") for message in messages)


def test_a_conversation_is_one_sample_that_ends_with_the_assistant() -> None:
    sample = whole([SYSTEM, user(), said("1"), user(), said("2"), user("bye")], [TOOL])
    assert learnt(sample) == ["1", "2"]
    assert sample.messages[-1].content == "2"


def test_thoughts_that_are_not_sent_back_are_not_in_the_history() -> None:
    samples = without_earlier_thinking(
        [user(), said("1", "t1"), user(), said("2", "t2"), user(), said("3", "t3")], []
    )
    assert [learnt(sample) for sample in samples] == [["1"], ["2"], ["3"]]
    for sample in samples:
        assert sample.messages[-1].reasoning
        assert not any(message.reasoning for message in sample.messages[:-1])


def test_turns_without_thoughts_are_learnt_together_in_the_longest_sample() -> None:
    """Their history is the same there; a sample of their own would repeat every word."""
    samples = without_earlier_thinking(
        [user(), said("1"), user(), said("2", "t"), user(), said("3"), user(), said("4", "t")], []
    )
    assert [learnt(sample) for sample in samples] == [["2"], ["1", "3", "4"]]


def test_a_conversation_without_thoughts_stays_one_sample() -> None:
    messages = [SYSTEM, user(), said("1"), user(), said("2")]
    assert without_earlier_thinking(messages, [TOOL]) == [whole(messages, [TOOL])]


@given(conversations().filter(lambda found: any(m.role == "assistant" for m in found[0])))
def test_every_turn_is_learnt_once_behind_a_history_without_thoughts(
    conversation: tuple[list[Message], list[Tool]],
) -> None:
    messages, tools = conversation
    found = [(s, i) for s in without_earlier_thinking(messages, tools) for i in s.learnt]
    turns = [i for i, message in enumerate(messages) if message.role == "assistant"]
    assert sorted(i for _, i in found) == turns
    for sample, i in found:
        assert sample.messages[:i] == bare(messages[:i])
        assert sample.messages[i] == messages[i]


def test_turn_by_turn_keeps_the_history_as_it_is() -> None:
    messages = [user(), said("1", "t"), user(), said("2", "t")]
    first, second = turn_by_turn(whole(messages, []))
    assert (learnt(first), learnt(second)) == (["1"], ["2"])
    assert second.messages == tuple(messages)


# Cutting: a message is as long as its words, a tool ten.


def length(messages: Sequence[Message], tools: Sequence[Tool]) -> int:
    return sum(len(m.content) for m in messages) + 10 * len(tools)


def exchange(name: str, size: int) -> list[Message]:
    return [user("u" * (size // 2)), said(name + "a" * (size - size // 2 - len(name)))]


def test_pieces_keep_the_system_prompt_and_as_many_of_the_latest_turns_as_fit() -> None:
    messages = [SYSTEM, *(m for n in "12345" for m in exchange(n, 10))]
    pieces, lost = split(whole(messages, [TOOL]), 13 + 30, length)
    assert lost == 0
    assert [[text[0] for text in learnt(piece)] for piece in pieces] == [
        ["1", "2", "3"],
        ["4", "5"],
    ]
    assert all(piece.messages[0] == SYSTEM and piece.tools == (TOOL,) for piece in pieces)
    assert pieces[1].messages[1:] == tuple(messages[5:]), "the third exchange is its context"


def test_a_sample_that_teaches_one_turn_keeps_the_latest_history() -> None:
    messages = [SYSTEM, *(m for n in "12345" for m in exchange(n, 10))]
    (piece,), lost = split(Sample(tuple(messages), (), (10,)), 3 + 30, length)
    assert lost == 0
    assert piece.messages == (SYSTEM, *messages[5:])
    assert learnt(piece) == [messages[10].content]


def test_an_exchange_that_is_too_long_keeps_its_first_steps() -> None:
    """A question with many calls: what comes behind the limit can't be learnt, and is counted."""
    call = said("c" * 10)
    steps = [user("u" * 10), call, Message("tool", "r" * 10), call, Message("tool", "r" * 10), call]
    messages = [*exchange("1", 10), *steps, *exchange("2", 10)]
    pieces, lost = split(whole(messages, []), 45, length)
    assert [len(piece.learnt) for piece in pieces] == [1, 2, 1]
    assert lost == 1
    assert pieces[1].messages == tuple(steps[:4])


def test_a_turn_that_is_too_long_alone_is_counted() -> None:
    pieces, lost = split(whole([*exchange("1", 50), *exchange("2", 10)], []), 20, length)
    assert (len(pieces), lost) == (1, 1)


@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1, max_size=10),
    st.integers(10, 90),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_pieces_fit_and_teach_every_turn_once(
    exchanges: list[list[int]], limit: int, system: bool, greeting: bool, data: st.DataObject
) -> None:
    messages: list[Message] = [SYSTEM] * system + [said("hello")] * greeting
    for steps in exchanges:
        messages.append(user("u" * steps[0]))
        for number, size in enumerate(steps):
            call = ToolCall("f", id=f"{len(messages)}")
            messages.append(replace(said("a" * size), tool_calls=(call,)))
            if number + 1 < len(steps):
                messages.append(Message("tool", "r", tool_call_id=call.id))
    everything = whole(messages, [])
    turns = data.draw(st.sets(st.sampled_from(everything.learnt), min_size=1))
    sample = Sample(everything.messages, (), tuple(sorted(turns)))
    pieces, lost = split(sample, limit, length)
    found = Counter(
        piece.messages[i].tool_calls[0].id if piece.messages[i].tool_calls else "greeting"
        for piece in pieces
        for i in piece.learnt
    )
    assert set(found.values()) <= {1}
    assert found.total() + lost == len(turns)
    for piece in pieces:
        assert length(piece.messages, piece.tools) <= limit
        assert piece.learnt[-1] == len(piece.messages) - 1
        assert piece.messages[: int(system)] == tuple(messages[: int(system)])
        kept = piece.messages[int(system) :]
        starts = [i for i in range(len(messages)) if tuple(messages[i : i + len(kept)]) == kept]
        assert starts, "nothing is left out of the middle"
        assert kept[0].role == "user" or messages[int(system)] == kept[0]
