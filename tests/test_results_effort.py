"""What answers cost and in which Chinese they are: sums over what a log holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evals_arithmetic import scored, start
from formosa.results.effort import effort, purity
from formosa.results.log import EvalLog
from formosa.results.report import effort_row


def log_of(*samples: dict[str, Any]) -> EvalLog:
    return EvalLog(Path("x"), start(), [scored(f"q{i}", **s) for i, s in enumerate(samples)])


def test_tokens_and_seconds_are_summed_over_the_answers() -> None:
    log = log_of(
        {"reply": {"usage": [10, 3, 0]}, "seconds": 1.0},
        {"reply": {"usage": [20, 4, 9]}, "seconds": 3.0},
        {"reply": {"usage": None}, "seconds": 2.0},
        {"outcome": "failed", "reply": None, "seconds": 99.0},
    )
    assert effort(log)._asdict() == {
        "answers": 3, "prompt_tokens": 30, "completion_tokens": 7, "median_s": 2.0, "total_s": 6.0,
    }  # fmt: skip


def test_a_log_of_a_server_that_counts_no_tokens_says_none_not_zero() -> None:
    made = effort(log_of({"reply": {"usage": None}}))
    assert (made.prompt_tokens, made.completion_tokens, made.median_s) == (None, None, None)
    assert effort_row(log_of({}))["reply tokens"] is None


def test_purity_is_a_share_of_all_han_characters_not_a_mean_of_shares() -> None:
    log = log_of({"purity": [90, 9, 0]}, {"purity": [10, 0, 2]}, {"purity": None})
    assert purity(log) == (100, 0.09, 0.02)
    row = effort_row(log)
    assert (row["% Simplified"], row["% mainland"]) == ("9.00", "2.00")


def test_replies_without_han_characters_have_no_purity() -> None:
    assert purity(log_of({"purity": [0, 0, 0]})) == (0, None, None)
    assert effort_row(log_of({"purity": [0, 0, 0]}))["% mainland"] is None
