"""What cleaning changes in a row, what it never touches, and when it refuses."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import called, talk, tool
from formosa.chat.message import Message, Tool, ToolCall
from formosa.data import cleaning
from formosa.data.cleaning import clean, scored
from formosa.data.cleaning_config import CleanConfig, Policy
from formosa.data.json_strings import rewrite_strings, strings
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.zh.convert import Conversion, script_of

pytest.importorskip("opencc")

SIMPLIFIED = "请问这个软件怎么打开？"
TRADITIONAL = "請問這個軟體怎麼打開？皇后在后里，范先生公布了。"


def cleaned(row: Row, policy: Policy = "convert", **config: Any) -> tuple[Row, Counter[str]]:
    made = clean(row, CleanConfig.model_validate(config), policy=policy)
    assert not isinstance(made, Rejection), made
    return made


def refused(row: Row, policy: Policy = "convert", **config: Any) -> Rejection:
    made = clean(row, CleanConfig.model_validate(config), policy=policy)
    assert isinstance(made, Rejection)
    return made


def contents(row: Row) -> list[str]:
    return [item.content for item in row.messages]


def test_a_simplified_row_is_refused_converted_or_kept_as_its_source_says() -> None:
    row = talk(SIMPLIFIED, "打开视频。")
    rejection = refused(row, "refuse")
    assert rejection.reason == "simplified"
    assert "请" in rejection.detail
    assert contents(cleaned(row, "convert")[0]) == ["請問這個軟體怎麼打開？", "打開影片。"]
    assert contents(cleaned(row, "keep")[0]) == [SIMPLIFIED, "打开视频。"]


@pytest.mark.parametrize("policy", ["refuse", "convert", "keep"])
def test_a_traditional_row_is_never_converted(policy: Policy) -> None:
    row = talk(TRADITIONAL, "公布了視頻和軟件的里長", thought="后里的余先生")
    made, changes = cleaned(row, policy)
    assert made.messages == row.messages
    assert not changes


@pytest.mark.parametrize("policy", ["refuse", "convert", "keep"])
def test_an_english_row_is_left_alone(policy: Policy) -> None:
    row = talk("What is it, then?", "It's “nothing” (really).")
    assert cleaned(row, policy)[0].messages == row.messages


def test_one_slip_in_a_long_row_is_no_reason_to_refuse_it() -> None:
    row = talk(TRADITIONAL * 20, "这")
    assert contents(cleaned(row, "refuse")[0])[1] == "这"
    assert contents(cleaned(row, "convert")[0])[1] == "這"
    assert refused(row, "refuse", simplified=0.0).reason == "simplified"


def test_a_short_turn_goes_by_the_script_of_its_row() -> None:
    """皇后 and 后面 look Traditional alone; among Simplified turns they are Simplified."""
    row = talk("这个字怎么写？", "后面", thought="只有一只")
    made, _ = cleaned(row)
    assert made.messages[1].content == "後面"
    assert made.messages[1].reasoning == "只有一隻"


def test_in_a_mixed_row_each_turn_goes_by_its_own_script() -> None:
    row = talk("范先生說後面見，里長公布了", "这里有头发", "后里在後面", "好")
    assert contents(cleaned(row)[0])[:3] == [
        "范先生說後面見，里長公布了",
        "這裡有頭髮",
        "后里在後面",
    ]


@pytest.mark.parametrize("turns", [("请用简体中文回答", "这个"), ("把「发」改成繁体", "發")])
def test_a_row_about_scripts_is_not_converted(turns: tuple[str, str]) -> None:
    """Its answer would no longer do what its question asks."""
    assert refused(talk(*turns)).reason == "speaks of scripts"


def test_tools_of_a_simplified_row_are_converted_but_for_names() -> None:
    offered = Tool.of(
        "查询天气",
        "查询城市的天气",
        {
            "type": "object",
            "properties": {
                "城市名称": {"type": "string", "description": "城市的名称", "title": "名称"},
                "单位": {"enum": ["摄氏", "华氏"], "default": "摄氏", "x-见": "见"},
            },
            "required": ["城市名称", "单位"],
        },
    )
    row = called(
        "请问台北的天气？", "查询天气", {"城市名称": "台北", "单位": "摄氏"}, tools=(offered,)
    )
    made, _ = cleaned(row)
    assert made.tools[0].name == "查询天气"
    assert made.tools[0].description == "查詢城市的天氣"
    assert made.tools[0].schema() == {
        "type": "object",
        "properties": {
            "城市名称": {"type": "string", "description": "城市的名稱", "title": "名稱"},
            "单位": {"enum": ["攝氏", "華氏"], "default": "攝氏", "x-见": "见"},
        },
        "required": ["城市名称", "单位"],
    }
    assert made.messages[1].tool_calls[0].values() == {"城市名称": "臺北", "单位": "攝氏"}
    assert "臺北" in made.messages[0].content
    assert made.messages[1].tool_calls[0].name == "查询天气"


def test_values_that_a_call_copies_are_converted_with_the_question() -> None:
    row = called(
        "请帮我查“头发护理”这本书，还有国家图书馆的电话",
        "查书",
        {"书名": "头发护理", "馆": ["国家图书馆"], "页": 3, "链接": "https://a.tw/b?c=d"},
        result='{"书名": "头发护理",  "价格":3.50, "备注": "\\u56fd\\u5bb6"}',
        answer="找到《头发护理》了。",
    )
    made, _ = cleaned(row)
    question, call, result, answer = made.messages
    assert question.content == "請幫我查「頭髮護理」這本書，還有國家圖書館的電話"
    assert call.tool_calls[0].arguments == (
        '{"书名": "頭髮護理", "馆": ["國家圖書館"], "页": 3, "链接": "https://a.tw/b?c=d"}'
    )
    assert result.content == '{"书名": "頭髮護理",  "价格":3.50, "备注": "\\u570b\\u5bb6"}'
    assert answer.content == "找到《頭髮護理》了。"
    for value in ("頭髮護理", "國家圖書館"):
        assert value in question.content


def test_where_opencc_depends_on_the_neighbours_the_value_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """发 alone becomes 發, in 头发 髮; what the call copied must stand in the question."""
    row = called("这个头发的发字怎么写", "查字", {"字": "发", "词": "头发"})
    made, _ = cleaned(row)
    question, call = made.messages
    for value in call.tool_calls[0].values().values():
        assert value in question.content
    row = called("请查询后台的只狗", "f", {"q": "只狗", "r": "后"})
    question, call = cleaned(row)[0].messages
    for value in call.tool_calls[0].values().values():
        assert value in question.content


def test_a_row_whose_calls_would_lose_their_words_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A converter that always looks at the neighbours: no way to convert both alike."""

    def odd(text: str, **_: Any) -> Conversion:
        return Conversion(text.replace("国", "國" if text == "国" else "囯"), 1)

    monkeypatch.setattr(cleaning, "to_taiwan", odd)
    row = called("请查国家", "f", {"q": "国"}, result="国家", answer="国")
    assert contents(cleaned(row)[0])[0] == "请查國家"  # converted around the value
    later = Row.of(
        [*row.messages, Message("assistant", tool_calls=(ToolCall.of("f", {"q": "国"}),))],
        row.tools,
    )
    assert refused(later).reason == "argument lost"


@pytest.mark.parametrize(
    "text",
    [
        "`软件.国`",
        "```\n国 = 1\n```",
        "https://例.com/x",
        "{用户名}",
        '<tool_call>{"国": "软"}</tool_call>',
    ],
)
def test_what_is_no_prose_stays(text: str) -> None:
    made, _ = cleaned(talk(f"请看 {text} 。", "好的，请看"))
    assert text in made.messages[0].content


def test_marks_become_full_width_and_calls_keep_theirs() -> None:
    row = called(
        "送到台北,大安區,謝謝!",
        "送",
        {"地址": "台北,大安區"},
        result="好,沒問題",
        answer="好,沒問題",
    )
    made, changes = cleaned(row, "refuse")
    assert contents(made) == ["送到台北,大安區,謝謝！", "", "好,沒問題", "好，沒問題"]
    assert made.messages[1].tool_calls == row.messages[1].tool_calls
    assert changes == {"punctuation": 2}
    assert cleaned(row, "refuse", punctuation=False)[0].messages == row.messages


def test_marks_of_rows_that_stay_simplified_stay() -> None:
    assert contents(cleaned(talk("请“看”,好", "好"), "keep")[0])[0] == "请“看”,好"


def test_mainland_words_become_taiwans_only_where_configured() -> None:
    traditional, simplified = talk("這個視頻的軟件", "好"), talk("这个视频的软件", "好")
    for mode, first, second in (
        ("never", "這個視頻的軟件", "這個視頻的軟件"),
        ("converted", "這個視頻的軟件", "這個影片的軟體"),
        ("always", "這個影片的軟體", "這個影片的軟體"),
    ):
        assert contents(cleaned(traditional, vocabulary=mode)[0])[0] == first
        assert contents(cleaned(simplified, vocabulary=mode)[0])[0] == second
    assert cleaned(simplified)[1] == {"script": 5, "vocabulary": 2}


def test_words_that_a_call_copies_stay_in_a_traditional_row() -> None:
    row = called("找視頻:搞笑視頻合集", "找", {"關鍵字": "搞笑視頻合集"})
    made, _ = cleaned(row, vocabulary="always", punctuation=False)
    assert made.messages[0].content == "找影片:搞笑視頻合集"
    assert made.messages[1].tool_calls == row.messages[1].tool_calls


def test_words_in_code_stay() -> None:
    made, _ = cleaned(talk("`視頻` 和視頻", "好"), vocabulary="always")
    assert made.messages[0].content == "`視頻` 和影片"


def test_s2twp_is_for_who_wants_it() -> None:
    assert contents(cleaned(talk("这个文件", "好"), converter="s2twp")[0])[0] == "這個檔案"
    assert contents(cleaned(talk("这个文件", "好"))[0])[0] == "這個文件"


def test_invisible_characters_and_stray_spaces_go() -> None:
    row = talk("\ufeff你好\u200b嗎？  \r\n\r\n好\r", " 好的。\t\n\n", thought="想\u2060 ")
    made, changes = cleaned(row)
    assert [made.messages[0].content, made.messages[1].content] == ["你好嗎？\n\n好", "好的。"]
    assert made.messages[1].reasoning == "想"
    assert changes["space"] == 13
    assert cleaned(row, space=False, punctuation=False)[0].messages == row.messages


def test_results_of_tools_keep_their_spaces() -> None:
    row = called("查一下", "f", {"q": "一"}, result="a  \r\n b ", answer="好")
    assert cleaned(row)[0].messages[2].content == "a  \r\n b "


def test_the_family_emoji_keeps_its_joiners() -> None:
    assert contents(cleaned(talk("👩‍👩‍👧", "好"))[0])[0] == "👩‍👩‍👧"


def test_purity_is_a_score_beside_others() -> None:
    row = Row.of(
        [Message("user", "看視頻"), Message("assistant", "好的好的好的好")], scores={"format": 1.0}
    )
    made, _ = cleaned(row)
    assert made.scores == {"format": 1.0, "purity": 0.8}
    assert scored(row).scores == made.scores
    assert scored(row).messages == row.messages
    assert scored(talk("Hello", "Hi")).scores == {"purity": 1.0}
    assert scored(Row.of(text="这个国家的软件")).scores["purity"] < 0.5


def test_impure_rows_are_left_out_where_wanted() -> None:
    row = talk("看視頻", "好的好的好的好")
    assert refused(row, purity=0.9).reason == "impure"
    assert "視頻" in refused(row, purity=0.9).detail
    assert cleaned(row, purity=0.8)
    assert cleaned(row, purity=0.9, vocabulary="always")[0].scores["purity"] == 1.0
    assert refused(talk(SIMPLIFIED, "好"), "keep", purity=0.9).reason == "impure"


def test_results_and_calls_do_not_lower_the_purity() -> None:
    row = called("查一下", "查", {"q": "视频"}, result="软件软件", answer="好。")
    assert scored(row).scores["purity"] == 1.0


def test_a_document_is_cleaned_like_a_turn() -> None:
    assert cleaned(Row.of(text="这个软件,很好 "))[0].text == "這個軟體，很好"
    assert refused(Row.of(text="这个软件"), "refuse").reason == "simplified"
    assert cleaned(Row.of(text=TRADITIONAL))[0].text == TRADITIONAL


def test_simplified_descriptions_make_a_row_simplified() -> None:
    row = talk("你好", "您好", tools=(tool("查", "查询这个国家的资料与电话号码"),))
    assert refused(row, "refuse").reason == "simplified"
    assert cleaned(row)[0].tools[0].description == "查詢這個國家的資料與電話號碼"


def test_id_source_and_kind_stay() -> None:
    row = Row.of(
        [Message("user", SIMPLIFIED), Message("assistant", "好")], id="7", source="s", kind="single"
    )
    made, _ = cleaned(row)
    assert (made.id, made.source, made.kind, made.language) == ("7", "s", "single", "zh-TW")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('{"a": "b",  "c":1.0}', '{"a": "B",  "c":1.0}'),
        (
            '["a", {"b": ["c", {"d": "e"}], "f": "g"}, "h"]',
            '["A", {"b": ["C", {"d": "E"}], "f": "G"}, "H"]',
        ),
        ('"a"', '"A"'),
        ('{"a": {"b": "c"}, "d": []}', '{"a": {"b": "C"}, "d": []}'),
        ('{"a\\"": "\\u00e9\\n"}', '{"a\\"": "\\u00c9\\n"}'),
        ('{"a": "1", "b": null, "c": -1e5}', '{"a": "1", "b": null, "c": -1e5}'),
        ("{}", "{}"),
    ],
)
def test_strings_of_json_change_and_nothing_else_does(text: str, made: str) -> None:
    assert rewrite_strings(text, str.upper) == made


def test_strings_under_some_keys_only() -> None:
    text = (
        '{"enum": ["a", "b"], "type": "c", "x": {"title": "d", "enum": {"y": "e"}}, "title": "f"}'
    )
    made = rewrite_strings(text, str.upper, under={"enum", "title"})
    assert made == (
        '{"enum": ["A", "B"], "type": "c", "x": {"title": "D", "enum": {"y": "e"}}, "title": "F"}'
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON, st.booleans())
def test_every_string_of_any_json_is_reached_once(value: Any, ascii_only: bool) -> None:
    def marked(item: Any) -> Any:
        if isinstance(item, str):
            return item + "!"
        if isinstance(item, list):
            return [marked(inner) for inner in item]
        if isinstance(item, dict):
            return {key: marked(inner) for key, inner in item.items()}
        return item

    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.loads(rewrite_strings(text, lambda item: item + "!")) == marked(value)
    assert rewrite_strings(text, lambda item: item) == text
    assert Counter(strings(value)) == Counter(item[:-1] for item in strings(marked(value)))


ZH = "这這个個软軟件后後里裡范只发髮國国視频頻台皇，,。.!?「“”\n `a1{}"
TURN = st.text(alphabet=ZH, max_size=25)
CONFIG = st.builds(
    CleanConfig,
    converter=st.sampled_from(["s2tw", "s2twp"]),
    vocabulary=st.sampled_from(["never", "converted", "always"]),
    punctuation=st.booleans(),
    space=st.booleans(),
)


@given(TURN, TURN, TURN, CONFIG)
def test_cleaning_twice_is_cleaning_once(a: str, b: str, c: str, config: CleanConfig) -> None:
    once = clean(talk(a, b, thought=c), config, policy="convert")
    if not isinstance(once, Rejection):
        twice = clean(once[0], config, policy="convert")
        assert not isinstance(twice, Rejection)
        assert twice[0].messages == once[0].messages


@given(st.text(alphabet="這個軟件后後里裡范只髮國視頻台皇公布准 a\n", max_size=40))
def test_no_character_of_a_traditional_row_is_converted(text: str) -> None:
    row = talk(text, "好", thought=text)
    made, changes = cleaned(row, space=False)
    assert made.messages == row.messages
    assert not changes


@given(TURN, TURN, TURN)
def test_what_a_call_copied_it_still_copies(before: str, value: str, after: str) -> None:
    row = called(before + value + after, "f", {"q": value, "r": [value]}, tools=(tool("f"),))
    made = clean(row, CleanConfig(space=False, vocabulary="always"), policy="convert")
    if not isinstance(made, Rejection):
        question, call = made[0].messages
        # A question has no white space at its ends; a value may have.
        assert call.tool_calls[0].values()["q"].strip() in question.content
        if script_of(row.question) == "traditional":
            assert call.tool_calls == row.messages[1].tool_calls


@given(TURN, TURN, st.sampled_from(["refuse", "convert", "keep"]))
def test_counts_say_whether_something_changed(a: str, b: str, policy: Policy) -> None:
    row = talk(a, b)
    made = clean(row, CleanConfig(vocabulary="always"), policy=policy)
    if not isinstance(made, Rejection):
        assert bool(made[1]) == (made[0].messages != row.messages)
        assert 0.0 <= made[0].scores["purity"] <= 1.0
