"""How a training stands, by its log, its lock and its recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from formosa.files import is_locked
from formosa.run.state import LOCK, locked
from formosa.web.training.state import FRESH, read_run, replies, speed
from web_run import reply, run, step


def test_finished_running_and_stopped_are_told_apart(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1), step(2)])
    with locked(folder):
        assert read_run(folder).state == "running"
    assert read_run(folder).state == "stopped", "its lock is there, and nobody holds it"
    (folder / "train" / "summary.json").write_text('{"steps": 2}', encoding="utf-8")
    assert read_run(folder).state == "finished"


def test_without_a_lock_a_fresh_log_is_running(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1)])
    log = folder / "train" / "log.jsonl"
    os.utime(log, (1000, 1000))
    assert read_run(folder, now=1000 + FRESH - 1).state == "running"
    assert read_run(folder, now=1000 + FRESH + 1).state == "stopped"


def test_asking_for_the_lock_leaves_it_alone(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / LOCK)
    assert list(tmp_path.iterdir()) == [], "no lock is made by asking"
    with locked(tmp_path):
        assert is_locked(tmp_path / LOCK)
        assert is_locked(tmp_path / LOCK)
    assert not is_locked(tmp_path / LOCK)
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    ("train", "report", "count"),
    [
        ({"rows_per_step": 4}, {"samples": 197}, 50),
        ({"rows_per_step": 4, "epochs": 2.5}, {"samples": 197}, 125),
        ({"rows_per_step": 4, "max_steps": 30}, {"samples": 197}, 30),
        ({"rows_per_step": 4, "packing": True}, {"samples": 197}, None),
        ({"packing": True, "max_steps": 30}, {"samples": 197}, 30),
        ({"rows_per_step": "x"}, {"samples": 197}, None),
        ({"rows_per_step": True, "epochs": float("nan")}, {"samples": -1}, None),
        ({}, {}, None),
    ],
)
def test_steps_are_reckoned_where_nobody_says_them(
    tmp_path: Path, train: dict[str, Any], report: dict[str, Any], count: int | None
) -> None:
    folder = run(tmp_path / "r", [step(1)], train=train)
    meta = folder / "train" / "tokens" / "meta.json"
    meta.parent.mkdir()
    meta.write_text(json.dumps({"report": report}), encoding="utf-8")
    steps = read_run(folder).steps
    assert (steps.number if steps else None) == count
    assert not steps or not steps.known


def test_what_the_log_says_of_its_steps_is_believed_first(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1, steps=77)], train={"max_steps": 30})
    steps = read_run(folder).steps
    assert steps == (77, True)


def test_the_time_left_follows_from_the_latest_steps(tmp_path: Path) -> None:
    records = [step(n, seconds=n * 10.0, steps=100) for n in range(1, 41)]
    folder = run(tmp_path / "r", records)
    with locked(folder):
        assert read_run(folder).left == pytest.approx(600)
    assert read_run(folder).left is None, "nobody works on it"


def test_a_log_that_grows_is_read_again(tmp_path: Path) -> None:
    folder = run(tmp_path / "r", [step(1)])
    assert read_run(folder).step == 1
    run(folder, [step(1), step(2)])
    assert read_run(folder).step == 2


def test_replies_are_grouped_by_step_the_latest_first() -> None:
    found = replies([reply(5, True), {"type": "reply", "step": "x"}, reply(9, False, row="x")])
    assert list(found) == [9, 5]
    assert found[9][0].row == 0 and not found[9][0].right


def test_the_speed_is_the_median(tmp_path: Path) -> None:
    records = [step(n, tokens_per_second=value) for n, value in enumerate((1, 100, 3), 1)]
    assert speed(read_run(run(tmp_path / "r", records)).story) == 3
    assert speed(read_run(run(tmp_path / "s", [{"type": "step", "step": 1}])).story) is None
