"""A real Chromium for the pages: one browser for all tests, a fresh profile for each.

A page that a test has opened fails it on anything that a visitor would not see but should know of:
an error in the console, an exception, a broken policy, a request to another machine.

Chromium is the system's (`make test-browser` installs it); FORMOSA_CHROMIUM names another one.
FORMOSA_SCREENSHOTS=FOLDER keeps the pictures that `look` takes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright
from starlette.applications import Starlette

from formosa.serve.run import listening

WIDTHS = (360, 1024, 1600)  # CSS pixels: a phone, a small laptop, a large screen
HEIGHT = 900
SETTLED = 15_000  # milliseconds that Playwright waits for anything before it gives up

Look = Callable[[Page, str], None]
Accessible = Callable[[Page], None]
ServeApp = Callable[[Callable[[], Starlette]], str]


def chromium() -> str | None:
    named = os.environ.get("FORMOSA_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium: make test-browser installs it")
    with sync_playwright() as playwright:
        # Root may not use Chromium's own sandbox, and a container's /dev/shm is small.
        found = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; what went wrong on it unseen fails the test."""
    context = browser.new_context(
        viewport={"width": 1280, "height": HEIGHT}, locale="zh-TW", accept_downloads=True
    )
    context.set_default_timeout(SETTLED)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    wrong: list[str] = []
    opened = context.new_page()

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            wrong.append(f"console {message.type}: {message.text}")

    def on_request(request: Request) -> None:
        host = urlsplit(request.url).hostname
        if request.url.startswith(("http:", "https:", "ws:", "wss:")) and host != "127.0.0.1":
            wrong.append(f"asked another machine: {request.url}")

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    opened.on("console", on_console)
    opened.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    opened.on("request", on_request)
    opened.on("dialog", on_dialog)
    yield opened
    context.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def accessible() -> Accessible:
    """Assert that axe-core finds nothing on the page as it is now."""

    def check(page: Page) -> None:
        # axe-core is put in by the test, past the page's policy: a debugger may do that.
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        problems: list[dict[str, Any]] = found.response["violations"]
        said = [
            f"{one['id']}: {one['help']} — {node['target']} {node['html'][:200]}"
            for one in problems
            for node in one["nodes"][:4]
        ]
        assert not said, "\n".join(said)

    return check


@pytest.fixture
def look() -> Look:
    """Lay the page out at three widths, light and dark: nothing may stick out of the window.

    Pictures are kept in FORMOSA_SCREENSHOTS, as `name-360-dark.png`.
    """
    folder = os.environ.get("FORMOSA_SCREENSHOTS")

    def take(page: Page, name: str) -> None:
        before = page.viewport_size
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name}: {wide} px in a window of {width} px"
            if folder:
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)
                    target = Path(folder) / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=str(target), full_page=True)
                page.emulate_media(color_scheme="light")
        if before:
            page.set_viewport_size(before)

    return take


@pytest.fixture
def serve_app() -> Iterator[ServeApp]:
    """Serve an app on a free port of this machine; gives its address without a slash at the end."""
    with ExitStack() as stack:
        yield lambda make: stack.enter_context(listening(make))
