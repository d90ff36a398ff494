"""Comparison and leaderboard in a real browser: choosing, filtering, sorting, saving pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page, expect
from starlette.applications import Starlette

from compare_logs import HOSTILE, invented, log_at
from formosa.web.app import create_pages
from formosa.web.compare import pages as compare
from formosa.web.leaderboard import pages as leaderboard
from formosa.web.places import Places
from formosa.web.site import Link

Look = Callable[[Page, str], None]
Accessible = Callable[[Page], None]
ServeApp = Callable[[Callable[[], Starlette]], str]
SVG = "{http://www.w3.org/2000/svg}"


def app(*roots: Path) -> Callable[[], Starlette]:
    routes = [*compare.routes(), *leaderboard.routes()]
    links = (Link("Leaderboard", "/leaderboard"), Link("Comparison", "/compare"))
    return lambda: create_pages(Places(roots), routes, links)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    invented(folder, questions=120, subjects=6, repeats=2, scorers=("box", "pattern"))
    return folder


def saved(page: Page, label: str) -> tuple[str, bytes]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label).click()
    path = waiting.value.path()
    return waiting.value.suggested_filename, Path(path).read_bytes()


def colours(png: bytes) -> set[bytes]:
    """The distinct pixels of some rows, undone as far as counting them needs."""
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(data)
    return {raw[i : i + 4] for i in range(0, len(raw), 401)}


def test_three_models_are_chosen_compared_and_their_changes_looked_at(
    page: Page, serve_app: ServeApp, accessible: Accessible, look: Look, logs: Path
) -> None:
    url = serve_app(app(logs))
    page.goto(f"{url}/compare?lang=en")
    look(page, "compare-choose")
    accessible(page)
    form = page.get_by_role("group", name="sums")
    for box in form.get_by_role("checkbox").all():
        box.check()
    form.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Comparison: sums")
    expect(page.get_by_text("more than chance explains").first).to_be_visible()
    look(page, "compare-logs")
    accessible(page)

    page.get_by_label("Reference").select_option("B")
    page.get_by_label("Scorer of the details").select_option("pattern")
    page.get_by_role("button", name="Show").click()
    changed = page.get_by_role("heading", name="What changed from B")
    expect(changed).to_contain_text("by pattern")

    page.get_by_role("link", name="answers: correct, then wrong").click()
    rows = page.locator("details.changed")
    assert rows.count() > 0
    assert set(rows.evaluate_all("rows => rows.map(row => row.dataset.now)")) == {"wrong"}
    rows.first.locator("summary").press("Enter")
    expect(rows.first.locator("pre").first).to_contain_text("is correct.")
    expect(rows.first.locator("pre").last).to_contain_text("is wrong.")
    accessible(page)
    page.get_by_role("link", name="繁體中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("比較：sums")
    expect(page.locator("details.changed")).to_have_count(rows.count())
    page.emulate_media(color_scheme="dark")
    accessible(page)


def test_a_picture_is_saved_as_svg_and_png_and_a_table_as_csv(
    page: Page, serve_app: ServeApp, logs: Path
) -> None:
    url = serve_app(app(logs))
    names = [f"{name}-sums.jsonl" for name in ("base", "trained")]
    query = "&".join(f"log={logs / name}" for name in names)
    page.goto(f"{url}/compare?lang=en&{query}")

    name, data = saved(page, "Save as an SVG picture: Scatter by subject")
    assert name.endswith(".svg")
    root = ElementTree.fromstring(data)
    points = [dot for dot in root.iter(f"{SVG}circle") if "rgb" in (dot.get("fill") or "")]
    assert len(points) == 6
    assert not [part for part in root.iter() if part.get("class") or part.get("style")]

    name, data = saved(page, "Save as a PNG picture: Scatter by subject")
    assert name.endswith(".png")
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (1200, 1200)
    assert len(colours(data)) > 5, "the picture is not empty"

    name, data = saved(page, "Save as a CSV table: Difference by subject")
    lines = data.decode("utf-8-sig").splitlines()
    assert name.endswith(".csv")
    assert len(lines) == 7
    assert lines[1].startswith("subject 0,")
    assert "'+" in lines[1], "what begins with a sign is no formula"


def test_an_exported_file_filters_by_itself_and_runs_nothing_of_a_model_s(
    page: Page, accessible: Accessible, look: Look, tmp_path: Path
) -> None:
    subjects = {f"q{n}": HOSTILE if n % 2 else "law" for n in range(12)}
    base = {f"q{n}": "cwut"[n % 4] for n in range(12)}
    made = [
        log_at(tmp_path / f"{name}.jsonl", answers, model=f"{name} {HOSTILE}", subjects=subjects,
               replies=dict.fromkeys(answers, HOSTILE)).path
        for name, answers in (("a", base), ("b", {id: "w" if one == "c" else "c"
                                                  for id, one in base.items()}))
    ]  # fmt: skip
    target = tmp_path / "page.html"
    target.write_text(compare.export(made, "en"), encoding="utf-8")
    page.goto(target.as_uri())
    expect(page).to_have_title("Comparison · sums · Formosa")
    assert page.locator("main img, main iframe").count() == 0
    rows = page.locator("details.changed:not([hidden])")
    expect(rows).to_have_count(12)
    form = page.get_by_role("form", name="Filter the changed answers")
    form.locator("select[name=was]").select_option("correct")
    expect(rows).to_have_count(3)
    expect(page.get_by_role("status")).to_have_text("3 of 12 changed answers")
    form.locator("select[name=was]").select_option("not-correct")
    form.locator("select[name=subject]").select_option("=law")
    expect(rows).to_have_count(3)
    rows.first.locator("summary").click()
    accessible(page)
    look(page, "compare-file")


def test_the_leaderboard_is_sorted_by_keyboard_and_saved(
    page: Page, serve_app: ServeApp, accessible: Accessible, look: Look, tmp_path: Path
) -> None:
    for number, (model, right) in enumerate((("org/good", 33), ("org/poor", 9), (HOSTILE, 31))):
        for task, shift in (("tmmluplus", 0), ("mmlu", 6 * number)):
            answers = {f"q{n}": "c" if n < right + shift else "w" for n in range(50)}
            log_at(tmp_path / f"{number}-{task}.jsonl", answers, model=model, task=task,
                   scorers=("box", "pattern"))  # fmt: skip
    (tmp_path / "README.md").write_text(
        "---\nlicense: mit\n---\n\n| Model | mode | TMMLU+ |\n|---|---|---|\n"
        "| [x](javascript:alert(1)) | box | 44.11 (±0.0179) |\n",
        encoding="utf-8",
    )
    page.goto(f"{serve_app(app(tmp_path))}/leaderboard?lang=en")
    table = page.get_by_role("table").first
    head = table.get_by_role("columnheader", name="MMLU", exact=True)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    values = "rows => rows.map(row => Number(row.cells[3].dataset.value))"
    found = table.locator("tbody tr").evaluate_all(values)
    assert found == sorted(found, reverse=True)
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert table.locator("tbody tr").evaluate_all(values) == sorted(found)
    assert page.locator("main img").count() == 0
    expect(page.get_by_role("heading", name="Claimed in model cards")).to_be_visible()
    name, data = saved(page, "Save as a CSV table: Multiple choice")
    assert name == "leaderboard-choice.csv"
    assert b"66.0000" in data
    accessible(page)
    look(page, "leaderboard")
