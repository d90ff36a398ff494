"""The page of curves: one file, readable by everybody, also while a training runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from formosa.cli.train_page import page as page_command
from formosa.errors import DataError
from formosa.train.curves import CHARTS, POINTS, Point, Story, read_story, smoothed, thinned
from formosa.train.page import page, scale, write_page

VOID = {"meta", "path", "br"}
FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps what a reader would meet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]


def step(number: int, **values: Any) -> dict[str, Any]:
    figures = {"loss": 2 / number, "learning_rate": 1e-3, "grad_norm": 1.5}
    figures |= {"seconds": 61.0 * number, "tokens_per_second": 400.0, "peak_memory_gb": 4.2}
    return {"type": "step", "step": number, **figures, **values}


def measured(number: int, right: int) -> dict[str, Any]:
    exact = {"correct": right, "of": 8}
    return {"type": "measured", "step": number, "loss": 0.5, "exact_call": exact}


def run(folder: Path, records: Iterable[dict[str, Any]], *, summary: bool = False) -> Path:
    (folder / "train").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "train" / "log.jsonl").write_text(lines, encoding="utf-8")
    if summary:
        (folder / "train" / "summary.json").write_text('{"tokens": 73177}', encoding="utf-8")
    return folder


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    records = [step(n) for n in range(1, 21)] + [measured(10, 3), measured(20, 6)]
    return run(tmp_path / "mini", records, summary=True)


def read(*runs: Path) -> Reader:
    return Reader(page([read_story(folder) for folder in runs]))


def test_every_quantity_has_a_picture_and_a_table(mini: Path) -> None:
    reader = read(mini)
    assert reader.count("section") == reader.count("svg") == len(CHARTS)
    assert reader.count("table") == len(CHARTS) + 1
    for picture in reader.of("svg"):
        assert picture["role"] == "img"
        ids = {attributes.get("id") for _, attributes in reader.tags}
        assert set(str(picture["aria-labelledby"]).split()) <= ids, "its name is on the page"


def test_it_says_how_a_run_stands(mini: Path, tmp_path: Path) -> None:
    text = " ".join(read(mini).texts)
    for words in ("finished", "20", "73,177", "6 of 8", "20 min 20 s", "400"):
        assert words in text
    running = run(tmp_path / "running", [step(1)])
    assert "not finished" in " ".join(read(running).texts)


def test_it_loads_nothing_and_runs_nothing(mini: Path) -> None:
    """It can be sent by mail and opened in ten years."""
    text = page([read_story(mini)])
    reader = Reader(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"https?:|url\(|@import|\bon\w+=|src=|href=", text)
    policy = [meta for meta in reader.of("meta") if meta.get("http-equiv")]
    assert policy[0]["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_a_name_is_only_text(tmp_path: Path) -> None:
    name = "<script>alert(1)<&\"'臺灣"
    reader = read(run(tmp_path / name, [step(1), step(2)]), run(tmp_path / "b", [step(1)]))
    assert reader.count("script") == 0
    assert any(name in text for text in reader.texts)


def test_light_and_dark_have_their_colours(mini: Path) -> None:
    text = page([read_story(mini)])
    assert "color-scheme:light dark" in text and "prefers-color-scheme:dark" in text


def test_runs_are_told_apart_by_colour_and_by_name(mini: Path, tmp_path: Path) -> None:
    others = [run(tmp_path / f"run{n}", [step(1), step(2, loss=n)]) for n in range(7)]
    reader = read(mini, *others)
    classes = {str(attributes["class"]) for attributes in reader.of("path") if attributes["class"]}
    assert {"line c0", "line c5", "line c0 d1"} <= classes, "the seventh repeats one, in dashes"
    assert any("run6, training: 6 at step 2" in text for text in reader.texts)
    assert "8 runs" in " ".join(reader.texts)


def test_the_table_has_every_measurement_and_few_steps(tmp_path: Path) -> None:
    records = [step(n) for n in range(1, 1001)] + [measured(333, 2), measured(777, 4)]
    reader = read(run(tmp_path / "long", records))
    rows = reader.count("tr")
    assert rows < 200
    assert {"333", "777", "1000"} <= set(reader.texts)


def test_a_long_log_stays_a_small_file(tmp_path: Path) -> None:
    target = write_page(
        [run(tmp_path / "long", (step(n, loss=math.sin(n)) for n in range(1, 20_001)))],
        tmp_path / "page.html",
    )
    assert target.stat().st_size < 250_000


@pytest.mark.parametrize(
    "records",
    [
        [],
        [step(1)],
        [step(1, loss=0.0), step(2, loss=0.0)],
        [step(1, loss=float("nan")), step(2, loss=float("inf"))],
        [{"type": "step", "step": 1, "loss": 1.0}],
        [{"type": "measured", "step": 3, "loss": 0.5}],
        [
            step(5),
            {"type": "spike", "step": 5, "loss": 9.0, "usual": 1.0},
            {"type": "x", "step": 6},
        ],
    ],
)
def test_little_or_odd_logs_are_drawn_as_far_as_they_go(
    tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    reader = read(run(tmp_path / "odd", records))
    assert reader.count("h1") == 1
    for attributes in reader.of("path"):
        assert "nan" not in str(attributes["d"]) and "inf" not in str(attributes["d"])


def test_a_line_that_is_being_written_is_left_out(mini: Path) -> None:
    log = mini / "train" / "log.jsonl"
    log.write_text(log.read_text(encoding="utf-8") + '{"type": "st', encoding="utf-8")
    assert len(read_story(mini).records) == 22


@pytest.mark.parametrize("place", ["", "train", "train/log.jsonl"])
def test_a_run_its_folder_or_its_log_may_be_named(mini: Path, place: str) -> None:
    story = read_story(mini / place)
    assert (story.name, len(story.records)) == ("mini", 22)


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train/log\.jsonl"):
        read_story(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no log of a training"):
        read_story(tmp_path)


@given(st.lists(FINITE, min_size=1, max_size=2000))
def test_thinning_keeps_the_extremes_and_the_order(values: list[float]) -> None:
    points = [Point(i, value) for i, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= POINTS + 2
    assert list(kept) == sorted(kept)
    assert {max(values), min(values)} <= {point.value for point in kept}


@given(st.lists(FINITE, min_size=1, max_size=200))
def test_a_smoothed_curve_stays_within_its_points(values: list[float]) -> None:
    found = smoothed([Point(i, value) for i, value in enumerate(values)])
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert [point.step for point in found] == list(range(len(values)))
    assert all(min(values) - slack <= p.value <= max(values) + slack for p in found)


@given(FINITE, FINITE, st.booleans())
def test_an_axis_holds_its_values_and_names_a_few(a: float, b: float, whole: bool) -> None:
    low, high = sorted((math.floor(a), math.floor(b)) if whole else (a, b))
    axis = scale(low, high, 100, 0, whole=whole)
    assert len(axis.ticks) <= 8
    for value in (low, high, *axis.ticks):
        assert -0.1 <= axis(value) <= 100.1
    assert list(axis.ticks) == sorted(set(axis.ticks))


def test_the_command_writes_beside_the_log_or_where_it_is_told(mini: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(page_command, [str(mini)]).stdout.strip() == str(
        mini / "train" / "page.html"
    )
    target = tmp_path / "both.html"
    result = runner.invoke(page_command, [str(mini), str(mini), "--out", str(target), "--json"])
    assert json.loads(result.stdout) == {"page": str(target)}
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_story_without_anything_has_no_curves() -> None:
    story = Story("x", (), None)
    assert all(chart.curves(story) == [] for chart in CHARTS)
    assert "Nothing has been logged yet." in page([story])
