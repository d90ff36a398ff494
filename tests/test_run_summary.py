"""The table at the end of a run."""

from __future__ import annotations

from typing import Any

from formosa.run.summary import outcome_table, score_table

OUTCOMES = {"correct": 3, "wrong": 4, "unparsed": 1, "truncated": 2, "failed": 0}
ROW: dict[str, Any] = {
    "task": "bfcl-simple",
    "scorer": "ast",
    "questions": 10,
    "repeats": 1,
    "base": {"value": 0.0, "low": 0.0, "high": 0.2775, "outcomes": {**OUTCOMES, "correct": 0}},
    "trained": {"value": 0.3, "low": 0.108, "high": 0.603, "outcomes": OUTCOMES},
    "difference": {"value": 0.3, "low": -0.021, "high": 0.59, "p": 0.25},
}


def test_scores_are_percent_with_their_interval_and_the_paired_difference() -> None:
    assert score_table([ROW]) == [
        {
            "task": "bfcl-simple",
            "read": "ast",
            "asked": "10×1",
            "base": "0 (0–28)",
            "trained": "30 (11–60)",
            "difference": "+30 (-2 to +59)",
        }
    ]


def test_all_five_outcomes_stand_for_base_and_trained() -> None:
    base, trained = outcome_table([ROW])
    assert (base["model"], trained["model"]) == ("base", "trained")
    assert {name: trained[name] for name in OUTCOMES} == OUTCOMES
    assert base["correct"] == 0


def test_a_row_of_the_table_fits_a_terminal_of_80_columns() -> None:
    longest = {**ROW, "task": "bfcl-parallel-multiple", "scorer": "pattern"}
    (row,) = score_table([longest])
    assert sum(len(str(cell)) + 2 for cell in row.values()) <= 80


def test_a_lenient_second_reading_does_not_stand_beside_the_exact_one() -> None:
    """It doubles the table; who wants it finds it in the logs and in `--json`."""
    rows = [ROW, {**ROW, "scorer": "ast_lenient"}]
    assert score_table(rows) == score_table([ROW])
    assert outcome_table(rows) == outcome_table([ROW])
