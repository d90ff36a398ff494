"""The card's page by clicks and keys, and cards that mean harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from card_foreign import CARD
from card_run import make_run
from formosa.card.write import write_card
from formosa.web.card.pages import export, routes
from test_web_card import ATTACK
from web_run import pages_app

FAULTY = CARD.replace("license: llama3.2", "license: mitt").replace(
    "41.23 | 52.50", "41.23 | 152.5"
)


def test_a_finding_and_its_line_lead_to_each_other(
    page: Page, serve_app: Any, tmp_path: Path, look: Any, accessible: Any
) -> None:
    card = tmp_path / "README.md"
    card.write_text(FAULTY, encoding="utf-8")
    page.goto(serve_app(lambda: pages_app(tmp_path, routes())) + f"/card?path={card}&lang=en")
    accessible(page)
    finding = page.locator("li", has_text="license-unknown")
    finding.get_by_role("link", name="line 2").click()
    line = page.locator("#L2")
    expect(line).to_be_in_viewport()
    assert line.evaluate("e => e.matches(':target')")
    line.get_by_role("link", name="error, license-unknown").click()
    expect(finding).to_be_in_viewport()
    assert finding.evaluate("e => e.matches(':target')")
    look(page, "card")


def test_findings_are_filtered_by_level_and_by_code(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    card = tmp_path / "README.md"
    card.write_text(FAULTY, encoding="utf-8")
    page.goto(serve_app(lambda: pages_app(tmp_path, routes())) + f"/card?path={card}&lang=en")
    items = page.locator("ol.items > li")
    every = items.count()
    page.get_by_role("checkbox", name="claimed").uncheck()
    shown = page.locator("ol.items > li:visible").count()
    assert 0 < shown < every
    expect(page.get_by_role("status")).to_have_text(f"{shown} of {every} findings are shown")
    assert page.locator(".line .sign.claimed:visible").count() == 0
    page.get_by_label("Code").select_option("license-unknown")
    expect(page.locator("ol.items > li:visible")).to_have_count(1)
    # A link to what the filter hides shows it again.
    hidden = page.locator(".line .sign.claimed").first.get_attribute("href")
    page.evaluate(f"location.hash = '{hidden}'")
    expect(page.locator(str(hidden))).to_be_visible()


def test_keys_move_through_the_findings(page: Page, tmp_path: Path) -> None:
    card, target = tmp_path / "README.md", tmp_path / "card.html"
    card.write_text(FAULTY, encoding="utf-8")
    target.write_text(export([card], "en"), encoding="utf-8")
    page.goto(target.as_uri())
    page.locator("ol.items").focus()
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.closest('li').id")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('li').id") != first
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.closest('li').id") == first
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash").startswith("#L")


def test_a_card_of_ours_is_backed_figure_by_figure(
    page: Page, serve_app: Any, tmp_path: Path, look: Any, accessible: Any
) -> None:
    run = make_run(tmp_path)
    write_card(run)
    page.goto(serve_app(lambda: pages_app(tmp_path, routes())) + f"/card?path={run}&lang=zh-TW")
    expect(page.get_by_text("沒有錯誤，而且每個數字都有來源。")).to_be_visible()
    figure = page.locator("a.figure.backed").first
    assert "/evals/log?path=" in str(figure.get_attribute("href"))
    assert "可由" in str(figure.get_attribute("title"))
    accessible(page)
    look(page, "card-ours")


def test_two_cards_beside_each_other(
    page: Page, serve_app: Any, tmp_path: Path, look: Any, accessible: Any
) -> None:
    (tmp_path / "a.md").write_text(CARD, encoding="utf-8")
    (tmp_path / "b.md").write_text(FAULTY, encoding="utf-8")
    url = serve_app(lambda: pages_app(tmp_path, routes()))
    page.goto(f"{url}/card?path={tmp_path}/a.md&lang=en")
    page.get_by_label("Compare with another card").fill(f"{tmp_path}/b.md")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("cell", name="mitt", exact=True)).to_be_visible()
    accessible(page)
    look(page, "card-difference")
    page.get_by_role("link", name="Back to the check").click()
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()


def test_nothing_of_a_hostile_card_runs(
    page: Page, serve_app: Any, tmp_path: Path, accessible: Any
) -> None:
    """Any dialog, request elsewhere, console error or broken policy fails the test (`page`)."""
    (tmp_path / "evil.md").write_text(ATTACK, encoding="utf-8")
    (tmp_path / "worse.md").write_text(ATTACK * 3, encoding="utf-8")
    url = serve_app(lambda: pages_app(tmp_path, routes()))
    for address in (
        f"path={tmp_path}/evil.md",
        f"path={tmp_path}/evil.md&other={tmp_path}/worse.md",
    ):
        page.goto(f"{url}/card?{address}&lang=en")
        expect(page.get_by_text("alert(2)").first).to_be_visible()
        inside = "img, script, svg, iframe, base, style, a[href^=javascript], a[href^=data]"
        assert page.locator(", ".join(f"main {one}" for one in inside.split(", "))).count() == 0
        accessible(page)
    target = tmp_path / "evil.html"
    target.write_text(export([tmp_path / "evil.md"], "zh-TW"), encoding="utf-8")
    page.goto(target.as_uri())
    expect(page.get_by_text("alert(2)").first).to_be_visible()
