"""An answer as values for a page: whole whatever the log holds, in pieces where it is huge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_logs import sample_of
from formosa.chat.message import Message, Tool
from formosa.web.evals.answers import (
    END,
    LONG,
    MOST,
    Repeat,
    Text,
    described,
    folded,
    gold_text,
    line,
    options_of,
    read_calls,
    short,
    shown,
)
from formosa.web.evals.questions import Option, Question

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["message", "content", "tool_calls", "function", "name", "arguments", "f"]
            )
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


def whole(text: Text) -> str:
    return text.before + text.marked + text.after + text.folded + text.end


@given(reply=ANY, gold=ANY, error=ANY, seconds=ANY, subject=ANY, answer=ANY, why=ANY)
def test_whatever_shape_a_record_has_it_can_be_shown(answer: Any, why: Any, **changes: Any) -> None:
    """Only id, repeat and outcomes are checked when a log is read."""
    record = sample_of("q1", "wrong", **changes)
    record["scores"]["box"] |= {"answer": answer, "why": why}
    for lang in ("en", "zh-TW"):
        made = shown(record, "not here", "box", lang)
        assert made.outcome == "wrong"
        assert line(record, "not here", "box", lang, "").id == "q1"


@given(st.text(alphabet="ab\\box{}臺\n", max_size=40), st.integers(0, 3), st.text(max_size=4))
def test_no_character_is_lost_in_the_pieces(text: str, times: int, mark: str) -> None:
    text *= 1 + times * 400
    made = folded(text, mark)
    assert whole(made) == text
    assert made.left_out == 0


def test_the_ends_of_a_huge_text_are_kept_and_what_is_missing_is_counted() -> None:
    text = "begin" + "x" * (MOST + 1000) + r"\box{B}"
    made = folded(text, r"\box{A}")
    assert made.before.startswith("begin")
    assert made.end.endswith(r"\box{B}")
    assert len(made.end) == END
    assert made.left_out + len(whole(made)) == len(text)
    assert len(whole(made)) == MOST


def test_the_read_place_is_marked_in_what_is_seen_at_once() -> None:
    made = folded("so: \\box{B}. " + "y" * LONG, "\\box{B}")
    assert (made.before, made.marked) == ("so: ", "\\box{B}")
    assert made.folded


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ('[{"f": {"a": 1}}, {"g": {}}]', ["f", "g"]),
        ('[{"f": 1}]', []),
        ('[{"f": {}, "g": {}}]', []),
        ("[{", []),
        ("B", []),
        (None, []),
        (["f"], []),
    ],
)
def test_calls_are_read_from_an_answer_that_is_calls(answer: Any, names: list[str]) -> None:
    assert [call.name for call in read_calls(answer)] == names


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        (None, ""),
        ("B", "B"),
        (7, "7"),
        ([{"f": {"city": ["臺北", "Taipei"], "n": [3]}}], 'f(city="臺北", n=3)'),
        ([], "[]"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_a_right_answer_fits_on_a_line(gold: Any, text: str) -> None:
    assert gold_text(gold) == text


def test_a_tools_schema_is_a_table() -> None:
    schema = {
        "city": {"type": "string", "description": "Which"},
        "days": {"type": "array", "items": {"type": "integer"}},
        "unit": {"enum": ["C", "F"]},
        "odd": 7,
    }
    tool = Tool.of("weather", "The weather", {"properties": schema, "required": ["city"]})
    (made,) = described([tool])
    assert [(one.name, one.kind, one.required) for one in made.parameters] == [
        ("city", "string", True),
        ("days", "array<integer>", False),
        ("unit", '"C" | "F"', False),
        ("odd", "–", False),
    ]


@given(ANY)
def test_any_schema_can_be_shown(schema: Any) -> None:
    described([Tool.of("f", "", {"properties": schema, "required": schema}), Tool("g", "", "{")])


def repeat(number: int, *options: Option) -> Repeat:
    return Repeat(number, "wrong", "A", "B", "", "", False, "", options)


def test_options_stand_once_with_their_letters_in_every_repeat() -> None:
    first = repeat(0, Option("A", "雪山", 0, False), Option("B", "玉山", 1, True))
    second = repeat(1, Option("A", "玉山", 1, True), Option("B", "雪山", 0, False))
    assert options_of([first, second]) == [
        ("雪山", False, ["A", "B"]),
        ("玉山", True, ["B", "A"]),
    ]
    assert options_of([first, repeat(1)]) == options_of([]) == []


def test_a_question_begins_with_its_first_line_that_says_something() -> None:
    asked = Question((Message("system", "s"), Message("user", "\n  \n 哪一座山？\nA: 雪山")), ())
    assert asked.first_line == "哪一座山？"
    assert Question((), ()).first_line == ""


@given(st.text())
def test_a_short_text_is_one_line(text: str) -> None:
    assert "\n" not in short(text)
    assert len(short(text)) <= 161
