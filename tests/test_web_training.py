"""The training page: one file for everybody, and the same page alive while a training runs."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from formosa.cli.train_page import page as page_command
from formosa.errors import DataError
from formosa.run.state import locked
from formosa.train.curves import CHARTS
from formosa.web.charts import scale
from formosa.web.training.pages import export, routes, spoken_time, trainings, write_page
from formosa.web.training.words import TRAINING
from formosa.web.words import Words
from web_run import Reader, get, measured, pages_app, reply, row, run, step

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    records = [step(n) for n in range(1, 21)] + [measured(10, 3), measured(20, 6)]
    summary = {"tokens": 73177, "trained_tokens": 13000, "steps": 20, "method": "lora"}
    return run(tmp_path / "mini", records, summary=summary)


def read(*runs: Path, lang: Any = "en") -> Reader:
    return Reader(export(runs, lang))


def app_of(root: Path) -> Starlette:
    return pages_app(root, routes())


@pytest.mark.parametrize("lang", ["en", "zh-TW"])
def test_every_quantity_has_a_picture_and_a_table(mini: Path, lang: str) -> None:
    reader = read(mini, lang=lang)
    assert reader.count("svg") == len(CHARTS)
    assert reader.count("table") == len(CHARTS) + 1
    ids = {attributes.get("id") for _, attributes in reader.tags}
    for picture in reader.of("svg"):
        assert picture["role"] == "img"
        assert set(str(picture["aria-labelledby"]).split()) <= ids, "its name is on the page"


def test_it_says_how_a_run_stands(mini: Path, tmp_path: Path) -> None:
    text = read(mini).text
    for words in ("finished", "20 of 20", "73,177", "6 of 8", "20 min 20 s", "400", "18%"):
        assert words in text
    stopped = run(tmp_path / "stopped", [step(1)])
    (stopped / ".lock").touch()
    assert "Stopped before its last step" in read(stopped).text


def test_its_chinese_has_no_english_sentence(mini: Path) -> None:
    text = read(mini, lang="zh-TW").text
    assert "已完成" in text and "保留資料" in text
    assert not re.search(r"\b(the|what|each|rows?|steps?)\b", text, re.IGNORECASE)


def test_it_loads_nothing_and_runs_only_what_it_names(mini: Path) -> None:
    """It can be sent by mail and opened in ten years."""
    text = export([mini])
    reader = Reader(text)
    assert not {"img", "iframe", "object", "form"} & {tag for tag, _ in reader.tags}
    assert not [a for _, a in reader.tags if "src" in a or "style" in a]
    assert not [name for _, a in reader.tags for name in a if name.startswith("on")]
    assert all(str(a["href"]).startswith(("#", "data:,")) for _, a in reader.tags if "href" in a)
    policy = next(meta for meta in reader.of("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])
    assert "unsafe" not in str(policy["content"])


def test_a_name_is_only_text(tmp_path: Path) -> None:
    name = "<script>alert(1)<&\"'臺灣"
    one, two = run(tmp_path / name, [step(1), step(2)]), run(tmp_path / "b", [step(1)])
    reader = read(one, two)
    assert reader.count("script") == read(two, two).count("script"), "the shell's own"
    assert any(name in text for text in reader.texts)


def test_hostile_rows_and_replies_are_only_text(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": ATTACK}, {"role": "assistant", "content": ATTACK}]
    rows = [row(1, messages=messages, id=ATTACK, kind=ATTACK, source=ATTACK)]
    records = [step(1), reply(1, False, asked=ATTACK, wanted=ATTACK, said=ATTACK + "\u202e")]
    reader = read(run(tmp_path / "x", records, rows=rows))
    assert reader.count("img") == 0
    assert reader.text.count(ATTACK) == 8
    assert "\\u202e" in reader.text, "what turns the reading order is shown"


def test_runs_are_told_apart_by_colour_and_by_name(mini: Path, tmp_path: Path) -> None:
    others = [run(tmp_path / f"run{n}", [step(1), step(2, loss=n)]) for n in range(7)]
    reader = read(mini, *others)
    classes = {str(attributes["class"]) for attributes in reader.of("path") if attributes["class"]}
    assert {"line c0", "line c5", "line c0 d1"} <= classes, "the seventh repeats one, in dashes"
    assert any("run6 · training: 6 at step 2" in text for text in reader.texts)
    assert "8 runs" in reader.text


def test_the_table_has_every_measurement_and_few_steps(tmp_path: Path) -> None:
    records = [step(n) for n in range(1, 1001)] + [measured(333, 2), measured(777, 4)]
    reader = read(run(tmp_path / "long", records))
    assert reader.count("tr") < 200
    assert {"333", "777", "1000"} <= set(reader.texts)


def test_a_long_log_stays_a_small_file(tmp_path: Path) -> None:
    long = run(tmp_path / "long", (step(n, loss=math.sin(n)) for n in range(1, 20_001)))
    assert write_page([long], tmp_path / "page.html").stat().st_size < 300_000


@pytest.mark.parametrize(
    "records",
    [
        [],
        [step(1)],
        [step(1, loss=0.0), step(2, loss=0.0)],
        [step(1, loss=float("nan")), step(2, loss=float("inf"))],
        [{"type": "step", "step": 1, "loss": 1.0}],
        [{"type": "measured", "step": 3, "loss": 0.5}],
        [{"type": "measured", "step": 3, "loss": 0.5, "exact_call": "x"}, step(4, seconds="x")],
        [step(5), {"type": "spike", "step": 5, "loss": 9.0}, {"type": "x", "step": 6}],
        [{"type": "reply", "step": 5, "asked": 3}, {"type": "reply"}],
    ],
)
def test_little_or_odd_logs_are_drawn_as_far_as_they_go(
    tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    reader = read(run(tmp_path / "odd", records))
    assert reader.count("h1") == 1
    for attributes in reader.of("path"):
        assert "nan" not in str(attributes["d"]) and "inf" not in str(attributes["d"])


def test_replies_stand_by_step_with_their_verdict(tmp_path: Path) -> None:
    records = [step(1), reply(10, False), reply(20, True), reply(20, False, ended=False)]
    reader = read(run(tmp_path / "asked", records))
    assert reader.text.index("Step 20: 1 of 2 right") < reader.text.index("Step 10: 0 of 1 right")
    assert "did not end" in reader.text and "weather(台北)" in reader.text


def test_a_recipe_with_a_bomb_is_no_recipe(tmp_path: Path) -> None:
    """A run folder may be somebody else's."""
    folder = run(tmp_path / "bomb", [step(1)])
    bomb = "a: &a [x,x]\n" + "\n".join(f"{c}: &{c} [*a,*a,*a]" for c in "bcdefgh")
    (folder / "recipe.yaml").write_text(bomb, encoding="utf-8")
    assert "Training of bomb" in read(folder).text


def test_what_became_of_the_rows_is_said(tmp_path: Path) -> None:
    report = {"read": 12, "kept": 9, "split": 1, "dropped": {"overlong": 2}, "lost_turns": 3}
    report |= {"guarded": 1, "tokens": 1000, "trained": 250, "longest": [[900, "x.jsonl:7"]]}
    summary = {"encoded": report, "steps": 1}
    folder = run(tmp_path / "x", [step(1)], summary=summary, train={"max_tokens": 720})
    text = read(folder).text
    for words in ("12 rows", "1 split", "2 dropped: longer than 720 tokens", "250", "25%"):
        assert words in text
    assert "7 900 dropped or split" in text


def test_the_command_writes_beside_the_log_or_where_it_is_told(mini: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(page_command, [str(mini)]).stdout.strip() == str(
        mini / "train" / "page.html"
    )
    target = tmp_path / "both.html"
    options = ["--out", str(target), "--json", "--lang", "zh-TW"]
    result = runner.invoke(page_command, [str(mini), str(mini), *options])
    assert json.loads(result.stdout) == {"page": str(target)}
    assert target.read_text(encoding="utf-8").startswith('<!doctype html>\n<html lang="zh-TW">')


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train/log\.jsonl"):
        export([tmp_path])


@settings(deadline=None)
@given(FINITE, FINITE, st.booleans())
def test_an_axis_holds_its_values_and_names_a_few(a: float, b: float, whole: bool) -> None:
    low, high = sorted((math.floor(a), math.floor(b)) if whole else (a, b))
    axis = scale(low, high, 100, 0, whole=whole)
    assert len(axis.ticks) <= 8
    for value in (low, high, *axis.ticks):
        assert -0.1 <= axis(value) <= 100.1
    assert list(axis.ticks) == sorted(set(axis.ticks))


# -- served -------------------------------------------------------------------------------------


def test_a_running_training_is_fetched_again_and_a_finished_one_is_not(
    mini: Path, tmp_path: Path
) -> None:
    running = run(tmp_path / "running", [step(n) for n in range(1, 9)], train={"max_steps": 100})
    app = app_of(tmp_path)
    with locked(running):
        reader = Reader(get(app, "/training", run=str(running), lang="en").text)
        live = next(a for a in reader.of("div") if a.get("id") == "live")
        assert live["data-live"] == "2000"
        assert "8 of about 100" in reader.text and "about 1 h 33 min" in reader.text
        part = get(app, str(live["data-source"]))
        assert "8 of about 100" in Reader(part.text).text
        assert not Reader(part.text).of("html"), "the part alone"
    finished = Reader(get(app, "/training", run=str(mini)).text)
    assert not [a for a in finished.of("div") if "data-live" in a]


def test_the_part_that_is_fetched_again_follows_the_log(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1)])
    app = app_of(tmp_path)
    with locked(folder):
        before = get(app, "/training/live", run=str(folder), lang="en").text
        with (folder / "train" / "log.jsonl").open("a") as log:
            log.write(json.dumps(step(2)) + "\n" + json.dumps(measured(2, 5)) + "\n")
        after = get(app, "/training/live", run=str(folder), lang="en").text
    assert "5 of 8" in after and "5 of 8" not in before
    said = [a["data-said"] for a in Reader(after).of("div") if a.get("id") == "live"]
    assert said == ["r: measured at step 2: held-out loss 0.5."]


def test_a_very_long_log_is_looked_at_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it takes a second of a processor that trains."""
    monkeypatch.setattr("formosa.web.training.pages.LONG", 3)
    folder = run(tmp_path / "r", [step(n) for n in range(1, 5)])
    with locked(folder):
        reader = Reader(get(app_of(tmp_path), "/training", run=str(folder)).text)
    assert [a["data-live"] for a in reader.of("div") if a.get("id") == "live"] == ["10000"]


def test_without_a_run_the_trainings_below_the_folders_are_listed(
    mini: Path, tmp_path: Path
) -> None:
    other = run(tmp_path / "deep" / "other", [step(1)])
    os.utime(other / "train" / "log.jsonl", (1, 1))
    assert trainings([tmp_path]) == [mini, other], "the latest first"
    reader = Reader(get(app_of(tmp_path), "/training", lang="en").text)
    assert [a["value"] for a in reader.of("input")] == [str(mini), str(other)]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "formosa run" in get(app_of(empty), "/training", lang="en").text


def test_a_run_outside_of_the_folders_is_not_shown(mini: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(mini)
    app = app_of(inside)
    for name in (str(mini), f"{inside}/../mini", str(inside / "link"), "/etc/passwd", "\0"):
        answered = get(app, "/training", run=name)
        assert answered.status_code == 404
        assert "mini 的訓練" not in answered.text


def test_rows_are_paged_and_chosen_by_the_address(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1)], rows=[row(n) for n in range(1, 31)])
    app = app_of(tmp_path)
    first = Reader(get(app, "/training", run=str(folder), lang="en").text)
    assert "30 of 30 rows" in first.text and "Page 1 of 6" in first.text
    assert "row-1" in first.text and "row-6" not in first.text
    chosen = Reader(get(app, "/training", run=str(folder), kind="chat", page="2", lang="en").text)
    assert "10 of 30 rows" in chosen.text and "row-18" in chosen.text
    links = [str(a["href"]) for a in chosen.of("a") if "page=" in str(a.get("href"))]
    assert links and all("kind=chat" in link for link in links)
    odd = get(app, "/training", run=str(folder), page="-3", kind="<b>", of="99", file="../../x")
    assert odd.status_code == 200


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(None, "–"), (True, "–"), (math.nan, "–"), (7, "7 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")],
)
def test_times_are_spoken(seconds: Any, spoken: str) -> None:
    assert spoken_time(seconds, Words("en", TRAINING)) == spoken


def test_every_text_of_the_charts_is_translated() -> None:
    texts = {text for chart in CHARTS for text in (chart.title, chart.unit, chart.note) if text}
    assert texts <= TRAINING.keys()
