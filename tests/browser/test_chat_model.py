"""The chat page with real weights and the real command: what a person has after one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chat_talk import ended, replies, say, visit

pytestmark = pytest.mark.model

ROOT = Path(__file__).parents[2]
SECOND = 1000  # milliseconds
COMMAND = [
    sys.executable, "-m", "formosa.cli.main",
    "serve", "smollm2-135m", "--template", "chatml", "--port", "0", "--context", "1024",
    "--json", "--tools", str(ROOT / "examples" / "tools_weather.py"),
]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    log = tmp_path_factory.mktemp("log") / "calls.jsonl"
    process = subprocess.Popen(
        [*COMMAND, "--tool-log", str(log)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the server ended"
        yield {**json.loads(line), "log": log}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def test_one_command_gives_a_page_that_streams_calls_and_shows_its_tokens(
    page: Page, served: dict[str, Any], accessible: Any
) -> None:
    page.context.set_default_timeout(60 * SECOND)
    visit(page, served["chat"])
    page.get_by_label("token 上限").fill("24")
    page.get_by_label("token 與機率").check()
    page.get_by_label("可以呼叫哪些").select_option("none")
    say(page, "Name three colours.")
    ended(page)
    expect(replies(page).locator(".facts-line")).to_contain_text("每秒", timeout=60 * SECOND)
    page.get_by_role("button", name="原始文字").click()
    assert 0 < page.locator(".token").count() <= 25
    raw = page.locator("section.raw pre").first.inner_text()
    assert raw.strip() == "".join(page.locator(".token").all_inner_texts()).replace("⏎", "").strip()
    page.get_by_label("token 上限").fill("60")
    page.get_by_label("可以呼叫哪些").select_option("name:get_weather")
    say(page, "What is the weather in 台北?")
    ended(page)
    first = page.locator("section.call").first
    expect(first.locator("code")).to_have_text("get_weather")
    accessible(page)
    for line in served["log"].read_text("utf-8").splitlines():
        assert json.loads(line)["name"] == "get_weather"


@pytest.mark.parametrize("language", ["python", "curl"])
def test_copied_code_gives_the_same_reply_from_the_server_process(
    page: Page, served: dict[str, Any], language: str
) -> None:
    page.context.set_default_timeout(60 * SECOND)
    visit(page, served["chat"])
    page.get_by_label("token 上限").fill("16")
    say(page, "Count from one to five.")
    ended(page)
    replies(page).get_by_role("button", name="複製").click()
    said = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="程式碼").click()
    page.get_by_role("radio", name=language).check()
    text = page.locator("#code-text").text_content() or ""
    program = [sys.executable, "-c"] if language == "python" else ["bash", "-c"]
    ran = subprocess.run([*program, text], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    reply = ran.stdout
    if language == "curl":
        reply = json.loads(reply)["choices"][0]["message"]["content"]
    assert said.strip() and reply.rstrip("\n") == said.rstrip("\n")
