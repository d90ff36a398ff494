"""Figures as rows: narrow enough for a terminal, whole enough for a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals_arithmetic import scored, start
from formosa.errors import LogError
from formosa.results.log import EvalLog, read_log
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import Difference
from formosa.results.report import (
    changed,
    figures,
    log_rows,
    not_correct,
    points,
    score_rows,
    subject_rows,
)


def log_of(*outcomes: str, **changes: object) -> EvalLog:
    samples = [
        scored(f"q{n}", outcome, subject="even" if n % 2 == 0 else "odd", gold=n)
        for n, outcome in enumerate(outcomes)
    ]
    return EvalLog(Path("x.jsonl"), start(samples=len(samples), **changes), samples)  # type: ignore[arg-type]


def test_a_row_holds_the_score_its_interval_and_all_five_outcomes() -> None:
    (row,) = score_rows(log_of("correct", "wrong", "unparsed", "failed"))
    assert row["% correct (95 %)"] == "25.0 (4.6–69.9)"
    assert [row[name] for name in ("correct", "wrong", "unparsed", "truncated", "failed")] == [
        1, 1, 1, 0, 1,
    ]  # fmt: skip
    assert row["asked"] == "4×1"


def test_subjects_have_rows_of_their_own() -> None:
    rows = subject_rows(log_of("correct", "wrong", "correct"), "exact")
    assert [(row["subject"], row["asked"]) for row in rows] == [("even", "2×1"), ("odd", "1×1")]


def test_a_difference_has_a_sign_and_a_true_minus() -> None:
    assert points(Difference(0.04, -0.012, 0.092, 9, 5, 2, 0.4)) == "+4.0 (−1.2 … +9.2)"


def test_figures_are_shares_and_an_empty_log_has_none() -> None:
    made = figures(log_of("correct", "wrong", "correct"))
    assert made["scorers"]["exact"]["subject_mean"] == 0.5
    assert made["scorers"]["exact"]["score"]["value"] == pytest.approx(2 / 3)
    assert (made["answers"], made["planned"], made["finished"]) == (3, 3, False)
    assert figures(log_of())["scorers"] == {}


def test_what_is_not_correct_is_found_by_outcome() -> None:
    log = log_of("correct", "wrong", "unparsed", "wrong")
    assert [s["id"] for s in not_correct(log, "exact")] == ["q1", "q2", "q3"]
    assert [s["id"] for s in not_correct(log, "exact", "wrong")] == ["q1", "q3"]
    assert [s["id"] for s in not_correct(log, "exact", "correct")] == ["q0"]
    with pytest.raises(LogError, match="No sample ends as 'perfect'"):
        list(not_correct(log, "exact", "perfect"))


def test_changes_are_those_of_samples_that_both_logs_hold() -> None:
    a = log_of("correct", "wrong", "unparsed")
    b = log_of("correct", "correct", "wrong", "wrong")
    rows = changed(a, b, "exact")
    assert [(row["id"], row["a"], row["b"], row["right"]) for row in rows] == [
        ("q1", "wrong", "correct", 1), ("q2", "unparsed", "wrong", 2),
    ]  # fmt: skip
    assert changed(a, a, "exact") == []


def test_changes_of_a_scorer_that_stands_elsewhere_in_the_other_log() -> None:
    def two(first: str, second: str, exact: str) -> EvalLog:
        other = {"outcome": "wrong", "answer": None, "why": ""}
        record = scored("q", exact)
        record["scores"] = {"exact": record["scores"]["exact"], "odd": other}
        return EvalLog(Path("x"), start(scorers=(first, second)), [record])

    rows = changed(two("exact", "odd", "correct"), two("odd", "exact", "wrong"), "exact")
    assert [(row["a"], row["b"]) for row in rows] == [("correct", "wrong")]


def test_logs_below_a_folder_are_listed_and_damaged_ones_told(tmp_path: Path) -> None:
    good = tmp_path / "deep" / "good.jsonl"
    with LogWriter(good, start()) as writer:
        writer.append(scored("a"))
        writer.append(scored("b", "failed"))
    (tmp_path / "damaged.jsonl").write_bytes(good.read_bytes() + b"{}\n")
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n')
    rows, problems = log_rows(tmp_path)
    assert [(row["answers"], row["failed"], row["% correct"]) for row in rows] == [
        ("2/2", 1, "50.0"),
    ]
    assert rows[0]["state"] == "interrupted"
    assert "damaged" in problems[0].message


def test_a_log_without_answers_is_listed_without_a_score(tmp_path: Path) -> None:
    """A run that has just begun, or was stopped before its first answer."""
    LogWriter(tmp_path / "begun.jsonl", start()).close()
    rows, problems = log_rows(tmp_path)
    assert problems == []
    assert (rows[0]["% correct"], rows[0]["answers"], rows[0]["state"]) == (
        None, "0/2", "interrupted",
    )  # fmt: skip


def test_of_several_scorers_a_list_shows_the_main_one(tmp_path: Path) -> None:
    record = scored("a", "wrong")
    record["scores"]["odd"] = {**record["scores"]["exact"], "outcome": "correct"}
    with LogWriter(tmp_path / "x.jsonl", start(scorers=("odd", "exact"))) as writer:
        writer.append(record)
    ((row,), _) = log_rows(tmp_path)
    assert (row["scorer"], row["% correct"]) == ("odd", "100.0")
    assert [row["scorer"] for row in score_rows(read_log(tmp_path / "x.jsonl"))] == ["odd", "exact"]
