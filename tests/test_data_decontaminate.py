"""Which rows a benchmark asks, and which only sound like it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import called, talk, tool
from formosa.data.cleaning_config import DecontaminationConfig
from formosa.data.decontaminate import REASON, Benchmark, BenchmarkIndex
from formosa.data.rejects import Rejection
from formosa.data.rows import Row

ENGLISH = "Find the cheapest direct train from Hualien to Taitung next Friday before noon, please."
CHINESE = "請計算一個底邊十二公分、高五公分的直角三角形，其斜邊長度與周長各是多少公分？"


def index(
    *texts: str, tools: Sequence[tuple[str, str]] = (), private: bool = False, **config: Any
) -> BenchmarkIndex:
    return BenchmarkIndex(
        [Benchmark("exam", texts, tools, private)], DecontaminationConfig(**config)
    )


def judged(row: Row, *texts: str, **config: Any) -> Rejection | None:
    return index(*texts, **config).judge(row)


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, "台北到高雄要多久？坐火車呢"])
def test_a_turn_that_equals_a_text_is_the_benchmarks(text: str) -> None:
    for row in (talk(text, "好"), talk("你好", "好", text, "好"), Row.of(text=text)):
        rejection = judged(row, "別的題目", text)
        assert rejection is not None
        assert rejection.reason == REASON + "exam"
        assert "text 2 of exam" in rejection.detail


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH.upper(),
        ENGLISH.replace(" ", "\n").replace(",", ""),
        ENGLISH.replace("F", "Ｆ"),
        CHINESE.replace("、", " ").replace("，", ""),
        CHINESE.replace("？", "?!"),
    ],
)
def test_case_width_marks_and_space_do_not_hide_it(text: str) -> None:
    assert judged(talk(text, "好"), ENGLISH, CHINESE, words=None, characters=None)


def test_eight_words_in_a_row_are_the_benchmarks() -> None:
    part = "the cheapest direct train from hualien to taitung"
    rejection = judged(talk(f"Hello! I want {part} with a window seat.", "ok"), ENGLISH)
    assert rejection is not None
    assert rejection.detail == f"It shares 8 words with text 1 of exam: {part}"


def test_seven_words_in_a_row_are_not() -> None:
    part = "the cheapest direct train from Hualien to"
    assert judged(talk(f"I want {part} Yilan.", "ok"), ENGLISH) is None
    assert judged(talk(f"I want {part} Yilan.", "ok"), ENGLISH, words=7)


def test_thirteen_characters_in_a_row_are_the_benchmarks() -> None:
    part = "底邊十二公分，高五公分的直角"  # the mark does not count
    rejection = judged(talk(f"畫出{part}梯形。", "好"), CHINESE)
    assert rejection is not None
    assert (
        rejection.detail
        == "It shares 13 characters with text 1 of exam: 底邊十二公分高五公分的直角"
    )
    assert judged(talk("畫出底邊十二公分高五公分的直線", "好"), CHINESE) is None
    assert judged(talk("畫出底邊十二公分高五公分的直線", "好"), CHINESE, characters=12)


def test_runs_are_found_in_every_turn_but_results_of_tools() -> None:
    assert judged(talk("問", f"答：{CHINESE}"), CHINESE)
    assert judged(talk("問", "答", thought=CHINESE), CHINESE)
    assert judged(talk("問", "答", system=CHINESE), CHINESE)
    assert judged(Row.of(text=f"第一章 {CHINESE} 第二章"), CHINESE)
    row = called("查", "查", {"q": "x"}, result=CHINESE, answer="好")
    assert judged(row, CHINESE) is None


def test_runs_in_documents_count_only_where_wanted() -> None:
    """A question about a law quotes it; that makes no benchmark of the law."""
    assert judged(Row.of(text=f"第一條 {CHINESE}"), CHINESE, documents=False) is None
    assert judged(Row.of(text=CHINESE), CHINESE, documents=False)
    assert judged(talk(f"第一條 {CHINESE}", "好"), CHINESE, documents=False)


def test_english_runs_do_not_reach_over_chinese() -> None:
    benchmark = "cheapest direct train from Hualien 到 Taitung next Friday before noon"
    assert (
        judged(talk("cheapest direct train from Hualien Taitung next Friday", "ok"), benchmark)
        is None
    )


@pytest.mark.parametrize(
    "phrase",
    [
        "Which of the following statements is true about the",
        "After that I would like to know the",
        "Could you please help me with the following",
        "1 2 3 4 5 6 7 8 9 10",
    ],
)
def test_a_figure_of_speech_proves_nothing(phrase: str) -> None:
    assert judged(talk(f"{phrase} moon?", "ok"), f"{phrase} sun?") is None


def test_one_character_again_and_again_proves_nothing() -> None:
    assert judged(talk("哈" * 20 + "好", "好"), "哈" * 20 + "真的很好笑") is None


def test_a_run_of_many_texts_is_the_phrase_that_puts_the_question() -> None:
    phrase = "請從下面四個選項之中選出最適當的答案"
    texts = [f"{phrase}：{city}在哪裡，屬於哪個縣市呢？" for city in "甲乙丙丁戊"]
    row = talk(f"{phrase}，謝謝", "好")
    assert judged(row, *texts[:3], boilerplate=3)
    assert judged(row, *texts[:4], boilerplate=3) is None
    assert judged(talk(texts[0], "好"), *texts, boilerplate=3), "an equal text still counts"


def test_equal_texts_of_a_benchmark_count_once() -> None:
    """BFCL asks the same in several categories; that makes no figure of speech of it."""
    benchmarks = [Benchmark(f"part-{i}", [CHINESE]) for i in range(20)]
    rejection = BenchmarkIndex(benchmarks, DecontaminationConfig(boilerplate=2)).judge(
        talk(f"請問：{CHINESE}謝謝", "好")
    )
    assert rejection is not None
    assert rejection.reason == REASON + "part-0"


def test_short_equal_texts_prove_nothing() -> None:
    assert judged(talk("謝謝", "不客氣"), "謝謝") is None
    assert judged(talk("Thank you!", "Welcome."), "thank you") is None
    assert judged(talk("謝謝", "不客氣"), "謝謝", shortest_text=2)


def test_a_tool_with_equal_name_and_description_is_the_benchmarks() -> None:
    tools = [("get_weather", "Get the weather of a city."), ("x", "")]
    row = talk("天氣？", "好", tools=(tool("getWeather", "get the weather of a city"),))
    rejection = index(tools=tools).judge(row)
    assert rejection is not None
    assert rejection.reason == REASON + "exam"
    assert "getWeather" in rejection.detail


@pytest.mark.parametrize(
    ("mode", "name", "description", "found"),
    [
        ("name and description", "get_weather", "Tells the weather.", False),
        ("name and description", "weather", "Get the weather of a city.", False),
        ("name and description", "x", "", False),  # without a description nothing is equal
        ("name", "get_weather", "Tells the weather.", True),
        ("name", "GetWeather", "", True),
        ("name", "weather", "Get the weather of a city.", False),
        ("off", "get_weather", "Get the weather of a city.", False),
    ],
)
def test_what_of_a_tool_counts_is_the_recipes_choice(
    mode: str, name: str, description: str, found: bool
) -> None:
    offered = [("get_weather", "Get the weather of a city."), ("x", "")]
    config = DecontaminationConfig.model_validate({"tools": mode})
    made = BenchmarkIndex([Benchmark("exam", (), offered)], config)
    assert (made.judge(talk("天氣？", "好", tools=(tool(name, description),))) is not None) == found


def test_of_a_private_benchmark_nothing_is_quoted() -> None:
    for row in (talk(CHINESE, "好"), talk(f"請問{CHINESE}謝謝", "好")):
        rejection = index(CHINESE, private=True).judge(row)
        assert rejection is not None
        assert rejection.detail.endswith("text 1 of exam")
        assert "三角形" not in rejection.detail


def test_every_rule_can_be_turned_off() -> None:
    row = talk(CHINESE, "好", ENGLISH, "ok")
    assert judged(row, CHINESE, ENGLISH, equal=False, words=None, characters=None) is None
    assert judged(row, CHINESE, equal=False, words=None)
    assert judged(row, ENGLISH, equal=False, characters=None)


def test_the_first_of_several_benchmarks_is_named() -> None:
    made = BenchmarkIndex(
        [Benchmark("a", ["別的"]), Benchmark("b", [CHINESE]), Benchmark("c", [CHINESE])]
    )
    rejection = made.judge(talk(CHINESE, "好"))
    assert rejection is not None
    assert rejection.reason == REASON + "b"


def test_without_benchmarks_every_row_is_good() -> None:
    assert BenchmarkIndex([]).judge(talk(CHINESE, "好")) is None
    assert index("", "。").judge(talk("", "")) is None


def test_an_index_can_go_to_another_process() -> None:
    """There, strings have other hashes."""
    made = pickle.dumps(index(CHINESE, ENGLISH, boilerplate=4))
    program = (
        "import pickle, sys; sys.path.insert(0, 'tests')\n"
        "from data_rows import talk\n"
        f"index = pickle.loads({made!r})\n"
        f"print(index.judge(talk({ENGLISH!r} + ' Thank you.', 'ok')).detail)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    assert "It shares 8 words with text 2 of exam" in done.stdout


WORDS = "apple river stone cloud paper house green light sound table chair night"
SENTENCE = st.lists(st.sampled_from(WORDS.split()), min_size=8, max_size=14).map(" ".join)
HAN_TEXT = st.text(alphabet="山川湖海日月星辰風雨雷電春夏秋冬", min_size=13, max_size=30)


@given(SENTENCE, st.text(alphabet="abc ,.", max_size=20), st.text(alphabet="abc ,.", max_size=20))
def test_a_long_enough_text_is_found_within_any_other(text: str, before: str, after: str) -> None:
    if len(set(text.split())) >= 8:
        assert judged(talk(f"{before} {text} {after}", "ok"), text)


@given(HAN_TEXT, st.text(max_size=20), st.text(max_size=20))
def test_a_long_enough_chinese_text_is_found_within_any_other(
    text: str, before: str, after: str
) -> None:
    if len(set(text)) > 6:
        assert judged(talk(f"{before}，{text}。{after}", "ok"), text)


@given(st.text(alphabet="甲乙丙丁abc ", max_size=60))
def test_texts_that_share_no_letter_never_meet(text: str) -> None:
    assert (
        judged(
            talk(text, "ok"),
            ENGLISH.upper().replace("A", "").replace("B", "").replace("C", ""),
            CHINESE,
        )
        is None
    )


@given(st.text(), st.text())
def test_any_text_can_be_judged(a: str, b: str) -> None:
    rejection = judged(talk(a, "ok"), b)
    assert rejection is None or rejection.reason == REASON + "exam"
