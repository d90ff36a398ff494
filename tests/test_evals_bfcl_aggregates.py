"""The figures over several categories: each has the value of its formula, or none at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.errors import DataError
from formosa.evals.bfcl.aggregates import (
    AST,
    EXECUTABLE,
    LIVE,
    SIMPLE,
    Aggregate,
    aggregates,
    counts,
    figures,
)
from formosa.results.metrics import Score


def named(known: Any, executed: Any = None) -> dict[str, Aggregate]:
    return {one.name: one for one in figures(known, executed)}


def percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


# --- published figures ---------------------------------------------------------------------------

# GPT-4o-mini in the first version of the Breeze 2 paper (table 6): shares of the paper's columns.
PAPER = {
    "simple_python": (364, 400),  # 91
    "multiple": (186, 200),  # 93
    "parallel": (180, 200),  # 90
    "parallel_multiple": (168, 200),  # 84
    "irrelevance": (185, 240),  # 77
}
PAPER_EXECUTED = {
    "executable_simple": (97, 100),
    "executable_multiple_function": (45, 50),  # 90
    "executable_parallel_function": (43, 50),  # 86
    "executable_parallel_multiple_function": (26, 40),  # 65
}


def test_overall_of_the_breeze_paper_is_weighted_by_items() -> None:
    """87 in the paper; a plain mean of its nine columns would be 86."""
    one = named(PAPER, PAPER_EXECUTED)["overall_1480"]
    assert (one.items, round(100 * (one.value or 0))) == (1480, 87)
    assert one.correct == 364 + 186 + 180 + 168 + 185 + 97 + 45 + 43 + 26


def test_the_simple_column_of_the_leaderboard_is_a_mean_over_three_languages() -> None:
    """Llama-3.1-8B (FC) stood there with 55.83 %, its Python part being another number."""
    known = {"simple_python": (202, 400), "simple_java": (63, 100), "simple_javascript": (27, 50)}
    made = named(known)
    assert percent(made["simple_mean"].value) == 55.83
    assert percent(made["simple_micro"].value) == percent(292 / 550)


def test_the_mean_of_the_four_columns_is_what_the_llama_row_fits() -> None:
    known = {
        "simple_python": (369, 400),
        "multiple": (184, 200),
        "parallel": (159, 200),
        "parallel_multiple": (148, 200),
    }
    assert percent(named(known)["ast_mean"].value) == 84.44


# --- formulas ------------------------------------------------------------------------------------

FULL = dict.fromkeys((*AST, *SIMPLE, *LIVE, "irrelevance"), (1, 2))


def test_every_figure_is_there_when_every_category_is() -> None:
    executed = dict.fromkeys((*EXECUTABLE, "rest"), (1, 2))
    assert [one.name for one in figures(FULL, executed)] == [
        "ast_mean",
        "ast_micro",
        "ast_irr",
        "simple_mean",
        "simple_micro",
        "overall_1480",
        "v1_overall",
        "v3_non_live",
        "v3_live",
        "v4_non_live",
        "v4_live",
        "v4_irrelevance",
    ]
    assert all(one.value == 0.5 for one in figures(FULL, executed))


def test_a_mean_counts_each_category_once_and_a_micro_average_each_item() -> None:
    known = {"simple_python": (400, 400), "multiple": (0, 200), "parallel": (0, 200)}
    known["parallel_multiple"] = (0, 200)
    made = named(known)
    assert made["ast_mean"].value == 0.25
    assert (made["ast_mean"].correct, made["ast_mean"].items) == (None, 1000)
    assert made["ast_micro"].value == 0.4
    assert (made["ast_micro"].correct, made["ast_micro"].items) == (400, 1000)


def test_non_live_takes_the_mean_over_languages_as_one_part() -> None:
    known = {**dict.fromkeys(AST, (1, 1)), "simple_java": (0, 1), "simple_javascript": (0, 1)}
    assert named(known)["v4_non_live"].value == pytest.approx((1 / 3 + 3) / 4)
    known["irrelevance"] = (0, 1)
    assert named(known)["v3_non_live"].value == pytest.approx((1 / 3 + 3) / 5)
    assert (
        "mean(simple_python, simple_java, simple_javascript)" in named(known)["v3_non_live"].formula
    )


def test_a_missing_category_leaves_no_value_and_is_named() -> None:
    """The leaderboard counts it as 0, which reads like a score."""
    known = {category: (1, 1) for category in AST if category != "parallel"}
    one = named(known)["ast_mean"]
    assert (one.value, one.correct, one.missing) == (None, None, ("parallel",))
    assert named(PAPER)["overall_1480"].missing == EXECUTABLE


def test_without_any_category_no_figure_has_a_value() -> None:
    assert all(one.value is None and one.items == 0 for one in figures({}))


@pytest.mark.parametrize("count", [(3, 2), (-1, 2), (0, 0)])
def test_a_count_that_cannot_be_is_refused(count: tuple[int, int]) -> None:
    with pytest.raises(DataError, match="multiple"):
        figures({"multiple": count})


@given(st.dictionaries(st.sampled_from(sorted(FULL)), st.tuples(st.integers(0, 9), st.just(9))))
def test_a_figure_lies_between_the_worst_and_the_best_of_its_categories(
    known: dict[str, tuple[int, int]],
) -> None:
    for one in figures(known):
        if one.value is not None:
            shares = [correct / items for correct, items in known.values()]
            assert min(shares) - 1e-9 <= one.value <= max(shares) + 1e-9


# --- from logs -----------------------------------------------------------------------------------


def record(category: str, number: int, outcome: str, lenient: str = "correct") -> dict[str, Any]:
    return {
        "id": f"{category}_{number}",
        "subject": category,
        "scores": {"ast": {"outcome": outcome}, "ast_lenient": {"outcome": lenient}},
    }


RECORDS = [
    record("multiple", 0, "correct"),
    record("multiple", 1, "unparsed"),
    record("multiple", 2, "failed", "failed"),
    record("parallel", 0, "truncated"),
]


def test_counts_come_from_the_records_of_logs_and_a_failed_request_is_not_correct() -> None:
    assert counts(RECORDS) == {"multiple": (1, 3), "parallel": (0, 1)}
    assert counts(RECORDS, "ast_lenient") == {"multiple": (2, 3), "parallel": (1, 1)}


def test_known_bad_items_can_be_left_out() -> None:
    assert counts(RECORDS, leave_out={"multiple_1", "parallel_0"}) == {"multiple": (1, 2)}


def score(value: float, questions: int) -> Score:
    return Score(value, 0, 1, questions, 1)


def test_families_of_tasks_are_not_mixed() -> None:
    """English and Chinese, tool calls and prompting are four measurements."""
    names = ("simple", "multiple", "parallel", "parallel-multiple")
    scores = {f"bfcl-{name}": score(0.5, 200) for name in names}
    scores |= {f"bfcl-prompt-zhtw-{name}": score(0.25, 200) for name in names[:3]}
    scores |= {f"bfcl-zhtw-{name}": score(0.75, 10) for name in names}
    scores |= {"bfcl-zhtw-simple": score(1.0, 30), "mini-zh-tw": score(1.0, 40)}
    assert aggregates(scores) == {
        "bfcl ast_mean": 0.5,
        "bfcl ast_micro": 0.5,
        "bfcl-zhtw ast_mean": pytest.approx((1 + 3 * 0.75) / 4),
        "bfcl-zhtw ast_micro": pytest.approx((30 + 3 * 7.5) / 60),
    }
