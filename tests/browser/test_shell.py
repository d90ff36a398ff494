"""The shell of every page in a real browser: language, colours, keyboard, and what can't get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.web.app import WORDS, create_pages
from formosa.web.page import render
from formosa.web.places import Places
from formosa.web.response import answer
from formosa.web.site import Link, Site

ATTACK = '<script>alert(1)</script><img src=x onerror="alert(2)"><a href="javascript:alert(3)">'


def pages(tmp_path: Path, **values: Any) -> Starlette:
    def show(request: Request) -> Response:
        made = render(
            "problem.html.jinja",
            Site.of(request),
            title="頁",
            words=WORDS,
            **{"heading": "標題", "message": "內容", "hint": "", **values},
        )
        return answer(request, made)

    links = [Link("Overview", "/"), Link("Evaluations", "/evals")]
    return create_pages(Places([tmp_path]), [Route("/", show), Route("/evals", show)], links)


def test_the_pages_speak_the_language_that_was_chosen_last(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    url = serve_app(lambda: pages(tmp_path))
    page.goto(url)
    expect(page.locator("html")).to_have_attribute("lang", "zh-TW")
    page.get_by_role("link", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("link", name="Evaluations").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.get_by_role("link", name="Evaluations")).to_have_attribute("aria-current", "page")


def test_the_button_changes_the_colours_and_they_stay(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(serve_app(lambda: pages(tmp_path)))
    button = page.locator("button.theme")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button.click()
    button.click()
    expect(button).to_have_attribute("aria-label", "配色：深色")
    assert page.evaluate(ground) != light
    page.reload()
    assert page.evaluate(ground) != light


def test_the_first_tab_leads_past_the_navigation(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    page.goto(serve_app(lambda: pages(tmp_path)))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="跳到內容")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_hostile_text_is_text(page: Page, serve_app: Any, tmp_path: Path) -> None:
    page.goto(serve_app(lambda: pages(tmp_path, message=ATTACK + "\u202e", heading=ATTACK)))
    expect(page.get_by_role("heading", level=1)).to_have_text(ATTACK)
    expect(page.get_by_text("\\u202e")).to_be_visible()
    assert page.locator("main script, main img, main a[href^=javascript]").count() == 0


def test_the_policy_stops_what_escaping_would_have_let_through(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    """The second wall: were a template to forget to escape, still nothing would run."""
    loose = Markup("<p id='loose'></p><script>document.title = 'run'</script>")
    url = serve_app(lambda: pages(tmp_path, message=loose))
    other = page.context.new_page()  # its console may complain: that is the point
    other.goto(url)
    assert other.locator("#loose").count() == 1
    assert other.title() == "頁 · Formosa"


def test_the_shell_is_accessible_and_fits(
    page: Page, serve_app: Any, tmp_path: Path, accessible: Any, look: Any
) -> None:
    page.goto(serve_app(lambda: pages(tmp_path, message="很長" * 300, hint="formosa view " * 20)))
    accessible(page)
    look(page, "shell")
    page.emulate_media(color_scheme="dark")
    accessible(page)


def test_an_address_that_does_not_exist_says_so(page: Page, serve_app: Any, tmp_path: Path) -> None:
    url = serve_app(lambda: pages(tmp_path))
    other = page.context.new_page()  # Chromium writes every 404 into the console
    answered = other.goto(f"{url}/nothing")
    assert answered is not None
    assert answered.status == 404
    expect(other.get_by_role("heading", level=1)).to_have_text("沒有這一頁")


def test_another_name_for_this_machine_is_refused(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    """A web page may let its own name point to 127.0.0.1, to read what is served there."""
    url = serve_app(lambda: pages(tmp_path))
    answered = page.request.get(url, headers={"host": "evil.example"})
    assert answered.status == 400
