"""Which script a text is in, what conversion gets right, and what it must never touch.

OpenCC reads its input as Simplified. So it damages Traditional text, and it guesses wrongly in some
Simplified text; both lists below were measured with opencc 1.4.2, and say so where it is installed.
"""

from __future__ import annotations

import sys
from importlib import metadata, resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import opencc_tables
from formosa.errors import UserError
from formosa.zh import convert
from formosa.zh.convert import Repair, repairs, script_of, speaks_of_scripts, to_taiwan
from formosa.zh.script import (
    find_japanese,
    find_simplified,
    find_traditional,
    simplified_only,
    traditional_only,
    without_japanese,
)

opencc = pytest.importorskip("opencc")
MEASURED = metadata.version("opencc") == opencc_tables.VERSION

# Traditional words that OpenCC changes (damage, or a choice that is the author's).
_DAMAGED = """
    范先生 余先生 于先生 朴先生 种先生 姓范 里長 鄰里 干擾 采風 風采 子丑寅卯 咸豐 郁達夫 占用
    公布 宣布 分布 散布 了解 并州 長征 遠征 伙伴 家具 前仆後繼 朴素 秋千 胡同 准許
    批准文號不准 復辟 岳飛 云林 后街 咨文 叶韻 祕書 台北 台灣 台詞 講台 兄台 櫃台 污染
    雇主 厘米 杰倫 腊肉 游泳池旁游 一天后羿 皇后里 干貝公布 松山公布
"""
# Traditional words that share their characters with Simplified ones. None may change.
_SHARED = """
    皇后 王后 太后 后羿 后里 公里 里程 鄰里 這裡 乾淨 乾坤 干涉 天干 樹幹 幹部 台灣 臺灣 平台 台東
    一隻狗 只有 船隻 麵包 面對 牛肉麵 范圍碧 範圍 師範 剩餘 余光中 松山 松樹 放鬆 人云亦云 雲端
    頭髮 發展 理髮 批准 標準 沖洗 衝突 考卷 捲起 歷史 農曆 鐘錶 鍾情 手錶 表示 製造 制度 採用 谷歌
    稻穀 北斗 鬥爭 系統 關係 聯繫 生薑 姜太公 醜陋 小丑 復興 複雜 答覆 恢復 鹹味 憂鬱 周末 週末
    佔領 占卜 布料 茶几 幾乎 沈先生 沉沒 了解 瞭解 借用 藉口 慰藉 著名 穿著 標籤 簽名 價格 嚮往 方向
    合併 並且 征服 徵求 志願 雜誌 致力 精緻 宿舍 捨棄 夥伴 僕人 于右任 於是 折扣 摺紙 旅遊 游泳
    症狀 註冊 注意 建築 颱風 颳風 鬍鬚 胡說 回家 迴避 匯率 詞彙 收穫 獲得 掙扎 包紮 計畫 計劃 划船
"""
# (Simplified, as Taiwan writes it)
_RIGHT = """
    皇后 皇后|天后宫 天后宮|后羿射日 后羿射日|后来 後來|后面 後面|公里 公里|里程 里程|心里 心裡
    乾隆 乾隆|干净 乾淨|饼干 餅乾|干涉 干涉|若干 若干|干部 幹部|树干 樹幹|天干 天干|干杯 乾杯
    一只狗 一隻狗|只有 只有|面包 麵包|面对 面對|牛肉面 牛肉麵|师范 師範|范围 範圍|范冰冰 范冰冰
    余额 餘額|余光中 余光中|放松 放鬆|松树 松樹|云端 雲端|人云亦云 人云亦云|头发 頭髮|发现 發現
    批准 批准|标准 標準|冲突 衝突|冲洗 沖洗|考卷 考卷|卷起 捲起|历史 歷史|农历 農曆|钟表 鐘錶
    钟情 鍾情|手表 手錶|表示 表示|制造 製造|制度 制度|采用 採用|谷歌 谷歌|稻谷 稻穀|斗争 鬥爭
    北斗 北斗|系统 系統|关系 關係|联系 聯繫|系上 繫上|生姜 生薑|姜太公 姜太公|丑陋 醜陋|小丑 小丑
    复兴 復興|复杂 複雜|重复 重複|答复 答覆|恢复 恢復|覆盖 覆蓋|咸丰 咸豐|咸味 鹹味|忧郁 憂鬱
    郁达夫 郁達夫|周末 週末|周杰伦 周杰倫|占领 佔領|占卜 占卜|茶几 茶几|几乎 幾乎|沈阳 瀋陽
    借口 藉口|慰藉 慰藉|著名 著名|穿着 穿著|标签 標籤|签名 簽名|向往 嚮往|合并 合併|并且 並且
    征服 征服|征求 徵求|远征 遠征|志愿 志願|杂志 雜誌|致力 致力|精致 精緻|宿舍 宿舍|舍弃 捨棄
    朴素 樸素|于是 於是|折扣 折扣|旅游 旅遊|游泳 游泳|症状 症狀|注册 註冊|注意 注意|台湾 臺灣
    台风 颱風|刮风 颳風|胡须 鬍鬚|胡说 胡說|汇率 匯率|词汇 詞彙|收获 收穫|获得 獲得|挣扎 掙扎
    计划 計劃|划船 划船|老板 老闆|地板 地板|什么 什麼|麻将 麻將|凶手 兇手|吉凶 吉凶|升华 昇華
    世界杯 世界盃|呼吁 呼籲|气喘吁吁 氣喘吁吁|昆虫 昆蟲|休闲 休閒|欲望 慾望|称赞 稱讚|复辟 復辟
    苹果 蘋果|蜡烛 蠟燭|技术 技術|苏醒 甦醒|饭团 飯糰|防御 防禦|御用 御用|岳飞 岳飛|五岳 五嶽
    弥漫 瀰漫|店铺 店鋪|尸体 屍體|累积 累積|窗帘 窗簾|人参 人參|云林 雲林|丰富 豐富|咨询 諮詢
    干燥 乾燥|才能 才能|刚才 剛才|斗志 鬥志|漏斗 漏斗|曲折 曲折|夸张 誇張|夸父 夸父|茶杯 茶杯
    准许 准許|不准进 不准進|准备 準備|不准备 不準備|时间不准 時間不準|只能 只能
    三只会飞的鸟 三隻會飛的鳥
"""
DAMAGED, SHARED = _DAMAGED.split(), _SHARED.split()
RIGHT = [pair.split() for pair in _RIGHT.replace("\n", "|").split("|") if pair.strip()]
ALONE = opencc.OpenCC("s2tw")


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("这个软件", "simplified"),
        ("這個軟體", "traditional"),
        ("皇后在台上", "traditional"),  # shared characters only: nothing asks for a conversion
        ("這個软件", "mixed"),
        ("", "none"),
        ("Hello, 123。", "none"),
        ("這個 `软件`", "traditional"),
        ("```\n# 软件\n```", "none"),
        ("https://example.tw/a", "none"),
        ('<tool_call>{"q": "软件"}</tool_call>這個', "traditional"),
        ("日本の国会の会議", "none"),
        ("日文的「日本の国会の会議」是什麼", "traditional"),
        ("乾隆與著名的宮商角徵羽", "traditional"),
        ("乾隆和著名的诗", "simplified"),  # 乾 and 著 are Simplified too
    ],
)
def test_the_script_is_that_of_the_prose(text: str, script: str) -> None:
    assert script_of(text) == script


def test_the_tables_of_both_scripts_share_nothing() -> None:
    assert not simplified_only() & traditional_only()
    assert len(traditional_only()) > 3000
    assert find_traditional("這里有兩个國家") == ["這", "兩", "國"]


@pytest.mark.skipif(not MEASURED, reason=f"measured with opencc {opencc_tables.VERSION}")
def test_the_table_of_traditional_characters_is_what_the_rules_make_of_opencc() -> None:
    folder = Path(str(metadata.distribution("opencc").locate_file("")))
    made = opencc_tables.traditional_only(folder)
    assert "".join(sorted(traditional_only())) == made
    text = resources.files("formosa.zh").joinpath("data/traditional_only.txt").read_text("utf-8")
    assert text == opencc_tables.data_file(made, "Traditional")


@pytest.mark.parametrize("word", [*DAMAGED, *SHARED])
@pytest.mark.parametrize("converter", ["s2tw", "s2twp"])
def test_a_traditional_word_comes_back_as_it_is(word: str, converter: str) -> None:
    for text in (f"這是{word}。", f"關於「{word}」，請說明。", f"{word}來了，視頻和軟件也是。"):
        assert to_taiwan(text, converter=converter) == convert.Conversion(text, 0)


@pytest.mark.skipif(not MEASURED, reason=f"measured with opencc {opencc_tables.VERSION}")
@pytest.mark.parametrize("word", DAMAGED)
def test_opencc_itself_would_have_changed_it(word: str) -> None:
    """So the list above is no list of harmless words."""
    assert ALONE.convert(f"這是{word}。") != f"這是{word}。"


@pytest.mark.parametrize(("simplified", "right"), RIGHT, ids=[pair[0] for pair in RIGHT])
def test_a_simplified_word_becomes_the_right_one(simplified: str, right: str) -> None:
    assert to_taiwan(f"这说：{simplified}。").text == f"這說：{right}。"


@pytest.mark.parametrize("repair", repairs(), ids=lambda repair: repair.example)
def test_what_opencc_writes_wrongly_is_put_right(repair: Repair) -> None:
    made = to_taiwan(repair.example, script="simplified").text
    assert repair.right in made
    assert repair.wrong not in made.replace(repair.right, "")


@pytest.mark.skipif(not MEASURED, reason=f"measured with opencc {opencc_tables.VERSION}")
@pytest.mark.parametrize("repair", repairs(), ids=lambda repair: repair.example)
def test_opencc_alone_writes_it_wrongly(repair: Repair) -> None:
    assert repair.wrong in ALONE.convert(repair.example)
    assert repair.wrong != repair.right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("这只狗是只有毛病的", "這隻狗"),
        ("三只会飞，两只能跑", "三隻會飛，兩隻能跑"),
        ("他对此了如指掌", "瞭如指掌"),
        ("换发型", "換髮型"),
        ("模范先生", "模範先生"),
        ("由于先生不在", "由於先生"),
        ("关于先生的事", "關於先生"),
        ("朴素先生", "樸素先生"),
        ("天后宫", "天后宮"),
        ("看不准，不准确，不准时，不准备", "看不準，不準確，不準時，不準備"),
        ("多余先生", "多餘先生"),
    ],
)
def test_a_repair_does_not_reach_into_other_words(text: str, right: str) -> None:
    assert right in to_taiwan(f"这说：{text}").text


def test_s2twp_changes_words_and_is_for_who_wants_it() -> None:
    """支持率 becomes 支援率 and 擴展技能 擴充套件技能: so it is not the default."""
    assert to_taiwan("这个软件").text == "這個軟件"
    assert to_taiwan("这个软件", converter="s2twp").text == "這個軟體"
    assert to_taiwan("总统的支持率").text == "總統的支持率"


@pytest.mark.parametrize(
    "kept",
    [
        "`软件.国`",
        "```python\n国 = '软件'\n```",
        "https://example.com/a?b=c",
        '<tool_call>\n{"name": "查询国家", "arguments": {"国": "软件"}}\n</tool_call>',
        "<tool_response>软件</tool_response>",
        "{用户名}",
        "{{用户 名}}",
        "${国家}",
        "日本の国会は東京にある",
        "\ud83d",
    ],
)
def test_what_is_no_prose_stays(kept: str) -> None:
    made = to_taiwan(f"请看这个： {kept} 。软件").text
    assert made == f"請看這個： {kept} 。軟件"


def test_keys_of_json_stay_and_values_become_traditional() -> None:
    made = to_taiwan('结果是 {"国家": "中国", "数量": 3, "电话":"无"}').text
    assert made == '結果是 {"国家": "中國", "数量": 3, "电话":"無"}'


def test_in_a_mixed_text_each_sentence_goes_by_its_own_evidence() -> None:
    text = "范先生說後面見。这里有头发，后面还有。皇后在后里。"
    assert script_of(text) == "mixed"
    assert to_taiwan(text).text == "范先生說後面見。這裡有頭髮，後面還有。皇后在后里。"


def test_in_a_mixed_sentence_only_simplified_characters_are_replaced() -> None:
    """范, 里 and 布 stand as a Traditional author wrote them; OpenCC would change them all."""
    made = to_taiwan("范先生的里長說：已公布，发展了頭发")
    assert made.text == "范先生的里長說：已公布，發展了頭髮"
    assert made.changes == 2


def test_a_text_that_shows_both_scripts_on_purpose_stays() -> None:
    for text in (
        "「发」是「發」的簡體字。",
        "繁體的「國」簡化為「国」",
        "Simplified Chinese: 国, 國",
    ):
        assert to_taiwan(text) == convert.Conversion(text, 0)
        assert speaks_of_scripts(text)
    assert not speaks_of_scripts("這個簡單的身體")


def test_a_part_is_converted_by_the_script_of_the_whole() -> None:
    assert to_taiwan("后面").text == "后面"
    assert to_taiwan("后面", script="simplified").text == "後面"
    assert to_taiwan("范先生", script="traditional").text == "范先生"
    assert to_taiwan("软件", script="none").changes == 0


def test_changed_characters_are_counted() -> None:
    assert to_taiwan("这个软件").changes == 3
    assert to_taiwan("这个软件，`软件`").changes == 3
    assert to_taiwan("打印机", script="simplified", converter="s2twp").changes >= 1


def test_without_opencc_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opencc", None)
    convert._opencc.cache_clear()
    try:
        with pytest.raises(UserError) as caught:
            to_taiwan("这个软件")
        assert to_taiwan("這個軟體").changes == 0  # nothing to convert, nothing needed
    finally:
        convert._opencc.cache_clear()
    assert "opencc" in caught.value.message
    assert "pip install" in caught.value.hint


def test_every_repair_is_listed_once_for_its_neighbours() -> None:
    keys = [(r.wrong, r.only_after, r.only_before, r.not_after, r.not_before) for r in repairs()]
    assert len(set(keys)) == len(keys) >= 150
    right: dict[str, str] = {}
    for repair in repairs():
        assert right.setdefault(repair.wrong, repair.right) == repair.right


def test_japanese_runs_are_found_where_they_are_left_out() -> None:
    text = "他說「国会の議事録」，日本語の学校へ行く。終"
    assert [text[a:b] for a, b in find_japanese(text)] == ["日本語の学校へ行く"]
    assert without_japanese(text) == "他說「国会の議事録」， 。終"


TEXT = st.text(
    alphabet='国國发發髮后後里裡余范只干面这這說说，。？\n `{}"a:の会布台了制', max_size=60
)
TRADITIONAL = st.text(alphabet="國發髮后後里裡余范只干面這說布台了制公長征准，。\n `a", max_size=60)


@given(TRADITIONAL)
def test_text_without_simplified_characters_is_never_changed(text: str) -> None:
    assert to_taiwan(text) == convert.Conversion(text, 0)
    assert to_taiwan(text, converter="s2twp").text == text


@given(TEXT)
def test_converting_twice_is_converting_once(text: str) -> None:
    once = to_taiwan(text).text
    assert to_taiwan(once).text == once


@given(TEXT)
def test_a_character_that_is_traditional_only_stays_in_its_place(text: str) -> None:
    made = to_taiwan(text).text
    assert len(made) == len(text)
    for before, after in zip(text, made, strict=True):
        if before in traditional_only():
            assert after == before


@given(st.text())
def test_any_text_can_be_converted(text: str) -> None:
    made = to_taiwan(text)
    assert (made.changes == 0) == (made.text == text)
    assert len(find_simplified(made.text)) <= len(find_simplified(text))


@pytest.mark.parametrize(
    "text",
    ["{" * 50_000, '"' * 50_000, '{"' * 30_000, "国" * 50_000, "`国" * 30_000, "国國。" * 9_000],
)
def test_text_of_a_model_in_a_loop_is_linear_work(text: str) -> None:
    to_taiwan(text)
