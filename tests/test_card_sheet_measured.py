"""Claimed results against logs of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from card_run import HEX, write_lines, write_log
from formosa.card.sheet import Sheet, read_sheet
from formosa.card.sheet.measured import with_logs
from formosa.cli.card_show import show
from formosa.errors import CardError
from formosa.files import sha256_file

CARD = """---
license: mit
model-index:
- name: X
  results:
  - task: {{type: t}}
    dataset: {{type: org/exam, name: exam+}}
    metrics: [{{type: accuracy, name: single choice, value: {value}}}]
---
Words.
"""


def card(folder: Path, value: Any = 75.0) -> Path:
    path = folder / "README.md"
    path.write_text(CARD.format(value=value))
    return path


def own_log(
    folder: Path, outcomes: str, *, name: str = "rerun", finished: str = "2026-11-22T05:00:00Z",
    source: str = "https://huggingface.co/datasets/org/exam",
) -> Path:  # fmt: skip
    path = folder / "logs" / f"{name}.jsonl"
    write_log(path, task="exam", model="my-model", outcomes={"box": [outcomes], "ast": ["W" * 8]})
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[0]["task"]["source"] = source
    records[-1]["finished"] = finished
    write_lines(path, records)
    return path


def judged(folder: Path, value: Any = 75.0) -> tuple[str, str]:
    sheet: Sheet = with_logs(read_sheet(str(card(folder, value))), folder / "logs")
    (result,) = sheet.results
    return result.state, result.because


def test_a_value_inside_the_interval_is_reproduced_and_all_is_said(tmp_path: Path) -> None:
    log = own_log(tmp_path, "CCCCCCWW")
    state, because = judged(tmp_path)
    assert state == "reproduced"
    assert because.startswith("my-model got 75.00 (")
    assert "box, 8 of 400 questions × 1) in rerun.jsonl" in because
    assert f"sha256 {sha256_file(log)[:12]}" in because
    assert because.endswith("formosa eval run exam")


def test_a_value_outside_differs(tmp_path: Path) -> None:
    own_log(tmp_path, "WWWWWWWW")
    assert judged(tmp_path, 99.5)[0] == "differs"


def test_the_first_scorer_counts_and_not_the_one_that_fits(tmp_path: Path) -> None:
    """Choosing among scorers afterwards would reproduce anything."""
    own_log(tmp_path, "CCCCCCCC")
    assert judged(tmp_path, 0.0)[0] == "differs"


def test_the_newest_finished_log_counts(tmp_path: Path) -> None:
    own_log(tmp_path, "WWWWWWWW", name="old", finished="2026-11-21T05:00:00Z")
    own_log(tmp_path, "CCCCCCCC", name="new")
    unfinished = own_log(tmp_path, "WWWWWWWW", name="later", finished="2026-11-23T05:00:00Z")
    unfinished.write_text("".join(unfinished.read_text().splitlines(keepends=True)[:-1]))
    state, because = judged(tmp_path, 100)
    assert state == "reproduced"
    assert "new.jsonl" in because


def test_a_log_of_another_data_set_says_nothing(tmp_path: Path) -> None:
    own_log(tmp_path, "CCCCCCWW", source="https://huggingface.co/datasets/org/other")
    own_log(tmp_path, "CCCCCCWW", name="local", source="/my/exam.csv")
    assert judged(tmp_path) == ("claimed", "the card names no log")


@pytest.mark.parametrize("value", ["'75'", "true", ".nan", "[1]"])
def test_what_is_no_number_stays_claimed(tmp_path: Path, value: str) -> None:
    own_log(tmp_path, "CCCCCCWW")
    assert judged(tmp_path, value)[0] == "claimed"


def test_files_that_are_no_logs_are_passed_over(tmp_path: Path) -> None:
    log = own_log(tmp_path, "CCCCCCWW")
    for i, text in enumerate(('{"type": "start"}\n', "[]\n", "x", '{"a": 1}\n{"b": 2}\n')):
        (log.parent / f"{i}.jsonl").write_text(text)
    records = [json.loads(line) for line in log.read_text().splitlines()]
    records[0]["task"] = HEX
    write_lines(log.with_name("odd.jsonl"), records)
    assert judged(tmp_path)[0] == "reproduced"


def test_a_folder_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="does not exist"):
        judged(tmp_path)


def test_the_command_takes_one_log_or_a_folder(tmp_path: Path) -> None:
    log, path = own_log(tmp_path, "CCCCCCWW"), card(tmp_path)
    for logs in (log, log.parent):
        result = CliRunner().invoke(show, [str(path), "--logs", str(logs), "--json"])
        assert result.exit_code == 0
        assert json.loads(result.stdout)["results"][0]["state"] == "reproduced"
