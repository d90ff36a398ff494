"""Which words count as the mainland's, and which look like them and do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.zh.script import find_simplified
from formosa.zh.vocabulary import Term, find_terms, replace_terms, terms

# (text, words found). What is good in Taiwan must find nothing.
TEXTS = [
    ("這個視頻的分辨率很高", ["視頻", "分辨率"]),
    ("这个软件的默认设置", ["軟件", "默認設置"]),
    ("打開服務器的端口，編程時注意緩存", ["服務器", "端口", "編程", "緩存"]),
    ("關係數據庫", ["數據庫"]),
    ("短視頻", ["視頻"]),
    ("字符串裡的字符", ["字符串", "字符"]),
    ("高質量的人工智能", ["高質量", "人工智能"]),
    ("坐出租車去吃菠蘿和方便麵", ["出租車", "菠蘿", "方便麵"]),
    ("意大利與新西蘭", ["意大利", "新西蘭"]),
    ("U盤與 U盘", ["U盤", "U盤"]),
    # Boundaries: other words that hold these characters.
    ("電視頻道與收視頻率", []),
    ("电视频道", []),
    ("他重視頻率", []),
    ("我們相信息息相關的事", []),
    ("訪客絡繹，網絡繹", []),
    ("老鼠標本與袋鼠標本", []),
    ("觀光盤點、目光盤旋", []),
    ("體內存在，國內存款", []),
    ("明顯存在", []),
    ("文字符號與數字符合", []),
    ("改變量與應變量", []),
    ("公文檔案、英文檔案", []),
    ("文件名稱", []),
    ("全屏東都知道", []),
    ("走了一段路線程度不同", []),
    ("增加載客量", []),
    ("兼容並蓄", []),
    ("納米比亞", []),
    ("博客來書店", []),
    ("布爾喬亞", []),
    ("平方差公式與雙方差距", []),
    ("以命令行之", []),
    ("狀態欄位", []),
    ("長期權益與本期權利", []),
    ("經營銷售", []),
    ("刺激活動", []),
    ("引導彈性", []),
    ("出租車輛與出租車位", []),
    ("菠蘿麵包", []),
    ("蛋黃油亮", []),
    ("方便面对", []),
    ("皮帶寬度", []),
    ("大概率先完成", []),
    ("簡短信件", []),
    ("數字節目", []),
    ("配給力道", []),
    # Good in Taiwan in another sense, so not in the list.
    ("物體的質量與水平、土豆、程序正義、統計數據、股票代碼、菜單、地鐵", []),
    ("他默認了犯行，法院依程序登錄並註銷，警方搜索", []),
    ("專戶存儲、抄寫、複印", []),
    ("人工智慧、軟體、影片、資訊、預設、網路、品質", []),
]


@pytest.mark.parametrize(("text", "found"), TEXTS, ids=[text for text, _ in TEXTS])
def test_a_reader_in_taiwan_would_agree(text: str, found: list[str]) -> None:
    assert list(find_terms(text)) == found


def test_the_list_is_long_and_every_word_has_its_counterpart() -> None:
    assert len(terms()) >= 150
    for term in terms():
        assert term.traditional
        assert term.taiwan
        assert len(term.traditional) == len(term.simplified)
        assert term.taiwan not in (term.traditional, term.simplified)


def test_no_word_is_there_twice() -> None:
    words = [term.traditional for term in terms()]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.traditional)
def test_every_word_is_found_in_both_scripts_and_named_in_traditional(term: Term) -> None:
    assert find_terms(term.traditional) == (term.traditional,)
    assert find_terms(term.simplified) == (term.traditional,)
    assert not find_simplified(term.traditional)


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.traditional)
def test_what_taiwan_says_is_no_mainland_word(term: Term) -> None:
    assert find_terms(term.taiwan) == ()


@pytest.mark.parametrize(
    "term",
    [term for term in terms() if term.not_after or term.not_before],
    ids=lambda term: term.traditional,
)
def test_a_neighbour_that_makes_another_word_is_heeded(term: Term) -> None:
    for before in term.not_after:
        assert term.traditional not in find_terms(before + term.traditional + "。")
    for after in term.not_before:
        assert term.traditional not in find_terms("。" + term.traditional + after)


def test_words_do_not_overlap_and_the_longest_counts() -> None:
    assert find_terms("人工智能手機") == ("人工智能",)


@given(st.lists(st.sampled_from([term.traditional for term in terms()]), max_size=8))
def test_words_apart_are_found_in_order(words: list[str]) -> None:
    assert list(find_terms("，".join(words))) == words


@given(st.text(alphabet="視頻電道信息相軟件网络的a，", max_size=40))
def test_no_more_is_found_than_there_is(text: str) -> None:
    assert sum(map(len, find_terms(text))) <= len(text)


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.traditional)
def test_every_word_can_be_replaced_in_both_scripts(term: Term) -> None:
    for word in (term.traditional, term.simplified):
        assert replace_terms(f"。{word}。") == (f"。{term.taiwan}。", 1)


@pytest.mark.parametrize(("text", "found"), TEXTS, ids=[text for text, _ in TEXTS])
def test_words_that_are_found_are_replaced_and_no_others(text: str, found: list[str]) -> None:
    made, count = replace_terms(text)
    assert count == len(found)
    assert (made == text) == (not found)
