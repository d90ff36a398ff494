"""Questions out of rows: what is read, what is refused and with which words."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.errors import DataError
from formosa.evals.choice import Choice
from formosa.evals.questions import Questions, read_questions
from formosa.evals.tables import Row, Table

GOOD = {"question": "最高的山？", "A": "雪山", "B": "玉山", "C": "大屯山", "answer": "B"}


def read(*rows: dict[str, Any], published: bool = False) -> Questions:
    table = Table(Path("law.csv"), [Row(i, row) for i, row in enumerate(rows, start=2)])
    return read_questions([table], published=published)


def choice(**changes: Any) -> Choice:
    return read({**GOOD, **changes}).samples[0].content


def test_a_row_is_a_question() -> None:
    sample = read(GOOD).samples[0]
    assert sample.content == Choice("最高的山？", ("雪山", "玉山", "大屯山"), 1)
    assert (sample.id, sample.subject) == ("law/1", "law")


@pytest.mark.parametrize("answer", ["B", " b ", "b", ["B"]])
def test_the_answer_is_a_letter(answer: Any) -> None:
    assert choice(answer=answer).right == 1


@pytest.mark.parametrize("name", ["choices", "options"])
def test_options_may_be_a_list_and_the_answer_a_position(name: str) -> None:
    row = {"question": "?", name: ["a", "b", "c"], "answer": 2}
    assert read(row).samples[0].content == Choice("?", ("a", "b", "c"), 2)
    assert read({**row, "answer": "A"}).samples[0].content.right == 0


def test_numbers_are_text_for_the_model() -> None:
    assert choice(question=7, A=1, B=2, C=2.5).options == ("1", "2", "2.5")


def test_other_columns_are_left_alone() -> None:
    assert choice(explanation="因為", source="x").options == ("雪山", "玉山", "大屯山")


def test_a_gap_in_the_letters_is_an_error() -> None:
    with pytest.raises(DataError, match=r"law\.csv:2: there is no column `D`"):
        choice(E="x")


def test_empty_cells_at_the_end_are_no_options() -> None:
    """So that questions with three and with five options fit in one csv file."""
    assert choice(D="", E=None).options == ("雪山", "玉山", "大屯山")
    with pytest.raises(DataError, match="an option has no text"):
        choice(B="", answer="A")


@pytest.mark.parametrize("missing", ["question", "answer", "A", "B"])
def test_a_missing_column_is_named_with_those_there_are(missing: str) -> None:
    row = {key: value for key, value in GOOD.items() if key != missing}
    if missing == "B":
        del row["C"]
    with pytest.raises(DataError) as caught:
        read(row)
    assert f"law.csv:2: there is no column `{missing}`" in caught.value.message
    assert f"the columns are {', '.join(row)}" in caught.value.message


@pytest.mark.parametrize("answer", ["A,B", "AB", "A B", "A、C", ["A", "B"], "a, b, c"])
def test_two_right_answers_are_refused(answer: Any) -> None:
    with pytest.raises(DataError, match=r"law\.csv:2: \d answers .* one right answer"):
        choice(answer=answer)


@pytest.mark.parametrize("answer", ["D", "", None, "玉山", "1", 1, True, "AA", "BAD", [], 2.0])
def test_an_answer_that_is_no_option_is_refused(answer: Any) -> None:
    with pytest.raises(DataError, match=r"law\.csv:2: "):
        choice(answer=answer)


@pytest.mark.parametrize("answer", [3, -1, "D", True])
def test_a_position_outside_of_the_list_is_refused(answer: Any) -> None:
    with pytest.raises(DataError, match="none of the options A, B, C"):
        read({"question": "?", "choices": ["a", "b", "c"], "answer": answer})


def test_equal_options_are_refused() -> None:
    with pytest.raises(DataError, match=r"law\.csv:2: two options are '玉山'"):
        choice(A="玉山")


def test_a_published_set_keeps_equal_and_empty_options_and_says_so() -> None:
    made = read(
        {**GOOD, "A": "玉山"}, {**GOOD, "C": ""}, GOOD, {**GOOD, "A": "玉山"}, published=True
    )
    assert [len(sample.content.options) for sample in made.samples] == [3, 3, 3, 3]
    assert made.remarks == [
        "2 questions have options with equal texts, such as law.csv:2; kept as is",
        "1 question has options without a text, such as law.csv:3; kept as is",
    ]
    with pytest.raises(DataError, match="none of the options"):
        read({**GOOD, "answer": "D"}, published=True)


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(DataError, match="the question is empty"):
        choice(question="  ")


@pytest.mark.parametrize("count", [1, 27])
def test_too_few_and_too_many_options_are_refused_with_their_place(count: int) -> None:
    row = {"question": "?", "choices": [str(i) for i in range(count)], "answer": 0}
    with pytest.raises(DataError, match=rf"law\.csv:2: .* not {count}"):
        read(row)


def test_ids_of_the_rows_are_kept_and_must_differ() -> None:
    made = read({**GOOD, "id": 7}, {**GOOD, "id": "x"}, GOOD)
    assert [sample.id for sample in made.samples] == ["law/7", "law/x", "law/3"]
    with pytest.raises(DataError) as caught:
        read({**GOOD, "id": 7}, GOOD, {**GOOD, "id": "7"})
    assert caught.value.message == "The id 7 is there twice: law.csv:2 and law.csv:4."


def test_an_id_that_looks_like_a_number_of_a_row_is_no_duplicate_unseen() -> None:
    with pytest.raises(DataError, match="there twice"):
        read({**GOOD, "id": "2"}, GOOD)


def test_a_column_of_subjects_groups_the_questions() -> None:
    made = read({**GOOD, "subject": "a"}, {**GOOD, "subject": "b"}, {**GOOD, "subject": "a"}, GOOD)
    assert [(s.id, s.subject) for s in made.samples] == [
        ("a/1", "a"),
        ("a/2", "a"),
        ("b/1", "b"),
        ("law/1", "law"),
    ]


def test_files_are_subjects_named_as_shortly_as_tells_them_apart() -> None:
    def subjects(*paths: str, suffix: str = "") -> list[str]:
        tables = [Table(Path(path), [Row(1, GOOD)]) for path in paths]
        made = read_questions(tables, subject_suffix=suffix)
        return [sample.subject for sample in made.samples]

    assert subjects("d/law_test.csv", "d/art_test.csv", suffix="_test") == ["law", "art"]
    assert subjects("law/test.csv", "art/test.csv") == ["law/test", "art/test"]


def test_nothing_is_no_task() -> None:
    with pytest.raises(DataError, match="no questions"):
        read_questions([])


@given(st.integers(2, 26), st.data())
def test_letters_and_lists_say_the_same(count: int, data: st.DataObject) -> None:
    texts = data.draw(
        st.lists(st.text(min_size=1).filter(str.strip), min_size=count, max_size=count, unique=True)
    )
    right = data.draw(st.integers(0, count - 1))
    letters = dict(zip(ascii_uppercase, texts, strict=False))
    a = read({"question": "?", **letters, "answer": ascii_uppercase[right]})
    b = read({"question": "?", "choices": texts, "answer": right})
    assert a.samples == b.samples
    assert a.samples[0].content.options[right] == texts[right]
