"""What leaves the chat page: code that works elsewhere, and conversations that are kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chat_talk import THOUGHT, call, chat_at, ended, replies, say, scripted, visit
from formosa.cli.history import load_conversation
from formosa.engines.templated import TemplatedChat
from formosa.tools.function import tool
from formosa.web.chat.saved import read_conversation

TRICKY = "it's \"quoted\" $HOME `id` \\n \\ 'x' 台北😀 \u202eabc\u2066 \x07 !! %d\n第二行\ttab"


@tool
def get_weather(location: str) -> str:
    """查詢氣溫

    Args:
        location: 城市名
    """
    return f"{location}：26 度"


def two_turns(turn: str) -> str:
    if "tool_response" in turn:
        return "26 度。"
    return f"<think>\n{THOUGHT}\n</think>\n\n" + call("get_weather", location="台北")


def code(page: Page, language: str) -> str:
    page.get_by_role("button", name="程式碼").first.click()
    page.get_by_role("radio", name=language).check()
    text: str = page.locator("#code-text").text_content() or ""
    page.get_by_role("button", name="複製").last.click()
    assert page.evaluate("navigator.clipboard.readText()") == text
    page.get_by_role("button", name="關閉").click()
    return text


def set_everything(page: Page) -> None:
    page.get_by_label("系統提示").fill(TRICKY)
    page.get_by_label("溫度").fill("0.5")
    page.get_by_label("亂數種子").fill("3")
    page.get_by_label("停止字串，一行一個").fill("'END'")


def prompts(model: TemplatedChat) -> list[tuple[Any, Any]]:
    requests: list[tuple[Any, Any]] = model.engine.requests  # type: ignore[attr-defined]
    return requests


@pytest.mark.parametrize("language", ["Python", "curl"])
def test_the_copied_code_asks_the_server_what_the_page_asked(page: Page, language: str) -> None:
    """Run as it is, in a process of its own: the model gets the same prompt and sampling."""
    model = scripted(two_turns)
    with chat_at(get_weather, m=model) as url:
        visit(page, url)
        set_everything(page)
        say(page, "第一問")
        expect(replies(page)).to_have_count(2)
        ended(page)
        say(page, TRICKY)
        expect(replies(page)).to_have_count(4)
        ended(page)
        asked = prompts(model)[2]
        text = code(page, language)
        program = [sys.executable, "-c"] if language == "Python" else ["bash", "-c"]
        assert shutil.which(program[0])
        ran = subprocess.run([*program, text], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "get_weather" in ran.stdout and "台北" in ran.stdout
    again = prompts(model)[-1]
    assert again[0] == asked[0]
    for field in ("temperature", "seed", "stop", "max_tokens", "top_p"):
        assert getattr(again[1], field) == getattr(asked[1], field)
    assert not {"\u202e", "\u2066", "\x07"} & set(text), "code must be what it seems"


def test_code_never_holds_the_key(page: Page) -> None:
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        for kind in ("curl", "python"):
            text = page.evaluate(
                "kind => chatCode[kind]('http://a', {model: 'm', messages: []}, true)", kind
            )
            assert "FORMOSA_SERVE_API_KEY" in text
            text = page.evaluate("kind => chatCode[kind]('http://a', {messages: []}, false)", kind)
            assert "FORMOSA_SERVE_API_KEY" not in text


def saved(page: Page, button: str, tmp_path: Path) -> Path:
    with page.expect_download() as started:
        page.get_by_role("button", name=button, exact=True).first.click()
    path = tmp_path / started.value.suggested_filename
    started.value.save_as(path)
    return path


def test_a_conversation_is_saved_and_loaded_again_here_and_in_the_terminal(
    page: Page, tmp_path: Path
) -> None:
    model = scripted(two_turns)
    with chat_at(get_weather, m=model) as url:
        visit(page, url)
        page.get_by_label("系統提示").fill("簡短")
        say(page, "氣溫")
        expect(replies(page)).to_have_count(2)
        ended(page)
        path = saved(page, "儲存", tmp_path)
        roles = [message.role for message in load_conversation(path)]
        assert roles == ["system", "user", "assistant", "tool", "assistant"]
        value = json.loads(path.read_text("utf-8"))
        assert value["model"] == "m" and value["tools"][0]["function"]["name"] == "get_weather"
        assert value["messages"][2]["reasoning_content"] == THOUGHT
        page.get_by_role("button", name="新對話").click()
        expect(page.locator("article")).to_have_count(0)
        page.get_by_label("系統提示").fill("")
        page.locator("#file").set_input_files(path)
        expect(replies(page)).to_have_count(2)
        expect(page.get_by_label("系統提示")).to_have_value("簡短")
        expect(page.locator("section.call .result")).to_contain_text("台北：26 度")
        say(page, "再問")
        expect(replies(page)).to_have_count(4)
        ended(page)
    last = prompts(model)[-1][0]
    text = last if isinstance(last, str) else "".join(last)
    assert text.index("簡短") < text.index("氣溫") < text.index("再問")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "不是 JSON"),
        ("[]", "messages"),
        ('{"messages": [{"role": "robot"}]}', "messages[0].role"),
        ('{"messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        ('{"messages": [{"role": "tool", "tool_call_id": "x"}]}', "messages[0].tool_call_id"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{}]}]}', "function.name"),
        ('{"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}'
         ', {"id": "a", "function": {"name": "f"}}]}]}', "messages[0].tool_calls"),
        ('{"messages": [null]}', "messages[0]"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_conversation_is_refused_with_its_field(
    page: Page, content: str, said: str
) -> None:
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        say(page, "留著")
        ended(page)
        file = {"name": "<b>x</b>.json", "mimeType": "application/json", "buffer": content.encode()}
        page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
        expect(page.locator("#note")).to_contain_text(said)
        expect(page.locator("#note")).to_contain_text("<b>x</b>.json")
        expect(page.locator("article.user")).to_contain_text("留著")


def test_a_hostile_file_is_only_text(page: Page) -> None:
    attack = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    value = {"messages": [
        {"role": "user", "content": attack},
        {"role": "assistant", "content": attack, "reasoning": attack, "__proto__": {"x": 1},
         "tool_calls": [{"id": "__proto__", "function": {"name": attack, "arguments": attack}}]},
        {"role": "tool", "tool_call_id": "__proto__", "content": attack},
    ]}  # fmt: skip
    with chat_at(m=scripted("好")) as url:
        visit(page, url)
        file = {"name": "x.json", "mimeType": "", "buffer": json.dumps(value).encode()}
        page.locator("#file").set_input_files(file)  # type: ignore[arg-type]
        expect(page.locator("article.assistant .says")).to_have_text(attack)
        expect(page.locator("section.call .result")).to_contain_text("<img src=x")
        assert page.locator("#columns").locator("img, script").count() == 0
        assert page.evaluate("({}).x") is None


def test_a_conversation_is_kept_as_a_page_that_needs_no_server(
    page: Page, tmp_path: Path, accessible: Any, look: Any
) -> None:
    with chat_at(get_weather, formosa_mini=scripted(two_turns)) as url:
        visit(page, url)
        say(page, "氣溫 <img src=x onerror=alert(1)>")
        expect(replies(page)).to_have_count(2)
        ended(page)
        path = saved(page, "存成網頁", tmp_path)
        talk = saved(page, "儲存", tmp_path)
    assert path.suffix == ".html"
    assert read_conversation(talk).model == "formosa-mini"
    page.goto(path.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("與 formosa-mini 的對話")
    expect(page.locator("section.call")).to_contain_text("台北：26 度")
    expect(page.locator("article.user")).to_contain_text("<img src=x")
    page.get_by_text(f"思考 · {len(THOUGHT)} 字").click()
    expect(page.get_by_text(THOUGHT)).to_be_visible()
    accessible(page)
    look(page, "chat-saved")
