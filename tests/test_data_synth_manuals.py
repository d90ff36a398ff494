"""Tools documented at length, and questions with two lists that belong together.

Both are for recipes that ask for them: what a recipe without them makes must stay as it was, to
the byte, since the figures of other models hang on it.
"""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.asking import ask_paired, pairable
from formosa.data.synth.catalogue import catalogue
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.generate import DEFAULT_KINDS, generate, make_row
from formosa.data.synth.manuals import at_length
from formosa.data.synth.slots import Scene
from formosa.data.validate import validate_row

PAIRED_EN = ("respectively", "in that order")
PAIRED_ZH = ("分別處理", "依順序對應", "兩兩對應", "一一對應")


def rows(count: int, kind: str, language: str, manuals: float = 0.0) -> list[Row]:
    made = generate(count, 3, kinds={kind: 1}, languages={language: 1}, manuals=manuals)
    return list(made)


# -- tools documented at length ------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(LANGUAGES),
    st.integers(0, 900),
    st.booleans(),
)
def test_longer_documents_change_no_word_and_no_call(
    kind: str, language: str, number: int, held: bool
) -> None:
    plain = make_row(4, number, kind, language, held_out=held)
    told = make_row(4, number, kind, language, held_out=held, manuals=1.0)
    validate_row(told)
    assert told.messages == plain.messages and told.id == plain.id
    assert [tool.name for tool in told.tools] == [tool.name for tool in plain.tools]


def test_rows_without_them_stay_as_they_are() -> None:
    some = {row.id: row for row in generate(200, 5, manuals=0.4)}
    none = {row.id: row for row in generate(200, 5)}
    assert some.keys() == none.keys()
    changed = [name for name in some if some[name].tools != none[name].tools]
    assert 40 < len(changed) < 110  # two in five, less those without tools


def test_a_default_and_the_options_move_into_words() -> None:
    texts = [tool.parameters for row in rows(200, "multiple", "en", 1.0) for tool in row.tools]
    plain = [tool.parameters for row in rows(200, "multiple", "en") for tool in row.tools]
    assert sum('"enum"' in text for text in texts) < 0.7 * sum('"enum"' in text for text in plain)
    assert any("Options: '" in text or "Can be '" in text for text in texts)
    zh = [tool.parameters for row in rows(300, "multiple", "zh-TW", 1.0) for tool in row.tools]
    assert any("可用值：" in text for text in zh) and any("預設為 " in text for text in zh)


def test_what_is_required_and_of_which_type_stays() -> None:
    for told, plain in zip(rows(80, "single", "en", 1.0), rows(80, "single", "en"), strict=True):
        for one, other in zip(told.tools, plain.tools, strict=True):
            a, b = json.loads(one.parameters), json.loads(other.parameters)
            assert a["required"] == b["required"]
            types = {name: value["type"] for name, value in a["properties"].items()}
            assert types == {name: value["type"] for name, value in b["properties"].items()}


def test_an_example_is_never_what_was_asked() -> None:
    """A model that takes the example for the value must be wrong by it."""
    found = 0
    for row in rows(300, "multiple", "en", 1.0):
        said = {
            str(v) for m in row.messages for call in m.tool_calls for v in call.values().values()
        }
        for tool in row.tools:
            for value in json.loads(tool.parameters)["properties"].values():
                text = value.get("description", "")
                for form in ("e.g. '", "for example '", "such as '"):
                    if form in text:
                        example = text.partition(form)[2].partition("'")[0]
                        assert example not in said
                        found += 1
    assert found > 50


def test_the_default_is_told_once() -> None:
    for row in rows(150, "multiple", "en", 1.0):
        for tool in row.tools:
            for value in json.loads(tool.parameters)["properties"].values():
                assert value.get("description", "").lower().count("default") <= 1


def test_the_same_dice_give_the_same_document() -> None:
    spec = next(spec for spec in catalogue() if spec.name == "convert_length")
    tool = spec.tool("en")
    made = [at_length(tool, spec, random.Random(n), language="en") for n in (1, 1, 2, 3, 4)]
    assert made[0] == made[1]
    assert len({item.parameters for item in made}) > 1


# -- two lists that belong together --------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_lists_give_a_call_for_each_pair(language: str) -> None:
    for row in rows(150, "paired", language):
        calls = row.messages[-1].tool_calls
        assert 2 <= len(calls) <= 3 and len({call.name for call in calls}) == 1
        values = [call.values() for call in calls]
        differing = [key for key in values[0] if len({json.dumps(v[key]) for v in values}) > 1]
        assert len(differing) in (1, 2)  # an object holds both
        marks = PAIRED_ZH if language == "zh-TW" else PAIRED_EN
        assert any(mark in row.question for mark in marks)


def test_every_text_of_the_lists_is_said() -> None:
    for row in rows(150, "paired", "en"):
        schemas = {tool.name: json.loads(tool.parameters)["properties"] for tool in row.tools}
        for call in row.messages[-1].tool_calls:
            for name, value in call.values().items():
                free = "enum" not in schemas[call.name][name]
                free = free and not any(form in str(schemas) for form in ("YYYY", "HH:MM"))
                if isinstance(value, str) and free and "default" not in str(schemas):
                    assert value in row.question


def test_only_required_values_are_listed() -> None:
    """One that a question may leave out was drawn all the same, and nobody had said it."""
    for spec in catalogue():
        for way in (*spec.en, *spec.zh):
            assert set(pairable(spec, way)) <= set(spec.required)


def test_a_tool_with_one_value_is_asked_in_no_pairs() -> None:
    spec = next(s for s in catalogue() if not any(len(pairable(s, way)) > 1 for way in s.en))
    with pytest.raises(ValueError, match="can't be asked in pairs"):
        ask_paired(spec, Scene(random.Random(1), "en"), spec.en, 2)


def test_pairs_come_only_where_a_recipe_wants_them() -> None:
    assert "paired" in KINDS and "paired" not in DEFAULT_KINDS
