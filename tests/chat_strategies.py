"""Generated texts and messages for the tests of the chat format."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall

PYTHON_CALLS = (
    "{'name': 'p', 'arguments': {'a': True, 'b': 'it\"s'}}",
    '{"name": "q", "arguments": {"a": None}}',
)

FRAGMENTS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_call>\n", "\n</tool_call>"),
    *("<", "</", "<t", "<tool_c", "</tool_call", "</th", ">", "<tool_call >", "<TOOL_CALL>"),
    '{"name": "f", "arguments": {"x": 1}}',
    '{"arguments": {"a": {"b": ["}", "{"]}}, "name": "h"}',
    '{"name": "g", "arguments": {"s": "</tool_call>"}}',
    '{"name": "g", "arguments": {"s": "<tool_call>{"}}',
    '{"name": "天氣", "parameters": {"城市": "臺北\\u7e23"}}',
    '{"name": "d", "arguments": "{\\"x\\": 1}"}',
    '[{"name": "l"}, {"name": "m"}, {"foo": 1}]',
    *PYTHON_CALLS,
    '{"name": "k", "arguments": {"x": "abc',
    '{"name": "k", "arguments": {"x": it\'s}}',
    *("{", "}", "[", "]", ",", ":", '"', "'", "\\", '\\"', '{"a', '"name": "'),
    *("\n", "\n\n", " ", "\t", "\v", "\u3000", " " * 300),
    *("hi", "臺北", "。", "é", "\U0001f9cb", "\x00"),
)


def replies() -> st.SearchStrategy[str]:
    """Texts that no model would write, made of everything that the parser looks at."""
    pieces = st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=6))
    return st.lists(pieces, max_size=14).map("".join)


def values(*, leaves: int = 8) -> st.SearchStrategy[Any]:
    """JSON values."""
    scalar = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        texts(),
    )
    return st.recursive(
        scalar,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(texts(), inner, max_size=3)
        ),
        max_leaves=leaves,
    )


def texts(max_size: int = 30) -> st.SearchStrategy[str]:
    """Any text that UTF-8 can hold."""
    return st.text(st.characters(codec="utf-8"), max_size=max_size)


def awkward_texts() -> st.SearchStrategy[str]:
    """Texts with tags and JSON in them."""
    return st.one_of(texts(), st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join))


def calls(text: st.SearchStrategy[str]) -> st.SearchStrategy[ToolCall]:
    arguments = st.dictionaries(text, st.one_of(values(), text), max_size=4)
    return st.builds(ToolCall.of, text.filter(bool), arguments)


def assistants(text: st.SearchStrategy[str]) -> st.SearchStrategy[Message]:
    """Messages of the assistant, filled in every way."""
    return st.builds(
        Message,
        st.just("assistant"),
        content=text,
        reasoning=text,
        tool_calls=st.lists(calls(text), max_size=3).map(tuple),
    )


def tools() -> st.SearchStrategy[Tool]:
    names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
    schema = st.builds(
        lambda names: {
            "type": "object",
            "properties": {name: {"type": "string"} for name in names},
        },
        st.lists(names, max_size=3),
    )
    return st.builds(Tool.of, names, texts(), schema)


def conversations() -> st.SearchStrategy[tuple[list[Message], list[Tool]]]:
    """A system prompt or none, then turns in any order, and tools."""
    text = texts(12)
    turn = st.one_of(
        st.builds(Message, st.sampled_from(["user", "tool", "system"]), content=text),
        assistants(text),
    )
    return st.tuples(st.lists(turn, max_size=6), st.lists(tools(), max_size=2))


def is_object(text: str) -> bool:
    """Whether `text` is one JSON object by the standard, which has no NaN, and can be sent."""

    def refuse(name: str) -> Any:
        raise ValueError(name)

    text.encode("utf-8")
    return isinstance(json.loads(text, parse_constant=refuse), dict)
