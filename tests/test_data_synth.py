"""The generator: the same bytes for the same seed, and every row keeps what its kind promises."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
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
from formosa.data.synth import smalltalk
from formosa.data.synth.catalogue import catalogue
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.generate import (
    DEFAULT_KINDS,
    generate,
    make_row,
    shares,
)
from formosa.data.synth.grammars import bulletin
from formosa.data.synth.novelty import RESERVED
from formosa.data.synth.specs import STYLES, ToolSpec
from formosa.data.synth.stage import phrases
from formosa.data.synth.words import word_list
from formosa.data.validate import validate_row
from formosa.zh.purity import measure


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
    assert set(kinds) == set(DEFAULT_KINDS)
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
        assert 2 <= len(row.tools) <= 6
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
    assert counts == {2, 3, 4, 5}


@pytest.mark.parametrize("language", LANGUAGES)
def test_parallel_multiple_is_calls_of_different_tools(language: str) -> None:
    repeated = 0
    for row in rows_of("parallel_multiple", language, 80):
        names = [call.name for call in calls_of(row)]
        assert 2 <= len(names) <= 7  # two tools for three things, and another question
        assert len(set(names)) >= 2
        assert set(names) <= {tool.name for tool in row.tools}
        repeated += len(set(names)) < len(names)
    assert 2 <= repeated <= 25


@pytest.mark.parametrize("language", LANGUAGES)
def test_weather_and_search_in_one_question_are_among_them(language: str) -> None:
    """The flow of the demonstration, with other cities and topics, and with tools like those."""
    queries, answered, names = set(), 0, set()
    for row in generate(
        300, 3, kinds={"parallel_multiple": 1, "answer": 1}, languages={language: 1}
    ):
        calls = {bare(call.name): call.values() for call in calls_of(row)}
        weather = set(calls) & {"getweather", "weatherforecast", "currenttemperature"}
        found = set(calls) & {"search", "websearch", "latestnews", "findpolicy"}
        if weather and found:
            names |= weather | found
            answered += row.messages[-1].role == "assistant" and bool(row.messages[-1].content)
        if "getweather" in calls and "search" in calls:
            assert set(calls["getweather"]) == {"location", "unit"}
            assert calls["search"]["query"] in row.question
            queries.add(calls["search"]["query"])
    assert len(queries) >= 12 and answered >= 5 and len(names) >= 5


def bare(name: str) -> str:
    """A tool's name without its style: `weather.get_weather` → `getweather`."""
    return name.rpartition(".")[2].replace("_", "").lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_irrelevant_calls_nothing_and_says_so(language: str) -> None:
    for row in rows_of("irrelevant", language):
        assert row.tools and not calls_of(row)
        assert 5 < len(row.messages[-1].content) < 260


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
    """The numbers of a result that is there; one in words is told as a whole."""
    if not result.content.startswith("{"):
        return []
    value = json.loads(result.content)
    if not value.keys().isdisjoint({"error", "results", "items"}) or value == {"total": 0}:
        return []
    numbers = (item for item in value.values() if not isinstance(item, str | bool | list))
    return [str(number) for number in numbers]


def test_a_tool_may_fail_or_find_nothing_and_the_answer_says_so() -> None:
    seen: Counter[str] = Counter()
    for language in LANGUAGES:
        for row in rows_of("answer", language, 150):
            for message in row.messages:
                if message.role == "tool":
                    failed = '"error"' in message.content
                    empty = '"results": []' in message.content or '"items": []' in message.content
                    seen["error" if failed else "empty" if empty else "values"] += 1
            if len(row.messages) == 4 and '"error"' in row.messages[2].content:
                said = row.messages[3].content
                assert re.search("n't|not|wrong|denied|again|無法|沒|才能", said), said
    assert seen["error"] > 10 and seen["empty"] > 5
    assert seen["values"] > 3 * (seen["error"] + seen["empty"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_figures_of_a_result_are_digits_that_the_answer_copies(language: str) -> None:
    """A model that never saw `32%` in a result told it as 「百分之三」 or as zeros without end."""
    seen = 0
    for row in rows_of("answer", language, 300):
        results = [m.content for m in row.messages if m.role == "tool" and "%" in m.content]
        shares = re.findall(r"\d[\d.]*%", " ".join(results))
        seen += len(shares) > 1
        assert Counter(shares) <= Counter(re.findall(r"\d[\d.]*%", row.messages[-1].content))
    assert seen > 5


@given(seed=st.integers(0, 2**32), zh=st.booleans())
def test_a_bulletin_says_no_figure_twice_in_a_sentence(seed: int, zh: bool) -> None:
    text = bulletin(random.Random(seed), zh)
    assert "{" not in text and (not text or text.endswith("。" if zh else "."))
    for sentence in re.split(r"。|\.(?= |$)", text):
        figures = re.findall(r"\d[\d.,]*%", sentence)
        assert len(set(figures)) == len(figures)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_later_turn_refers_back_to_the_first(language: str) -> None:
    """ "And tomorrow?": what is not said again stays as it was."""
    kept = 0
    for row in rows_of("multi_turn", language, 80):
        users = [item for item in row.messages if item.role == "user"]
        assert 2 <= len(users) <= 4
        calls = calls_of(row)
        assert len({call.id for call in calls}) == len(calls)
        first, second = calls[0], calls[1]
        if first.name == second.name and len(first.values()) > 1:
            same = [n for n, value in first.values().items() if second.values().get(n) == value]
            kept += bool(same)
            assert first.arguments != second.arguments
            assert len(users[1].content) < len(users[0].content) + 30
    assert kept > 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_ordinary_question_is_answered_although_tools_are_offered(language: str) -> None:
    """Or the model would call a tool for everything."""
    for row in rows_of("chat_with_tools", language):
        assert 1 <= len(row.tools) <= 3 and not calls_of(row)
        assert row.messages[-1].role == "assistant" and row.messages[-1].content


@pytest.mark.parametrize("language", LANGUAGES)
def test_thanks_and_greetings_are_answered_although_tools_are_offered(language: str) -> None:
    said = [*phrases("thanks", language, False), *phrases("greeting", language, False)]
    asked = Counter(row.messages[-2].content for row in rows_of("chat_with_tools", language, 300))
    share = sum(asked[text.partition(" | ")[0]] for text in said) / 300
    assert 0.2 < share < 0.4
    for text in said:
        assert " | " in text, text


def test_no_call_comes_in_three_ways() -> None:
    """Another domain, the same domain, or the right tool asked for more than it can do."""
    ways: Counter[str] = Counter()
    named = {bare(spec.styled_name(style)): spec for spec in catalogue() for style in STYLES}
    for row in rows_of("irrelevant", "en", 200):
        domains = {named[bare(tool.name)].domain for tool in row.tools}
        ways["several domains" if len(domains) > 1 else "one domain"] += 1
        ways["one tool"] += len(row.tools) == 1
    assert min(ways.values()) > 30


def test_chat_has_no_tools() -> None:
    for language in LANGUAGES:
        for row in rows_of("chat", language, 10):
            assert row.tools == () and not calls_of(row)


# Values


def test_numbers_are_numbers(rows: list[Row]) -> None:
    for row in rows:
        for call in calls_of(row):
            tool = next(tool for tool in row.tools if tool.name == call.name)
            for name, value in call.values().items():
                kind = tool.schema()["properties"][name]["type"]
                if kind in ("integer", "number"):
                    assert isinstance(value, int | float) and not isinstance(value, bool)
                if kind == "integer":
                    assert isinstance(value, int)


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
            if bare(call.name).endswith("getweather"):
                values = call.values()
                assert values["unit"] == units[values["location"]]
                seen[values["unit"]] += 1
    assert min(seen["celsius"], seen["fahrenheit"]) > 3


# Languages


def test_zh_tw_rows_are_pure() -> None:
    """Traditional characters and Taiwan's words, in all that is said and all that is offered."""
    for row in generate(1500, 12, languages={"zh-TW": 1}, thinking=0.2):
        for message in row.messages:
            for text in (message.content, message.reasoning):
                found = measure(text, quoted=True)
                assert not found.simplified_only and not found.mainland_terms, (text, found)


def test_zh_tw_sentences_have_full_width_punctuation(rows: list[Row]) -> None:
    for row in rows:
        if row.language == "zh-TW":
            for message in row.messages:
                if message.role == "assistant":
                    prose = re.sub(r"https?://[!-~]+|[!-~]+", "", message.content)
                    assert not set(prose) & set("?!;"), message.content
                    assert ", " not in message.content
                elif message.role == "user":
                    assert not re.search(r"[\u4e00-\u9fff][?!,;]", message.content)


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
    assert 1 / 12 < sum(spec.held_out for spec in catalogue()) / len(catalogue()) < 1 / 7
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
        assert {len(calls_of(row)) for row in made} >= {1, 2, 3}


def test_training_uses_the_tools_evenly() -> None:
    """Turn by turn: a model that sees one tool ten times as often learns that tool, not calling."""
    kinds = {"single": 3, "multiple": 3, "parallel": 2}
    first = Counter(bare(calls_of(row)[0].name) for row in generate(15000, 2, kinds=kinds))
    trained = [spec for spec in catalogue() if not spec.held_out]
    uses = []
    for spec in trained:
        names = {bare(spec.styled_name(style)) for style in STYLES}
        uses.append(sum(first[name] for name in names))
    mean = sum(uses) / len(uses)
    assert min(uses) >= mean / 2 and max(uses) <= mean * 2


def test_the_same_seed_starts_with_other_tools_than_the_next() -> None:
    first, second = (
        [calls_of(make_row(seed, n, "single", "en"))[0].name for n in range(5)] for seed in (1, 2)
    )
    assert first != second


def test_what_can_be_said_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is little to say, fewer rows come, and none of them twice."""
    talks = (smalltalk.Talk("Hi!", "Hello!", frozenset()),)
    monkeypatch.setattr(smalltalk, "_talks", lambda language, held_out: talks)
    made = list(generate(120, 1, kinds={"chat": 1}, languages={"en": 1}))
    assert 10 <= len(made) < 60
    assert len({row.question for row in made}) == len(made)


def test_twenty_thousand_rows_are_all_different() -> None:
    """What is asked for in numbers: every question new, every kind and both languages in full."""
    made: Counter[str] = Counter()
    seen: set[str] = set()
    for row in generate(20_000, 6, seen=seen):
        made[row.kind] += 1
    assert sum(made.values()) == len(seen) == 20_000
    wanted = shares(20_000, DEFAULT_KINDS)
    assert all(abs(made[kind] - count) <= 1 for kind, count in wanted.items())
