"""The generator: the same bytes for the same seed, and every row keeps what its kind promises."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.message import Message, ToolCall, json_text
from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.catalogue import STYLES, ToolSpec, catalogue
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.generate import RESERVED, generate, make_row, shares
from formosa.data.synth.words import word_list
from formosa.data.validate import validate_row

# Characters that only Simplified Chinese has (none of them is in Big5).
SIMPLIFIED = set(
    "们这说国学时会对过还没见长东车书门问间语话请谢谁让认识读写买卖钱银铁钟错针镇阳阴队际陆陈难页项顺预领头题颜额风飞饭饮馆马驾验鱼鸟鸡鸣黄龙齐龄点热爱应总数电脑软络"
    "视频质传亚产亲亿仅从仓伤伟众师归录弯汇汉沟济浏测温湾湿满灯灵灾炉状独环现画疗监盘码础礼积关实单双变发义乐习乡争华协卫历压县参叶号启员咏响团园围图圆场块坚声处备够"
    "奖妇妈娱孙宝宾导将尘尝尽层岁岛币帅带帮广庆庙库开弃张径态惯戏户执扩扫扬抚护报担拥择挥损换"
)


def simplified(text: str) -> set[str]:
    return set(text) & SIMPLIFIED


def calls_of(row: Row) -> list[ToolCall]:
    return [call for message in row.messages for call in message.tool_calls]


def rows_of(kind: str, language: str, count: int = 40, **options: Any) -> Iterator[Row]:
    return (make_row(11, number, kind, language, **options) for number in range(count))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(generate(600, 3))


@pytest.fixture(scope="module")
def held_out() -> list[Row]:
    return list(generate(120, 3, held_out=True))


DIGEST = """
import hashlib
from formosa.chat.message import json_text
from formosa.data.synth.generate import generate
lines = "\\n".join(json_text(row.to_json()) for row in generate(200, 7))
print(hashlib.sha256(lines.encode()).hexdigest())
"""


def test_two_processes_make_the_same_bytes() -> None:
    """Sets and dicts are ordered by hash seeds in one process or another; the rows must not be."""
    digests = set()
    for seed in ("0", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"}
        command = [sys.executable, "-c", DIGEST]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        digests.add(result.stdout.strip())
    lines = "\n".join(json_text(row.to_json()) for row in generate(200, 7))
    assert digests == {hashlib.sha256(lines.encode()).hexdigest()}


def test_seeds_differ() -> None:
    first, second = ({row.question for row in generate(60, seed)} for seed in (1, 2))
    assert len(first & second) < 10


def test_a_row_depends_on_its_place_only() -> None:
    """Asking for more rows keeps those that were there (unless a question came before)."""
    few = {row.id: row for row in generate(60, 5, kinds={"single": 1}, languages={"en": 1})}
    many = {row.id: row for row in generate(90, 5, kinds={"single": 1}, languages={"en": 1})}
    assert few.keys() <= many.keys()
    assert sum(few[name] == many[name] for name in few) > 55


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(LANGUAGES),
    st.integers(0, 2000),
    st.integers(0, 50),
    st.booleans(),
)
def test_every_row_can_be_trained_on(
    kind: str, language: str, number: int, seed: int, held: bool
) -> None:
    """It reads back equal, its calls fit their schemas, and its JSON gives the same row."""
    row = make_row(seed, number, kind, language, held_out=held)
    validate_row(row)
    assert Row.from_json(json.loads(json_text(row.to_json())), "x:1") == row
    assert row.language == language
    assert row.kind == kind


def test_no_question_comes_twice(rows: list[Row]) -> None:
    assert len({row.question for row in rows}) == len(rows) == 600


def test_the_questions_of_the_demonstration_are_not_learnt(rows: list[Row]) -> None:
    for row in rows:
        assert row.question.replace(" ", "") not in RESERVED
        assert "關稅" not in row.question and "tariff" not in row.question.lower()


def test_weights_are_kept_exactly(rows: list[Row]) -> None:
    assert Counter(row.language for row in rows) == {"zh-TW": 240, "en": 360}
    kinds = Counter(row.kind for row in rows)
    assert set(kinds) == set(KINDS)
    only = list(generate(20, 1, kinds={"missing": 1, "chat": 1}, languages={"en": 1}))
    assert {(row.kind, row.language) for row in only} == {("missing", "en"), ("chat", "en")}


@given(
    st.integers(0, 500),
    st.dictionaries(st.text(max_size=3), st.floats(0.1, 9), min_size=1, max_size=6),
)
def test_shares_add_up(total: int, weights: dict[str, float]) -> None:
    counts = shares(total, weights)
    assert sum(counts.values()) == total
    whole = sum(weights.values())
    assert all(abs(counts[name] - total * weights[name] / whole) < 1 for name in weights)


# What each kind promises


@pytest.mark.parametrize("language", LANGUAGES)
def test_single_is_one_call_of_the_only_tool(language: str) -> None:
    for row in rows_of("single", language):
        assert len(row.tools) == len(calls_of(row)) == 1
        assert row.messages[-1].tool_calls and not row.messages[-1].content


@pytest.mark.parametrize("language", LANGUAGES)
def test_multiple_is_one_call_out_of_several_tools(language: str) -> None:
    positions: Counter[int] = Counter()
    for row in rows_of("multiple", language):
        assert 2 <= len(row.tools) <= 5
        (call,) = calls_of(row)
        names = [tool.name for tool in row.tools]
        assert len(set(names)) == len(names)
        positions[names.index(call.name)] += 1
    assert len(positions) > 2  # the right tool is not always the first


@pytest.mark.parametrize("language", LANGUAGES)
def test_parallel_is_several_different_calls_of_one_tool(language: str) -> None:
    counts = set()
    for row in generate(60, 9, kinds={"parallel": 1}, languages={language: 1}):
        calls = calls_of(row)
        counts.add(len(calls))
        assert len({call.name for call in calls}) == 1
        assert len({call.arguments for call in calls}) == len(calls)
    assert counts == {2, 3, 4}


@pytest.mark.parametrize("language", LANGUAGES)
def test_parallel_multiple_is_calls_of_different_tools(language: str) -> None:
    for row in rows_of("parallel_multiple", language):
        names = [call.name for call in calls_of(row)]
        assert 2 <= len(names) <= 4
        assert len(set(names)) == len(names)
        assert set(names) <= {tool.name for tool in row.tools}


def test_weather_and_search_in_one_question_are_among_them(rows: list[Row]) -> None:
    """The flow of the demonstration, with other cities and topics."""
    flows: dict[str, set[str]] = {"zh-TW": set(), "en": set()}
    for row in rows:
        calls = {call.name: call.values() for call in calls_of(row)}
        if set(calls) == {"get_weather", "search"}:
            assert set(calls["get_weather"]) == {"location", "unit"}
            assert calls["search"]["query"] in row.question
            flows[row.language].add(calls["search"]["query"])
    assert len(flows["zh-TW"]) >= 5 and len(flows["en"]) >= 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_irrelevant_calls_nothing_and_says_so(language: str) -> None:
    for row in rows_of("irrelevant", language):
        assert row.tools and not calls_of(row)
        assert 5 < len(row.messages[-1].content) < 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_missing_asks_before_it_calls(language: str) -> None:
    followed = 0
    for row in rows_of("missing", language):
        turns = [message for message in row.messages if message.role != "system"]
        assert [message.role for message in turns[:2]] == ["user", "assistant"]
        assert not turns[1].tool_calls and turns[1].content.endswith(("?", "？"))
        if len(turns) == 4:
            (call,) = turns[3].tool_calls
            tool = next(tool for tool in row.tools if tool.name == call.name)
            assert set(tool.schema()["required"]) <= set(call.values())
            followed += 1
    assert 10 < followed < 30


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_answer_is_made_from_results_given_by_id(language: str) -> None:
    for row in rows_of("answer", language):
        turns = [message for message in row.messages if message.role != "system"]
        calls = turns[1].tool_calls
        results = turns[2:-1]
        assert [message.tool_call_id for message in results] == [call.id for call in calls]
        assert len({call.id for call in calls}) == len(calls)
        for result in results:
            for value in told(result):
                assert value in turns[-1].content, (result.content, turns[-1].content)


def told(result: Message) -> list[str]:
    """The values of a result in JSON; one in words is told as a whole."""
    if not result.content.startswith("{"):
        return []
    values = json.loads(result.content).values()
    return [str(value) for value in values if not isinstance(value, str)]


def test_chat_has_no_tools() -> None:
    for language in LANGUAGES:
        for row in rows_of("chat", language, 10):
            assert row.tools == () and not calls_of(row)


# Values


def test_free_text_is_copied_from_what_the_user_said(rows: list[Row]) -> None:
    """Values that the model can't have from the schema stand literally in the conversation."""
    copied = 0
    for row in rows:
        said = "\n".join(item.content for item in row.messages if item.role == "user")
        schemas = {tool.name: tool.schema() for tool in row.tools}
        for call in calls_of(row):
            for value in free_texts(call.values(), schemas[call.name]):
                assert value.lower() in said.lower(), (call, said)
                copied += 1
    assert copied > 300


def free_texts(values: Any, schema: dict[str, Any]) -> Iterator[str]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from free_texts(value, schema["properties"][name])
    elif isinstance(values, list):
        for value in values:
            yield from free_texts(value, schema["items"])
    elif isinstance(values, str) and "enum" not in schema:
        yield values


def test_numbers_are_numbers(rows: list[Row]) -> None:
    for row in rows:
        for call in calls_of(row):
            tool = next(tool for tool in row.tools if tool.name == call.name)
            for name, value in call.values().items():
                if tool.schema()["properties"][name]["type"] in ("integer", "number"):
                    assert isinstance(value, int | float) and not isinstance(value, bool)


def test_a_parameter_that_nobody_mentioned_is_left_out(rows: list[Row]) -> None:
    optional = [
        name in call.values()
        for row in rows
        for call in calls_of(row)
        for tool in row.tools
        if tool.name == call.name
        for name in tool.schema()["properties"]
        if name not in tool.schema()["required"]
    ]
    assert 0.2 < sum(optional) / len(optional) < 0.8


def test_the_temperature_unit_follows_the_city() -> None:
    units = {
        name: word.attributes["unit"] for word in word_list("city") for name in (word.en, word.zh)
    }
    kinds = {"parallel_multiple": 1.0, "answer": 1.0, "parallel": 1.0}
    seen: Counter[str] = Counter()
    for row in generate(250, 4, kinds=kinds):
        for call in calls_of(row):
            if call.name in ("get_weather", "getWeather"):
                values = call.values()
                assert values["unit"] == units[values["location"]]
                seen[values["unit"]] += 1
    assert min(seen["celsius"], seen["fahrenheit"]) > 3


# Languages


def test_zh_tw_rows_are_traditional(rows: list[Row]) -> None:
    for row in rows:
        text = json_text(row.to_json())
        assert not simplified(text), (simplified(text), row.question)


def test_zh_tw_sentences_have_full_width_punctuation(rows: list[Row]) -> None:
    for row in rows:
        if row.language == "zh-TW":
            for message in row.messages:
                if message.role == "assistant":
                    assert not set(message.content) & set("?!;"), message.content
                    assert ", " not in message.content
                elif message.role == "user":
                    assert "?" not in message.content, message.content


def test_the_words_of_zh_tw_are_those_of_taiwan(rows: list[Row]) -> None:
    wrong = ("視頻", "軟件", "網絡", "質量好", "打印", "信息", "屏幕", "默認", "鼠標", "出租車")
    for row in rows:
        assert not [word for word in wrong if word in json_text(row.to_json())]


def test_english_rows_have_no_chinese(rows: list[Row]) -> None:
    for row in rows:
        if row.language == "en":
            assert not any("\u3000" <= mark <= "\u9fff" for mark in json_text(row.to_json()))


def test_docs_of_zh_tw_questions_are_in_either_language() -> None:
    docs = [row.tools[0].description for row in rows_of("single", "zh-TW")]
    chinese = sum(any("\u4e00" <= mark <= "\u9fff" for mark in text) for text in docs)
    assert 5 < chinese < 35


# The held-out split


def style_names(spec: ToolSpec) -> set[str]:
    return {spec.styled_name(style) for style in STYLES}


def test_held_out_tools_are_never_seen_in_training(rows: list[Row], held_out: list[Row]) -> None:
    unseen = {name for spec in catalogue() if spec.held_out for name in style_names(spec)}
    assert 8 <= sum(spec.held_out for spec in catalogue()) <= 25
    for row in rows:
        assert not unseen & {tool.name for tool in row.tools}
    called = [call.name in unseen for row in held_out for call in calls_of(row)]
    assert 0.2 < sum(called) / len(called) < 0.8


def test_held_out_wordings_are_kept_from_training(rows: list[Row], held_out: list[Row]) -> None:
    for spec in catalogue():
        for language in LANGUAGES:
            trained = set(spec.wordings(language, held_out=False))
            assert not trained & set(spec.wordings(language, held_out=True))
            assert bool(trained) != spec.held_out
    assert not {row.question for row in rows} & {row.question for row in held_out}


def test_held_out_answers_need_no_more_tools_than_there_are() -> None:
    """Two unseen tools give answers; a row that wanted three of them was searched for ever."""
    for language in LANGUAGES:
        made = list(rows_of("answer", language, 150, held_out=True))
        assert {len(calls_of(row)) for row in made} == {1, 2, 3}


def test_training_uses_every_tool() -> None:
    called = {call.name for row in generate(900, 2) for call in calls_of(row)}
    unused = [s.name for s in catalogue() if not s.held_out and not style_names(s) & called]
    assert not unused


def test_the_same_seed_starts_with_other_tools_than_the_next() -> None:
    first, second = (
        [calls_of(make_row(seed, n, "single", "en"))[0].name for n in range(5)] for seed in (1, 2)
    )
    assert first != second


def test_what_can_be_said_ends() -> None:
    """There are only so many small talks: fewer rows come, and none of them twice."""
    made = list(generate(500, 1, kinds={"chat": 1}, languages={"en": 1}))
    assert 10 <= len(made) < 500
    assert len({row.question for row in made}) == len(made)
