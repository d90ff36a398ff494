"""A training's log as series of points: also while it is written, and whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.errors import DataError
from formosa.train.curves import CHARTS, POINTS, Point, Story, read_story, smoothed, thinned

FINITE = st.floats(-1e9, 1e9, allow_subnormal=False)


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    folder = tmp_path / "mini"
    (folder / "train").mkdir(parents=True)
    lines = [json.dumps({"type": "step", "step": n, "loss": 2 / n}) for n in range(1, 23)]
    (folder / "train" / "log.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


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


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=2000))
def test_thinning_keeps_the_extremes_and_the_order(values: list[float]) -> None:
    points = [Point(i, value) for i, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= POINTS + 2
    assert list(kept) == sorted(kept)
    assert {max(values), min(values)} <= {point.value for point in kept}


@settings(deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=200))
def test_a_smoothed_curve_stays_within_its_points(values: list[float]) -> None:
    found = smoothed([Point(i, value) for i, value in enumerate(values)])
    slack = 1e-6 * max(1.0, *map(abs, values))
    assert [point.step for point in found] == list(range(len(values)))
    assert all(min(values) - slack <= p.value <= max(values) + slack for p in found)


def test_a_story_without_anything_has_no_curves() -> None:
    assert all(chart.curves(Story("x", (), None)) == [] for chart in CHARTS)
