"""What can be written can be read back; what can't is refused before a model learns it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from chat_strategies import assistants, awkward_texts, texts
from formosa.chat.check import check_conversation, check_reply, write_reply
from formosa.chat.message import Message, Tool, ToolCall, with_call_ids
from formosa.chat.parser import parse_reply
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.errors import MessageError


def plain(text: str) -> str:
    return text.replace("<", "")


def blank_beside_calls(message: Message) -> bool:
    return bool(message.tool_calls) and message.content.isspace()


@settings(max_examples=150, deadline=None)
@given(assistants(texts().map(plain)).filter(lambda message: not blank_beside_calls(message)))
@example(Message("assistant", " \n"))
@example(Message("assistant", "\na\n", "\n", (ToolCall("f"),)))
@example(Message("assistant", "\n\n", "\n\n"))
@example(Message("assistant", " " * 1000 + "a", " " * 1000, (ToolCall("f"), ToolCall("f"))))
def test_every_message_without_tags_can_be_written_and_read_back(message: Message) -> None:
    check_reply(message)
    expected = (message.reasoning, message.content, with_call_ids(message.tool_calls))
    for family in FAMILIES:
        reply = parse_reply(write_reply(message, ChatTemplate.formosa(family)))
        got = reply.message
        assert (got.reasoning, got.content, got.tool_calls) == expected
        assert reply.defects == ()


@settings(max_examples=150, deadline=None)
@given(assistants(awkward_texts()))
@example(Message("assistant", "<think>", "", ()))
@example(Message("assistant", "a <tool_call>", "", (ToolCall("f"),)))
@example(Message("assistant", tool_calls=(ToolCall.of("f", {"x": "</tool_call>\n<tool_call>"}),)))
@example(Message("assistant", tool_calls=(ToolCall.of("f", {"x": '</tool_call><tool_call>{"'}),)))
def test_a_message_is_read_back_or_refused_never_changed(message: Message) -> None:
    try:
        check_reply(message)
    except MessageError as error:
        assert error.path.startswith("message.")
        return
    got = parse_reply(write_reply(message)).message
    assert (got.reasoning, got.content) == (message.reasoning, message.content)
    assert got.tool_calls == with_call_ids(message.tool_calls)


@settings(max_examples=150, deadline=None)
@given(assistants(awkward_texts()))
def test_arguments_may_hold_any_tag(message: Message) -> None:
    """A model that writes about its own format must be trainable."""
    calls_only = Message("assistant", tool_calls=message.tool_calls)
    check_reply(calls_only)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message("assistant", "a\n<think> b"), "content"),
        (Message("assistant", "\n\n", tool_calls=(ToolCall("f"),)), "content"),
        (Message("assistant", reasoning="a </think> b"), "reasoning"),
        (Message("assistant", '<tool_call>{"name": "f"}</tool_call>'), "content"),
        (Message("assistant", tool_calls=(ToolCall("f", ' {"a": 1}'),)), "tool_calls"),
    ],
)
def test_what_cannot_be_read_back_is_named(message: Message, field: str) -> None:
    with pytest.raises(MessageError) as caught:
        check_reply(message, "messages[2]")
    assert caught.value.path.endswith(field) or caught.value.path == "messages[2].reasoning"
    assert caught.value.path.startswith("messages[2].")


def test_a_refusal_gives_the_reason() -> None:
    with pytest.raises(MessageError, match="holds '<think>' where it would be read as a tag"):
        check_reply(Message("assistant", "<think>"))
    with pytest.raises(MessageError, match="white space alone beside calls"):
        check_reply(Message("assistant", " ", tool_calls=(ToolCall("f"),)))


def test_an_answer_may_mention_the_tags() -> None:
    """A model must be able to learn how to explain its own format."""
    check_reply(
        Message("assistant", "Thoughts stand in <think> and </think>, calls in <tool_call>.")
    )


def test_the_stop_token_is_not_part_of_the_reply() -> None:
    text = write_reply(Message("assistant", "hi", "hm", (ToolCall("f", '{"x": 1}'),)))
    assert text == (
        "<think>\nhm\n</think>\n\nhi\n"
        '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
    )


def test_a_template_that_marks_nothing_cannot_write_a_reply() -> None:
    foreign = ChatTemplate.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(MessageError, match="generation"):
        write_reply(Message("assistant", "hi"), foreign)
    with pytest.raises(MessageError, match="generation"):
        write_reply(Message("user", "hi"))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
@pytest.mark.parametrize(
    ("messages", "tools", "path"),
    [
        ([Message("user", "a{}b")], [], "messages[0].content"),
        ([Message("assistant", reasoning="{}")], [], "messages[0].reasoning"),
        (
            [Message("user", "a"), Message("assistant", tool_calls=(ToolCall("f{}"),))],
            [],
            "messages[1].tool_calls[0].name",
        ),
        (
            [Message("assistant", tool_calls=(ToolCall.of("f", {"x": "XX"}),))],
            [],
            "messages[0].tool_calls[0].arguments",
        ),
        ([Message("tool", "{}")], [], "messages[0].content"),
        ([], [Tool("f", "a{}")], "tools[0].description"),
        ([], [Tool("f{}")], "tools[0].name"),
    ],
)
def test_control_tokens_in_a_conversation_are_refused(
    family: object, messages: list[Message], tools: list[Tool], path: str
) -> None:
    """They would end a turn from inside it: a user could speak as the assistant."""
    chosen = next(known for known in FAMILIES.values() if known is family)

    def fill(text: str) -> str:
        return text.replace("{}", chosen.close).replace("XX", chosen.open)

    filled = [
        Message(
            message.role,
            fill(message.content),
            fill(message.reasoning),
            tuple(
                ToolCall(fill(call.name), fill(call.arguments) if "XX" in call.arguments else "{}")
                for call in message.tool_calls
            ),
        )
        for message in messages
    ]
    with pytest.raises(MessageError) as caught:
        check_conversation(
            filled, [Tool(fill(tool.name), fill(tool.description)) for tool in tools], chosen
        )
    assert caught.value.path == path


def test_a_sound_conversation_passes() -> None:
    check_conversation(
        [
            Message("system", "be kind"),
            Message("user", "weather?"),
            Message("assistant", "", "hm", (ToolCall("f", '{"x": 1}', "c1"),)),
            Message("tool", "sunny", tool_call_id="c1", name="f"),
            Message("assistant", "Sunny."),
        ],
        [Tool("f")],
        FAMILIES["llama3"],
    )
