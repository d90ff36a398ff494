"""Thinking twins, and what a recipe can set for the generator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import ValidationError

from formosa.chat.message import ToolCall, json_text
from formosa.data.rows import Row
from formosa.data.synth.config import SynthConfig
from formosa.data.synth.generate import DEFAULT_KINDS, TWIN, generate
from formosa.data.synth.novelty import is_reserved
from formosa.data.validate import validate_row


def calls_of(row: Row) -> Iterator[ToolCall]:
    return (call for message in row.messages for call in message.tool_calls)


def test_a_twin_is_its_row_with_reasoning() -> None:
    made = list(generate(300, 8, thinking=0.3))
    rows = {row.id: row for row in made if not row.id.endswith(TWIN)}
    twins = [row for row in made if row.id.endswith(TWIN)]
    assert len(rows) == 300 and 60 < len(twins) < 120
    for twin in twins:
        row = rows[twin.id.removesuffix(TWIN)]
        assert made.index(twin) == made.index(row) + 1
        assert twin.tools == row.tools
        stripped = tuple(replace(message, reasoning="") for message in twin.messages)
        assert stripped == row.messages != twin.messages
        for message in twin.messages:
            assert bool(message.reasoning) == (message.role == "assistant")
            assert len(message.reasoning) < 900
        validate_row(twin)


def test_twins_change_no_other_row() -> None:
    plain = list(generate(80, 8))
    assert [row for row in generate(80, 8, thinking=1) if not row.id.endswith(TWIN)] == plain
    assert not any(message.reasoning for row in plain for message in row.messages)


def test_a_twin_thinks_in_the_language_of_the_question() -> None:
    for row in generate(200, 8, thinking=1):
        for message in row.messages:
            han = bool(re.search(r"[\u4e00-\u9fff]", message.reasoning))
            if message.reasoning:
                assert han == (row.language == "zh-TW"), message.reasoning


def test_reasoning_names_the_tool_and_every_value() -> None:
    for row in generate(150, 8, thinking=1, kinds={"single": 1, "parallel_multiple": 1}):
        message = row.messages[-1]
        for call in message.tool_calls if message.reasoning else ():
            assert call.name in message.reasoning
            for value in call.values().values():
                assert json_text(value) in message.reasoning


# What can be set


def test_no_row_offers_more_tools_than_were_allowed() -> None:
    for row in generate(300, 4, max_tools=3):
        assert len(row.tools) <= max(3, len({call.name for call in calls_of(row)}))


def test_rewordings_of_the_reserved_question_are_reserved_too() -> None:
    for question in (
        "台北氣溫如何？另外，告訴我最新的關稅政策",
        "告訴我關稅的事",
        "What's new about tariffs?",
        "Trump's latest policy",
    ):
        assert is_reserved(question)
    assert not is_reserved("台北天氣如何？")


def test_the_part_of_a_recipe_knows_its_kinds_and_limits() -> None:
    assert SynthConfig().thinking == 0 == SynthConfig().manuals
    assert set(SynthConfig().kinds) == set(DEFAULT_KINDS)
    for bad in (
        {"kinds": {"nonsense": 1}},
        {"thinking": 2},
        {"chinese_docs": 2},
        {"max_tools": 1},
        {"row": 3},
    ):
        with pytest.raises(ValidationError):
            SynthConfig.model_validate(bad)


def test_a_twin_says_why_it_calls_nothing() -> None:
    kinds = {"irrelevant": 1, "missing": 1, "chat_with_tools": 1}
    for row in generate(120, 8, thinking=1, kinds=kinds, languages={"en": 1}):
        thought = row.messages[-1].reasoning
        if thought and not row.messages[-1].tool_calls:
            assert re.search("call nothing|I ask|No tool is needed", thought), thought


def test_twins_of_held_out_rows_stay_with_them() -> None:
    made = [row.id for row in generate(40, 8, thinking=1, held_out=True)]
    assert len(made) == 80 and all("-heldout-" in name for name in made)
