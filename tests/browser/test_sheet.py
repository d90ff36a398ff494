"""The sheet's page in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from card_run import make_run
from formosa.card.write import write_card
from formosa.web.card.pages import routes as card_routes
from formosa.web.sheet.pages import export, routes
from test_web_sheet import ATTACK, CARD
from tiny_gguf import gguf_bytes
from web_run import pages_app


def test_from_the_sheet_to_the_card_and_back(
    page: Page, serve_app: Any, tmp_path: Path, look: Any, accessible: Any
) -> None:
    run = make_run(tmp_path)
    (run / "gguf" / "model-Q8_0.gguf").write_bytes(gguf_bytes())
    write_card(run)
    url = serve_app(lambda: pages_app(tmp_path, [*routes(), *card_routes()]))
    page.goto(f"{url}/sheet?path={run}&lang=zh-TW")
    expect(page.get_by_text("✓ 可追溯").first).to_be_visible()
    accessible(page)
    look(page, "sheet")
    page.get_by_role("link", name="檢查模型卡").click()
    expect(page.get_by_role("heading", name="模型卡內文")).to_be_visible()
    page.get_by_role("link", name="模型資料表").click()
    expect(page.get_by_role("heading", name="成績")).to_be_visible()


def test_a_damaged_file_is_a_sentence(page: Page, serve_app: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf_bytes()[:100])
    url = serve_app(lambda: pages_app(tmp_path, routes()))
    # The browser says an answer of 400 in its console, which a page must not: ask without it.
    answered = page.request.get(f"{url}/sheet?path={broken}&lang=en")
    assert answered.status == 400
    page.set_content(answered.text())
    expect(page.get_by_text("broken.gguf").first).to_be_visible()


def test_a_hostile_card_stays_text(page: Page, tmp_path: Path, accessible: Any) -> None:
    card, target = tmp_path / "README.md", tmp_path / "sheet.html"
    card.write_text(CARD, encoding="utf-8")
    target.write_text(export([card], "en"), encoding="utf-8")
    page.goto(target.as_uri())
    for fold in page.locator("details > summary").all():
        fold.click()
    expect(page.get_by_text(ATTACK).first).to_be_visible()
    assert page.locator("main img, main script, main b, main a[href^=javascript]").count() == 0
    accessible(page)
