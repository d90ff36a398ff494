"""The chat page by clicks and keys: streaming, calls, branches, settings, several models."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from chat_talk import (
    THOUGHT,
    GatedEngine,
    call,
    card,
    chat_at,
    ended,
    replies,
    say,
    scripted,
    visit,
)
from formosa.chat.template import ChatTemplate
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.run import serving
from formosa.tools.function import tool
from formosa.tools.log import ToolLog
from formosa.tools.registry import Registry
from formosa.web.chat.pages import chat_pages

sent: list[str] = []
gate = threading.Event()


@tool
def get_weather(location: str) -> dict[str, str]:
    """查詢一個城市現在的氣溫

    Args:
        location: 城市名
    """
    return {"location": location, "degrees": {"台北": "26", "高雄": "29"}[location]}


@tool(confirm=True)
def send_mail(to: str) -> str:
    """寄一封信"""
    sent.append(to)
    return f"寄給 {to} 了"


@tool
def wait() -> str:
    """Waits until a test lets it go."""
    gate.wait(20)
    return "came back"


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    sent.clear()
    gate.clear()


def two_cities(turn: str) -> str:
    if "tool_response" in turn:
        return "台北 **26** 度，高雄 **29** 度。"
    calls = [call("get_weather", location="台北"), call("get_weather", location="高雄")]
    return f"<think>\n{THOUGHT}\n</think>\n\n我來查。\n" + "\n".join(calls)


def mails(turn: str) -> str:
    if "tool_response" in turn:
        return "好了。" if "寄給" in turn else "沒有寄。"
    return call("send_mail", to="a@example.com")


def test_a_question_is_answered_with_calls_side_by_side_and_their_results(
    page: Page, accessible: Any, look: Any
) -> None:
    with chat_at(get_weather, formosa_mini=scripted(two_cities)) as url:
        visit(page, url)
        say(page, "台北和高雄的氣溫？")
        expect(replies(page)).to_have_count(2)
        ended(page)
        first, last = replies(page).nth(0), replies(page).nth(1)
        expect(first.locator("details.thoughts summary")).to_have_text(f"思考 · {len(THOUGHT)} 字")
        expect(first.get_by_text(THOUGHT)).to_be_hidden()
        first.locator("details.thoughts summary").click()
        expect(first.get_by_text(THOUGHT)).to_be_visible()
        expect(first.locator("section.call")).to_have_count(2)
        boxes = [card(page, city).bounding_box() for city in ("台北", "高雄")]
        assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"]
        for city, degrees in (("台北", "26"), ("高雄", "29")):
            expect(card(page, city).locator(".result pre")).to_contain_text(
                f'"degrees": "{degrees}"'
            )
            expect(card(page, city).locator(".tag")).to_have_text("已完成")
        expect(last.locator(".says")).to_have_text("台北 26 度，高雄 29 度。")
        expect(last.locator("strong")).to_have_text(["26", "29"])
        expect(last.locator(".facts-line")).to_contain_text("token")
        accessible(page)
        look(page, "chat")


def test_a_reply_is_shown_as_it_comes_and_escape_stops_it(page: Page) -> None:
    engine = GatedEngine("一二三四五六七八九十")
    with chat_at(m=TemplatedChat(engine)) as url:
        visit(page, url)
        say(page, "數")
        expect(replies(page).locator(".says")).to_have_text("一二三四五六")
        expect(replies(page).locator(".facts-line")).to_have_text("撰寫中")
        expect(page.locator("#stop")).to_be_visible()
        page.keyboard.press("Escape")
        ended(page)
        expect(replies(page).locator(".tag")).to_have_text("已停止")
        expect(replies(page).locator(".says")).to_have_text("一二三四五六")
    assert engine.stopped == 1


def test_the_stop_button_stops_a_tool_and_the_conversation_goes_on(page: Page) -> None:
    asked: list[str] = []

    def script(turn: str) -> str:
        asked.append(turn)
        return "又好了" if "再來" in turn else call("wait")

    with chat_at(wait, m=scripted(script)) as url:
        visit(page, url)
        say(page, "等")
        expect(page.locator("section.call .tag")).to_have_text("執行中")
        page.locator("#stop").click()
        ended(page)
        expect(page.locator("section.call .tag")).to_have_text("未完成")
        expect(page.locator("section.call .result")).to_contain_text("stopped while it ran")
        say(page, "再來")
        expect(replies(page).last.locator(".says")).to_have_text("又好了")
        gate.set()
    assert len(asked) == 2


def test_shift_enter_is_a_line_and_enter_in_an_input_method_sends_nothing(page: Page) -> None:
    """Enter that chooses a character: what every zh-TW user does in every word."""
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        box = page.locator("#message")
        box.fill("一")
        box.press("Shift+Enter")
        box.press_sequentially("ㄅ")
        page.evaluate(
            """() => document.getElementById("message").dispatchEvent(new KeyboardEvent("keydown",
            {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))"""
        )
        expect(page.locator("article")).to_have_count(0)
        expect(box).to_have_value("一\nㄅ")
        box.press("Enter")
        expect(page.locator("article.user .says")).to_have_text("一\nㄅ")
        expect(replies(page).locator(".says")).to_have_text("好")


# -- consent ---------------------------------------------------------------------------------


def test_a_tool_that_needs_consent_asks_each_time_until_always_is_said(
    page: Page, tmp_path: Path, accessible: Any, look: Any
) -> None:
    log = tmp_path / "calls.jsonl"
    with ToolLog(log) as record, chat_at(send_mail, record=record, m=scripted(mails)) as url:
        visit(page, url)
        say(page, "寄信")
        page.get_by_role("button", name="不要執行").wait_for()
        accessible(page)
        look(page, "chat-consent")
        page.get_by_role("button", name="不要執行").click()
        expect(replies(page).last.locator(".says")).to_have_text("沒有寄。")
        expect(page.locator("section.call .result")).to_contain_text("the user refused this call")
        assert sent == []
        say(page, "再寄")
        page.get_by_role("button", name="執行這一次").click()
        expect(replies(page).last.locator(".says")).to_have_text("好了。")
        say(page, "第三次")
        page.get_by_role("button", name="一律執行 send_mail").click()
        expect(replies(page).last.locator(".says")).to_have_text("好了。")
        say(page, "第四次")
        expect(replies(page)).to_have_count(8)
        ended(page)
    assert sent == ["a@example.com"] * 3
    kept = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(line["ok"], line["confirmed"]) for line in kept] == [(True, True)] * 3


def test_a_person_may_be_asked_before_every_call(page: Page) -> None:
    with chat_at(get_weather, m=scripted(two_cities)) as url:
        visit(page, url)
        page.get_by_label("每次呼叫前都先問我").check()
        say(page, "氣溫")
        question = page.get_by_role("button", name="執行這一次")
        question.click()
        question.click()
        expect(replies(page)).to_have_count(2)


def test_a_tool_that_is_not_ticked_is_neither_shown_nor_run(page: Page) -> None:
    model = scripted(mails)
    with chat_at(get_weather, send_mail, m=model) as url:
        visit(page, url)
        page.get_by_role("checkbox", name="send_mail").uncheck()
        say(page, "寄信")
        expect(replies(page).last.locator(".says")).to_have_text("沒有寄。")
        expect(page.locator("section.call .result")).to_contain_text("unknown tool 'send_mail'")
        page.reload()
        expect(page.get_by_role("checkbox", name="get_weather")).to_be_checked()
        expect(page.get_by_role("checkbox", name="send_mail")).not_to_be_checked()
    prompts = model.engine.prompts  # type: ignore[attr-defined]
    assert "get_weather" in prompts[0] and "寄一封信" not in prompts[0]
    assert sent == []


def test_a_model_that_repeats_its_calls_is_not_asked_for_ever(page: Page) -> None:
    with chat_at(get_weather, m=scripted(call("get_weather", location="台北"))) as url:
        visit(page, url)
        say(page, "氣溫")
        expect(replies(page).last.locator(".result")).to_contain_text(
            "the same calls were just made"
        )
        ended(page)
        expect(replies(page)).to_have_count(2)
        expect(replies(page).last.locator(".facts-line .tag")).to_have_text("呼叫次數太多，已停止")


def test_a_call_that_is_forced_is_forced_once(page: Page) -> None:
    """Forced each time, a model could only call and never answer."""
    forced = call("get_weather", location="高雄")
    engine = ScriptedEngine(["29 度。"], under=[forced])
    with chat_at(get_weather, m=TemplatedChat(engine)) as url:
        visit(page, url)
        page.get_by_label("可以呼叫哪些").select_option("name:get_weather")
        say(page, "你好")
        expect(replies(page).last.locator(".says")).to_have_text("29 度。")
        expect(replies(page)).to_have_count(2)
        ended(page)
    assert [sampling.grammar is not None for _, sampling in engine.requests] == [True, False]


# -- branches --------------------------------------------------------------------------------


def test_editing_and_asking_again_make_branches_that_can_be_gone_through(page: Page) -> None:
    count = iter(range(1, 9))
    with chat_at(m=scripted(lambda _: f"回覆 {next(count)}")) as url:
        visit(page, url)
        say(page, "第一問")
        expect(replies(page).locator(".says")).to_have_text("回覆 1")
        ended(page)
        page.get_by_role("button", name="重試").click()
        expect(replies(page).locator(".says")).to_have_text("回覆 2")
        expect(replies(page).locator(".branch")).to_contain_text("2 / 2")
        page.get_by_role("button", name="前一個版本").click()
        expect(replies(page).locator(".says")).to_have_text("回覆 1")
        page.get_by_role("button", name="編輯").click()
        box = page.get_by_role("textbox", name="訊息").first
        box.fill("改過的第一問")
        box.press("Enter")
        expect(replies(page).locator(".says")).to_have_text("回覆 3")
        user = page.locator("article.user")
        expect(user.locator(".says")).to_have_text("改過的第一問")
        ended(page)
        user.get_by_role("button", name="前一個版本").click()
        expect(replies(page).locator(".says")).to_have_text("回覆 1")
        replies(page).get_by_role("button", name="刪除").click()
        expect(replies(page).locator(".says")).to_have_text("回覆 2")
        page.locator("article.user").get_by_role("button", name="刪除").click()
        expect(page.locator("article.user .says")).to_have_text("改過的第一問")


def test_the_keyboard_stays_where_it_was(page: Page) -> None:
    """What is drawn anew would else throw it back to the top of the page."""
    count = iter(range(1, 9))
    with chat_at(m=scripted(lambda _: f"回覆 {next(count)}")) as url:
        visit(page, url)
        say(page, "問")
        ended(page)
        page.get_by_role("button", name="重試").press("Enter")
        expect(replies(page).locator(".says")).to_have_text("回覆 2")
        ended(page)
        expect(page.get_by_role("button", name="重試")).to_be_focused()
        page.get_by_role("button", name="前一個版本").press("Enter")
        expect(replies(page).locator(".says")).to_have_text("回覆 1")
        replies(page).get_by_role("button", name="刪除").press("Enter")
        expect(replies(page).locator(".says")).to_have_text("回覆 2")
        replies(page).get_by_role("button", name="刪除").press("Enter")
        expect(page.locator("#message")).to_be_focused()


# -- what is asked besides -------------------------------------------------------------------


def test_settings_reach_the_model_stay_in_the_tab_and_can_be_reset(page: Page) -> None:
    template = ChatTemplate.from_source(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
        "<think>\n\n</think>\n\n{% endif %}"
    )
    model = scripted("好", template=template)
    with chat_at(m=model) as url:
        visit(page, url)
        page.get_by_label("系統提示").fill("簡短")
        page.get_by_label("溫度").fill("0.7")
        page.get_by_label("Top-p").fill("0.9")
        page.get_by_label("token 上限").fill("64")
        page.get_by_label("亂數種子").fill("7")
        page.get_by_label("停止字串，一行一個").fill("\\n\\n\nEND")
        page.locator("select[name=thinking]").select_option("none")
        say(page, "你好")
        expect(replies(page).locator(".says")).to_have_text("好")
        ended(page)
        page.reload()
        expect(page.get_by_label("溫度")).to_have_value("0.7")
        expect(replies(page).locator(".says")).to_have_text("好")
        page.get_by_role("button", name="重設設定").click()
        expect(page.get_by_label("溫度")).to_have_value("0")
        expect(page.get_by_label("系統提示")).to_have_value("")
    ((prompt, sampling),) = model.engine.requests  # type: ignore[attr-defined]
    text = prompt if isinstance(prompt, str) else "".join(prompt)
    assert text.startswith("<|im_start|>system\n簡短<|im_end|>")
    assert text.endswith("<think>\n\n</think>\n\n")
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (
        0.7, 0.9, 64, 7,
    )  # fmt: skip
    assert set(sampling.stop) >= {"\n\n", "END"}


def test_thinking_is_offered_only_where_the_template_knows_it(page: Page) -> None:
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        expect(page.locator("#message")).to_be_enabled()
        expect(page.locator("select[name=thinking]")).to_be_hidden()


def test_what_the_model_really_wrote_stands_beside_its_message(
    page: Page, accessible: Any, look: Any
) -> None:
    wrote = f"<think>\n{THOUGHT}\n</think>\n\n台北 26 度。"
    with chat_at(m=scripted(wrote)) as url:
        visit(page, url)
        page.get_by_label("token 與機率").check()
        say(page, "氣溫")
        ended(page)
        page.get_by_role("button", name="原始文字").click()
        raw = page.locator("section.raw")
        expect(raw.locator("pre").first).to_have_text(wrote)
        expect(raw.locator("pre").first.locator(".special")).to_have_text(["<think>", "</think>"])
        expect(raw.locator(".token")).to_have_count(len(wrote))
        raw.get_by_text("以表格看 token").click()
        expect(raw.locator("tbody tr").first).to_contain_text("100 %")
        raw.get_by_text("提示 · ").click()
        expect(raw.locator("pre").last).to_contain_text("<|im_start|>user\n氣溫<|im_end|>")
        accessible(page)
        look(page, "chat-raw")


def test_a_call_that_could_not_be_read_is_said(page: Page) -> None:
    with chat_at(get_weather, m=scripted('<tool_call>\n{"name": \n</tool_call>')) as url:
        visit(page, url)
        say(page, "氣溫")
        ended(page)
        page.get_by_role("button", name="原始文字").click()
        expect(page.locator("section.raw .notice")).to_contain_text("有一個呼叫無法解讀")


def test_a_reply_that_was_cut_off_says_so_and_its_calls_do_not_run(page: Page) -> None:
    first = call("send_mail", to="a@example.com")
    with chat_at(send_mail, m=scripted(first + "\n" + first)) as url:
        visit(page, url)
        page.get_by_label("token 上限").fill(str(len(first) + 5))
        say(page, "寄信")
        ended(page)
        expect(replies(page).locator(".facts-line .tag")).to_have_text("到長度上限被截斷")
        expect(page.locator("section.call .result").first).to_contain_text("cut off")
    assert sent == []


def test_screen_readers_hear_a_reply_once_it_is_whole(page: Page) -> None:
    engine = GatedEngine("一二三四五六七八九十")
    with chat_at(m=TemplatedChat(engine), other=scripted("全部說完了")) as url:
        visit(page, url)
        say(page, "數")
        expect(replies(page).locator(".says")).to_have_text("一二三四五六")
        spoken = page.locator("#spoken[aria-live=polite]")
        expect(spoken).to_have_text("")
        page.locator("#stop").click()
        expect(spoken).to_have_text("m: 一二三四五六")


# -- several models --------------------------------------------------------------------------


def test_one_message_goes_to_several_models_side_by_side(
    page: Page, accessible: Any, look: Any
) -> None:
    with chat_at(
        get_weather, one=scripted(two_cities), two=scripted("我不知道。"), three=scripted("三")
    ) as url:
        visit(page, url)
        expect(page.locator("section.column")).to_have_count(1)
        page.get_by_role("checkbox", name="two").check()
        say(page, "氣溫")
        ended(page)
        columns = page.locator("section.column")
        expect(columns).to_have_count(2)
        expect(columns.nth(0).locator("article.assistant").last).to_contain_text("高雄 29 度")
        expect(columns.nth(1).locator("article.assistant")).to_contain_text("我不知道。")
        for n in range(2):
            expect(columns.nth(n).locator(".facts-line").last).to_contain_text("首個 token")
        boxes = [columns.nth(n).bounding_box() for n in range(2)]
        assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"]
        accessible(page)
        look(page, "chat-models")
        page.get_by_role("checkbox", name="one").uncheck()
        expect(columns).to_have_count(1)
        expect(columns).to_contain_text("我不知道。")


# -- what goes wrong -------------------------------------------------------------------------


def test_a_stream_that_breaks_off_is_no_whole_reply(page: Page) -> None:
    with chat_at(m=scripted("好")) as url:
        page.route("**/v1/chat/completions", lambda route: route.fulfill(
            content_type="text/event-stream",
            body='data: {"choices": [{"index": 0, "delta": {"content": "一半"}}]}\n\n',
        ))  # fmt: skip
        visit(page, url)
        say(page, "你好")
        expect(replies(page).locator(".notice")).to_have_text("回覆還沒結束，連線就斷了。")
        expect(replies(page).locator(".says")).to_have_text("一半")
        page.unroute("**/v1/chat/completions")
        page.get_by_role("button", name="重試").click()
        expect(replies(page).locator(".says")).to_have_text("好")


def test_an_error_in_the_middle_and_calls_in_pieces_are_read(page: Page) -> None:
    """Other servers send a call's arguments piece by piece, and errors as events."""
    chunks: list[Any] = [
        {"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 1, "function": {"name": "get_weather", "arguments": '{"locat'}},
            {"index": 0, "id": "x", "function": {"name": "get_weather", "arguments": "{"}}]}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 1, "function": {"arguments": 'ion": "台北"}'}}]}}]},
        {"error": {"message": "the engine <b>failed</b>", "code": None}},
    ]  # fmt: skip
    body = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks)
    with chat_at(get_weather, m=scripted("好")) as url:
        page.route("**/v1/chat/completions", lambda route: route.fulfill(
            content_type="text/event-stream", body=body))  # fmt: skip
        visit(page, url)
        say(page, "你好")
        expect(replies(page).locator(".notice")).to_have_text("the engine <b>failed</b>")
        expect(card(page, "台北").locator("pre").first).to_have_text('{\n  "location": "台北"\n}')
        expect(page.locator("section.call")).to_have_count(2)


def test_a_refusal_of_the_server_is_shown_in_its_words(browser: Browser) -> None:
    """Not with the usual page: the browser itself writes a 400 into its console."""
    page = browser.new_page(locale="zh-TW")
    with chat_at(m=scripted("好", context=10)) as url:
        visit(page, url)
        say(page, "很長" * 20)
        expect(replies(page).locator(".notice")).to_contain_text("context")
        page.locator("#stop").wait_for(state="hidden")
        page.get_by_role("button", name="刪除").first.click()
        expect(page.locator("article")).to_have_count(0)
    page.close()


def test_a_server_that_ended_is_said(browser: Browser) -> None:
    page = browser.new_page(locale="zh-TW")
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        expect(page.locator("#message")).to_be_enabled()
    say(page, "你好")
    expect(replies(page).locator(".notice")).to_contain_text("無法連到伺服器")
    page.close()


def test_a_server_with_a_key_asks_for_it_on_the_page(browser: Browser, accessible: Any) -> None:
    page = browser.new_page(locale="zh-TW")
    pages = chat_pages(Registry([get_weather]), keyed=True)
    with serving({"m": scripted(two_cities)}, api_key="sk-1", pages=pages) as url:
        page.goto(url.removesuffix("/v1"))
        dialog = page.get_by_role("dialog")
        accessible(page)
        page.get_by_role("textbox", name="API 金鑰").fill("wrong")
        page.get_by_role("button", name="繼續").click()
        expect(page.locator("#note")).to_have_text("伺服器需要 API 金鑰。")
        expect(dialog).to_be_visible()
        page.get_by_role("textbox", name="API 金鑰").fill("sk-1")
        page.get_by_role("button", name="繼續").click()
        expect(page.locator("#message")).to_be_enabled()
        say(page, "氣溫")
        expect(replies(page)).to_have_count(2)
        ended(page)
        kept = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
        assert "sk-1" not in kept
    page.close()
