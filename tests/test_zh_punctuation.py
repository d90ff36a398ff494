"""Which marks become full-width, and which are none of Chinese prose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.zh.punctuation import to_full_width

CHANGED = [
    ("你好,世界", "你好，世界"),
    ("你好, 世界!", "你好，世界！"),
    ("真的嗎?是的!", "真的嗎？是的！"),
    ("真的嗎?!", "真的嗎？！"),
    ("如下:\n- 甲;\n- 乙", "如下：\n- 甲；\n- 乙"),
    ("今天天氣很好.我想去走走.", "今天天氣很好。我想去走走。"),
    ("他說「好」.我也是.", "他說「好」。我也是."),
    ("對...我想想", "對……我想想"),
    ("價格(含稅)很高", "價格（含稅）很高"),
    ("價格(tax 稅),很高", "價格（tax 稅），很高"),
    ("他說“你好”", "他說「你好」"),
    ("他說“Hello”而已", "他說「Hello」而已"),
    ("“他說‘不要’,就走了”", "「他說『不要』，就走了」"),
    ("““你”好”", "「「你」好」"),
    ("他說“don’t”", "他說「don’t」"),
    ("“一行\n兩行”，“好”", "“一行\n兩行”，「好」"),
    ("請看`a,b`:好,對", "請看`a,b`:好，對"),
]
LEFT = [
    "3.14,2.71 和 12:30",
    "一共 1,000 元",
    "Hello, world! (really?)",
    "Don’t say “yes”, he said.",
    "用 f(x) 和 g(x, y)",
    "使用函數(x)",
    "一. 前言",
    "二十一.附錄",
    "馬丁.路德",
    "`你好,世界`",
    '```\n印("你好,世界")\n```',
    "https://example.com/a,b?c:d",
    '<tool_call>{"name": "查", "arguments": {"q": "你好,世界"}}</tool_call>',
    '{"答案": "你好,世界"}',
    "| 甲,乙 | 丙:丁 |",
    "[連結](https://example.com)",
    "檔案:a.txt",
    '他說 "你好"',
    "好.......",
    "甲, b, 丙",
]


@pytest.mark.parametrize(("text", "made"), CHANGED)
def test_marks_between_han_characters_become_full_width(text: str, made: str) -> None:
    assert to_full_width(text).text == made
    assert to_full_width(text).changes > 0


@pytest.mark.parametrize("text", LEFT)
def test_other_marks_stay(text: str) -> None:
    assert to_full_width(text).text == text
    assert to_full_width(text).changes == 0


def test_each_mark_counts_once_and_a_pair_counts_once() -> None:
    assert to_full_width("他說“你好”,我說:好(的好).").changes == 5


def test_what_a_call_copies_stays_wherever_it_stands() -> None:
    made = to_full_width("送到台北,大安區,謝謝,大家", keep=["台北,大安區", "沒有,這個"])
    assert made.text == "送到台北,大安區,謝謝，大家"


def test_a_value_without_marks_does_not_hinder_its_neighbours() -> None:
    assert to_full_width("送到台北,謝謝", keep=["台北"]).text == "送到台北，謝謝"


def test_a_private_character_of_the_author_stops_the_rule() -> None:
    assert to_full_width("甲\ue000乙,丙").changes == 0


TEXT = st.text(alphabet='你好台北,.?!:;()“”‘’「」。 ab1\n`{}|"', max_size=50)


@given(TEXT)
def test_done_twice_is_done_once(text: str) -> None:
    once = to_full_width(text).text
    assert to_full_width(once).text == once


@given(TEXT)
def test_only_marks_and_spaces_change(text: str) -> None:
    def rest(value: str) -> str:
        return "".join(c for c in value if c not in ",.?!:;()“”‘’「」『』（），。？！：；… \t")

    made = to_full_width(text)
    assert rest(made.text) == rest(text)
    assert (made.changes == 0) == (made.text == text)


@given(st.text(alphabet="abc ,.?!:;()“”1", max_size=50))
def test_text_without_chinese_is_never_changed(text: str) -> None:
    assert to_full_width(text).text == text


@given(st.text(), st.lists(st.text(max_size=5), max_size=3))
def test_any_text_can_be_set_and_kept_values_stay(text: str, keep: list[str]) -> None:
    made = to_full_width(text, keep=keep).text
    for value in keep:
        if value and "\ue000" not in text:
            assert made.count(value) >= min(1, text.count(value)) or not value.strip(" \t")


@pytest.mark.parametrize(
    "text", ["“" * 50_000, "你(" * 20_000, "你," * 50_000, "你.." * 20_000, "“你" * 9_000]
)
def test_text_of_a_model_in_a_loop_is_linear_work(text: str) -> None:
    to_full_width(text)
