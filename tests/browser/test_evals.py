"""The evaluation pages in a real browser: the way to a wrong answer, a run that goes on, a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from eval_logs import append, end_of, mini_log, sample_of, start_of, write_log
from formosa.results.log_writer import LogWriter
from formosa.web.evals.pages import export
from formosa.web.places import Places
from formosa.web.view import view_app


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with the logs of its base and of its trained model."""
    folder = tmp_path / "runs" / "mini"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    mini_log(folder / "logs" / "base-mini-zh-tw.jsonl")
    mini_log(folder / "logs" / "trained-mini-zh-tw.jsonl", limit=20, repeats=3)
    call = {"id": "c", "type": "function",
            "function": {"name": "find_city", "arguments": '{"city": "高雄"}'}}  # fmt: skip
    reply = {"text": "raw", "message": {"role": "assistant", "tool_calls": [call, call]},
             "finish": "tool_calls", "usage": [100, 20]}  # fmt: skip
    gold = [{"find_city": {"city": ["臺北", "臺北市"]}}]
    write_log(
        folder / "logs" / "trained-bfcl.jsonl",
        start_of(["ast", "ast_lenient"], samples=2),
        sample_of("simple_1", "wrong", scorers=["ast", "ast_lenient"], reply=reply, gold=gold,
                  answer='[{"find_city": {"city": "高雄"}}]',
                  why="value_error:string — city: '高雄' is not among ['臺北', '臺北市']"),
    )  # fmt: skip
    return folder


def test_a_wrong_answer_and_its_reason_are_three_clicks_away(
    page: Page, serve_app: Any, run: Path
) -> None:
    """From the first page of `formosa view runs/mini`, by somebody who has never seen Formosa."""
    page.goto(serve_app(lambda: view_app(Places([run]))))
    page.get_by_role("link", name="評測", exact=True).click()
    page.get_by_role("row", name="mini-zh-tw").get_by_role("link", name="錯誤").first.click()
    expect(page.locator("table.answers .tag").first).to_have_text("錯誤")
    page.locator("table.answers a.row").first.click()
    verdict = page.locator(".verdict").first
    expect(verdict).to_contain_text("錯誤")
    expect(verdict.locator(".why")).to_contain_text("讀出")
    expect(verdict.locator(".why")).to_contain_text("正確答案是")
    expect(page.locator("mark").first).to_contain_text("box{")
    expect(page.get_by_role("heading", name="題目")).to_be_visible()


def test_filter_search_keys_and_repeats(
    page: Page, serve_app: Any, run: Path, accessible: Any, look: Any
) -> None:
    page.goto(serve_app(lambda: view_app(Places([run]))) + "/evals")
    expect(page.locator("table.logs tbody tr")).to_have_count(6)
    accessible(page)
    look(page, "evals")
    page.get_by_role("row", name="mini (trained)").or_(
        page.locator("tbody th a[href*=trained-mini]")
    ).first.click()
    accessible(page)
    look(page, "evals-log")
    page.get_by_label("題目、回覆或編號中的文字").fill("我想應該是")
    page.get_by_role("button", name="顯示").click()
    expect(page.locator("#count")).to_contain_text("60 筆作答中的 12 筆")
    page.locator("select[name=outcome]").select_option("correct")
    page.get_by_role("button", name="顯示").click()
    expect(page.locator("#count")).to_contain_text("60 筆作答中的 0 筆")
    page.get_by_role("link", name="全部顯示").click()
    page.locator(".subjects").get_by_role("link", name="地理").click()
    expect(page.locator(".subjects tr.chosen")).to_contain_text("地理")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("a.row").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("所有重複")).to_be_visible()
    accessible(page)
    look(page, "evals-sample")
    heading = page.locator("h1").text_content()
    page.keyboard.press("j")
    expect(page.locator("h1")).not_to_have_text(str(heading))
    page.keyboard.press("k")
    expect(page.locator("h1")).to_have_text(str(heading))
    page.get_by_role("link", name="回到清單").click()
    expect(page.locator(".subjects tr.chosen")).to_contain_text("地理")


def test_tool_calls_stand_beside_what_is_accepted(
    page: Page, serve_app: Any, run: Path, accessible: Any, look: Any
) -> None:
    url = serve_app(lambda: view_app(Places([run])))
    page.goto(f"{url}/evals/sample?path={run}/logs/trained-bfcl.jsonl&id=simple_1&repeat=0")
    expect(page.locator(".verdict").first).to_contain_text("不在可接受的值")
    expect(page.get_by_text("可接受的呼叫")).to_be_visible()
    expect(page.locator(".call")).to_have_count(4)  # read, accepted, and both of the reply
    accessible(page)
    look(page, "evals-tool")


def test_the_page_follows_a_run_that_goes_on(page: Page, serve_app: Any, tmp_path: Path) -> None:
    """Without a reload, and without taking away what the reader has opened or marked."""
    path = tmp_path / "a.jsonl"
    with LogWriter(path, start_of(samples=3)) as writer:
        writer.append(sample_of("q1"))
        page.goto(f"{serve_app(lambda: view_app(Places([tmp_path])))}/evals/log?path={path}")
        if not page.locator("#figures[data-live]").count():
            pytest.skip("this system does not tell who holds a file's lock")
        page.evaluate("window.untouched = true")
        expect(page.locator("#figures")).to_contain_text("已作答 1 / 3 筆")
        page.get_by_text("這份紀錄如何產生").click()
        writer.append(sample_of("q2", "wrong"))
        expect(page.locator("#figures")).to_contain_text("已作答 2 / 3 筆")
        expect(page.locator("#said")).to_contain_text("2 / 3")
        expect(page.get_by_text("有新的作答")).to_be_visible()
    append(path, [sample_of("q3"), end_of()])
    expect(page.locator("#figures")).to_contain_text("已完成")
    expect(page.locator("#figures[data-live]")).to_have_count(0)
    assert page.evaluate("window.untouched")
    assert page.locator("details.about").get_attribute("open") is not None
    page.get_by_text("有新的作答").click()
    expect(page.locator("table.answers tbody tr")).to_have_count(3)


def test_two_logs_that_were_ticked_are_compared(page: Page, serve_app: Any, run: Path) -> None:
    page.goto(serve_app(lambda: view_app(Places([run]))) + "/evals?task=mini-zh-tw")
    for box in page.locator("input[name=log]").all():
        box.check()
    page.get_by_role("button", name="比較勾選的紀錄").click()
    expect(page).to_have_url(re.compile(r"/compare\?log=.*&log="))
    expect(page.locator("h1")).to_be_visible()


def test_one_file_is_filtered_and_searched_without_a_server(
    page: Page, run: Path, tmp_path: Path, accessible: Any, look: Any
) -> None:
    target = tmp_path / "log.html"
    target.write_text(export([run / "logs" / "trained-mini-zh-tw.jsonl"], "zh-TW"), "utf-8")
    page.goto(target.as_uri())
    seen = page.locator("details.exported:visible")
    expect(seen).to_have_count(60)
    look(page, "evals-export")
    page.locator("#outcome").select_option("wrong")
    expect(seen).to_have_count(12)
    page.get_by_label("題目、回覆或編號中的文字").fill("沒有這樣的文字")
    expect(seen).to_have_count(0)
    page.get_by_label("題目、回覆或編號中的文字").fill("我想應該是")
    expect(seen).to_have_count(12)
    seen.first.locator("summary").first.click()
    expect(seen.first.locator(".why").first).to_contain_text("正確答案是")
    accessible(page)


def test_a_hostile_log_does_nothing(page: Page, serve_app: Any, tmp_path: Path) -> None:
    """The page fixture fails on dialogs, errors, and requests to anybody else."""
    attack = (
        "</pre></script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>"
        "<a href='javascript:alert(3)'>x</a><svg onload=alert(4)>"
    )
    records = [sample_of(attack, "wrong", text=attack, why=attack, subject=attack, gold=attack)]
    path = write_log(tmp_path / "a.jsonl", start_of([attack], samples=1), *[
        {**record, "scores": {attack: record["scores"]["box"]}} for record in records
    ])  # fmt: skip
    url = serve_app(lambda: view_app(Places([tmp_path])))
    page.goto(f"{url}/evals")
    page.goto(f"{url}/evals/log?path={path}")
    page.locator("a.row").first.click()
    expect(page.locator("h1")).to_contain_text("<script>alert(1)</script>")
    target = tmp_path / "log.html"
    target.write_text(export([path], "en"), "utf-8")
    page.goto(target.as_uri())
    page.locator("details.exported summary").first.click()
    expect(page.locator("pre").first).to_be_visible()
