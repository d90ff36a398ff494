"""Both measures of a text: shares, what is left out, sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.zh.purity import Purity, measure, prose, total

TEXT = st.text(alphabet="国國視頻臺 `\n<>/tool_cal。https:ab", max_size=60)


def test_taiwans_own_text_is_pure() -> None:
    purity = measure("玉山是臺灣最高的山，網路上有影片。")
    assert purity == Purity(han=15)
    assert purity.pure
    assert (purity.simplified_share, purity.mainland_share) == (0.0, 0.0)


def test_both_shares_are_of_the_han_characters() -> None:
    purity = measure("请看视频,請看這個軟件")
    assert purity == Purity(10, 3, ("視頻", "軟件"))
    assert purity.simplified_share == 0.3
    assert purity.mainland_share == 0.4
    assert not purity.pure


def test_a_text_without_han_characters_is_pure() -> None:
    for text in ("", "Hello.", "１２３", "ひらがな"):
        assert measure(text) == Purity()
        assert measure(text).pure
        assert measure(text).simplified_share == 0.0


@pytest.mark.parametrize(
    "quoted",
    [
        "```python\nprint('软件')  # 视频\n```",
        "```\n从来没有关上",  # cut before the fence was closed
        "`视频.mp4`",
        "https://example.com/a?b=c",
        '<tool_call>{"name": "搜索", "arguments": {"q": "视频软件"}}</tool_call>',
        "<tool_response>软件</tool_response>",
        '<tool_call>{"q": "软件',
    ],
)
def test_what_is_quoted_is_left_out_unless_asked_for(quoted: str) -> None:
    text = f"請看這裡\n{quoted}"
    assert measure(text).pure
    assert measure(text).han == 4
    assert measure(text, quoted=True).han >= 4


def test_what_follows_a_quotation_counts() -> None:
    assert measure("`a` 视频").simplified_only == 2
    assert measure("```\ncode\n``` 视频").simplified_only == 2
    assert measure("https://a.tw/x，视频").simplified_only == 2
    assert measure("<tool_call>{}</tool_call>视频").simplified_only == 2


def test_words_are_not_joined_across_what_was_left_out() -> None:
    assert measure("視`x`頻").mainland_terms == ()


def test_json_outside_of_a_fence_counts() -> None:
    """A model asked for JSON chose its words."""
    assert measure('{"答案": "软件"}').simplified_only == 1


def test_a_backtick_alone_quotes_nothing() -> None:
    assert measure("` 视频\n`").simplified_only == 2


def test_japanese_is_no_simplified_chinese() -> None:
    assert measure("日文是「東京の国会へ行く」。").simplified_only == 0
    assert measure("日文是「国会」。").simplified_only == 2  # nothing says Japanese


def test_parts_add_up() -> None:
    a, b = measure("软件"), measure("視頻")
    assert a + b == total([a, b]) == Purity(4, 1, ("軟件", "視頻"))
    assert total([]) == Purity()


@given(TEXT)
def test_counts_are_bounded(text: str) -> None:
    purity = measure(text)
    assert 0 <= purity.simplified_only <= purity.han <= len(text)
    assert 0.0 <= purity.mainland_share <= 1.0
    assert 0.0 <= purity.simplified_share <= 1.0


@given(TEXT)
def test_leaving_quotations_out_never_adds(text: str) -> None:
    inside, everything = measure(text), measure(text, quoted=True)
    assert inside.han <= everything.han
    assert inside.simplified_only <= everything.simplified_only


@given(
    st.text(alphabet="国國視頻臺。，ab", max_size=40), st.text(alphabet="国國視頻臺。", max_size=40)
)
def test_paragraphs_are_measured_alone_or_together(a: str, b: str) -> None:
    assert measure(a) + measure(b) == measure(f"{a}\n\n{b}")


@given(st.text())
def test_any_text_can_be_measured_and_its_prose_is_part_of_it(text: str) -> None:
    measure(text)
    assert len(prose(text)) <= len(text) + 1


@pytest.mark.parametrize(
    "text",
    ["`" * 200_000, "```" * 70_000, "<tool_call>" * 20_000, "http" * 50_000, "国の" * 50_000],
    ids=["backticks", "fences", "tags", "addresses", "kana"],
)
def test_text_of_a_model_in_a_loop_is_linear_work(text: str) -> None:
    """The time limit of the suite is the judge: quadratic work would take minutes."""
    measure(text)
