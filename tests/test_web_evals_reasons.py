"""A scorer's reason in the reader's language, and the place in the reply that it read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.evals.extract import read_box, read_pattern
from formosa.web.evals.reasons import _SAID, find_quote, quoted, sentence

CUT = "; the reply was cut at the token limit"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        (r"read A from “\box{A}”; B is right", r"從「\box{A}」讀出 A；正確答案是 B"),
        (
            r"there is no closed \box{…} with an answer" + CUT,
            r"回覆中沒有寫完整、裡面有答案的 \box{…}；回覆在 token 上限處被截斷",
        ),
        ("read C; D is right", "讀出 C；正確答案是 D"),
        (
            "parallel_function_checker_no_order:wrong_count — the number of calls is 1, expected 3",
            "呼叫了 1 次，應該是 3 次",
        ),
        (
            "value_error:string — city: 'Takayama' is not among ['Tokyo']",
            "參數 city 的值 'Takayama' 不在可接受的值 ['Tokyo'] 之中",
        ),
        (
            "simple_function_checker:missing_required — {n} is required, and missing",
            "缺少必要的參數 {n}",
        ),
        ("the calls are among the accepted ones", "呼叫與可接受的答案相符"),
    ],
)
def test_common_reasons_are_said_in_chinese(why: str, said: str) -> None:
    assert sentence(why, "zh-TW") == said
    assert sentence(why, "en") == why


@given(st.text())
def test_a_reason_that_is_not_known_stays_as_it_is(why: str) -> None:
    if not any(pattern.fullmatch(why.removesuffix(CUT)) for pattern, _ in _SAID):
        assert sentence(why.removesuffix(CUT), "zh-TW") == why.removesuffix(CUT)
    assert sentence(why, "en") == why


@pytest.mark.parametrize(
    ("reply", "marked"),
    [
        (r"先是 \box{A}，再想想是 \box{B}。", r"\box{B}"),
        ("想了\n\n一下，答案是：Ｂ", "答案是：Ｂ"),
        ("The  answer\nis **B**.", "answer\nis **B"),
        ("Both\nB", "B"),
    ],
)
def test_the_place_a_letter_was_read_from_is_found_in_the_reply(reply: str, marked: str) -> None:
    """The scorers quote a form in which full width and spaces are gone."""
    found = read_box(reply, "ABCD")
    letter, where = found if found.letter else read_pattern(reply, "ABCD")
    place = find_quote(reply, quoted(f"read {letter} from “{where}”; A is right"))
    assert place is not None
    assert reply[place.start : place.end] == marked


def test_a_long_quote_that_was_cut_off_is_found_by_its_beginning() -> None:
    reply = "想一想。\\box{B. " + "很長的選項" * 30 + "}"
    where = read_box(reply, "ABCD").where
    assert where.endswith("…")
    place = find_quote(reply, where)
    assert place is not None
    assert reply[place.start :].startswith("\\box{B. 很長")


def test_a_quote_that_is_not_there_marks_nothing() -> None:
    assert find_quote("abc", "xyz") is find_quote("abc", "") is find_quote("", "a") is None
    assert quoted("no words announce an answer") == ""


@given(st.text(), st.text(min_size=1))
def test_a_place_lies_in_the_text(text: str, quote: str) -> None:
    place = find_quote(text, quote)
    assert place is None or 0 <= place.start < place.end <= len(text)
