"""Wordings and slots: what is written once is said in many ways, and stays true."""

from __future__ import annotations

import json
import random
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.data.synth.grammars import GRAMMARS, code
from formosa.data.synth.notation import parse_slot
from formosa.data.synth.slots import (
    Draw,
    Scene,
    copied_texts,
    join_words,
    say_number,
)
from formosa.data.synth.structures import Field, Objects
from formosa.data.synth.times import say_today
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


def test_a_list_of_decimals_is_written_in_decimals() -> None:
    """Many programs refuse `[5, 3.5]` where they want decimals; the question says what it says."""
    for slot in ("list num 1..9 step 0.5 x2..4", "matrix num 1..9 step 0.5 2x2"):
        for draw in draws(slot):
            row = draw.value[0] if isinstance(draw.value[0], list) else draw.value
            assert all(isinstance(item, float) for item in row)
            assert ".0" not in draw.text
    assert all(
        isinstance(item, int) for draw in draws("list int 1..9 x2..4") for item in draw.value
    )


def test_the_same_percentage_is_a_number_in_percent_or_a_decimal() -> None:
    """`5%` is 5 where the schema says percent and 0.05 where it says decimal, always; the decimal
    is said as it is, too."""
    for draw in draws("percent 1..12 step 0.5"):
        assert draw.text == f"{draw.value}%"
    found = draws("rate 1..12 step 0.25", 200)
    for draw in found:
        said = float(draw.text.rstrip("%")) / (100 if draw.text.endswith("%") else 1)
        assert json.dumps(draw.value) == json.dumps(round(said, 6))
    assert 10 < sum(not draw.text.endswith("%") for draw in found) < 80


def test_small_counts_are_sometimes_words() -> None:
    assert {"3", "three"} == {say_number(3, scene(seed), "count") for seed in range(40)}
    chinese = {say_number(2, scene(seed, "zh-TW"), "count") for seed in range(40)}
    assert chinese == {"2", "兩"}


def test_ten_thousands_are_said_where_the_schema_tells_the_rule() -> None:
    said_so = {say_number(720_000, scene(seed, "zh-TW"), "wan") for seed in range(40)}
    assert said_so == {"72萬", "720,000", "720000"}
    assert {say_number(45_000, scene(seed), "wan") for seed in range(40)} == {
        "45 thousand", "45,000", "45000",
    }  # fmt: skip
    assert "萬" not in "".join(say_number(720_000, scene(seed, "zh-TW")) for seed in range(40))
    assert "30 thousand is 30000" in parse_slot("wan 1000..9000").rule


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


def test_a_list_has_no_word_twice() -> None:
    """Also where the conversation has used up all words of a choice."""
    slot, one = parse_slot("list enum a, b, c x3..3"), scene()
    for _ in range(10):
        assert sorted(slot.draw(one).value) == ["a", "b", "c"]


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
        assert not any("\u3000" <= mark <= "\u9fff" for text in made for mark in text)


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


def test_negative_numbers_are_said_in_either_way() -> None:
    found = draws("int -9..-3") + draws("int -9..-3", language="zh-TW")
    assert all(draw.value < 0 for draw in found)
    said_as = {draw.text.rstrip("0123456789") for draw in found}
    assert said_as == {"-", "minus ", "負"}


def test_bounds_go_into_the_schema_and_hold() -> None:
    schema = parse_slot("count 1..6 in 1..10").schema()
    assert schema == {"type": "integer", "minimum": 1, "maximum": 10}
    assert parse_slot("num 0.5..2 step 0.25 in 0.5..2").schema()["minimum"] == 0.5


def test_whole_numbers_can_be_a_choice() -> None:
    slot = parse_slot("intenum 0:no sugar:無糖, 50:half sugar:半糖")
    assert slot.schema() == {"type": "integer", "enum": [0, 50]}
    assert {(d.value, d.text) for d in draws("intenum 0:no sugar:無糖, 50:half sugar:半糖")} == {
        (0, "no sugar"), (50, "half sugar"),
    }  # fmt: skip


def test_a_number_with_its_unit_can_be_text() -> None:
    """`5C` written as a JSON number was a frequent mistake."""
    assert parse_slot("label 5..9 GB,MB").schema() == {"type": "string"}
    for draw in draws("label 0.5..9 step 0.5 GB,MB"):
        assert draw.value == draw.text and re.fullmatch(r"\d(\.5)?[GM]B", draw.text)


def test_quotation_marks_are_no_part_of_the_value() -> None:
    for language in ("en", "zh-TW"):
        for draw in draws("quoted message", language=language):
            assert draw.text[1:-1] == draw.value
            assert draw.text[0] not in draw.value


MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def read_day(text: str) -> date:
    """A day from the words that people use, written independently of the generator."""
    if match := re.fullmatch(r"(?:on )?([A-Z]\w+) (\d+)(?:st|nd|rd|th)?, (\d+)", text):
        return date(int(match[3]), MONTHS.index(match[1]) + 1, int(match[2]))
    if match := re.fullmatch(r"(?:on )?(\d+) ([A-Z]\w+) (\d+)", text):
        return date(int(match[3]), MONTHS.index(match[2]) + 1, int(match[1]))
    if match := re.fullmatch(r"(?:on )?(\d{4})[-/年](\d+)[-/月](\d+)日?", text):
        return date(int(match[1]), int(match[2]), int(match[3]))
    raise ValueError(text)


@pytest.mark.parametrize("slot", ["day", "on_day", "past_day"])
@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_a_day_is_iso_however_it_is_said(slot: str, language: str) -> None:
    found = draws(slot, 120, language)
    assert all(read_day(draw.text).isoformat() == draw.value for draw in found)
    assert len({re.sub(r"\w", "x", draw.text) for draw in found}) > 2
    assert "YYYY-MM-DD" in parse_slot(slot).rule[0]


def test_near_days_are_said_only_where_today_is_known() -> None:
    told = scene(3, "zh-TW")
    told.today = date(2026, 12, 31)
    found = {(d.text, d.value) for d in (parse_slot("day").draw(told) for _ in range(60))}
    assert {("今天", "2026-12-31"), ("明天", "2027-01-01"), ("後天", "2027-01-02")} <= found
    assert not {"今天", "明天"} & {draw.text for draw in draws("day", language="zh-TW")}
    assert say_today(told.today, zh=True) == "2026年12月31日星期四"
    assert say_today(told.today, zh=False) == "Thursday, December 31, 2026"


def test_a_later_day_is_later() -> None:
    for seed in range(30):
        one = scene(seed)
        first = parse_slot("day").draw(one).value
        assert first < parse_slot("later_day").draw(one).value


def read_clock(text: str) -> str:
    if match := re.fullmatch(r"(?:at )?(\d\d:\d\d)", text):
        return match[1]
    if match := re.fullmatch(r"(?:at )?(\d+)(?::(\d\d))? ([ap]m)", text):
        return f"{int(match[1]) + 12 * (match[3] == 'pm'):02}:{match[2] or '00'}"
    match = re.fullmatch(r"(早上|上午|下午|晚上)(\d+)點(半|(\d+)分)?", text)
    assert match, text
    minute = "30" if match[3] == "半" else match[4] or "00"
    return f"{int(match[2]) + 12 * (match[1] in ('下午', '晚上')):02}:{minute}"


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_a_clock_time_is_of_24_hours_however_it_is_said(language: str) -> None:
    found = draws("clock", 150, language) + draws("at_clock", 50, language)
    assert all(read_clock(draw.text) == draw.value for draw in found)
    assert len({draw.text for draw in found}) > len({draw.value for draw in found})


def test_objects_in_a_list_have_their_required_fields() -> None:
    fields = (
        Field("dish", parse_slot("dish"), True),
        Field("count", parse_slot("int 2..9"), True),
        Field("note", parse_slot("words hot:熱, cold:冷"), False),
    )
    en, zh = parse_wording("{count} {dish}[ {note}]"), parse_wording("{dish}{count}份[{note}]")
    slot = Objects(1, 3, fields, en, zh)
    items = slot.schema()["items"]
    assert items["required"] == ["dish", "count"] and set(items["properties"]) >= {"note"}
    lengths = set()
    for seed in range(40):
        draw = slot.draw(scene(seed))
        lengths.add(len(draw.value))
        for value in draw.value:
            assert list(value)[:2] == ["dish", "count"]
            assert all(str(item) in draw.text for item in value.values())
    assert lengths == {1, 2, 3}
    assert any("note" in value for seed in range(40) for value in slot.draw(scene(seed)).value)


def test_a_matrix_is_said_as_it_is_written() -> None:
    for draw in draws("matrix int -5..9 2..3x2"):
        assert json.loads(draw.text) == draw.value
        assert len(draw.value) in (2, 3) and all(len(row) == 2 for row in draw.value)


def test_a_vector_is_always_in_brackets() -> None:
    """Two lists in one question would run together otherwise."""
    assert all(json.loads(draw.text) == draw.value for draw in draws("vector int 1..9 x3..3"))


def test_null_is_said_in_words_that_the_schema_tells() -> None:
    slot = parse_slot("null no limit / 不限 -> int 1..9")
    assert slot.schema() == {"type": ["integer", "null"]}
    assert slot.rule == ("null: no limit", "不限時為 null")
    found = draws("null no limit / 不限 -> int 1..9")
    assert {draw.text for draw in found if draw.value is None} == {"no limit"}
    assert {type(draw.value) for draw in found} == {int, type(None)}
    around = draws("null no limit / 不限 -> int 1..9 ~ up to {} / {}以內", language="zh-TW")
    assert {f"{draw.value}以內" if draw.value else "不限" for draw in around} == {
        draw.text for draw in around
    }
    choice = parse_slot("null none / 無 -> enum a, b").schema()
    assert choice == {"type": ["string", "null"], "enum": ["a", "b", None]}
