"""The catalogue of tools: what an entry may say, and what a question and its call make of it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from formosa.chat.message import json_text
from formosa.data.synth.asking import Asked, ask, ask_several, join_questions
from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.catalogue import FIELDS, catalogue, read_spec
from formosa.data.synth.slots import Scene, copied_texts
from formosa.data.synth.specs import STYLES, ToolSpec, styled
from formosa.data.synth.stage import candidates, following
from formosa.data.synth.wording import holes
from formosa.zh.purity import measure


def scene(seed: int = 1, language: str = "en") -> Scene:
    return Scene(random.Random(seed), language)


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
    names = {style: spec().tool("en", style).name for style in STYLES}
    assert names == {
        "": "buy_ticket", "camel": "buyTicket", "module": "fun_buy_ticket",
        "dotted": "fun.buy_ticket", "pascal": "BuyTicket",
    }  # fmt: skip
    assert styled("max_price", "camel") == "maxPrice"
    assert styled("max_price", "") == "max_price"
    assert styled("maxPrice", "pascal") == "MaxPrice"


def test_a_bare_tool_keeps_only_the_descriptions_that_a_value_needs() -> None:
    one = spec(parameters={"when": "day | Day | 日期", "seats?": "int 1..9 | Seats | 座位"},
               en=["On {when}[, {seats}]."] * 3, zh=["{when}[，{seats}]。"] * 3)  # fmt: skip
    properties = one.tool("en", bare=True).schema()["properties"]
    assert properties["when"]["description"] == "Day; YYYY-MM-DD"
    assert "description" not in properties["seats"]
    assert one.tool("zh-TW").schema()["properties"]["when"]["description"] == (
        "日期，格式為 YYYY-MM-DD"
    )


def test_a_closed_tool_says_that_it_takes_nothing_else() -> None:
    assert spec().tool("en", closed=True).schema()["additionalProperties"] is False
    assert "additionalProperties" not in spec().tool("en").schema()


def test_a_wordy_tool_says_when_to_use_it() -> None:
    assert (
        spec()
        .tool("en", wordy=True)
        .description.startswith("Buy tickets. Use this tool when the user wants to buy tickets;")
    )
    assert "使用者想買票時使用" in spec().tool("zh-TW", wordy=True).description


def test_objects_may_be_optional_and_their_fields_required() -> None:
    one = spec(
        parameters={
            "range?": "object | Price | 價格",
            "range.low": "int 1..5",
            "range.high?": "int 6..9",
        },
        en=["Go[ from {range.low}[ to {range.high}]]."] * 3,
        zh=["去[{range.low}[到{range.high}]]。"] * 3,
    )
    schema = one.tool("en").schema()
    assert schema["required"] == [] and one.required == ()
    assert schema["properties"]["range"]["required"] == ["low"]
    made = [ask(one, scene(seed), one.en).call("").values() for seed in range(40)]
    assert {json_text(value)[:10] for value in made} >= {"{}", '{"range": '}
    for value in made:
        jsonschema.validate(value, schema)
    assert "properties" in schema and one.tool("en", without=["range"]).schema()["properties"] == {}


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
        ({"then": "And {town}? | 那{town}呢？"}, "no parameter"),
        ({"beyond": "Sell {town}. | 賣{town}。"}, "no parameter"),
        ({"reply": "It is {price}. | 是{price}。"}, "can't know"),
        ({"calc": "magic", "reply": "x | x"}, "no calculation"),
        ({"parameters": {"size?=9": "enum a, b | x | y"}}, "no option|doesn't say|no parameter"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(change: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_spec(entry(**change), "fun")
    assert str(caught.value).startswith("fun/")


def test_the_catalogue_is_large_and_has_every_json_type() -> None:
    specs = catalogue()
    assert len(specs) >= 1000
    assert len({one.domain for one in specs}) >= 80
    found = Counter(kind for one in specs for kind in types_in(one.tool("en").schema()))
    assert set(found) == {
        *("string", "integer", "number", "boolean", "object", "null", "enum", "default"),
        *(f"array of {kind}" for kind in ("string", "integer", "number", "enum", "boolean")),
        *("array of object", "array of array", "enum of integers", "bounds"),
    }
    # A model that has seen one of each has seen nothing: every type stands in many tools.
    assert all(found[kind] >= 25 for kind in ("integer", "number", "boolean", "enum"))
    assert all(found[kind] >= 20 for kind in ("array of string", "array of integer", "object"))
    assert all(found[kind] >= 12 for kind in ("array of object", "enum of integers", "bounds"))
    assert found["null"] >= 8


def types_in(schema: dict[str, Any]) -> Iterator[str]:
    for value in schema["properties"].values():
        kind = value["type"]
        if isinstance(kind, list):
            yield "null"
            kind = kind[0]
        if kind == "array":
            items = value["items"]
            yield f"array of {'enum' if 'enum' in items else items['type']}"
            if items["type"] == "object":
                yield from types_in(items)
        elif "enum" in value:
            yield "enum of integers" if kind == "integer" else "enum"
        else:
            yield kind
        if kind == "object":
            yield from types_in(value)
        if "default" in value:
            yield "default"
        if "minimum" in value:
            yield "bounds"


def test_every_default_fits_its_schema() -> None:
    for one in catalogue():
        for value in one.tool("en").schema()["properties"].values():
            if "default" in value:
                jsonschema.validate(value["default"], value)


def test_every_schema_is_one() -> None:
    for one in catalogue():
        for language in ("en", "zh-TW"):
            schema = one.tool(language).schema()
            jsonschema.Draft202012Validator.check_schema(schema)
            assert set(schema["required"]) <= set(schema["properties"])


def test_no_two_tools_are_called_alike_in_any_style() -> None:
    """`ab_test` and `abTest` are one name where names are written in one style."""
    bare = Counter(one.name.replace("_", "").lower() for one in catalogue())
    assert not [name for name, count in bare.items() if count > 1]


def test_most_tools_can_be_asked_for_twice_in_one_breath() -> None:
    specs = catalogue()
    assert sum(bool(one.vary or one.more) for one in specs) > 0.7 * len(specs)
    assert sum(bool(one.more) for one in specs) > 0.3 * len(specs)


def test_no_two_tools_are_described_alike() -> None:
    for language in ("en", "zh-TW"):
        docs = Counter(one.doc.of(language) for one in catalogue())
        assert not [doc for doc, count in docs.items() if count > 1]


def test_names_are_written_in_several_ways() -> None:
    names = [one.name for one in catalogue()]
    assert sum("_" in name for name in names) > 150
    assert sum(name != name.lower() for name in names) > 60
    verbs = sum(name.startswith(("get", "find", "set", "create", "book")) for name in names)
    assert verbs < len(names) / 3


def test_all_that_a_model_reads_is_pure() -> None:
    """zh-TW in Taiwan's words and characters, English without any Chinese."""
    for one in catalogue():
        for language in ("en", "zh-TW"):
            tool = one.tool(language)
            text = f"{tool.description} {tool.parameters}"
            if language == "en":
                assert not re.search(r"[\u3000-\u9fff]", text), (one.name, text)
            found = measure(text)
            assert not found.simplified_only and not found.mainland_terms, (one.name, found)


@pytest.mark.parametrize("one", catalogue(), ids=lambda one: one.name)
def test_every_tool_can_be_asked_for_in_every_way(one: ToolSpec) -> None:
    """Each wording in both languages, with nothing and everything optional said."""
    for language, ways in (("en", one.en), ("zh-TW", one.zh)):
        for way in ways:
            for optional in (0.0, 1.0):
                asked = ask(one, scene(3, language), [way], optional=optional)
                values = asked.call("").values()
                assert set(one.tool("en").schema()["required"]) <= set(values)
                assert "  " not in asked.text and " ," not in asked.text
                assert asked.text[-1] in ".?。？"
                jsonschema.validate(values, one.tool("en").schema())
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

    for name in FIELDS - {"say", "calc"}:
        assert name in (module.__doc__ or "")


def test_a_list_within_quotation_marks_has_marks_around_each_word() -> None:
    one = spec(parameters={"book": "title | Book | 書"}, vary="book",
               en=['Find "{book}".'] * 3, zh=["找「{book}」。"] * 3)  # fmt: skip
    for language, mark in (("en", r'"[^"]+" and "[^"]+"'), ("zh-TW", "「[^」]+」和「[^」]+」")):
        found = [
            ask_several(one, scene(seed, language), one.zh if language != "en" else one.en, 2, [""])
            for seed in range(12)
        ]
        assert any(re.search(mark, text) for text, _ in found)


@pytest.mark.parametrize(
    ("count", "said"), [(1, "1 seat."), (2, "2 seats."), (11, "11 seats."), (21, "21 seats.")]
)
def test_one_thing_is_in_the_singular(count: int, said: str) -> None:
    one = spec(parameters={"n": f"plain {count}..{count} | n | n"},
               en=["Book {n} seats."] * 3, zh=["訂{n}位。"] * 3)  # fmt: skip
    assert ask(one, scene(), one.en).text == f"Book {said}"


def test_what_is_beyond_a_tool_and_what_follows_it_can_be_said() -> None:
    for one in catalogue():
        for language in ("en", "zh-TW"):
            zh = language == "zh-TW"
            for way in (one.beyond and one.beyond[zh], following(one, language)):
                if way:
                    text = ask(one, scene(2, language), [way]).text
                    assert text[-1] in ".?。？", (one.name, text)
                    assert set(holes(way)) <= {item.name for item in one.parameters}
    assert len(candidates("beyond", "en", False)) >= 40
    assert len(candidates("follow", "zh-TW", False)) >= 60
    assert len(candidates("reply", "en", False)) >= 90
