"""The training page by clicks and keys: alive while a training runs, rows with their mask."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from formosa.run.state import locked
from formosa.web.training.pages import export, routes
from web_run import measured, pages_app, reply, row, run, step

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)><a href='javascript:alert(3)'>x</a>"


def records(last: int, shift: float = 0.0) -> list[dict[str, Any]]:
    """A training that looks like one."""
    made: list[dict[str, Any]] = []
    for n in range(1, last + 1):
        noise = 0.15 * math.sin(7 * n) + 0.1 * math.sin(31 * n)
        values = {"loss": 0.3 + shift + 1.8 * math.exp(-n / 25) + noise * math.exp(-n / 90)}
        values |= {"grad_norm": 0.6 + abs(noise), "learning_rate": 1e-3 * min(1, n / 6)}
        values |= {"tokens_per_second": 380 + 40 * noise, "tokens": 2400, "steps": 160}
        made.append(step(n, **values))
        if n % 25 == 0:
            made.append({**measured(n, min(8, n // 20)), "loss": 0.35 + shift + 1 / n})
    return made


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    rows = [row(n) for n in range(1, 24)]
    summary = {"steps": 120, "method": "lora", "tokens": 288000, "trained_tokens": 51000}
    log = [*records(120), reply(120, True), reply(120, False, row=2, said="weather()", ended=False)]
    train = {"max_tokens": 720, "rows_per_step": 4, "method": "lora"}
    run(tmp_path / "mini", log, summary=summary, rows=rows, train=train)
    run(tmp_path / "other", records(60, 0.2), train=train)
    (tmp_path / "other" / ".lock").touch()
    return tmp_path


def test_from_the_list_to_a_run_to_its_rows(
    page: Page, serve_app: Any, runs: Path, accessible: Any
) -> None:
    url = serve_app(lambda: pages_app(runs, routes()))
    page.goto(f"{url}/training?lang=en")
    page.get_by_role("link", name="mini").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Training of mini")
    expect(page.get_by_text("✓ finished")).to_be_visible()
    accessible(page)
    page.get_by_role("link", name="The rows, as the model learns them").click()
    page.get_by_label("Kind").select_option("chat")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("7 of 23 rows")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_role("heading", name="row-18")).to_be_visible()
    learnt = page.locator("article", has=page.get_by_role("heading", name="row-18")).locator("ins")
    look = learnt.first.evaluate(
        "e => [getComputedStyle(e).textDecorationLine, getComputedStyle(e).color]"
    )
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert look[0] == "underline" and look[1] != ink, "by colour and by line"


def test_a_running_training_moves_without_a_reload(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    folder = run(tmp_path / "live", records(30), rows=[row(1)], train={"rows_per_step": 4})
    url = serve_app(lambda: pages_app(tmp_path, routes()))
    with locked(folder):
        page.goto(f"{url}/training?run={folder}&lang=en")
        expect(page.get_by_text("30 of 160")).to_be_visible()
        expect(page.get_by_text("▶ running")).to_be_visible()
        page.evaluate("window.untouched = true")
        page.locator("#loss-values > summary").click()
        with (folder / "train" / "log.jsonl").open("a") as log:
            log.write("".join(json.dumps(r) + "\n" for r in records(50)[31:]))
        expect(page.get_by_text("50 of 160")).to_be_visible()
        expect(page.locator("#loss-values")).to_have_attribute("open", "")
        said = page.get_by_role("status")
        expect(said).to_have_text("live: measured at step 50: held-out loss 0.37.")
    (folder / "train" / "summary.json").write_text('{"steps": 50}', encoding="utf-8")
    expect(page.get_by_text("✓ finished")).to_be_visible()
    expect(page.locator("#live[data-live]")).to_have_count(0)
    assert page.evaluate("window.untouched"), "the page was not loaded again"


def test_runs_are_laid_over_one_another(
    page: Page, serve_app: Any, runs: Path, look: Any, accessible: Any
) -> None:
    page.goto(serve_app(lambda: pages_app(runs, routes())) + "/training?lang=zh-TW")
    accessible(page)
    look(page, "trainings")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="疊在一起看").click()
    expect(page.get_by_text("■ 已停止")).to_be_visible()
    assert page.locator("#loss-head").count() == 1
    assert page.locator("section", has=page.locator("#loss-head")).locator(".name").count() == 4
    accessible(page)
    look(page, "training-two")


def test_hostile_rows_replies_and_names_stay_text(
    page: Page, serve_app: Any, tmp_path: Path
) -> None:
    messages = [{"role": "user", "content": ATTACK}, {"role": "assistant", "content": ATTACK}]
    hostile = row(1, id=ATTACK, source=ATTACK, kind=ATTACK, messages=messages)
    said = reply(1, False, asked=ATTACK, wanted=ATTACK, said=ATTACK + "\u202e\x00")
    folder = run(
        tmp_path / "<img src=x onerror=alert(9)>", [step(1), step(2), said], rows=[hostile]
    )
    url = serve_app(lambda: pages_app(tmp_path, routes()))
    page.goto(f"{url}/training?lang=en")
    page.get_by_role("link", name=folder.name).click()
    expect(page.get_by_role("heading", name=ATTACK)).to_be_visible()
    assert page.locator("main img, main script[src], main a[href^=javascript]").count() == 0
    assert page.locator("main ins", has_text=ATTACK).count() == 1


def test_the_exported_file_opens_alone_and_looks_well(
    page: Page, runs: Path, tmp_path: Path, look: Any
) -> None:
    target = tmp_path / "page.html"
    target.write_text(export([runs / "mini"], "zh-TW"), encoding="utf-8")
    page.goto(target.as_uri())
    page.locator("#loss-values > summary").click()
    expect(page.locator("#loss-values table")).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="另存為 SVG 圖檔：損失").click()
    assert saved.value.suggested_filename == "loss.svg"
    look(page, "training")
