"""Tools that take the same values: a question may want several, and says the values once."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth import siblings
from formosa.data.synth.asking import Asked
from formosa.data.synth.catalogue import catalogue, read_spec
from formosa.data.synth.families import Family, read_family
from formosa.data.synth.generate import generate
from formosa.data.synth.siblings import ask_siblings
from formosa.data.synth.slots import Scene
from formosa.data.synth.specs import ToolSpec
from formosa.data.synth.wording import holes
from formosa.data.synth.words import read_folder

ENTRY: dict[str, Any] = {
    "family": "disc",
    "parameters": {
        "radius": "int 1..60 | Radius in cm | 半徑（公分）",
        "thickness": "int 1..9 | Thickness in cm | 厚度（公分）",
        "decimals?=2": "int 3..5 | Decimals, 2 by default | 小數位數，預設 2",
    },
    "tools": {
        "disc_area": "the area | 面積 | compute areas | 計算面積 | Area of a disc | 圓面積",
        "disc_rim": "the rim | 周長 | compute rims | 計算周長 | Rim of a disc | 圓周長",
        "disc_volume": "the volume if it is {thickness} cm thick | 厚{thickness}公分時的體積 "
        "| compute volumes | 計算體積 | Volume of a disc | 圓盤體積",
    },
    "en": [
        "Find {it} of a disc of {radius} cm[, {decimals} decimals].",
        "A disc has {radius} cm. I need {it}.",
        "Radius {radius} cm: {it}, please.",
    ],
    "zh": [
        "求半徑{radius}公分圓盤的{it}[，{decimals}位小數]。",
        "圓盤半徑{radius}公分，我要{it}。",
        "半徑{radius}公分，{it}？",
    ],
    "other": "and {it} of one of {radius} cm | 還有半徑{radius}公分的{it}",
    "vary": "radius",
}
ALSO = {"en": ("I need {it}, too.",), "zh-TW": ("也要{it}。",)}
FORMS = ("shared", "crossed", "apart", "also")
FAMILIES = [read_family(entry)[0] for _, entries in read_folder("families") for entry in entries]


def disc() -> tuple[Family, list[ToolSpec]]:
    family, entries = read_family(ENTRY)
    specs = [read_spec(entry, "shapes") for entry in entries]
    for spec in specs:
        object.__setattr__(spec, "family", family)
    return family, specs


def asked(
    form: str, specs: list[ToolSpec], language: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[Asked]]:
    monkeypatch.setattr(siblings, "FORMS", (form,))
    scene = Scene(random.Random(seed), language)
    return ask_siblings(specs, scene, ALSO[language], held_out=False)


# -- reading ---------------------------------------------------------------------------------------


def test_each_tool_has_its_own_words_and_parameters() -> None:
    _, (area, rim, volume) = disc()
    assert [item.name for item in area.parameters] == ["radius", "decimals"]
    assert [item.name for item in volume.parameters] == ["radius", "thickness", "decimals"]
    assert volume.required == ("radius", "thickness")
    assert (rim.does.en, rim.doc.zh) == ("compute rims", "圓周長")
    assert set(holes(volume.en[1])) == {"radius", "thickness"}
    assert rim.more is not None and set(holes(rim.more[0])) == {"radius"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tools": {"a": ENTRY["tools"]["disc_area"]}}, "needs two tools"),
        ({"tools": {"a": "the area | 面積", "b": "x | x"}}, "2 columns instead of 6"),
        ({"en": ["Find it of {radius}."] * 3}, "once"),
        ({"other": "and {it} of {it} | 還有{it}"}, "once"),
        ({"kin": "x"}, "the fields are"),
    ],
)
def test_a_family_that_contradicts_itself_is_named(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=f"family disc: .*{problem}"):
        read_family({**ENTRY, **changes})


def test_the_tools_of_families_are_in_the_catalogue() -> None:
    named = {spec.name: spec for spec in catalogue()}
    for family in FAMILIES:
        found = [named[name] for name in family.asks]
        assert all(spec.family and spec.family.name == family.name for spec in found)
        assert len({spec.group for spec in found}) == len(found)
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_varies_is_said_in_every_way_and_in_the_second_question(family: Family) -> None:
    assert len(family.en) >= 4 and len(family.zh) >= 4
    for way in (*family.en, *family.zh, *family.other):
        assert family.vary in set(holes(way))


# -- asking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", range(6))
def test_shared_values_are_said_once_and_called_with_each_tool(
    language: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, specs = disc()
    text, made = asked("shared", specs, language, seed, monkeypatch)
    assert [item.spec for item in made] == specs
    radius = {item.values()["radius"] for item in made}
    assert len(radius) == 1 and text.count(str(radius.pop())) >= 1
    assert "thickness" not in made[0].values() and made[2].values()["thickness"]
    assert len({item.values().get("decimals") for item in made}) == 1
    joined = "面積、周長和" if language == "zh-TW" else "the area, the rim and the volume"
    assert joined in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", range(6))
def test_crossed_questions_want_every_tool_for_every_value(
    language: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, specs = disc()
    _, made = asked("crossed", specs[:2], language, seed, monkeypatch)
    pairs = [(item.spec.name, item.values()["radius"]) for item in made]
    values = list(dict.fromkeys(value for _, value in pairs))
    assert 2 <= len(values) <= 3
    assert pairs == [(spec.name, value) for value in values for spec in specs[:2]]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", range(6))
def test_apart_each_tool_has_a_value_of_its_own(
    language: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, specs = disc()
    text, made = asked("apart", specs[1:], language, seed, monkeypatch)
    assert [item.spec for item in made] == specs[1:]
    for item in made:
        assert str(item.values()["radius"]) in text
    assert text.endswith((".", "。", "？")) and text[:-1].count(".") <= 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_also_wants_the_rest_of_the_same(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, specs = disc()
    text, made = asked("also", specs, language, 1, monkeypatch)
    assert len({item.values()["radius"] for item in made}) == 1
    assert text.endswith("公分時的體積。" if language == "zh-TW" else "cm thick, too.")
    assert made[2].values()["thickness"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_reads_in_every_form(
    family: Family, language: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs = [spec for spec in catalogue() if spec.family and spec.family.name == family.name]
    specs = [spec for spec in specs if not spec.held_out]
    for seed in range(3 if len(specs) > 1 else 0):
        text, made = asked(form, specs, language, seed, monkeypatch)
        assert "  " not in text and " ," not in text and " ." not in text, text
        assert not set(text) & set("{}[]<>|") - set("[]"), text
        for item in made:
            assert set(item.spec.required) <= set(item.draws), (text, item.spec.name)
        calls = [item.call("") for item in made]
        assert len({(call.name, call.arguments) for call in calls}) == len(calls), text


def test_a_tool_alone_is_of_no_family() -> None:
    spec = next(spec for spec in catalogue() if spec.family is None)
    with pytest.raises(ValueError, match="is of no family"):
        ask_siblings([spec], Scene(random.Random(1), "en"), ALSO["en"], held_out=False)


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("questions", [1, 5])
def test_rows_want_several_tools_of_a_family(questions: int) -> None:
    rows: list[Row] = list(
        generate(600, 3, kinds={"parallel_multiple": 1.0, "multiple": 1.0}, questions=questions)
    )
    of = {name: family.name for family in FAMILIES for name in family.asks}
    found: Counter[str] = Counter()
    for row in rows:
        calls = [call for message in row.messages for call in message.tool_calls]
        # Families have plain and camelCase names in rows; those with a domain before are left out.
        families = [of[call.name] for call in calls if call.name in of]
        if len(set(families)) < len(families):
            tools = {call.name for call in calls if call.name in of}
            found["of a family"] += len(tools) > 1
            values = [call.arguments for call in calls if call.name in of]
            found["shared"] += len(set(values)) < len(values)
    assert found["of a family"] > 20 and found["shared"] > 10
