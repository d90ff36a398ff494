"""What should not be learnt is found under its name, in both languages; what is good stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_rows import called, talk, tool
from formosa.chat.message import Message, Tool, ToolCall
from formosa.data import text_defects
from formosa.data.cleaning_config import QualityConfig
from formosa.data.named_values import Named
from formosa.data.quality import judge
from formosa.data.rows import Row

ZH = "臺灣最高的山是玉山，海拔三千九百五十二公尺，位於南投、嘉義與高雄的交界處。"
EN = "The highest mountain of Taiwan is Yushan, which rises 3,952 metres above the sea."


def reason(row: Row, **config: Any) -> str | None:
    rejection = judge(row, QualityConfig.model_validate(config))
    assert rejection is None or rejection.detail
    return rejection.reason if rejection else None


@pytest.mark.parametrize(
    "row",
    [
        talk("臺灣最高的山是哪一座？", ZH),
        talk("What is the highest mountain of Taiwan?", EN),
        talk("臺灣最高的山？", ZH, thought="想一想。"),
        called("台北天氣如何？", "天氣", {"城市": "台北"}, result='{"溫度": 25}', answer="25 度。"),
        called("Weather in Taipei?", "weather", {"city": "Taipei"}),
        talk("2+2?", "4"),
        talk("寫一段 Python", "```python\nprint('你好')\n```"),
        Row.of(text=ZH * 2 + EN),
    ],
)
def test_a_good_row_stays(row: Row) -> None:
    assert reason(row) is None


@pytest.mark.parametrize(
    ("row", "config", "expected"),
    [
        (talk("", ZH), {}, "no question"),
        (talk(" \n", ZH), {}, "no question"),
        (talk("嗯", ZH), {"shortest_question": 2}, "no question"),
        (talk("嗯", ZH), {}, None),
        (talk("問", ""), {}, "reply too short"),
        (talk("問", "  "), {"only_thought": False}, "reply too short"),
        (talk("問", "好"), {"shortest_reply": 2}, "reply too short"),
        (talk("Q", "Ok"), {"shortest_reply": 0}, None),
        (called("問", "查", {"q": "問"}), {"shortest_reply": 5}, None),
        (talk("問", "好" * 11), {"longest_reply": 10}, "reply too long"),
        (talk("問", "好" * 11, "再問", "好"), {"longest_reply": 10}, "reply too long"),
        (talk("問", "好" * 10), {"longest_reply": 10}, None),
        (talk("問", "好" * 11), {"longest_reply": None}, None),
        (talk("問", "好", thought="想" * 11), {"longest_thought": 10}, "thought too long"),
        (talk("問", "好", thought="想" * 11), {"longest_thought": None}, None),
        (talk("問", "", thought="想了很久。"), {}, "no answer after thinking"),
        (talk("Q", "", thought="Hmm."), {}, "no answer after thinking"),
        (called("問", "查", {"q": "問"}, thought="要查。"), {}, None),
    ],
)
def test_rows_that_say_nothing_or_too_much(
    row: Row, config: dict[str, Any], expected: str | None
) -> None:
    assert reason(row, **config) == expected


@pytest.mark.parametrize(
    "text",
    [
        "這是\ufffd壞的",
        "broken \ufffd\ufffd text",
        "cafÃ© is mojibake",
        "donâ€™t",
        "å¥½ Â©",
        "锟斤拷",
        "燙烫烫烫",
        "bell\x07",
        "\ue123 private",
        "ï»¿begin",
    ],
)
def test_broken_characters(text: str) -> None:
    assert reason(talk("這是什麼？", text)) == "broken characters"
    assert reason(talk(text, "這是什麼？")) == "broken characters"
    assert reason(Row.of(text=text)) == "broken characters"
    assert reason(talk("這是什麼？", text), broken_characters=9) is None
    assert reason(talk("這是什麼？", text), broken_characters=None) is None


def test_half_a_character_is_broken() -> None:
    assert text_defects.broken("\ud83d half") == ["\ud83d"]


@pytest.mark.parametrize(
    "text",
    [
        "café, naïve, São Paulo",
        "25 °C ± 1 «oui»",
        "日本語、한국어、ภาษาไทย",
        "tab\tline\nend",
        "👩‍👩‍👧 ok",
        "燙燙燙的湯",
    ],
)
def test_unusual_characters_are_not_broken(text: str) -> None:
    assert text_defects.broken(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "好的<|im_end|>",
        "<|start_header_id|>assistant",
        "ok <|eot_id|>",
        "<start_of_turn>model\n好",
        "Sure.</s>",
        "[INST] 問 [/INST]",
        "<<SYS>>",
        "### Human: 再問",
        "好\n### Instruction: next",
        "Assistant: 好的",
        "助理：好的",
        "好\nHuman: and then?",
        "<｜end▁of▁sentence｜>",
        "<think>想</think>好",
        "我來查 <tool_call>{}</tool_call>",
        "[TOOL_CALLS] []",
    ],
)
def test_leaked_markers(text: str) -> None:
    assert reason(talk("請問？", text)) == "leaked marker"
    assert reason(talk("請問？", "好", thought=text)) == "leaked marker"
    assert reason(talk("請問？", text), markers=False) in (None, "cut off")


@pytest.mark.parametrize(
    "text",
    [
        "格式的標記是 `<|im_start|>`。",
        "```\n<|im_end|>\n```",
        "a < b | c > d",
        "HTML 的 <s>刪除線</s>文字",
        "他的名字是 [INSTITUTE]",
        "## 說明\n### 使用者：王小明的故事",
        "A user: somebody who uses it.",
        "我的助理：小明",
    ],
)
def test_what_only_looks_like_a_marker_stays(text: str) -> None:
    assert reason(talk("請問？", text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "程式如下：\n```python\nprint(1)",
        "Here:\n```\na\n```\nand\n~~~\nb",
        "````\n```\ncode",
    ],
)
def test_a_fence_that_was_never_closed_is_cut_off(text: str) -> None:
    assert reason(talk("請寫程式", text)) == "cut off"
    assert reason(talk("請寫程式", "好", thought=text)) == "cut off"
    assert reason(talk("請寫程式", text), unfinished=False) is None


@pytest.mark.parametrize("tag", ["<think>", "<tool_call>"])
def test_a_tag_that_was_never_closed_is_cut_off(tag: str) -> None:
    assert reason(talk("請問", f"{tag}想"), markers=False) == "cut off"
    assert reason(talk("請問", f"`{tag}` 是標籤"), markers=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "```\na\n```",
        "````md\n```\ncode\n```\n````",
        "  ```js\n  a()\n  ```\n後面",
        "用 ``` 開始程式碼",
        "~~~\n```\n~~~",
    ],
)
def test_a_closed_fence_is_not(text: str) -> None:
    assert text_defects.unclosed(text) == ""


def test_a_sentence_without_an_end_is_cut_off_where_wanted() -> None:
    config = {"sentence_end": True, "reply_language": False, "repeated_runs": None}
    cut = (
        ZH * 6 + "此外，它的四周還有許多同樣高大而且壯麗的",
        EN * 4 + " Besides, it is one of the",
    )
    for text in cut:
        assert reason(talk("請問？", text), **config) == "cut off"
        assert reason(talk("請問？", text), **{**config, "sentence_end": False}) is None
    whole = (ZH * 6, EN * 4, ZH * 6 + "\n- 玉山主峰與東峰的高度與位置介紹與交通", ZH * 6 + "\n完")
    for text in whole:
        assert reason(talk("請問？", text), **config) is None


def test_repeated_lines() -> None:
    loop = "\n".join(["這一行說的和前面一樣。"] * 9 + [ZH])
    english = "\n".join(["This line says what the last one said."] * 9 + [EN])
    for text in (loop, english):
        assert reason(talk("請問？", text), reply_language=False) == "repeated lines"
        assert reason(talk("請問？", "好", thought=text)) == "repeated lines"
        assert reason(Row.of(text=text)) == "repeated lines"
        assert (
            reason(talk("問", text), repeated_lines=None, repeated_runs=None, reply_language=False)
            is None
        )


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{i}. 第{i}站是一個很特別的地方" for i in range(12)),
        "```\n" + "    return value\n" * 20 + "```\n說明如上。",
        "\n".join(["- 是", "- 否"] * 12),
        "這一行說的和前面一樣。\n" * 4,
    ],
)
def test_lists_code_and_refrains_are_no_loops(text: str) -> None:
    assert text_defects.repeated_lines(text) <= 0.5
    assert reason(talk("請問？", text)) is None


def test_repeated_text_without_lines() -> None:
    assert reason(talk("請問？", "他說了很多很多的話，然後又說了一次，" * 20)) == "repeated text"
    assert reason(talk("Q?", "and then he said it again and " * 20)) == "repeated text"
    assert reason(talk("請問？", ZH * 2)) is None
    assert text_defects.repeated_runs("好" * 199) == 0.0
    assert text_defects.repeated_runs("好" * 200) > 0.9


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I do not have feelings.",
        "I'm just a large language model.",
        "I am ChatGPT, made by OpenAI.",
        "My name is Qwen and I am here to help.",
        "I'm an assistant trained by DeepSeek.",
        "作為一個AI語言模型，我沒有感情。",
        "作为一个人工智能语言模型，我没有感情。",
        "身為大型語言模型，我不能。",
        "我是由 OpenAI 訓練的助理。",
        "我是通義千問。",
        "我叫DeepSeek-R1。",
    ],
)
def test_boilerplate_is_found_with_tools_and_without(text: str) -> None:
    assert reason(talk("你是誰？", text)) == "boilerplate"
    assert reason(talk("你是誰？", text, tools=(tool("查"),))) == "boilerplate"
    assert reason(talk("你是誰？", text), boilerplate=False) in (None, "refusal")


@pytest.mark.parametrize(
    "text",
    [
        "As an AI, I can't order a pizza.",
        "I'm sorry, but as an AI, I don't have the ability to book flights.",
        "作為一個AI，我沒有訂披薩的功能。",
        "很抱歉，作为一个人工智能，我无法预订。",
    ],
)
def test_who_declines_as_an_ai_stays_only_where_tools_are_offered(text: str) -> None:
    assert reason(talk("幫我訂披薩", text, tools=(tool("查"),))) is None
    assert reason(talk("幫我訂披薩", text)) == "boilerplate"


@pytest.mark.parametrize(
    "text",
    [
        "ChatGPT is a product of OpenAI.",
        "As an AI engineer, you would train models.",
        "作為人工智慧的先驅，圖靈提出了測試。",
        "語言模型是預測下一個詞的程式。",
        "我是一名老師，我用 ChatGPT 備課。",
        "The paper compares Claude and Gemini.",
    ],
)
def test_speaking_about_models_is_no_boilerplate(text: str) -> None:
    assert reason(talk("請說明。", text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that request.",
        "I am sorry, but I cannot help you.",
        "I cannot fulfill this request.",
        "I'm unable to provide that.",
        "Sorry, I won't do this.",
        "Unfortunately, I don't have access.",
        "很抱歉，我無法協助這個請求。",
        "抱歉，我不能提供這些資料。",
        "對不起，我沒辦法回答。",
        "对不起，我无法回答。",
        "我無法提供這類建議。",
    ],
)
def test_a_refusal_counts_where_no_tools_are_offered(text: str) -> None:
    assert reason(talk("請問？", text)) == "refusal"
    assert reason(talk("請問？", text, tools=(tool("查"),))) is None
    assert reason(talk("請問？", text), refusals=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "I can't believe how high it is!",
        "不好意思讓您久等了，答案是四。",
        "我無法想像沒有山的臺灣。",
        "遺憾的是他輸了。",
        "A number that cannot be divided.",
        "The letter begins: I'm sorry I can't come.",
        "抱歉的英文是 sorry。",
    ],
)
def test_words_of_regret_are_no_refusal(text: str) -> None:
    assert reason(talk("請問？", text)) is None


def test_a_reply_in_another_language() -> None:
    assert reason(talk("臺灣最高的山是哪一座？有多高呢？", EN)) == "wrong language"
    assert (
        reason(talk("What is the highest mountain of Taiwan, and how high is it?", ZH))
        == "wrong language"
    )
    assert reason(talk("臺灣最高的山是哪一座？有多高呢？", EN), reply_language=False) is None
    later = talk("你好", "您好", "臺灣最高的山是哪一座？有多高呢？", EN)
    assert reason(later) == "wrong language"


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("請把這句話翻譯成英文：臺灣最高的山是玉山。", EN),
        ("臺灣最高的山是哪一座？請用英語回答。", EN),
        ("Say in Chinese which mountain is the highest of Taiwan.", ZH),
        ("臺灣最高的山是哪一座？有多高呢？", "Yushan"),
        ("臺灣最高的山是哪一座？有多高呢？", "```\n" + EN + "\n```"),
        ("hi", ZH),
        (
            "玉山 Yushan API 怎麼用？",
            "呼叫 `get(height)` API，回傳 JSON 格式的 height 與 name 欄位內容。",
        ),
    ],
)
def test_another_language_may_be_what_was_asked_for(question: str, reply: str) -> None:
    assert reason(talk(question, reply)) is None


def test_thoughts_in_another_language_count_where_wanted() -> None:
    drift = talk("臺灣最高的山是哪一座？有多高呢？", ZH, thought=EN)
    back = talk("What is the highest mountain of Taiwan, and how high is it?", EN, thought=ZH)
    for row in (drift, back):
        assert reason(row) is None
        assert reason(row, thought_language=True) == "thought in another language"
    assert reason(talk("臺灣最高的山？", ZH, thought=ZH), thought_language=True) is None


def test_a_value_that_nobody_named() -> None:
    invented = called("台北明天會下雨嗎？", "天氣", {"城市": "高雄"})
    assert reason(invented) is None
    assert reason(invented, grounding="strings") == "value from nowhere"
    assert reason(called("台北會下雨嗎？", "天氣", {"城市": "台北"}), grounding="strings") is None


@pytest.mark.parametrize(
    ("question", "arguments"),
    [
        ("Book a table at  LE  MOUT, please", {"name": "Le Mout"}),
        ("我在２０２６年５月１日出發", {"日期": "2026-05-01"}),
        ("I leave on May 1st", {"date": "2026-05-01"}),
        ("買 3,500 股，打五折", {"股": 3500, "折": 5}),
        ("三千五百元和兩萬", {"a": 3500, "b": 20000}),
        ("two tickets, 5% off, 3.5k", {"n": 2, "off": 0.05, "k": 3500}),
        ("設成零下 5 度", {"溫度": -5}),
        ("開燈", {"開": True, "空": "", "無": None}),
        ("路線 10", {"站": ["路線"], "深": {"號": 10}}),
    ],
)
def test_named_values_are_forgiven_their_spelling(question: str, arguments: dict[str, Any]) -> None:
    assert reason(called(question, "f", arguments), grounding="all") is None


@pytest.mark.parametrize(
    ("question", "arguments"),
    [
        ("買三張票", {"n": 5}),
        ("buy three tickets", {"n": 5}),
        ("五月一日", {"日期": "2026-06-01"}),
        ("一九九八年", {"年": 1997}),
        ("名單", {"名": ["王小明"]}),
    ],
)
def test_invented_values_are_found_at_any_depth(question: str, arguments: dict[str, Any]) -> None:
    assert reason(called(question, "f", arguments), grounding="all") == "value from nowhere"


def test_numbers_count_only_where_wanted() -> None:
    row = called("買三張票", "f", {"n": 5})
    assert reason(row, grounding="strings") is None


def test_values_of_the_schema_and_of_results_are_named() -> None:
    unit = Tool.of(
        "f",
        "查詢。",
        {
            "type": "object",
            "properties": {
                "u": {"type": "string", "enum": ["celsius", "kelvin"]},
                "n": {"type": "integer", "default": 20},
            },
        },
    )
    row = called("台北溫度？", "f", {"u": "celsius", "n": 20}, tools=(unit,))
    assert reason(row, grounding="all") is None
    messages = (
        Message("user", "查最高的山，再查它的高度"),
        Message("assistant", tool_calls=(ToolCall.of("f", {}, "c"),)),
        Message("tool", '{"山": "玉山"}', tool_call_id="c"),
        Message("assistant", tool_calls=(ToolCall.of("f", {"q": "玉山"}),)),
    )
    assert reason(Row.of(messages, (tool("f"),)), grounding="all") is None


@given(st.integers(0, 10**6))
def test_a_number_in_digits_names_itself(number: int) -> None:
    assert Named([f"共 {number} 個"]).has(number)
    assert Named([f"共 {number:,} 個"]).has(number)


@given(st.integers(1, 9999))
def test_a_chinese_numeral_names_its_number(number: int) -> None:
    figures, units = "零一二三四五六七八九", ["", "十", "百", "千"]
    digits = str(number)
    text = "".join(
        figures[int(d)] + units[len(digits) - i - 1] if d != "0" else "零"
        for i, d in enumerate(digits)
    ).rstrip("零")
    assert Named([f"共{text}個"]).has(number)


@given(st.text(), st.text())
def test_any_value_can_be_looked_for(text: str, value: str) -> None:
    Named([text]).has(value)
    assert Named([f"{text} {value} "]).has(value)


def test_a_tool_that_nobody_describes() -> None:
    row = talk("你好", "您好", tools=(tool("查"), tool("看", " ")))
    assert reason(row) == "tool without description"
    assert reason(row, tool_descriptions=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "我的身分證是 A123456789。",
        "打 0918-273-645 給我",
        "寫信到 wang@ntu.edu.tw",
        "call +886 918 273 645",
    ],
)
def test_personal_data_counts_where_wanted(text: str) -> None:
    assert reason(talk(text, "好"), personal_data=True) == "personal data"
    assert reason(called("查", "f", {"q": text}), personal_data=True) == "personal data"
    assert reason(talk(text, "好")) is None


@pytest.mark.parametrize(
    "text",
    [
        "A123456788",
        "a@example.com",
        "x@mail.example.org",
        "0912-345-678",
        "編號 B2987654321",
        "0.0918273645",
        "@王",
    ],
)
def test_examples_and_other_numbers_are_no_personal_data(text: str) -> None:
    assert reason(talk(text, "好"), personal_data=True) is None


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("A123456789", True),
        ("F131104093", True),
        ("A123456780", False),
        ("A323456789", False),
        ("Z", False),
    ],
)
def test_the_check_digit_of_an_identity_number(number: str, valid: bool) -> None:
    assert text_defects.valid_id(number) is valid


def test_too_many_emojis() -> None:
    assert reason(talk("你好", "😀🎉✨🔥👍 太棒了！")) == "too many emojis"
    assert reason(talk("hi", "Wow 😀🎉✨🔥👍 great!")) == "too many emojis"
    assert reason(talk("你好", "😀🎉✨🔥👍 太棒了！"), emojis=None) is None
    assert reason(talk("你好", "恭喜！🎉")) is None
    assert reason(talk("你好", ZH * 4 + "😀🎉✨🔥👍")) is None


def test_everything_can_be_turned_off() -> None:
    config = QualityConfig(
        shortest_question=0, shortest_reply=0, longest_reply=None, longest_thought=None,
        repeated_lines=None, repeated_runs=None, unfinished=False, boilerplate=False,
        refusals=False, reply_language=False, markers=False, only_thought=False,
        tool_descriptions=False, broken_characters=None, emojis=None,
    )  # fmt: skip
    for text in (
        "",
        "<|im_end|>",
        "```\n",
        "\ufffd",
        "As an AI language model, I can't.",
        "😀" * 9,
    ):
        assert judge(talk(text, text, thought=text, tools=(tool("查", ""),)), config) is None


@given(st.text(), st.text(), st.text())
def test_any_row_can_be_judged(a: str, b: str, c: str) -> None:
    config = QualityConfig(
        grounding="all", personal_data=True, sentence_end=True, thought_language=True
    )
    judge(talk(a, b, thought=c), config)
    judge(called(a, "f", {"q": b, "n": 3}, thought=c), config)
    if a:
        judge(Row.of(text=a), config)


@pytest.mark.parametrize(
    "text",
    [
        "`" * 30_000,
        "```\n" * 9_000,
        "<think>" * 9_000,
        "a@" * 20_000,
        "a" * 60_000,
        "我是" * 20_000,
        "I'm " * 15_000,
        "作為" * 20_000,
        "一" * 40_000,
        "<|" * 20_000,
        "Ã" * 40_000,
    ],
)
def test_text_of_a_model_in_a_loop_is_linear_work(text: str) -> None:
    """The time limit of the suite is the judge."""
    config = QualityConfig(
        repeated_lines=None, repeated_runs=None, markers=False, personal_data=True,
        unfinished=False, longest_reply=None, broken_characters=None, grounding="all",
    )  # fmt: skip
    judge(called(text, "f", {"q": text}, result=text, answer=text), config)
    judge(talk(text, text), QualityConfig(longest_reply=None))
    text_defects.personal(text)
