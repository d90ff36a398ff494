"""Names in questions stand with articles and other words; values are the names alone."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import ToolCall
from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.around import around, forms
from formosa.data.synth.generate import generate
from formosa.data.synth.notation import parse_slot
from formosa.data.synth.slots import Draw, Scene, bare
from formosa.data.synth.words import read_yaml, word_list

ENTRIES = read_yaml("around.yaml")
FILM = Draw("Parasite", "Parasite", of="cult_film")


def asked(draw: Draw, before: str, after: str, language: str = "en") -> Counter[str]:
    return Counter(
        around(draw, before, after, Scene(random.Random(seed), language)) for seed in range(200)
    )


# -- articles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("the Louvre", "Louvre"),
        ("a haircut", "haircut"),
        ("an orchid", "orchid"),
        ("The Great Gatsby", "The Great Gatsby"),
        ("A Brief History of Time", "A Brief History of Time"),
        ("theory", "theory"),
        ("a", "a"),
        ("the ", "the "),
        ("台北", "台北"),
    ],
)
def test_an_article_is_no_part_of_a_value(said: str, value: str) -> None:
    assert bare(said) == value


@given(st.text())
def test_what_is_left_ends_the_text(text: str) -> None:
    assert text.endswith(bare(text))
    assert bool(bare(text)) == bool(text)


def test_the_question_keeps_the_article() -> None:
    slot = parse_slot("words the Louvre:羅浮宮, the Prado:普拉多美術館")
    found = {(draw.value, draw.text) for draw in
             (slot.draw(Scene(random.Random(seed), "en")) for seed in range(20))}  # fmt: skip
    assert found == {("Louvre", "the Louvre"), ("Prado", "the Prado")}


# -- words around --------------------------------------------------------------------------------


def test_a_name_often_stands_alone_and_sometimes_does_not() -> None:
    found = asked(FILM, "Who plays in ", "?")
    assert found["Parasite"] > 100
    assert set(found) >= {"the movie Parasite", "the film 'Parasite'"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", " is what?"),  # a value begins the sentence, or another one stands before it
        (" ", "?"),
        ("Who plays in the ", "?"),
        ("Three seats for two ", "?"),
        ('Who plays in "', '"?'),
        ("Who plays in ", "'s sequel?"),
        ("Who plays in ", "-like films?"),
    ],
)
def test_nothing_is_put_where_it_would_not_read(before: str, after: str) -> None:
    assert set(asked(FILM, before, after)) == {"Parasite"}


def test_in_chinese_the_words_around_are_chinese() -> None:
    found = asked(Draw("寄生上流", "寄生上流", of="cult_film"), "查", "的演員。", "zh-TW")
    assert set(found) >= {"寄生上流", "電影寄生上流", "電影《寄生上流》"}


def test_a_word_that_the_question_has_already_is_not_said_again() -> None:
    assert not {text for text in asked(FILM, "Which film is like ", "?") if "film" in text}
    found = asked(Draw("寄生上流", "寄生上流", of="cult_film"), "查電影", "的演員。", "zh-TW")
    assert not {text for text in found if "電影" in text}


def test_a_text_that_is_no_name_alone_is_left() -> None:
    """As a value that may be null is: "at most Parasite"."""
    assert set(asked(Draw("Parasite", "at most Parasite", of="cult_film"), "Find ", ".")) == {
        "at most Parasite"
    }
    assert set(asked(Draw("x", "x"), "Find ", ".")) == {"x"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["lists"][0])
def test_the_file_names_lists_that_there_are_once_each(entry: dict[str, list[str]]) -> None:
    for name in entry["lists"]:
        assert word_list(name)
        assert sum(name in other["lists"] for other in ENTRIES) == 1
        assert forms(name) == (tuple(entry["en"]), tuple(entry["zh"]))
    for form in entry["en"] + entry["zh"]:
        assert form.count("{}") == 1
    assert all(form.isascii() for form in entry["en"])
    assert all(re.search(r"[一-鿿《]", form) for form in entry["zh"])


def texts(calls: list[ToolCall]) -> list[str]:
    return [value for call in calls for value in call.values().values() if isinstance(value, str)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_rows_have_them(language: str) -> None:
    rows: list[Row] = list(
        generate(1500, 5, kinds={"single": 1.0, "multiple": 1.0}, languages={language: 1.0})
    )
    every = [form for entry in ENTRIES for form in entry["zh" if language == "zh-TW" else "en"]]
    within = bare_articles = 0
    for row in rows:
        calls = [call for message in row.messages for call in message.tool_calls]
        for value in texts(calls):
            within += any(form.format(value) in row.question for form in every)
            bare_articles += f"the {value}" in row.question
            assert value in row.question or not value.startswith(("the ", "a ", "an ")), value
    assert within > 40
    assert language == "zh-TW" or bare_articles > 40
