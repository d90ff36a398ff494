"""The protocol of the cards' date, with its faults: they are what is being reproduced."""

from __future__ import annotations

import importlib.util
import math
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError, LogError
from formosa.evals.choice import Choice, ChoiceSet, choice_task, order, right_letter
from formosa.evals.extract import read_pattern
from formosa.evals.task import Sample
from formosa.evals.twinkle import (
    APRIL_2025,
    V2_10,
    Method,
    cut_thoughts,
    extract,
    extract_v2_10,
    figures,
    figures_of,
    gold_letter,
    twinkle_task,
)
from formosa.results.log import EvalLog, Outcome

MOUNTAIN = Sample("m", Choice("最高的山？", ("玉山", "雪山", "合歡山", "大屯山"), 0), "地理")
SET = ChoiceSet("t", [MOUNTAIN], "en", "", "", "", "zh-TW")
BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "twinkle_agreement.py"

# (reply, April's box, April's pattern, 2.10's pattern)
REPLIES: list[tuple[str, str | None, str | None, str | None]] = [
    (r"\box{B}", "B", "B", "B"),
    (r"\boxed{C}", "C", "C", "C"),
    (r"\\box{D}", "D", "D", "D"),
    (r"\box{A} 更正 \box{B}", "A", "A", "A"),  # the first box counts
    (r"\boxed{A} \box{B}", "B", "A", "A"),  # `box` is tried before `boxed`
    (r"\boxed{ B }", None, "B", "B"),
    (r"\boxed{\text{B}}", None, "B", "B"),
    (r"\boxed{b}", None, None, None),
    (r"\box{E}", None, None, "E"),
    ("box{A}", None, "A", "A"),
    ("答案是: B", None, "B", "B"),
    ("答案是:選項 C", None, "C", "C"),
    ("答案是：B。", None, "B", "B"),  # by the trap: no expression for this colon
    ("答案為：D", None, "D", "D"),
    ("正確的答案是（A）", None, "A", "A"),
    ("正確答案為 **C**", None, "C", "C"),
    ("選項 A 不對。選項 B 正確", None, "B", "B"),
    ("The correct answer is:\n\n\nD.", None, "D", "D"),
    # The traps.
    ("Answer: B", None, "A", "A"),
    ("The answer is B.", None, "B", "T"),
    ("The answer is B. Taipei", None, "B", "B"),
    ("THE ANSWER", None, "A", "H"),
    ("The answer is:", None, None, "T"),
    ("Because of this, C is right", None, "B", "B"),
    ("B", None, None, None),  # nothing follows, so the dot has nothing to match
    ("B\n", None, None, None),  # nor does it match the end of a line
    ("", None, None, None),
    (" \n ", None, None, None),
]


@pytest.mark.parametrize(("reply", "box", "pattern", "later"), REPLIES, ids=[r[0] for r in REPLIES])
def test_a_reply_is_read_as_it_was_then(
    reply: str, box: str | None, pattern: str | None, later: str | None
) -> None:
    assert (extract(reply, "box"), extract(reply, "pattern")) == (box, pattern)
    assert extract_v2_10(reply, "", "pattern") == later


def test_there_are_as_many_expressions_as_there_were() -> None:
    assert [len(APRIL_2025[method]) for method in APRIL_2025] == [2, 38]
    assert [len(V2_10[method]) for method in V2_10] == [2, 38]


def test_the_box_prompt_is_chinese_whatever_the_language_of_the_set() -> None:
    """The English one is younger than the cards."""
    asked = twinkle_task(SET, "box", "t-twinkle-box").ask(MOUNTAIN, 0, 0)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert asked.messages[0].content.startswith("使用者將提供一個題目，並附上選項 A、B、C、D\n")


def test_pattern_is_asked_without_a_system_prompt() -> None:
    """So the two tables of a card are two questions, not two readings of one."""
    asked = twinkle_task(SET, "pattern", "t-twinkle-pattern").ask(MOUNTAIN, 0, 0)
    assert [message.role for message in asked.messages] == ["user"]
    shown = [MOUNTAIN.content.options[i] for i in order(MOUNTAIN, 0, 0)]
    lines = [f"{letter}: {text}" for letter, text in zip("ABCD", shown, strict=True)]
    assert asked.messages[0].content == "\n".join(["最高的山？", *lines])


def test_one_reply_has_four_readings() -> None:
    task = twinkle_task(SET, "box", "t-twinkle-box")
    gold = gold_letter(MOUNTAIN, 0, 0)
    other = next(letter for letter in "ABCD" if letter != gold)
    reply = ChatReply(Message("assistant", rf"\box{{{other}}} 更正：\box{{{gold}}}"), "stop")
    made = {name: score(MOUNTAIN, 0, 0, reply) for name, score in task.scorers.items()}
    assert {name: score.outcome for name, score in made.items()} == {
        "twinkle": "wrong",  # the first box
        "twinkle-2.10": "wrong",
        "box": "correct",  # the last one
        "pattern": "correct",
    }
    assert made["twinkle"].answer == other
    assert "2025-04-27" in task.describe()["decoder"]


def score(text: str, method: Method, finish: Any = "stop", reasoning: str = "") -> tuple[str, str]:
    task = twinkle_task(SET, method, "t")
    reply = ChatReply(Message("assistant", text, reasoning), finish)
    made = [task.scorers[name](MOUNTAIN, 0, 0, reply).outcome for name in list(task.scorers)[:2]]
    return made[0], made[1]


def test_what_is_unparsed_is_not_correct_and_says_so() -> None:
    assert score("不知道", "box") == ("unparsed", "unparsed")
    assert score("不知道", "box", "length") == ("truncated", "truncated")


def test_only_the_later_version_cuts_thoughts_and_reads_reasoning() -> None:
    gold = gold_letter(MOUNTAIN, 0, 0)
    other = next(letter for letter in "ABCD" if letter != gold)
    thought = rf"<think>\box{{{other}}}</think>\box{{{gold}}}"
    assert score(thought, "box") == ("wrong", "correct")
    assert score("", "box", reasoning=rf"\box{{{gold}}}") == ("unparsed", "correct")
    assert score("", "box") == ("unparsed", "unparsed")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think> b", "b"),
        ("<THINK>a</Think>b", "b"),
        ("x<think>a</think>b<think>c</think> d ", "d"),
        ("</think>b", "</think>b"),
        ("<think>b", "<think>b"),
        ("<reason>a</reason>b", "b"),
        ("<reasoning>a</reasoning>b", "b"),
        ("</think><think>b", "<think>b"),  # both ends are there, so it counts as complete
        ("b", "b"),
    ],
)
def test_thoughts_are_cut_as_the_later_version_does(text: str, rest: str) -> None:
    assert cut_thoughts(text) == rest


def test_of_two_equal_options_the_last_one_is_right_in_april_only() -> None:
    twins = Sample("twins", Choice("?", ("同", "同", "丙", "丁"), 0))
    differ = 0
    for repeat in range(40):
        shown = [twins.content.options[i] for i in order(twins, repeat, 0)]
        assert gold_letter(twins, repeat, 0) == "ABCD"[3 - shown[::-1].index("同")]
        differ += gold_letter(twins, repeat, 0) != right_letter(twins, repeat, 0)
    assert 5 < differ < 35


def test_only_four_options_were_known() -> None:
    three = Sample("q", Choice("?", ("a", "b", "c"), 0))
    with pytest.raises(DataError, match="q has 3 options") as caught:
        twinkle_task(ChoiceSet("t", [three], "zh", "", "", "", ""), "box", "t-twinkle-box")
    assert "t" in caught.value.hint


@given(st.permutations(range(4)), st.integers(0, 3), st.integers(), st.integers(0, 5))
def test_without_equal_options_the_right_letter_is_everybodys(
    texts: list[int], right: int, seed: int, repeat: int
) -> None:
    sample = Sample("q", Choice("?", tuple(map(str, texts)), right))
    assert gold_letter(sample, repeat, seed) == right_letter(sample, repeat, seed)


def test_our_reading_finds_what_each_of_its_expressions_was_written_for() -> None:
    """All but the two traps: whoever answers in one of these forms loses nothing with us."""
    forms = [
        "correct answer is:\n\n\nB.",
        "correct answer is:\n\nB.",
        "correct answer is:\nB.",
        "正確的答案應該是: B",
        "正确的答案应该是:B",
        "正確的選項應為: B",
        "正确的选项应为:B",
        "正確的答案是（B）",
        "正确的答案是（B）",
        "答案應該是: 選項 B",
        "答案应该是:选项B",
        "答案是: B",
        "答案應為:選項 B",
        "答案应为: B",
        "答案為:B",
        "答案应为：B",
        "答案為：B",
        "正確答案為 **B**",
        "正確答案為(B)",
        "答案是 **B**",
        "選項 B 正確",
        "所以答案為B",
        "答案：(B)",
        "答案:B",
        "答案：B",
        "答案: B 因為",
        "選B",
        "选B",
    ]
    for form in forms:
        assert extract(form, "pattern") == "B", form
        assert read_pattern(form, "ABCD").letter == "B", form


# Figures.


def answers(table: dict[str, list[str]]) -> list[tuple[str, int, Outcome]]:
    """File → a string for each run: 1 is correct, 0 wrong, ? unparsed, x failed."""
    names: dict[str, Outcome] = {"1": "correct", "0": "wrong", "?": "unparsed", "x": "failed"}
    return [
        (file, run, names[mark])
        for file, runs in table.items()
        for run, marks in enumerate(runs)
        for mark in marks
    ]


def test_the_figures_are_plain_means_over_files() -> None:
    made = figures_of(answers({"a": ["11", "10", "10"], "b": ["0?00", "1?00", "0000"]}))
    assert made.files["a"].runs == (1.0, 0.5, 0.5)
    assert made.files["a"].mean == pytest.approx(2 / 3)
    assert made.files["a"].deviation == pytest.approx(statistics.pstdev([1, 0.5, 0.5]))
    assert made.files["b"].mean == pytest.approx(1 / 12)
    assert made.accuracy == pytest.approx((2 / 3 + 1 / 12) / 2)  # not weighted by questions
    assert made.plus_minus == pytest.approx(
        (statistics.pstdev([1, 0.5, 0.5]) + statistics.pstdev([0, 0.25, 0])) / 2
    )


def test_a_card_prints_a_share_beside_a_percentage() -> None:
    made = figures_of(answers({"a": ["10", "11"]}))
    assert made.card() == "75.00 (±0.2500)"


def test_one_run_has_no_deviation() -> None:
    assert figures_of(answers({"a": ["10"], "b": ["11"]})).plus_minus == 0.0


def test_a_file_with_a_failed_request_is_left_out_by_name() -> None:
    made = figures_of(answers({"a": ["11", "1x"], "b": ["10", "10"]}))
    assert made.left_out == ("a",)
    assert list(made.files) == ["b"]
    assert made.accuracy == 0.5


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.integers(1, 4).flatmap(
            lambda runs: st.lists(
                st.lists(st.booleans(), min_size=3, max_size=3), min_size=runs, max_size=runs
            )
        ),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_answers_does_not_matter(
    table: dict[str, list[list[bool]]], dice: Any
) -> None:
    rows: list[tuple[str, int, Outcome]] = [
        (file, run, "correct" if right else "wrong")
        for file, runs in table.items()
        for run, marks in enumerate(runs)
        for right in marks
    ]
    made = figures_of(rows)
    assert 0 <= made.accuracy <= 1
    assert 0 <= made.plus_minus <= 0.5
    dice.shuffle(rows)
    assert figures_of(rows) == made
    means = [statistics.fmean([sum(run) / 3 for run in runs]) for runs in table.values()]
    assert math.isclose(made.accuracy, statistics.fmean(means), abs_tol=1e-12)


def log(rows: list[tuple[str, int, Outcome]], scorers: list[str], questions: int) -> EvalLog:
    samples = [
        {
            "id": f"q{i}",
            "repeat": run,
            "subject": file,
            "scores": {name: {"outcome": outcome} for name in scorers},
        }
        for i, (file, run, outcome) in enumerate(rows)
    ]
    start = {"plan": {"samples": questions, "repeats": 1}, "scorers": scorers}
    return EvalLog(Path("t.jsonl"), start, samples)


def test_the_figures_of_a_log() -> None:
    made = figures(log(answers({"a": ["10"], "b": ["11"]}), ["twinkle", "box"], 4))
    assert made.accuracy == 0.75
    assert figures(log(answers({"a": ["10"]}), ["twinkle-2.10"], 2), "twinkle-2.10").accuracy == 0.5


def test_a_log_without_the_scorer_or_without_all_answers_has_no_figures() -> None:
    with pytest.raises(LogError, match="no scorer 'twinkle'"):
        figures(log(answers({"a": ["10"]}), ["box"], 2))
    with pytest.raises(LogError, match="2 of 3 answers"):
        figures(log(answers({"a": ["10"]}), ["twinkle"], 3))
    with pytest.raises(LogError, match="failed in every file"):
        figures(log(answers({"a": ["1x"]}), ["twinkle"], 2))


def test_the_questions_are_those_of_our_own_protocol() -> None:
    """The same set, order and letters, so that the two can be compared question by question."""
    own = choice_task(SET).ask(MOUNTAIN, 2, 5)
    then = twinkle_task(SET, "box", "t-twinkle-box").ask(MOUNTAIN, 2, 5)
    assert own.messages[1] == then.messages[1]
    assert own.gold == then.gold


@pytest.mark.skipif(
    importlib.util.find_spec("twinkle_eval") is None, reason="twinkle-eval is not installed"
)
def test_twinkle_eval_itself_agrees() -> None:
    """Its own classes on the same replies; see the benchmark."""
    specification = importlib.util.find_spec("twinkle_eval")
    assert specification is not None
    assert specification.origin is not None
    folder = Path(specification.origin).parent.parent
    command = [sys.executable, str(BENCHMARK), str(folder), "--replies", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("0 differences\n")
