"""What models really write when they are asked to choose, and what the two readings make of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.evals.extract import read_box, read_pattern

# (reply, what `box` reads, what `pattern` reads), for four options.
REPLIES = [
    # Boxes, as asked for and as written.
    (r"\box{B}", "B", "B"),
    (r"\boxed{C}", "C", "C"),
    (r"\\box{D}", "D", "D"),
    ("box{A}", "A", "A"),
    (r"\box{ b }", "B", "B"),
    (r"\box{Ｂ}", "B", "B"),
    ("\\box｛Ｃ｝", "C", "C"),
    (r"\boxed{\text{B}}", "B", "B"),
    (r"$\boxed{\mathrm{ d }}$", "D", "D"),
    (r"\boxed{\textbf{(A)}}", "A", "A"),
    (r"\boxed{（Ｂ）}", "B", "B"),
    (r"\boxed{B。}", "B", "B"),
    (r"\boxed{C、臺北}", "C", "C"),
    (r"\boxed{\boxed{B}}", "B", "B"),
    (r"\box{(C)}", "C", "C"),
    (r"\box{B. 臺北市}", "B", "B"),
    (r"\box{B: Taipei}", "B", "B"),
    (r"\box{B 臺北市}", "B", "B"),
    (r"\box{選項 C}", "C", "C"),
    (r"\box{選項C}", "C", "C"),
    (r"\box{Option C}", "C", "C"),
    (r"\box{答案：D}", "D", "D"),
    (r"**\box{A}**", "A", "A"),
    ("根據題意，臺灣最高的山是玉山。\n\\box{A}", "A", "A"),
    # The last box counts; the instruction repeated is no answer.
    ("先看 \\box{A}，但它不對。\n最後：\\box{C}", "C", "C"),
    ("我選 \\box{B}。格式為 \\box{選項}。", "B", "B"),
    (r"The format is \box{Option}. So \box{D}", "D", "D"),
    # The box and the words differ: that is what two readings are for.
    ("\\box{B}\n更正：答案是 C。", "B", "C"),
    # Boxes that hold no answer.
    (r"\box{選項}", None, None),
    (r"\box{}", None, None),
    (r"\box{臺北市}", None, None),
    (r"\box{A, C}", None, None),
    (r"\box{A、B}", None, None),
    (r"\box{A和C}", None, None),
    (r"\box{A 和 C}", None, None),
    (r"\box{A or B}", None, None),
    (r"\box{E}", None, None),
    (r"\box{A型}", None, None),
    (r"\box{A cat}", None, None),
    (r"\box{B", None, None),
    ("A or B: \\box{A}; no: \\box{A/B}", None, "A"),
    # Announced in Chinese.
    ("答案是 B", None, "B"),
    ("答案是：B。", None, "B"),
    ("正確答案是（B）", None, "B"),
    ("正確的答案應該是：C", None, "C"),
    ("正確的選項應為：D", None, "D"),
    ("答案應為 **B**。", None, "B"),
    ("答案：Ａ", None, "A"),
    ("【答案】：C", None, "C"),
    ("答案為「D」", None, "D"),
    ("答案：選項 B", None, "B"),
    ("正确答案是 B，因为其他都不对。", None, "B"),
    ("綜合以上，所以我選 C。", None, "C"),
    ("因此應選擇 (B)。", None, "B"),
    ("故選D", None, "D"),
    ("故本題選 (A)", None, "A"),
    ("本題應選 D。", None, "D"),
    ("選 B，因為玉山最高。", None, "B"),
    ("選項 A 不對。選項 B 也不對。答案就是 C。", None, "C"),
    ("答案是 A，B 是錯的。", None, "A"),
    ("答案是A。B、C、D 都不是。", None, "A"),
    # Judged in Chinese.
    ("選項 B 是正確的。", None, "B"),
    ("選項Ｃ正確。", None, "C"),
    ("B 才是正確答案。", None, "B"),
    ("D 為最佳答案", None, "D"),
    ("B 是對的，其餘都錯。", None, "B"),
    ("B 是對的嗎？", None, None),
    ("選項 C 正確描述了地形，但題目問的是人口，因此答案是 B。", None, "B"),
    ("答案是 B。選項 C 正確描述了地形，但與題目無關。", None, "B"),
    # Announced in English.
    ("The answer is B.", None, "B"),
    ("Answer: B", None, "B"),
    ("answer: b", None, "B"),
    ("**Answer:** (C)", None, "C"),
    ("The correct answer is:\n\n\nD.", None, "D"),
    ("The correct answer is (a).", None, "A"),
    ("The correct option would be C, because of the wording.", None, "C"),
    ("The answer to this question is option D", None, "D"),
    ("I would choose B.", None, "B"),
    ("I'll go with **A**", None, "A"),
    ("Option B is correct.", None, "B"),
    ("C is the best answer here.", None, "C"),
    ("Final Answer: D: Kaohsiung", None, "D"),
    ("Ans: D", None, "D"),
    ("<answer> B </answer>", None, "B"),
    ("<answer>Bubble tea</answer>", None, None),
    (r"Therefore, the final answer is: $\boxed{D}$. I hope it is correct", "D", "D"),
    # A line of its own.
    ("B", None, "B"),
    ("b", None, "B"),
    ("(C)", None, "C"),
    ("**D**", None, "D"),
    ("B.", None, "B"),
    ("Ｃ。", None, "C"),
    ("B: 臺北市", None, "B"),
    ("(B) 臺北市", None, "B"),
    ("**B** 臺北市", None, "B"),
    ("題目問的是首都。\n\nB", None, "B"),
    ("B: 臺北市\n\n臺北是首都。", None, "B"),
    # No capital letter is taken just because it is there.
    ("A: 臺中\nB: 臺北\nC: 高雄\nD: 花蓮", None, None),
    ("哪一種原料？\nA: 糙米\nB", None, None),  # repeats the question, and was cut
    ("A: 臺中\nB: 臺北\nC: 高雄\nD: 花蓮\n\nB", None, "B"),
    ("B\n\nA: 臺中在中部。\nB: 臺北是首都。", None, "B"),
    ("Taipei is the Capital.", None, None),
    ("A city in the north.", None, None),
    ("Bubble tea comes from Taiwan.", None, None),
    ("The answer is a city in the north.", None, None),
    ("The answer is Bubble tea.", None, None),
    ("答案是臺北市。", None, None),
    ("答案不是 A。", None, None),
    ("The answer is not A.", None, None),
    ("選項 A 不正確。", None, None),
    ("選項 A 是正確的嗎？", None, None),
    ("A 對 B 的影響很大。", None, None),
    ("A is not the correct answer", None, None),
    ("答案是 A 或 B", None, None),
    ("答案是 A 和 C", None, None),
    ("The answer is A or B.", None, None),
    ("The answer is E.", None, None),
    ("血型 A 型的人比較多。", None, None),
    ("維他命 C 很重要", None, None),
    ("", None, None),
    ("   \n ", None, None),
]


@pytest.mark.parametrize(("reply", "box", "pattern"), REPLIES, ids=[row[0] for row in REPLIES])
def test_a_reply_is_read_as_a_person_would(
    reply: str, box: str | None, pattern: str | None
) -> None:
    assert (read_box(reply, "ABCD").letter, read_pattern(reply, "ABCD").letter) == (box, pattern)


@pytest.mark.parametrize(
    ("reply", "letters", "answer"),
    [
        ("答案是 E", "ABCDE", "E"),
        ("The answer is I think B", "ABCDEFGHIJ", None),
        ("The answer is I", "ABCDEFGHIJ", "I"),
        (r"\box{Z}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "Z"),
        ("Answer: C", "AB", None),
    ],
)
def test_only_letters_of_the_question_count(reply: str, letters: str, answer: str | None) -> None:
    assert read_pattern(reply, letters).letter == answer


def test_the_reading_quotes_the_place_so_that_a_person_can_check_it() -> None:
    assert read_box("先想。\\box{B}", "ABCD").where == r"\box{B}"
    assert read_pattern("所以，答案是：Ｂ。謝謝", "ABCD").where == "答案是:B"
    assert "A、B" in read_box(r"\box{A、B}", "ABCD").where


def test_a_box_opened_a_thousand_times_is_read_in_reasonable_work() -> None:
    """A model in a loop writes such things; each open box looks ahead a bounded way."""
    assert read_box("\\box{" * 20_000, "ABCD").letter is None
    assert read_pattern("答案是" * 20_000 + "答案是 B", "ABCD").letter == "B"
    assert read_pattern("選" * 20_000 + " " * 20_000, "ABCD").letter is None


@given(st.text(alphabet="ABab答案是選項correct answer is\\box{}()*。.\n：", max_size=60))
def test_any_text_is_read_without_an_error_and_gives_a_known_letter(text: str) -> None:
    for read in (read_box, read_pattern):
        assert read(text, "ABCD").letter in (None, "A", "B", "C", "D")


@given(st.text(max_size=40), st.sampled_from("ABCD"))
def test_a_box_at_the_end_is_always_read_whatever_stood_before(text: str, letter: str) -> None:
    assert read_box(f"{text}\n\\box{{{letter}}}", "ABCD").letter == letter


FORMS = [r"\box{%s}", r"\boxed{ %s }", r"\boxed{\text{%s}}", r"\box{(%s)}", "\\box｛%s｝"]


@given(st.sampled_from(FORMS), st.sampled_from("ABCDＡＢＣＤabcd"), st.text(max_size=20))
def test_every_form_of_a_box_is_the_same_letter(form: str, letter: str, before: str) -> None:
    plain = unicodedata.normalize("NFKC", letter).upper()
    made = read_box(f"{before}\n{form % letter}", "ABCD").letter
    assert made == plain
    assert read_pattern(f"{before}\n{form % letter}", "ABCD").letter == plain


@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=5))
def test_the_last_box_wins(letters: list[str]) -> None:
    text = " ".join(rf"\box{{{letter}}}" for letter in letters)
    assert read_box(text, "ABCD").letter == letters[-1]


@given(
    st.lists(st.sampled_from(["Bubble", "A cat", "CD", "AB", "Dear Anna", "維他命"]), min_size=1)
)
def test_words_with_capital_letters_are_no_answer(words: list[str]) -> None:
    """The reference takes any capital A to D with a character behind it."""
    text = "，".join(words) + "。"
    assert read_box(text, "ABCD").letter is None
    assert read_pattern(text, "ABCD").letter is None
