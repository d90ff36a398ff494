"""What counts as a call between the tags, and what is refused rather than guessed."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_strategies import is_object, texts, values
from formosa.chat.calls import LITERAL_LIMIT, MalformedCallError, list_items, read_calls
from formosa.chat.message import ToolCall


def only(text: str) -> ToolCall:
    (call,) = read_calls(text)
    return call


@settings(deadline=None)
@given(
    st.dictionaries(texts(), values(), max_size=4),
    texts().filter(bool),
    st.booleans(),
    st.sampled_from(["arguments", "parameters"]),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_every_spelling_of_json_gives_the_same_call(
    arguments: dict[str, object],
    name: str,
    name_first: bool,
    key: str,
    indent: int | None,
    ascii_only: bool,
) -> None:
    pairs = [("name", name), (key, arguments)]
    value = dict(pairs if name_first else reversed(pairs))
    call = only(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
    assert call.same(ToolCall.of(name, arguments))
    inner = json.dumps(arguments, ensure_ascii=ascii_only)
    assert only(json.dumps({"name": name, key: inner})).same(call)


@settings(deadline=None)
@given(st.dictionaries(texts(), values(), max_size=4))
def test_python_s_spelling_gives_the_same_call(arguments: dict[str, object]) -> None:
    assert only(repr({"name": "f", "arguments": arguments})).same(ToolCall.of("f", arguments))
    assert only(json.dumps({"name": "f", "arguments": repr(arguments)})).same(
        ToolCall.of("f", arguments)
    )


@given(st.text())
def test_any_text_is_a_call_or_malformed(text: str) -> None:
    try:
        found = read_calls(text)
    except MalformedCallError as error:
        assert str(error)
    else:
        assert all(is_object(call.arguments) for call in found)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"name": "f", "arguments": {"x":1.0, "y" : 1e3}}', '{"x":1.0, "y" : 1e3}'),
        ('{"name": "f", "arguments": {"x": 1e999}}', '{"x": 1e999}'),
        ('[{"name": "f", "arguments": {"x":1e999}}]', '{"x":1e999}'),
        ('{"function": {"name": "f", "arguments": {"x":1}}}', '{"x":1}'),
        ('{"name": "f", "arguments": {"a": 1}, "arguments": {"b": 2}}', '{"b": 2}'),
        ('{"name": "f", "arguments": {"s": "\\ud83e\\uddcb"}}', '{"s": "\\ud83e\\uddcb"}'),
    ],
)
def test_the_text_of_the_arguments_is_kept(text: str, arguments: str) -> None:
    assert only(text).arguments == arguments


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"name": "f", "arguments": {"s": "a\nb"}}', '{"s": "a\\nb"}'),
        ('{"name": "f", "arguments": "{\\"s\\": \\"a\\nb\\"}"}', '{"s": "a\\nb"}'),
        ("{'name': 'f', 'arguments': {'t': (1, 2)}}", '{"t": [1, 2]}'),
        ("{'name': 'f', 'arguments': {'re': '\\d'}}", '{"re": "\\\\d"}'),
    ],
)
def test_arguments_that_are_no_json_are_written_anew(text: str, arguments: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody can mend an escape that a model wrote
        assert only(text).arguments == arguments


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f", "arguments": {"s": "\\ud800"}}',
        '{"name": "f", "arguments": {"s": "\\ud800\n"}}',
        '{"name": "f", "arguments": "{\\"s\\": \\"\\ud800\\"}"}',
    ],
)
def test_a_lone_surrogate_can_be_sent(text: str) -> None:
    """A JSON escape can hold what UTF-8 can't; a server would fail while sending it."""
    call = only(text)
    call.arguments.encode("utf-8")
    assert call.values()["s"].startswith("\ud800")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("hi", "not JSON"),
        ("3", "must be an object"),
        ("[]", "empty list"),
        ("[[1]]", "must be an object"),
        ("{}", "no tool name"),
        ('{"name": 3}', "no tool name"),
        ('{"name": ""}', "no tool name"),
        ('{"name": "\\ud800"}', "lone surrogate"),
        ('{"name": "f", "arguments": [1]}', "must be an object"),
        ('{"name": "f", "arguments": 1}', "must be an object"),
        ('{"name": "f", "arguments": "hi"}', "not JSON"),
        ('{"name": "f", "arguments": "[1]"}', "must be an object"),
        ('{"name": "f", "arguments": {"x": NaN}}', "NaN"),
        ('{"name": "f", "arguments": {"x": Infinity}}', "Infinity"),
        ('{"name": "f", "arguments": {"x": 1e999, "y": "a\nb"}}', "too large"),
        ('{"name": "f", "arguments": {"x": ' + "1" * 5000 + "}}", "not JSON"),
        ('{"name": "f", "city": "Taipei", "args": {}}', "no arguments, but 'args, city'"),
        ("{'name': 'f', 'arguments': {'x': {1, 2}}}", "not JSON"),
        ("{'name': 'f', 'arguments': {'x': b'1'}}", "not JSON"),
        ("{'name': 'f', 'arguments': {'x': open('/etc/passwd')}}", "not JSON"),
        ("{'name': 'f', 'arguments': {'x': true}}", "not JSON"),
        ('{"name": "f", "arguments": {"x": 1}', "not JSON"),
        ('{"name": "f", "arguments": ' + '{"a":' * 100_000 + "1" + "}" * 100_001, "deeply"),
        ("{'a': " + "[" * 5000 + "]" * 5000 + "}", "not JSON|deeply"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(text: str, problem: str) -> None:
    with pytest.raises(MalformedCallError, match=problem):
        read_calls(text)


def test_python_s_spelling_has_a_limit() -> None:
    """ast builds a tree many times as large as the text."""
    with pytest.raises(MalformedCallError):
        read_calls("{'name': 'f', 'arguments': {'x': '" + "a" * LITERAL_LIMIT + "'}}")


def test_a_list_is_taken_apart_without_rewriting_it() -> None:
    assert list_items(' [{"a": 1.0 } , [2], "x"]\n') == ['{"a": 1.0 }', "[2]", '"x"']
    for other in ("[]", "[1", "hi", '{"a": [1]}', "[" * 100_000):
        assert list_items(other) == [other]
