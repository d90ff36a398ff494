"""Messages are values: what goes in from the Chat Completions shape comes out of it again."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings

from chat_strategies import assistants, awkward_texts, tools
from formosa.chat.message import Message, Tool, ToolCall, read_object, with_call_ids
from formosa.errors import MessageError

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


@settings(deadline=None)
@given(assistants(awkward_texts()))
def test_the_openai_shape_of_a_message_reads_back_as_the_message(message: Message) -> None:
    value = message.to_openai()
    assert Message.from_openai(value) == message
    assert Message.from_openai(json.loads(json.dumps(value))) == message


@given(tools())
def test_the_openai_shape_of_a_tool_reads_back_as_the_tool(tool: Tool) -> None:
    assert Tool.from_openai(tool.to_openai()) == tool
    assert Tool.from_openai(tool.to_openai()["function"]) == tool


def test_messages_are_values() -> None:
    message = Message("user", "hi")
    assert message == Message("user", "hi")
    assert hash(message) == hash(Message("user", "hi"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.content = "ho"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("hi", "hi"),
        ([], ""),
        (["a", "b"], "ab"),
        ([{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}], "ab"),
        ([{"text": "a"}], "a"),
    ],
)
def test_content_may_be_text_or_parts(content: Any, text: str) -> None:
    assert Message.from_openai({"role": "user", "content": content}).content == text


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content"])
def test_reasoning_has_two_names(key: str) -> None:
    """vLLM says `reasoning`, llama.cpp and most clients `reasoning_content`."""
    assert Message.from_openai({"role": "assistant", key: "hm"}).reasoning == "hm"


def test_the_developer_is_the_system() -> None:
    assert Message.from_openai({"role": "developer", "content": "be kind"}).role == "system"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"x":1}', '{"x":1}'),
        ({"x": "臺"}, '{"x": "臺"}'),
        ("", "{}"),
        (None, "{}"),
    ],
)
def test_arguments_may_be_text_or_an_object(arguments: Any, text: str) -> None:
    """An empty text is what several servers send for a tool without parameters."""
    call = {"function": {"name": "f", "arguments": arguments}}
    message = Message.from_openai({"role": "assistant", "tool_calls": [call]})
    assert message.tool_calls == (ToolCall("f", text),)


def test_what_clients_send_along_without_a_value_is_ignored() -> None:
    value: dict[str, Any] = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": [],
        "function_call": None,
        "tool_calls": None,
    }
    assert Message.from_openai(value) == Message("assistant", "hi")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("hi", "messages[0]"),
        ({}, "messages[0].role"),
        ({"role": "robot"}, "messages[0].role"),
        ({"role": ["user"]}, "messages[0].role"),
        ({"role": "user", "content": 7}, "messages[0].content"),
        ({"role": "user", "content": {"text": "a"}}, "messages[0].content"),
        (
            {"role": "user", "content": ["a", {"type": "image_url", "image_url": {}}]},
            "messages[0].content[1].type",
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        ({"role": "user", "audio": {"id": "x"}}, "messages[0].audio"),
        ({"role": "user", "reasoning": "hm"}, "messages[0].reasoning"),
        ({"role": "user", "tool_calls": [CALL]}, "messages[0].tool_calls"),
        ({"role": "user", "tool_call_id": "c1"}, "messages[0].tool_call_id"),
        ({"role": "assistant", "tool_calls": "f()"}, "messages[0].tool_calls"),
        ({"role": "assistant", "tool_calls": ["f"]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "tool_calls": [{}]}, "messages[0].tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [CALL, {"function": {}}]},
            "messages[0].tool_calls[1].function.name",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "", "arguments": "{}"}}]},
            "messages[0].tool_calls[0].name",
        ),
        (
            {"role": "assistant", "tool_calls": [{**CALL, "extra_content": "x"}]},
            "messages[0].tool_calls[0].extra_content",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(MessageError) as caught:
        Message.from_openai(value)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        "[1]",
        '"x"',
        "null",
        '{"x": NaN}',
        '{"x": -Infinity}',
        '{"x": ' + "1" * 5000 + "}",  # more digits than Python reads: a ValueError of its own
        '{"x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_arguments_in_history_must_be_one_json_object(arguments: str) -> None:
    """llama.cpp answers such a history with HTTP 500 for ever after."""
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
    with pytest.raises(MessageError) as caught:
        Message.from_openai({"role": "assistant", "tool_calls": [call]}, "messages[3]")
    assert caught.value.path == "messages[3].tool_calls[0].arguments"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"type": "web_search", "function": {}}, "tools[0].type"),
        ({"type": "function", "function": {"description": "x"}}, "tools[0].function.name"),
        ({"name": ""}, "tools[0].name"),
        ({"name": "f", "parameters": [1]}, "tools[0].parameters"),
        ({"name": "f", "parameters": "{"}, "tools[0].parameters"),
        ({"name": "f", "description": 1}, "tools[0].description"),
        ({"name": "f", "examples": ["x"]}, "tools[0].examples"),
    ],
)
def test_a_tool_that_does_not_fit_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(MessageError) as caught:
        Tool.from_openai(value)
    assert caught.value.path == path


def test_a_tool_needs_neither_description_nor_parameters() -> None:
    """llama.cpp rejects a null description; MCP hosts send it."""
    tool = Tool.from_openai({"type": "function", "function": {"name": "f", "description": None}})
    assert tool.schema() == {"type": "object", "properties": {}}
    assert tool.to_openai()["function"]["description"] == ""


def test_the_text_of_a_schema_is_kept_as_it_was_written() -> None:
    text = '{"type":"object","properties":{"b":{},"a":{}}}'
    assert Tool.from_openai({"name": "f", "parameters": text}).parameters == text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', True),
        ('{"a": "臺"}', '{"a": "\\u81fa"}', True),
        ('{"a": 1}', '{"a": 1.0}', False),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": null}', "{}", False),
        ("{", "{", False),
    ],
)
def test_calls_are_the_same_when_their_json_is(one: str, other: str, same: bool) -> None:
    assert ToolCall("f", one, "x").same(ToolCall("f", other, "y")) is same
    assert not ToolCall("f", one).same(ToolCall("g", other))


def test_very_deep_arguments_are_compared_without_falling_over() -> None:
    deep = '{"a": ' + "[" * 900 + "]" * 900 + "}"
    assert ToolCall("f", deep).same(ToolCall("f", deep)) in (True, False)


def test_calls_get_ids_only_where_they_have_none() -> None:
    calls = with_call_ids([ToolCall("a"), ToolCall("b", id="mine"), ToolCall("c")], start=5)
    assert [call.id for call in calls] == ["call_5", "mine", "call_7"]


def test_read_object_names_the_place() -> None:
    with pytest.raises(MessageError, match=r"tools\[1\]: must be a JSON object, not list"):
        read_object("[]", "tools[1]")
