"""Wordings, slots and the catalogue: what is written once is said in many ways, and stays true."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.data.synth.asking import Asked, ask, ask_several, join_questions
from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.catalogue import FIELDS, ToolSpec, catalogue, read_spec, styled
from formosa.data.synth.grammars import GRAMMARS, code
from formosa.data.synth.slots import (
    Draw,
    Scene,
    copied_texts,
    join_words,
    parse_slot,
    say_number,
)
from formosa.data.synth.wording import Hole, choose, droppable, holes, parse_wording, sure_holes
from formosa.data.synth.words import word_list


def scene(seed: int = 1, language: str = "en") -> Scene:
    return Scene(random.Random(seed), language)


def draws(slot: str, count: int = 60, language: str = "en") -> list[Draw]:
    parsed = parse_slot(slot)
    return [parsed.draw(scene(seed, language)) for seed in range(count)]


# Wordings


def said(text: str, **options: Any) -> set[str]:
    """All that a wording can say, with holes as they are written."""
    wording = parse_wording(text)
    result = set()
    for seed in range(60):
        parts = choose(wording, random.Random(seed), **options)
        result.add("".join(f"{{{p.name}}}" if isinstance(p, Hole) else p for p in parts))
    return result


def test_alternatives_and_brackets_multiply() -> None:
    assert said("<Find|Get> it[ now].") == {"Find it.", "Get it.", "Find it now.", "Get it now."}


def test_brackets_nest() -> None:
    assert said("a[b[c]<d|>]") == {"a", "ab", "abc", "abd", "abcd"}


def test_a_bracket_with_a_required_parameter_stays() -> None:
    assert said("go[ to {city}][ {when}]", required=["city"], optional=0.0) == {"go to {city}"}
    assert said("go[ to {city}][ {when}]", required=["city"], optional=1.0) == {
        "go to {city} {when}"
    }


def test_a_dropped_parameter_goes_even_if_it_is_required() -> None:
    assert said("go[ to {city}]", required=["city"], drop="city") == {"go"}


def test_only_a_required_parameter_alone_in_its_bracket_can_be_dropped() -> None:
    wording = parse_wording("[ {a}] {b}[ {c} {d}][ {e}][{f}] {f}")
    assert droppable(wording, ["a", "b", "c", "f"]) == ["a"]


def test_holes_are_sure_only_where_every_alternative_has_them() -> None:
    """A bracket counts as there: that of a required parameter stays."""
    wording = parse_wording("{a} <{b}|{b} {c}>[ {d}]")
    assert set(holes(wording)) == {"a", "b", "c", "d"}
    assert list(sure_holes(wording)) == ["a", "b", "d"]


@pytest.mark.parametrize("text", ["[a", "a]", "<a", "a>", "a|b", "}", "{a", "<a|[b>]"])
def test_a_wording_with_a_loose_bracket_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_wording(text)


PLAIN = st.text(st.characters(exclude_characters="{}[]<>|", codec="utf-8"), max_size=8)
WORDINGS = st.recursive(
    st.one_of(PLAIN, st.sampled_from(["{a}", "{b}"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map("".join),
        inner.map(lambda text: f"[{text}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda texts: f"<{'|'.join(texts)}>"),
    ),
    max_leaves=8,
)


@given(WORDINGS, st.integers(0, 99))
def test_what_is_said_has_only_holes_that_were_written(text: str, seed: int) -> None:
    wording = parse_wording(text)
    chosen = {part.name for part in choose(wording, random.Random(seed)) if isinstance(part, Hole)}
    assert chosen <= set(holes(wording))
    everything = choose(wording, random.Random(seed), required=["a", "b"], optional=1.0)
    kept = {part.name for part in everything if isinstance(part, Hole)}
    assert set(sure_holes(wording)) <= kept


# Slots


def test_whole_numbers_stay_in_their_range_and_are_said_with_separators() -> None:
    found = draws("int 900..30000 step 100")
    assert all(isinstance(draw.value, int) and 900 <= draw.value <= 30000 for draw in found)
    assert all(draw.text in (str(draw.value), f"{draw.value:,}") for draw in found)
    assert any("," in draw.text for draw in found)


def test_years_have_no_separators() -> None:
    assert all(draw.text == str(draw.value) for draw in draws("plain 1990..2024"))


def test_decimal_steps_are_exact() -> None:
    found = draws("num 0.1..2 step 0.1", 200)
    assert {json.dumps(draw.value) for draw in found} <= {
        json.dumps(i // 10 if i % 10 == 0 else i / 10) for i in range(1, 21)
    }


def test_the_same_percentage_is_a_number_in_percent_or_a_decimal() -> None:
    """`5%` is 5 where the schema says percent and 0.05 where it says decimal, always."""
    for draw in draws("percent 1..12 step 0.5"):
        assert draw.text == f"{draw.value}%"
    for draw in draws("rate 1..12 step 0.25"):
        assert json.dumps(draw.value) == json.dumps(round(float(draw.text[:-1]) / 100, 6))


def test_small_counts_are_sometimes_words() -> None:
    assert {"3", "three"} == {say_number(3, scene(seed), "count") for seed in range(40)}
    chinese = {say_number(2, scene(seed, "zh-TW"), "count") for seed in range(40)}
    assert chinese == {"2", "兩"}


def test_large_numbers_are_sometimes_said_in_ten_thousands() -> None:
    said_so = {say_number(720_000, scene(seed, "zh-TW")) for seed in range(40)}
    assert said_so == {"72萬", "720,000", "720000"}


def test_flags_are_said_in_words() -> None:
    found = draws("flag with pets / without pets / 可帶寵物 / 不可帶寵物")
    assert {(draw.value, draw.text) for draw in found} == {
        (True, "with pets"),
        (False, "without pets"),
    }
    assert {draw.value for draw in draws("flag nonstop / - / 直飛 / -")} == {True}


def test_a_choice_is_a_value_with_words_of_its_own() -> None:
    slot = parse_slot("enum km:kilometres:公里, light_year")
    assert slot.schema() == {"type": "string", "enum": ["km", "light_year"]}
    found = draws("enum km:kilometres:公里, light_year", language="zh-TW")
    assert {(draw.value, draw.text) for draw in found} == {
        ("km", "公里"),
        ("light_year", "light year"),
    }


def test_words_are_copied_in_the_language_of_the_question() -> None:
    for language in ("en", "zh-TW"):
        for draw in draws("city", language=language):
            assert draw.value == draw.text
    slot = parse_slot("list words jazz:爵士樂, rock:搖滾樂 x2..2")
    value = slot.draw(scene(1, "zh-TW")).value
    assert sorted(value) == ["搖滾樂", "爵士樂"]
    assert copied_texts(slot, value) == value


def test_one_conversation_does_not_repeat_a_word() -> None:
    slot, one = parse_slot("city"), scene()
    texts = [slot.draw(one).value for _ in range(10)]
    assert len(set(texts)) == 10


def test_lists_of_every_type_are_arrays() -> None:
    kinds = {
        "list int 1..9 x2..4": "integer",
        "list num 0.5..9 step 0.5 x2..4": "number",
        "list city x2..3": "string",
        "list flag true / false / 真 / 假 x2..3": "boolean",
        "list enum a, b, c x2..2": "string",
    }
    for text, kind in kinds.items():
        schema = parse_slot(text).schema()
        assert schema["type"] == "array" and schema["items"]["type"] == kind
        assert all(isinstance(draw.value, list) for draw in draws(text, 10))


def test_a_list_says_every_value() -> None:
    for draw in draws("list int 10..99 x3..6"):
        assert re.findall(r"\d+", draw.text) == [str(value) for value in draw.value]


def test_words_are_joined_as_the_language_does() -> None:
    assert join_words(["a", "b", "c"], zh=False) == "a, b and c"
    assert join_words(["甲", "乙", "丙"], zh=True) == "甲、乙和丙"
    assert join_words(["a"], zh=False) == "a"


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("zh", [False, True])
def test_grammars_make_many_texts_in_one_language(name: str, zh: bool) -> None:
    made = {GRAMMARS[name](random.Random(seed), zh) for seed in range(200)}
    assert len(made) >= (5 if name in ("weekday", "month", "us_city") else 25)
    if not zh:
        assert all(text.isascii() for text in made)


def test_a_code_follows_its_pattern() -> None:
    assert re.fullmatch(r"[A-Z]{2}-\d{3}", code(random.Random(1), "AA-999"))


@pytest.mark.parametrize("text", ["nonsense", "int x..3", "city.colour", "list city", "enum:"])
def test_a_slot_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        parse_slot(text)


def test_topics_are_many_and_each_has_a_fact_in_both_languages() -> None:
    words = word_list("topic")
    assert len(words) > 200
    assert len({word.zh for word in words}) == len({word.en for word in words}) == len(words)
    for word in words:
        assert word.attribute("fact", zh=True) and word.attribute("fact", zh=False).isascii()


# The catalogue


def entry(**change: Any) -> dict[str, Any]:
    return {
        "name": "buy_ticket",
        "does": "buy tickets | 買票",
        "doc": "Buy tickets | 買票",
        "parameters": {
            "city": "city | The city | 城市 | Where? | 哪裡？",
            "seats?=1": "count 2..9 | Seats | 座位",
            "range": "object | Price | 價格",
            "range.low": "int 1..5",
            "range.high": "int 6..9",
        },
        "en": [f"{way} in {{city}} for {{range.low}} to {{range.high}}[, {{seats}} seats]"
               for way in ("Go", "Play", "See it")],
        "zh": [f"{way}{{city}}{{range.low}}到{{range.high}}[，{{seats}}位]" for way in "去看聽"],
        **change,
    }  # fmt: skip


def spec(**change: Any) -> ToolSpec:
    return read_spec(entry(**change), "fun")


def test_a_tool_has_the_schema_that_its_entry_says() -> None:
    assert spec().tool("en").schema() == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city"},
            "seats": {"type": "integer", "description": "Seats", "default": 1},
            "range": {
                "type": "object",
                "description": "Price",
                "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                "required": ["low", "high"],
            },
        },
        "required": ["city", "range"],
    }
    assert spec().tool("zh-TW").description == "買票"
    assert "seats" not in spec().tool("en", without=["seats"]).schema()["properties"]


def test_names_come_in_styles() -> None:
    assert spec().tool("en", "camel").name == "buyTicket"
    assert spec().tool("en", "module").name == "fun_buy_ticket"
    assert styled("max_price", "camel") == "maxPrice"
    assert styled("max_price", "") == "max_price"


def test_a_call_nests_the_fields_of_an_object_in_the_order_of_the_schema() -> None:
    one = spec()
    asked = ask(one, scene(), one.en, optional=1.0)
    call = asked.call("", "call_0")
    assert (call.name, call.id) == ("buy_ticket", "call_0")
    assert list(call.values()) == ["city", "seats", "range"]
    assert list(call.values()["range"]) == ["low", "high"]
    assert asked.draws["city"].value in asked.text


def test_what_is_not_said_is_not_in_the_call() -> None:
    one = spec()
    for seed in range(20):
        asked = ask(one, scene(seed), one.en)
        assert ("seats" in asked.call("").values()) == ("seats" in asked.text)


def test_numbers_in_a_row_do_not_run_together() -> None:
    one = spec(zh=[f"{way}{{city}}{{range.low}}{{range.high}}" for way in "去看聽"])
    assert re.search(r"\d \d$", ask(one, scene(1, "zh-TW"), one.zh).text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nam": 1}, "unknown field"),
        ({"en": ["{city}"]}, "three ways"),
        ({"en": ["Go to {town}"] * 3}, "no parameter"),
        ({"en": ["Go to {city}"] * 3}, "doesn't say"),
        ({"zh": ["<{city}|>{range.low}{range.high}"] * 3}, "doesn't say"),
        ({"vary": "town"}, "no parameter town"),
        ({"more": "and {town} | 和{town}"}, "no parameter"),
        ({"result": {"x": "int 1..2"}}, "needs a reply"),
        ({"name": "buy ticket"}, "letters, digits"),
        ({"parameters": {"city": "town | x | y"}}, "no slot or word list"),
        ({"en": ["Go [to {city}"] * 3}, "missing"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_spec(entry(**change), "fun")
    assert str(caught.value).startswith("fun/")


def test_the_catalogue_is_large_and_has_every_json_type() -> None:
    specs = catalogue()
    assert len(specs) >= 80
    assert len({one.domain for one in specs}) >= 15
    schemas = [one.tool("en").schema() for one in specs]
    found = {kind for schema in schemas for kind in types_in(schema)}
    assert found == {
        *("string", "integer", "number", "boolean", "object", "enum", "default"),
        *(f"array of {kind}" for kind in ("string", "integer", "number", "boolean", "enum")),
    }


def types_in(schema: dict[str, Any]) -> set[str]:
    result = set()
    for value in schema["properties"].values():
        kind = "enum" if "enum" in value else value["type"]
        if kind == "array":
            items = value["items"]
            kind = f"array of {'enum' if 'enum' in items else items['type']}"
        if kind == "object":
            result |= types_in(value)
        if "default" in value:
            result.add("default")
        result.add(kind)
    return result


@pytest.mark.parametrize("one", catalogue(), ids=lambda one: one.name)
def test_every_tool_can_be_asked_for_in_every_way(one: ToolSpec) -> None:
    """Each wording in both languages, with nothing and everything optional said."""
    for language, ways in (("en", one.en), ("zh-TW", one.zh)):
        for way in ways:
            for optional in (0.0, 1.0):
                asked = ask(one, scene(3, language), [way], optional=optional)
                values = asked.call("").values()
                assert set(one.tool("en").schema()["required"]) <= set(values)
                assert "{" not in asked.text and "  " not in asked.text
                assert asked.text[-1] in ".?。？"
                for item in one.parameters:
                    if item.slot and item.name in asked.draws:
                        for text in copied_texts(item.slot, asked.draws[item.name].value):
                            assert text.lower() in asked.text.lower()


@pytest.mark.parametrize("one", catalogue(), ids=lambda one: one.name)
def test_every_tool_can_be_called_in_parallel(one: ToolSpec) -> None:
    for language, ways in (("en", one.en), ("zh-TW", one.zh)):
        for seed in range(6):
            text, asked = ask_several(one, scene(seed, language), ways, 3, [""])
            assert len(asked) == 3
            for item in asked:
                for parameter in one.parameters:
                    if parameter.slot and parameter.name in item.draws:
                        value = item.draws[parameter.name].value
                        for part in copied_texts(parameter.slot, value):
                            assert part.lower() in text.lower()


def test_an_article_fits_the_value_that_follows() -> None:
    one = spec(parameters={"kind": "words apple:蘋果, pear:梨子 | Kind | 種類"},
               en=["Find a {kind}."] * 3, zh=["找{kind}。"] * 3)  # fmt: skip
    texts = {ask(one, scene(seed), one.en).text for seed in range(20)}
    assert texts == {"Find an apple.", "Find a pear."}


def test_only_english_sentences_get_a_capital() -> None:
    one = spec(parameters={"x": "int 1..9 | x | x"}, en=["x={x}?"] * 3, zh=["x={x}？"] * 3)
    assert ask(one, scene(), one.en).text[0] == "X"
    assert ask(one, scene(1, "zh-TW"), one.zh).text[0] == "x"


def test_whole_questions_are_joined_in_lower_case_unless_a_value_begins() -> None:
    one = spec()
    first, second = Asked(one, "Go home.", {}, True), Asked(one, "Rome is where?", {}, False)
    assert join_questions([first, first, second], scene(), ["Also, "]) == (
        "Go home. Also, go home. Also, Rome is where?"
    )


def test_calculated_results_are_true() -> None:
    values = {"weight_kg": 81, "height_cm": 180, "bill": 50, "tip_percent": 15}
    assert CALCULATIONS["bmi"](values) == 25
    assert CALCULATIONS["tip"](values) == 7.5
    assert CALCULATIONS["mean"]({"numbers": [1, 2, 6]}) == 3
    assert CALCULATIONS["discount"]({"price": 200, "discount": 25}) == 150
    assert CALCULATIONS["split"]({"total": 100, "people": 3}) == 33.33
    assert CALCULATIONS["rectangle_area"]({"length": 3, "width": 4}) == 12
    money = {"amount": 64, "from_currency": "TWD", "to_currency": "EUR"}
    assert CALCULATIONS["exchange"](money) == 1.8
    used = {one.calc for one in catalogue() if one.calc}
    assert used <= set(CALCULATIONS)


def test_the_fields_of_an_entry_are_documented() -> None:
    from formosa.data.synth import catalogue as module

    for name in FIELDS - {"say", "calc", "group", "general"}:
        assert name in (module.__doc__ or "")
