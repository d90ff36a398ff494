"""Which characters are Simplified only, and what is left alone."""

from __future__ import annotations

import unicodedata
from importlib import metadata, resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import opencc_tables
from formosa.zh.script import count_han, find_simplified, simplified_only, without_japanese

# Written in Taiwan every day, though Simplified Chinese writes them for other characters as well.
SHARED = "台里干后云只面松谷斗丑范姜余于沈朱郁征制合同克志系周困幸冬回卷准借念表借致秋范"
TAIWAN = (
    "臺灣的繁體中文：這是一個測試，請問您今天過得怎麼樣？我們在台北車站後面的餐廳裡吃牛肉麵，"
    "晒衣服、聽音樂，並且與朋友討論歷史、藝術與國際關係。床、群、裡、麼、峰、啟、線、僅、產、說。"
)


def test_the_table_is_what_the_rules_make_of_opencc() -> None:
    """Made anew where opencc is installed with its tool; the committed file must be the same."""
    try:
        distribution = metadata.distribution("opencc")
    except metadata.PackageNotFoundError:
        pytest.skip("opencc is not installed")
    if distribution.version != opencc_tables.VERSION:
        pytest.skip(f"opencc {opencc_tables.VERSION} is wanted, not {distribution.version}")
    made = opencc_tables.simplified_only(Path(str(distribution.locate_file(""))))
    assert "".join(sorted(simplified_only())) == made


def test_the_file_names_its_origin_and_licence() -> None:
    path = resources.files("formosa.zh").joinpath("data/simplified_only.txt")
    text = path.read_text("utf-8")
    assert "OpenCC" in text
    assert "Apache-2.0" in text
    assert text == opencc_tables.data_file("".join(sorted(simplified_only())))


def test_the_table_holds_single_han_characters_of_the_basic_plane() -> None:
    table = simplified_only()
    assert 2500 < len(table) < 2700
    for character in table:
        assert ord(character) <= 0xFFFF
        assert unicodedata.name(character).startswith("CJK UNIFIED IDEOGRAPH")
        assert count_han(character) == 1


@pytest.mark.parametrize(
    "character", list("国学习这个们来时说对发会关东车门问间风马鸟乐书长华号医药电视")
)
def test_what_a_reader_in_taiwan_notices_is_in_the_table(character: str) -> None:
    assert find_simplified(character) == [character]


@pytest.mark.parametrize("character", SHARED)
def test_a_character_of_both_scripts_is_not_in_the_table(character: str) -> None:
    assert not find_simplified(character)


def test_taiwans_own_text_holds_none() -> None:
    assert find_simplified(TAIWAN) == []


def test_the_characters_of_big5s_common_half_are_not_in_the_table() -> None:
    common = [
        character
        for character in simplified_only()
        if 0xA440 <= int.from_bytes(character.encode("big5", "ignore").rjust(2), "big") <= 0xC67E
    ]
    assert common == []


def test_they_are_found_in_order_and_counted_as_often_as_they_stand() -> None:
    assert find_simplified("这里有两个国家,這裡也有国") == ["这", "两", "个", "国", "国"]


@pytest.mark.parametrize(
    ("text", "han"),
    [("", 0), ("abc 123 ，。！", 0), ("臺灣 Taiwan", 2), ("𠮷野家", 3), ("豈", 1), ("カタカナ", 0)],
)
def test_han_characters_are_counted_and_nothing_else(text: str, han: int) -> None:
    assert count_han(text) == han


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("日本語の学校へ行く。", " 。"),
        ("他說「国会の議事録」很長", "他說「国会の議事録」很長"),  # one kana
        ("她在学ぶ之後、東京スカイツリー見学", "她在学ぶ之後、 "),
        ("鮮の味", "鮮の味"),
        ("沒有假名", "沒有假名"),
    ],
)
def test_a_run_with_two_kana_is_japanese(text: str, left: str) -> None:
    assert without_japanese(text) == left


@given(st.text())
def test_what_is_found_is_there_and_is_han(text: str) -> None:
    found = find_simplified(text)
    assert len(found) <= count_han(text) <= len(text)
    assert all(character in text for character in found)


@given(st.text(alphabet="国國 のへア。ab", max_size=30))
def test_leaving_japanese_out_is_done_once(text: str) -> None:
    once = without_japanese(text)
    assert without_japanese(once) == once
    assert len(once) <= len(text)


@given(st.text(), st.text())
def test_counts_of_two_texts_add_up(a: str, b: str) -> None:
    assert count_han(a + b) == count_han(a) + count_han(b)
    assert find_simplified(a + b) == find_simplified(a) + find_simplified(b)
