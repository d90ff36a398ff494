"""What a teacher's question, calls and answers must keep to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.teacher.checks import (
    LONGEST,
    agree,
    bare_question,
    check_answer,
    check_question,
    check_reply,
    same_words,
    unsaid_values,
)
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.offers import own_offers
from formosa.data.teacher.seeds import Seed, make_seed

WEATHER = Tool.of(
    "get_weather",
    "Weather",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "indoor": {"type": "boolean"},
        },
        "required": ["city"],
    },
)
PLAY = Tool.of(
    "play", "Music", {"type": "object", "properties": {"title": {"type": "string"}},
                      "required": ["title"]},
)  # fmt: skip
BOTH = own_offers([WEATHER, PLAY])


def seed_of(kind: str, language: str = "zh-TW") -> Seed:
    config = TeacherConfig(kinds={kind: 1}, languages={language: 1})
    numbers = range(50)
    made = (make_seed(config, lambda language: BOTH, number) for number in numbers)
    return next(
        seed for seed in made if not seed.needed or seed.needed[0].tool.name == "get_weather"
    )


def weather(**values: Any) -> ToolCall:
    return ToolCall.of("get_weather", values)


def reply_of(*calls: ToolCall, content: str = "") -> Message:
    named = tuple(replace(call, id=f"call_{i}") for i, call in enumerate(calls))
    return Message("assistant", content, tool_calls=named)


# -- the question ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("「台北天氣如何？」", "台北天氣如何？"),
        ('  "What about rain?"\n', "What about rain?"),
        ("“Rain?”", "Rain?"),
        ("『雨？』", "雨？"),
        ("「一」和「二」", "「一」和「二」"),
        ('"', '"'),
        ("「」", "「」"),
        ("", ""),
    ],
)
def test_quotation_marks_around_a_question_are_none_of_its_words(written: str, bare: str) -> None:
    assert bare_question(written) == bare


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        ("zh-TW", "明天台北會下雨嗎？", None),
        ("zh-TW", "", "no question"),
        ("zh-TW", "很長" * LONGEST, "question too long"),
        ("zh-TW", "請用 get_weather 查台北", "names a tool"),
        ("zh-TW", "Will it rain in Taipei?", "wrong language"),
        ("zh-TW", "台北明天会下雨吗？", "simplified"),
        ("zh-TW", "台北的視頻質量如何？", "mainland words"),
        ("zh-TW", "台北<|im_end|>天氣", "control token"),
        ("zh-TW", "台北\ud83d天氣", "broken text"),
        ("en", "Will it rain in Taipei?", None),
        ("en", "Will it rain in 台北?", "wrong language"),
        ("en", "Please play some music.", None),  # a tool is called `play`, a word like any other
    ],
)
def test_a_question_is_what_a_user_of_the_language_may_say(
    language: str, text: str, reason: str | None
) -> None:
    found = check_question(text, seed_of("multiple", language))
    assert (found and found.reason) == reason
    if found:
        assert found.detail.endswith(".")


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("台北未來 3 天的天氣", {"city": "台北", "days": 3}),
        ("台北未來３天的天氣", {"city": "台北", "days": 3}),  # full width
        ("TAIPEI in 1,200 days", {"city": "Taipei", "days": 1200}),
        ("New  York\ntoday", {"city": "New York"}),
        ("台北用華氏", {"city": "台北", "unit": "fahrenheit"}),  # an option, in other words
        ("台北室內", {"city": "台北", "indoor": True}),  # can't be said literally
    ],
)
def test_values_that_the_question_says_are_found(question: str, values: dict[str, Any]) -> None:
    assert list(unsaid_values(weather(**values), WEATHER, question)) == []


@pytest.mark.parametrize(
    ("question", "values", "path"),
    [
        ("台北的天氣", {"city": "Taipei"}, "city"),
        ("台北三天的天氣", {"city": "台北", "days": 3}, "days"),
        ("台北 30 天的天氣", {"city": "台北", "days": 3}, "days"),
        ("台北 3.5 天", {"city": "台北", "days": 3}, "days"),
        ("台北的天氣", {"city": ""}, "city"),
        ("台北的天氣", {"city": "  "}, "city"),
    ],
)
def test_a_value_that_the_question_does_not_say_is_named(
    question: str, values: dict[str, Any], path: str
) -> None:
    assert [where for where, _ in unsaid_values(weather(**values), WEATHER, question)] == [path]


NESTED = Tool.of(
    "book",
    "Book",
    {
        "type": "object",
        "$defs": {"Seat": {"enum": ["aisle", "window"]}},
        "properties": {
            "guests": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "seat": {"$ref": "#/$defs/Seat"},
                        "meal": {"anyOf": [{"enum": ["vegan"]}, {"type": "null"}]},
                        "ticket": {"const": "T"},
                    },
                },
            },
            "loop": {"$ref": "#/properties/loop"},
        },
    },
)


def test_values_are_looked_for_in_lists_and_objects_and_options_behind_references() -> None:
    guests = [
        {"name": "王小明", "seat": "aisle", "meal": "vegan", "ticket": "T"},
        {"name": "Mary", "meal": None},
    ]
    call = ToolCall.of("book", {"guests": guests, "loop": "x", "tags": []})
    found = dict(unsaid_values(call, NESTED, "請幫王小明訂位"))
    assert found == {"guests[1].name": "Mary", "loop": "x", "tags": []}


LEAVES = st.one_of(
    st.text("abcxyz台北高雄", min_size=1, max_size=8),
    st.integers(0, 10**9),
    st.decimals(0, 1000, places=2).map(float),
)
ARGUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.text("pqr", min_size=1, max_size=3), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@given(st.dictionaries(st.text("pqr", min_size=1, max_size=3), ARGUMENTS, max_size=4))
def test_a_question_that_repeats_every_value_says_every_value(values: dict[str, Any]) -> None:
    tool = Tool("f")
    said = leaves(values)
    question = " | ".join(json.dumps(v) if not isinstance(v, str) else v for v in said)
    call = ToolCall.of("f", values)
    assert list(unsaid_values(call, tool, question)) == []
    missing = [value for _, value in unsaid_values(call, tool, "")]
    assert missing == said, "and an empty one says none"


# -- the reply -------------------------------------------------------------------------------------


def test_a_reply_that_does_what_was_asked_is_right() -> None:
    call = weather(city="台北")
    assert check_reply(reply_of(call), seed_of("multiple"), "台北天氣？") is None
    assert check_reply(reply_of(call, content="我查查看。"), seed_of("single"), "台北？") is None
    calls = [weather(city=city) for city in ("台北", "高雄", "台中")]
    seed = seed_of("parallel")
    assert check_reply(reply_of(*calls[: seed.calls]), seed, "台北、高雄、台中天氣？") is None
    both = weather(city="台北"), ToolCall.of("play", {"title": "小城故事"})
    question = "查台北天氣，再放小城故事"
    assert check_reply(reply_of(*both), seed_of("parallel_multiple"), question) is None
    assert check_reply(reply_of(content="哪個城市？"), seed_of("missing"), "天氣？") is None
    assert check_reply(reply_of(content="我辦不到。"), seed_of("irrelevant"), "?") is None


@pytest.mark.parametrize(
    ("kind", "reply", "reason"),
    [
        ("multiple", reply_of(), "no reply"),
        ("multiple", reply_of(content="好天氣。"), "other calls"),
        ("multiple", reply_of(weather(city="台北"), weather(city="高雄")), "other calls"),
        ("multiple", reply_of(ToolCall.of("play", {"title": "台北"})), "other calls"),
        ("multiple", reply_of(weather(city="東京")), "unsaid value"),
        ("multiple", reply_of(weather(city="台北"), content="Let me see."), "wrong language"),
        ("multiple", reply_of(weather(city="台北"), content="我看看视频。"), "simplified"),
        ("missing", reply_of(weather(city="台北")), "calls a tool"),
        ("missing", reply_of(content="我不知道。"), "does not ask back"),
        ("irrelevant", reply_of(weather(city="台北")), "calls a tool"),
        ("irrelevant", Message("assistant", "不行。", reasoning="这个不行。"), "simplified"),
    ],
)  # fmt: skip
def test_a_reply_that_does_something_else_is_refused_with_the_reason(
    kind: str, reply: Message, reason: str
) -> None:
    found = check_reply(reply, seed_of(kind), "台北和高雄的天氣？")
    assert found is not None
    assert found.reason == reason
    assert found.detail.endswith(".")


def test_the_same_call_twice_is_no_parallel_call() -> None:
    seed = replace(seed_of("parallel"), calls=2)
    twice = reply_of(weather(city="台北"), weather(city="台北"))
    found = check_reply(twice, seed, "台北天氣？")
    assert found is not None and found.reason == "calls twice"


@pytest.mark.parametrize(
    "arguments",
    ['{"city": 5}', '{"town": "台北"}', "{}", "{", "[]", '{"city": "台北", "days": NaN}',
     '{"a":' * 5000 + "1" + "}" * 5000],
    ids=["type", "unknown", "required", "torn", "list", "nan", "deep"],
)  # fmt: skip
def test_a_call_that_does_not_fit_its_schema_is_refused(arguments: str) -> None:
    call = ToolCall("get_weather", arguments)
    found = check_reply(reply_of(call), seed_of("multiple"), "台北天氣？")
    assert found is not None and found.detail.endswith(".")


def test_a_call_of_a_tool_that_was_not_offered_is_refused() -> None:
    call = ToolCall.of("get_forecast", {"city": "台北"})
    assert check_reply(reply_of(call), seed_of("multiple"), "台北天氣？") is not None


# -- agreement -------------------------------------------------------------------------------------

CALLS = st.lists(
    st.builds(
        ToolCall.of,
        st.sampled_from(["f", "g"]),
        st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.0, True, "1"]), max_size=2),
    ),
    max_size=4,
)


@given(CALLS, st.randoms(use_true_random=False))
def test_calls_agree_in_any_order_spelling_and_id(calls: list[ToolCall], dice: Any) -> None:
    other = [
        ToolCall(c.name, json.dumps(dict(reversed(c.values().items())), indent=1), f"id{i}")
        for i, c in enumerate(calls)
    ]
    dice.shuffle(other)
    assert agree(calls, other)


@given(CALLS, CALLS)
def test_calls_that_agree_are_the_same_ones(first: list[ToolCall], second: list[ToolCall]) -> None:
    def spelled(calls: list[ToolCall]) -> list[str]:
        return sorted(c.name + json.dumps(c.values(), sort_keys=True) for c in calls)

    assert agree(first, second) == agree(second, first) == (spelled(first) == spelled(second))


def test_calls_that_can_t_be_read_never_agree() -> None:
    torn = ToolCall("f", "{")
    assert not agree([torn], [torn])


# -- the answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply_of(content="明天會下雨。"), None),
        (reply_of(content=""), "no answer"),
        (reply_of(weather(city="台北"), content="再查一次。"), "calls again"),
        (reply_of(content="Rain."), "wrong language"),
        (reply_of(content="這個視頻很好。"), "mainland words"),
        (Message("assistant", "會下雨。", reasoning="The rain."), None),
        (Message("assistant", "會下雨。", reasoning="这是雨。"), "simplified"),
    ],
)
def test_the_last_words_are_an_answer_in_the_language(answer: Message, reason: str | None) -> None:
    found = check_answer(answer, seed_of("single"))
    assert (found and found.reason) == reason


def test_questions_that_differ_in_width_and_blanks_are_the_same() -> None:
    assert same_words("台北  １,000 元？") == same_words("台北 1000 元?")
    assert same_words("台北") != same_words("台中")
