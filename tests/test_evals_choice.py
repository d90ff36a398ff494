"""Multiple choice: what the model is shown, and what becomes of its reply."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError
from formosa.evals.choice import (
    Choice,
    ChoiceSet,
    ask_choice,
    choice_task,
    right_letter,
    system_prompt,
)
from formosa.evals.mini import TASKS, load, mini_zh_tw
from formosa.evals.task import Sample, ScoreRecord

MOUNTAIN = Sample("m", Choice("臺灣最高的山是哪一座？", ("玉山", "雪山", "合歡山", "大屯山"), 0))
TASK = choice_task(ChoiceSet("t", [MOUNTAIN], "zh", "", "", "", "zh-TW"))


def scored(
    text: str, repeat: int = 0, finish: Literal["stop", "length"] = "stop", reasoning: str = ""
) -> dict[str, ScoreRecord]:
    reply = ChatReply(Message("assistant", text, reasoning), finish)
    return {name: scorer(MOUNTAIN, repeat, 0, reply) for name, scorer in TASK.scorers.items()}


def outcomes(text: str, finish: Literal["stop", "length"] = "stop") -> tuple[str, str]:
    made = scored(text, finish=finish)
    return made["box"].outcome, made["pattern"].outcome


GOLD = right_letter(MOUNTAIN, 0, 0)
OTHER = next(letter for letter in "ABCD" if letter != GOLD)


def test_the_prompt_is_the_protocols_word_for_word() -> None:
    asked = ask_choice(MOUNTAIN, 0, 0, "zh")
    assert asked.messages[0] == Message(
        "system",
        "使用者將提供一個題目，並附上選項 A、B、C、D\n"
        "請仔細閱讀題目要求，根據題意選出最符合的選項，並將選項以以下格式輸出：\n"
        "\\box{選項}\n"
        "請確保僅將選項包含在 { } 中，否則將不計算為有效答案。\n"
        "務必精確遵循輸出格式，避免任何多餘內容或錯誤格式。",
    )
    lines = asked.messages[1].content.split("\n")
    assert lines[0] == "臺灣最高的山是哪一座？"
    assert [line[:3] for line in lines[1:]] == ["A: ", "B: ", "C: ", "D: "]
    assert {line[3:] for line in lines[1:]} == {"玉山", "雪山", "合歡山", "大屯山"}
    assert len(asked.messages) == 2
    assert not asked.tools


def test_the_english_prompt_names_the_letters_that_there_are() -> None:
    first = "The user will provide a question along with options "
    assert system_prompt("ABCD", "en").startswith(first + "A, B, C, and D.\n")
    assert system_prompt("AB", "en").startswith(first + "A and B.\n")
    assert "\n\\box{Option}\n" in system_prompt("AB", "en")
    assert system_prompt("ABCDE", "zh").startswith(
        "使用者將提供一個題目，並附上選項 A、B、C、D、E\n"
    )


def test_the_right_option_is_followed_through_every_shuffle() -> None:
    golds = set()
    for repeat in range(40):
        asked = ask_choice(MOUNTAIN, repeat, 0, "zh")
        assert f"\n{asked.gold}: 玉山" in asked.messages[1].content
        golds.add(asked.gold)
    assert golds == set("ABCD")


def test_equal_texts_are_told_apart_by_their_place() -> None:
    """The reference finds the right letter by text, so that the last of two equal ones wins."""
    twins = Sample("twins", Choice("?", ("same", "same", "other"), 0))
    letters = {right_letter(twins, repeat, 0) for repeat in range(40)}
    assert letters == set("ABC")


@given(st.integers(2, 26), st.data())
def test_any_number_of_options_from_two_to_26(count: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, count - 1))
    sample = Sample("q", Choice("?", tuple(f"option {i}" for i in range(count)), right))
    asked = ask_choice(sample, 0, data.draw(st.integers()), "en")
    shown = re.findall(r"^([A-Z]): option (\d+)$", asked.messages[1].content, re.MULTILINE)
    assert sorted(int(number) for _, number in shown) == list(range(count))
    assert (asked.gold, str(right)) in shown


@pytest.mark.parametrize("count", [0, 1, 27])
def test_other_numbers_of_options_are_refused(count: int) -> None:
    with pytest.raises(DataError, match=f"not {count}"):
        Choice("?", tuple("x" * count), 0)


def test_a_right_option_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="none of its options"):
        Choice("?", ("a", "b"), 2)


def test_one_reply_two_readings() -> None:
    assert outcomes(f"\\box{{{GOLD}}}") == ("correct", "correct")
    assert outcomes(f"\\box{{{OTHER}}}") == ("wrong", "wrong")
    assert outcomes(f"答案是 {GOLD}。") == ("unparsed", "correct")
    assert outcomes(f"\\box{{{OTHER}}}\n更正：答案是 {GOLD}。") == ("wrong", "correct")
    assert outcomes("我不知道。") == ("unparsed", "unparsed")


def test_a_reply_that_was_cut_is_truncated_unless_it_had_answered() -> None:
    assert outcomes("讓我們一步一步想", "length") == ("truncated", "truncated")
    assert outcomes(f"\\box{{{GOLD}}} 因為", "length") == ("correct", "correct")
    assert outcomes("", "length") == ("truncated", "truncated")
    assert outcomes("") == ("unparsed", "unparsed")


def test_reasoning_is_not_read() -> None:
    made = scored("", reasoning=f"\\box{{{GOLD}}}")
    assert made["box"].outcome == "unparsed"
    assert "reasoning" in made["box"].why


def test_a_score_can_be_checked_by_a_person() -> None:
    made = scored(f"所以\\box{{{OTHER}}}")["box"]
    assert made.answer == OTHER
    assert f"\\box{{{OTHER}}}" in made.why
    assert f"{GOLD} is right" in made.why


def test_the_log_says_how_replies_are_read() -> None:
    assert TASK.describe()["decoder"] == "last box; last announced letter"
    assert list(TASK.scorers) == ["box", "pattern"]


def test_our_own_set_comes_in_every_variant() -> None:
    assert list(TASKS) == [
        "mini-zh-tw",
        "mini-zh-tw-logit",
        "mini-zh-tw-twinkle-box",
        "mini-zh-tw-twinkle-pattern",
    ]
    main = {name: next(iter(load(name).scorers)) for name in TASKS}
    assert list(main.values()) == ["box", "logit", "twinkle", "twinkle"]
    for name in TASKS:
        task = load(name)
        assert task.name == name
        assert task.revision == mini_zh_tw().revision
    with pytest.raises(DataError, match="no task called mini-zh-tw-x"):
        load("mini-zh-tw-x")


def test_our_own_set_is_40_questions_with_four_different_options() -> None:
    task = mini_zh_tw()
    assert (task.name, len(task.samples), task.language) == ("mini-zh-tw", 40, "zh-TW")
    assert task.licence == "CC0-1.0"
    assert task.revision.startswith("sha256:")
    assert len({sample.content.question for sample in task.samples}) == 40
    for sample in task.samples:
        choice = sample.content
        assert len(choice.options) == len(set(choice.options)) == 4, choice
        assert choice.right == 0
        assert choice.question.endswith("？"), choice


def test_our_own_set_is_written_as_taiwan_writes() -> None:
    """No simplified characters, full-width punctuation, and 臺 in names of places."""
    simplified = set("国学习这个们来时说对发会关东车门问间风马鸟乐书长华号医药电视台湾")
    for sample in mini_zh_tw().samples:
        text = sample.content.question + "".join(sample.content.options)
        assert not simplified & set(text.replace("一台斤", "")), text
        assert not re.search("[?,;!]", text), text


def test_neighbours_of_our_own_set_share_a_subject() -> None:
    """`limit` takes an evenly spread part, so it meets every subject."""
    subjects = [sample.subject for sample in mini_zh_tw().samples]
    changes = sum(a != b for a, b in zip(subjects, subjects[1:], strict=False))
    assert changes == len(set(subjects)) - 1
