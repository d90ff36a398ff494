"""Several questions about the same tools: rows that begin alike, and differ in what they ask."""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.catalogue import catalogue
from formosa.data.synth.config import SynthConfig
from formosa.data.synth.dialogue import KINDS as KINDS_OF_ROWS
from formosa.data.synth.dialogue import complete
from formosa.data.synth.generate import BARREN, DEFAULT_KINDS, _sets, generate
from formosa.data.synth.sets import make_set
from formosa.data.synth.specs import ToolSpec, styled_parameter
from formosa.data.synth.stage import NoSuchToolError, Stage
from formosa.data.validate import validate_row

QUESTIONS = 5
KINDS = {**DEFAULT_KINDS, "paired": 5.0}


def one(
    number: int, language: str, *, held_out: bool = False, kinds: dict[str, float] = KINDS
) -> list[Row]:
    return make_set(3, number, language, QUESTIONS, kinds=kinds, held_out=held_out)


@functools.cache
def many(count: int = 1500) -> tuple[Row, ...]:
    return tuple(generate(count, 3, kinds=KINDS, questions=QUESTIONS))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5000), st.sampled_from(LANGUAGES), st.booleans())
def test_the_rows_of_a_set_begin_alike_and_are_whole(
    number: int, language: str, held_out: bool
) -> None:
    rows = one(number, language, held_out=held_out)
    assert 1 <= len(rows) <= QUESTIONS
    assert len({row.tools for row in rows}) == 1
    assert len({m.content for row in rows for m in row.messages if m.role == "system"}) <= 1
    for row in rows:
        validate_row(row)
        assert row.language == language and row.tools


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5000), st.sampled_from(LANGUAGES))
def test_every_row_of_a_set_is_a_conversation_of_its_own(number: int, language: str) -> None:
    """Questions differ, and calls are counted from 0 in each."""
    rows = one(number, language)
    assert len({row.question for row in rows}) == len(rows) == len({row.id for row in rows})
    for row in rows:
        ids = [call.id for message in row.messages for call in message.tool_calls]
        assert ids == [f"call_{i}" for i in range(len(ids))]


def test_a_set_is_the_same_every_time() -> None:
    assert one(7, "zh-TW") == one(7, "zh-TW") != one(8, "zh-TW")


def test_what_was_asked_before_is_not_asked_again() -> None:
    before = one(4, "en")
    again = make_set(3, 4, "en", QUESTIONS, kinds=KINDS, seen={row.question for row in before})
    assert not {row.question for row in before} & {row.question for row in again}


def test_one_tool_is_never_a_choice_and_several_are() -> None:
    for row in many():
        if row.kind in ("multiple", "parallel_multiple"):
            assert len(row.tools) > 1
        if row.kind == "single":
            assert len(row.tools) == 1


def test_the_same_tools_are_called_otherwise_or_not_at_all_from_question_to_question() -> None:
    """What single rows can't show: it is the question that decides, not the tools."""
    called: dict[object, set[tuple[str, ...]]] = {}
    for row in many():
        if row.tools:
            last = next(m for m in row.messages if m.role == "assistant")
            names = tuple(sorted(call.name for call in last.tool_calls))
            called.setdefault(row.tools, set()).add(names)
    different = [len(names) > 1 for names in called.values()]
    assert sum(different) > 0.9 * len(different)
    with_and_without = [() in names and len(names) > 1 for names in called.values()]
    assert sum(with_and_without) > 0.5 * len(with_and_without)


def test_a_question_that_nothing_answers_is_about_none_of_the_tools() -> None:
    kin = {spec.name: spec.kin for spec in catalogue()}
    domains = {spec.name: spec.general for spec in catalogue()}
    for number in range(150):
        rows = one(number, "en", kinds={"irrelevant": 1.0})
        for row in rows:
            names = [tool.name for tool in row.tools if tool.name in kin]
            if len(row.tools) > 1:
                assert not any(domains[name] for name in names), row.question
            assert not row.messages[-1].tool_calls


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_search_in_sight_leaves_nothing_but_thanks_and_greetings_without_a_call(
    language: str,
) -> None:
    """Any question can be searched for."""
    seen = 0
    for number in range(400):
        rows = one(number, language, kinds={"chat_with_tools": 1.0, "multiple": 1.0})
        if any(tool.name == "search" for tool in rows[0].tools):
            for row in rows:
                if row.kind == "chat_with_tools":
                    seen += 1
                    assert len(row.question) < 40, row.question
    assert seen > 5


def completed(count: int = 300) -> list[tuple[Row, Row]]:
    """Rows that lack a value, each with the one behind it."""
    kinds = {"missing": 1.0, "single": 1.0, "multiple": 1.0}
    found = []
    for number in range(count):
        rows = one(number, LANGUAGES[number % 2], kinds=kinds, held_out=number % 3 == 0)
        found += [(a, b) for a, b in itertools.pairwise(rows) if a.kind == "missing"]
    return found


def test_what_lacks_a_value_comes_again_with_it_and_is_called() -> None:
    """The two differ in nothing that decides but the value, so no other habit can be learnt."""
    pairs = completed()
    again = 0
    for lacking, whole in pairs:
        called = [call for message in whole.messages for call in message.tool_calls]
        assert not next(m for m in lacking.messages if m.role == "assistant").tool_calls
        if whole.kind == "missing" or len(called) != 1:
            continue
        later = [call for message in lacking.messages for call in message.tool_calls]
        if not later or called[0].name != later[0].name:
            continue  # the next question of the set, where the same could not be asked
        then, now = (json.loads(call.arguments) for call in (later[0], called[0]))
        same = {key for key in then.keys() & now.keys() if then[key] == now[key]}
        if now.keys() == then.keys() and len(same) >= len(then) - 1:
            again += 1
    # Half of the questions that lack a value go on to the call, so that it can be compared.
    compared = sum(any(m.tool_calls for m in lacking.messages) for lacking, _ in pairs)
    assert compared > 60
    assert again > 0.7 * compared, f"{again} of {compared}"


def test_what_was_said_without_the_value_is_said_with_it() -> None:
    for number in range(40):
        for language in LANGUAGES:
            stage = Stage.of(random.Random(number), language, held_out=False, turn=number)
            stage.offered = (stage.target("missing"),)
            KINDS_OF_ROWS["missing"](stage)
            assert stage.lacking is not None
            lacking, way = stage.lacking
            stage.begin()
            try:
                messages, _ = complete(stage, lacking, way)
            except NoSuchToolError:
                continue
            (call,) = messages[-1].tool_calls
            arguments = json.loads(call.arguments)
            for name, draw in lacking.draws.items():
                where: Any = arguments
                for part in name.split("."):
                    where = where[styled_parameter(part, stage.style)]
                assert where == draw.value
            assert set(lacking.spec.required) <= set(_flat(arguments, stage.style, lacking.spec))


def _flat(arguments: dict[str, Any], style: str, spec: ToolSpec) -> set[str]:
    """The names of the parameters that the arguments have, as the catalogue writes them."""
    found = set()
    for item in spec.parameters:
        where: Any = arguments
        for part in item.name.split("."):
            where = where.get(styled_parameter(part, style)) if isinstance(where, dict) else None
        if where is not None:
            found.add(item.name)
    return found


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("questions", [1, QUESTIONS])
def test_zh_tw_questions_see_as_many_chinese_docs_as_was_asked_for(
    share: float, questions: int
) -> None:
    rows = generate(60, 4, languages={"zh-TW": 1, "en": 1}, questions=questions, chinese_docs=share)
    for row in rows:
        texts = [tool.description for tool in row.tools if tool.description]
        if texts:
            chinese = all(re.search(r"[一-鿿]", text) for text in texts)
            assert chinese == (row.language == "zh-TW" and share == 1.0), texts


def test_weather_and_a_search_are_asked_for_in_one_question() -> None:
    pairs = Counter(
        tuple(sorted(call.name for call in row.messages[-1].tool_calls))
        for row in many()
        if row.kind == "parallel_multiple"
    )
    assert pairs["get_weather", "search"] > 0


def test_rows_are_as_many_and_of_the_languages_that_were_asked_for() -> None:
    rows = list(generate(203, 9, languages={"zh-TW": 3, "en": 1}, questions=4))
    assert len(rows) == 203
    found = Counter(row.language for row in rows)
    assert found == {"zh-TW": 152, "en": 51}
    assert len({row.question for row in rows}) == 203


def test_rows_without_tools_are_made_one_by_one() -> None:
    rows = list(generate(200, 9, kinds={"chat": 1, "single": 9}, questions=5))
    assert Counter(row.kind for row in rows)["chat"] == 20
    assert all(not row.tools for row in rows if row.kind == "chat")


def test_it_ends_where_all_has_been_asked() -> None:
    asked: list[int] = []

    def nothing(number: int, language: str, questions: int) -> list[Row]:
        asked.append(number)
        return []

    assert list(_sets(nothing, {"en": 7}, 5, random.Random(1))) == []
    assert asked == list(range(BARREN))


def test_twins_that_think_and_sets_are_refused_together() -> None:
    with pytest.raises(ValueError, match="questions: 1"):
        SynthConfig(questions=4, thinking=0.2)
