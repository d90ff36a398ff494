"""The pictures of README and docs, made from a finished run: real pages, real model, real logs.

    make demo && .venv/bin/python docs/screenshots.py runs/mini

Writes docs/images/*.png. Needs Chromium (make test-browser installs Debian's).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
IMAGES = HERE / "images"
QUESTION = "台北現在幾度？"


def main() -> None:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mini")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("FORMOSA_CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox"],
        )
        page = browser.new_page(viewport={"width": 1180, "height": 760}, locale="zh-TW")
        with serving("view", str(run)) as url:
            view(page, url, run)
        tools = str(HERE.parent / "examples" / "tools_weather.py")
        with serving("serve", str(run), "--tools", tools, "--hold-calls") as url:
            chat(page, url.removesuffix("/v1"))
        browser.close()


def view(page: Page, url: str, run: Path) -> None:
    """The pages over files."""
    log = str(run / "logs" / "trained-bfcl-simple.jsonl")
    pages = {
        "evaluation": f"/evals/log?{urlencode({'path': log})}",
        "comparison": f"/compare?{urlencode({'run': str(run)})}",
        "training": f"/training?{urlencode({'run': str(run)})}",
        "card-check": f"/card?{urlencode({'path': str(run / 'README.md')})}",
        "leaderboard": "/leaderboard",
    }
    for name, address in pages.items():
        page.goto(url + address)
        take(page, name)
    # A wrong answer and its reason, as somebody would find them.
    page.goto(url + pages["evaluation"])
    page.locator("a.tag.wrong").first.click()
    page.locator("a[href^='/evals/sample']").first.click()
    take(page, "question")


def chat(page: Page, url: str) -> None:
    """A question that needs a tool, answered by the run's own model."""
    page.set_default_timeout(120_000)  # milliseconds; two cores may be busy
    page.goto(f"{url}/chat")
    page.get_by_label("token 上限").fill("200")
    page.get_by_role("checkbox", name="list_cities").uncheck()
    page.get_by_role("checkbox", name="一次回覆可以有多個呼叫").uncheck()
    page.get_by_placeholder("Enter").fill(QUESTION)
    page.get_by_role("button", name="送出").click()
    page.locator("#stop").wait_for()  # while the model writes, it stands where "send" was
    page.locator("#send").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    take(page, "chat")


def take(page: Page, name: str) -> None:
    target = IMAGES / f"{name}.png"
    page.screenshot(path=str(target))
    print(target)


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """A server of ours, until the block ends; gives its address."""
    command = [sys.executable, "-m", "formosa.cli.main", *arguments, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.rstrip().endswith("}"):
                break
        try:
            yield json.loads(said)["url"]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
