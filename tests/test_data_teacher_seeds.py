"""What each row of a teacher is to be about, which tools there are, and what it is asked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.rows import LANGUAGES
from formosa.data.synth.catalogue import catalogue
from formosa.data.teacher.config import KINDS, TeacherConfig
from formosa.data.teacher.offers import catalogue_offers, own_offers, read_tools
from formosa.data.teacher.prompts import answer_request, question_request, reply_request
from formosa.data.teacher.seeds import make_seed, make_seeds
from formosa.errors import DataError
from formosa.zh.purity import measure

ADD = Tool.of(
    "add_numbers",
    "Add two numbers",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
)
MODE = Tool.of(
    "set_mode",
    "Choose",
    {"type": "object", "properties": {"mode": {"enum": ["a", "b"]}, "on": {"type": "boolean"}}},
)
NOW = Tool.of("time_now", "What time it is", {"type": "object", "properties": {}})


def only(kind: str, language: str = "zh-TW", **more: Any) -> TeacherConfig:
    return TeacherConfig(kinds={kind: 1}, languages={language: 1}, **more)


@given(st.integers(0, 500), st.integers(0, 9))
def test_a_seed_depends_on_its_number_and_nothing_else(number: int, dice: int) -> None:
    few, many = (TeacherConfig(seed=dice, questions=count) for count in (number + 1, 900))
    first, again = (make_seed(config, catalogue_offers, number) for config in (few, many))
    assert first.id == again.id == f"teacher-{dice}-{number}"
    for config in (few, many):
        assert question_request(first, config) == question_request(again, config)
        assert reply_request(first, config, "?", 2) == reply_request(again, config, "?", 2)


def test_another_seed_of_the_dice_asks_for_something_else() -> None:
    first, second = (
        [question_request(seed, config) for seed in make_seeds(config, catalogue_offers)]
        for config in (TeacherConfig(questions=20, seed=dice) for dice in (0, 1))
    )
    assert not set(map(str, first)) & set(map(str, second))


def test_kinds_and_languages_come_as_often_as_they_weigh() -> None:
    config = TeacherConfig(
        questions=600, kinds={"single": 3, "missing": 1}, languages={"en": 1, "zh-TW": 2}
    )
    seeds = list(make_seeds(config, catalogue_offers))
    kinds = Counter(seed.kind for seed in seeds)
    assert set(kinds) == {"single", "missing"} and 400 < kinds["single"] < 500
    assert 350 < sum(seed.language == "zh-TW" for seed in seeds) < 450


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_seed_offers_what_its_kind_needs(kind: str, language: str) -> None:
    for seed in make_seeds(only(kind, language, questions=40), catalogue_offers):
        names = [tool.name for tool in seed.offered]
        needed = [offer.tool.name for offer in seed.needed]
        assert len(set(names)) == len(names) and set(needed) <= set(names)
        assert seed.calls % max(len(needed), 1) == 0
        match kind:
            case "single":
                assert names == needed and seed.calls == 1
            case "multiple":
                assert 2 <= len(names) <= 6 and len(needed) == seed.calls == 1
            case "parallel":
                assert len(needed) == 1 and seed.calls in (2, 3)
            case "parallel_multiple":
                assert len(needed) == seed.calls == 2
                assert seed.needed[0].kin != seed.needed[1].kin
            case "irrelevant":
                assert not needed and names and not seed.calls
                assert seed.topic, "that of a tool that is not offered"
            case "missing":
                assert seed.left_out in seed.needed[0].required and not seed.calls


def test_tools_that_could_stand_for_each_other_are_not_offered_together() -> None:
    kin = {spec.tool("en").name: spec.kin for spec in catalogue()}
    for seed in make_seeds(only("multiple", "en", questions=200), catalogue_offers):
        kins = [kin[tool.name] for tool in seed.offered]
        assert len(set(kins)) == len(kins)


def test_tools_that_are_held_out_or_could_answer_anything_are_not_taught() -> None:
    """The held-out split of the generator measures tools that training never saw."""
    offered = {offer.tool.name for offer in catalogue_offers("en")}
    for spec in catalogue():
        assert (spec.tool("en").name in offered) == (not spec.held_out and not spec.general)


def test_topics_are_the_user_s_where_there_are_some() -> None:
    config = only("single", questions=30, topics=("勞健保", "報稅"))
    seeds = list(make_seeds(config, catalogue_offers))
    assert {seed.topic for seed in seeds} == {"勞健保", "報稅"}
    for seed in seeds:
        assert f"主題：{seed.topic}。" in question_request(seed, config).messages[0].content


def _run(result: Awaitable[str]) -> str:
    async def wait() -> str:
        return await result

    return asyncio.run(wait())


# -- tools -----------------------------------------------------------------------------------------


def test_calculating_tools_of_the_catalogue_can_be_run() -> None:
    (tip,) = (o for o in catalogue_offers("en") if o.tool.name == "calculate_tip")
    assert tip.execute is not None
    call = ToolCall.of("calculate_tip", {"bill": 200, "tip_percent": 15})
    assert json.loads(_run(tip.execute(call))) == {"result": 30}


@pytest.mark.parametrize("arguments", ['{"bill": 1}', '{"bill": "x", "tip_percent": 1}', "no"])
def test_a_calculation_that_can_t_be_made_is_an_error(arguments: str) -> None:
    (tip,) = (o for o in catalogue_offers("en") if o.tool.name == "calculate_tip")
    assert tip.execute is not None
    with pytest.raises(DataError):
        _run(tip.execute(ToolCall("calculate_tip", arguments)))


def test_own_tools_are_offered_in_both_languages_and_each_is_a_kin_of_its_own() -> None:
    own = own_offers([ADD, NOW])
    assert [(offer.topic, offer.kin) for offer in own] == [
        ("Add two numbers", "add_numbers"),
        ("What time it is", "time_now"),
    ]
    seed = make_seed(only("parallel_multiple"), lambda language: own, 0)
    assert {offer.tool.name for offer in seed.needed} == {"add_numbers", "time_now"}


@pytest.mark.parametrize("kind", ["missing", "parallel"])
def test_a_kind_takes_only_tools_that_fit_it(kind: str) -> None:
    """Three calls with one of two options each can't all differ."""
    own = own_offers([ADD, NOW, MODE])
    for seed in make_seeds(only(kind, questions=20), lambda language: own):
        assert [offer.tool.name for offer in seed.needed] == ["add_numbers"]


@pytest.mark.parametrize("kind", ["missing", "parallel", "parallel_multiple"])
def test_a_kind_that_these_tools_can_t_make_is_said(kind: str) -> None:
    with pytest.raises(DataError, match=kind) as error:
        make_seed(only(kind), lambda language: own_offers([NOW]), 0)
    assert "--kind" in error.value.hint


def test_one_tool_is_enough_for_no_tool_fits() -> None:
    seed = make_seed(only("irrelevant"), lambda language: own_offers([NOW]), 0)
    assert [tool.name for tool in seed.offered] == ["time_now"]


@pytest.mark.parametrize(("tools", "problem"), [([], "no tools"), ([ADD, ADD], "Two tools")])
def test_own_tools_must_be_some_with_names_of_their_own(tools: list[Tool], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        own_offers(tools)


@pytest.mark.parametrize("wrapped", [False, True])
def test_tools_are_read_from_json(tmp_path: Path, wrapped: bool) -> None:
    path = tmp_path / "tools.json"
    listed = [ADD.to_openai(), NOW.to_openai()["function"]]
    path.write_text(json.dumps({"tools": listed} if wrapped else listed), encoding="utf-8")
    assert read_tools(path) == (ADD, NOW)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "is not JSON"),
        ('{"name": "x"}', "holds no list"),
        ('[{"nam": "x"}]', r"tools\[0\]"),
        ("[" * 100_000, "is not JSON"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_file_of_tools_is_said(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "tools.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=problem):
        read_tools(path)


# -- requests --------------------------------------------------------------------------------------


def test_a_question_is_asked_for_with_the_tools_in_words() -> None:
    config = only("parallel", max_tokens=77, temperature=1.1)
    seed = make_seed(config, catalogue_offers, 3)
    request = question_request(seed, config)
    (message,) = request.messages
    assert not request.tools and message.role == "user"
    assert f"剛好 {seed.calls} 次" in message.content
    for tool in seed.offered:
        assert f'{{"name": "{tool.name}"' in message.content
    assert (request.sampling.max_tokens, request.sampling.temperature) == (77, 1.1)


def test_what_must_not_be_said_is_named() -> None:
    config = only("missing", "en")
    seed = make_seed(config, catalogue_offers, 0)
    assert f"forget to say {seed.left_out}," in question_request(seed, config).messages[0].content


def test_replies_are_asked_for_as_a_client_would_and_differ_in_the_dice_only() -> None:
    config = only("multiple")
    seed = make_seed(config, catalogue_offers, 0)
    first, second = (reply_request(seed, config, "台北天氣？", n) for n in (1, 2))
    assert first.messages == second.messages and first.tools == second.tools == seed.offered
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.sampling.seed != second.sampling.seed
    last = answer_request(seed, config, [Message("user", "?"), Message("assistant", "!")])
    dice = {question_request(seed, config).sampling.seed, first.sampling.seed,
            second.sampling.seed, last.sampling.seed}  # fmt: skip
    assert len(dice) == 4
    assert [message.role for message in last.messages] == ["system", "user", "assistant"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_say_to_a_teacher_is_itself_in_words_of_taiwan(kind: str) -> None:
    config = only(kind, questions=30)
    for seed in make_seeds(config, catalogue_offers):
        text = question_request(seed, config).messages[0].content
        ours = "\n".join(line for line in text.splitlines() if not line.startswith("{"))
        system = reply_request(seed, config, "?", 1).messages[0].content
        assert measure(ours + system).pure, ours
        assert "{" not in ours, "nothing is left to be filled in"


# -- configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"kinds": {"chat": 1}},
        {"kinds": {"single": 0}},
        {"languages": {"ja": 1}},
        {"temperature": 0},
        {"questions": 0},
        {"question": 5},
    ],
)
def test_what_can_t_be_asked_for_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        TeacherConfig(**fields)


def test_requests_don_t_depend_on_how_many_there_are() -> None:
    assert TeacherConfig(questions=5).of_requests() == TeacherConfig(questions=6).of_requests()
    assert TeacherConfig(seed=5).of_requests() != TeacherConfig(seed=6).of_requests()
