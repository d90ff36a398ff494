"""Rows that a model may not learn, and schemas that are sound at a glance."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import FAMILIES
from formosa.data.plain_schema import is_plain_schema
from formosa.data.rows import Row
from formosa.data.validate import CONTROL, BadRowError, find_control, validate_row

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool.of("weather", "Weather of a city", CITY)


def calling(arguments: str, *tools: Tool, name: str = "weather") -> Row:
    messages = (
        Message("user", "Weather?"),
        Message("assistant", tool_calls=(ToolCall(name, arguments, "c0"),)),
    )
    return Row.of(messages, tools or (WEATHER,), id="r1")


def chat(question: str = "?", reply: str = "!", **more: Any) -> Row:
    return Row.of((Message("user", question), Message("assistant", reply, **more)), id="r1")


def reason(row: Row) -> str:
    try:
        validate_row(row)
    except BadRowError as error:
        assert error.message.startswith("r1: ")
        return error.reason
    return ""


def test_a_good_row_passes() -> None:
    validate_row(calling('{"city": "Oslo"}'))
    validate_row(chat(reasoning="Let me think: 1 < 2."))
    validate_row(Row.of(text="一份文件，<b>有標籤</b>。"))


FAMILY_TOKENS = {
    token.strip()
    for family in FAMILIES.values()
    for token in (family.bos, family.open, family.head, family.close)
    if token.strip()
}
OTHERS = (
    "<|endoftext|>", "<|finetune_right_pad_id|>", "<|tool_call_begin|>", "<pad>", "<eos>",
    "<｜end▁of▁sentence｜>",
)  # fmt: skip


@pytest.mark.parametrize("token", sorted({*FAMILY_TOKENS, *OTHERS}))
def test_no_text_may_spell_a_token_of_any_family(token: str) -> None:
    """The row will be rendered for a family that nobody knows yet; Llama's tokens in a row that
    was checked for ChatML ended a turn from inside it."""
    tool = Tool.of("weather", f"Weather {token}", CITY)
    for row in (
        chat(f"what is {token}?"),
        chat(reply=token),
        chat(reasoning=f"a{token}b"),
        calling(json.dumps({"city": token}, ensure_ascii=False)),
        calling('{"city": "Oslo"}', tool),
        Row.of(text=f"文件{token}", id="r1"),
    ):
        assert reason(row) == CONTROL


@pytest.mark.parametrize(
    "text",
    ["a < b | c > d", "x <| y |> z", "<b>fett</b>", "<||>", "f <|> g", "1 <2|3> 4", "<think>",
     "<tool_call>", "[INST]", "<s>alt</s>"],
)  # fmt: skip
def test_what_only_looks_like_a_token_is_text(text: str) -> None:
    assert find_control(text) is None


def test_half_a_character_is_no_text() -> None:
    """JSON can hold a lone surrogate, a tokenizer cannot."""
    assert reason(chat("broken \ud83d")) == "broken text"


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (Row.of((Message("user", "?"),), id="r1"), "no reply"),
        (calling('{"city": "Oslo"}', name="wether"), "unknown tool"),
        (calling('{"city": 3}'), "arguments do not fit"),
        (calling("{}"), "arguments do not fit"),
        (calling('{"city": "Oslo", "country": null}'), "arguments do not fit"),
        (calling('{"city": "Oslo"}', WEATHER, WEATHER), "tool offered twice"),
        (calling('{"city": "Oslo"}', Tool("weather", "", '{"type": "dict"}')), "bad schema"),
        (calling('{"city": "Oslo"}', Tool("weather", "", '{"$ref": "#/nowhere"}')), "bad schema"),
        (
            calling(
                '{"city": "Oslo"}',
                Tool("weather", "", '{"properties": {"city": {"pattern": "("}}}'),
            ),
            "bad schema",
        ),
        (
            chat(reply='see <tool_call>{"name": "t", "arguments": {}}</tool_call>'),
            "cannot be written",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_row_has_one_short_reason(row: Row, wanted: str) -> None:
    assert reason(row) == wanted


def test_a_schema_from_a_stranger_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """jsonschema opens the address of a remote $ref unless it is told not to."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the schema made this machine open an address")

    monkeypatch.setattr("urllib.request.urlopen", opened)
    tool = Tool("weather", "", '{"$ref": "http://example.org/schema.json"}')
    assert reason(calling('{"city": "Oslo"}', tool)) == "bad schema"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_validation_says_yes_or_why_for_any_words(words: str) -> None:
    assert reason(chat(words, words)) in {"", CONTROL, "cannot be written"}


# Values that look like schemas, right and wrong: keywords with values of every sort.
KEYWORDS = st.sampled_from(
    ["type", "properties", "items", "additionalProperties", "anyOf", "oneOf", "required", "enum",
     "const", "default", "examples", "title", "description", "format", "minimum", "maximum",
     "minItems", "maxItems", "minLength", "maxLength", "uniqueItems", "pattern", "$ref", "x-own"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(["string", "number", "object", "dict", "", "city"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(KEYWORDS, st.just("city")), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(st.dictionaries(KEYWORDS, VALUES, max_size=4))
def test_what_is_plain_at_a_glance_is_sound_by_the_metaschema(schema: dict[str, Any]) -> None:
    if is_plain_schema(schema):
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        CITY,
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"n": {"type": ["integer", "null"], "minimum": 0},
                                          "l": {"type": "array", "items": {"enum": [1, "a"]}},
                                          "o": {"anyOf": [{"type": "string"}, {"const": 3}]}},
         "additionalProperties": False},
    ],
)  # fmt: skip
def test_the_schemas_of_ordinary_tools_are_plain(schema: dict[str, Any]) -> None:
    """Else the glance saves nothing."""
    assert is_plain_schema(schema)


def test_a_deep_schema_is_left_to_the_slow_check() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": "array", "items": schema}
    assert not is_plain_schema(schema)
