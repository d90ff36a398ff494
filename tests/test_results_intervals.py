"""What must hold of every interval and every test, whatever was answered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals_arithmetic import scored, start
from formosa.errors import LogError
from formosa.results.log import OUTCOMES, EvalLog
from formosa.results.metrics import (
    Difference,
    by_subject,
    outcomes,
    paired_difference,
    permutation_test,
    score,
    wilson,
)

Z = 1.959963984540054
LETTERS = {name[0]: name for name in OUTCOMES}


def log_of(answers: Sequence[str], first: int = 0) -> EvalLog:
    """Questions from number `first` on: `["cw", "u"]`, one letter a repeat."""
    samples = [
        scored(f"q{n}", LETTERS[letter], repeat, subject="even" if n % 2 == 0 else "odd")
        for n, letters in enumerate(answers, start=first)
        for repeat, letter in enumerate(letters)
    ]
    return EvalLog(Path("x.jsonl"), start(), samples)


COUNTS = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
REPEATS = st.lists(st.text("cwutf", min_size=1, max_size=4), min_size=1, max_size=12)
ONCE = st.lists(st.sampled_from("cwutf"), min_size=1, max_size=30)


# -- Wilson's interval ----------------------------------------------------------------------------


@given(COUNTS)
def test_the_ends_are_the_shares_from_which_the_value_is_just_two_deviations_away(
    count: tuple[int, int],
) -> None:
    """Wilson's definition, which the formula only solves."""
    correct, n = count
    value = correct / n
    for end in wilson(value, n):
        assert abs(value - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / n), abs=1e-6)


@given(COUNTS)
def test_the_interval_of_what_is_wrong_is_the_mirror_of_what_is_right(
    count: tuple[int, int],
) -> None:
    correct, n = count
    low, high = wilson(correct / n, n)
    assert wilson((n - correct) / n, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(COUNTS)
def test_one_more_right_answer_moves_both_ends_up(count: tuple[int, int]) -> None:
    correct, n = count
    if correct < n:
        low, high = wilson(correct / n, n)
        more_low, more_high = wilson((correct + 1) / n, n)
        assert low < more_low
        assert high < more_high


@given(COUNTS)
def test_more_questions_of_the_same_kind_make_a_narrower_interval_inside_the_old_one(
    count: tuple[int, int],
) -> None:
    correct, n = count
    low, high = wilson(correct / n, n)
    inner_low, inner_high = wilson(correct / n, 2 * n)
    assert low <= inner_low + 1e-12
    assert inner_high <= high + 1e-12
    assert inner_high - inner_low < high - low


# -- scores ---------------------------------------------------------------------------------------


@given(REPEATS)
def test_repeats_are_worth_no_less_than_nothing_and_no_more_than_questions(
    answers: list[str],
) -> None:
    made = score(log_of(answers), "exact")
    widest = wilson(made.value, len(answers))
    narrowest = wilson(made.value, sum(map(len, answers)))
    assert widest[0] <= made.low + 1e-12
    assert made.low <= narrowest[0] + 1e-12
    assert narrowest[1] <= made.high + 1e-12
    assert made.high <= widest[1] + 1e-12


@given(ONCE, st.sampled_from("wutf"))
def test_how_an_answer_is_not_correct_makes_no_difference_to_the_score(
    answers: list[str], other: str
) -> None:
    """A failed request lowers it like a wrong answer; the counts tell them apart."""
    same = [letter if letter == "c" else other for letter in answers]
    assert score(log_of(same), "exact") == score(log_of(answers), "exact")


@given(ONCE)
def test_asking_failed_samples_again_never_lowers_the_score(answers: list[str]) -> None:
    before = score(log_of(answers), "exact")
    for letter in "cwut":
        after = score(log_of([letter if a == "f" else a for a in answers]), "exact")
        assert after.value >= before.value
        assert after.low >= before.low
        assert after.high >= before.high


def test_a_question_counts_once_however_often_it_was_asked() -> None:
    """An interrupted run with repeats has questions that were asked less often."""
    made = score(log_of(["cccc", "w"]), "exact")
    assert made.value == 0.5
    assert (made.questions, made.repeats) == (2, 4)


@given(REPEATS)
def test_subjects_divide_the_questions_among_them(answers: list[str]) -> None:
    log = log_of(answers)
    parts = by_subject(log, "exact").values()
    assert sum(part.questions for part in parts) == len(answers)
    total = math.fsum(part.value * part.questions for part in parts)
    assert total / len(answers) == pytest.approx(score(log, "exact").value)


@given(REPEATS)
def test_the_five_counts_are_of_every_answer(answers: list[str]) -> None:
    counted = outcomes(log_of(answers), "exact")
    for letter, name in LETTERS.items():
        assert counted._asdict()[name] == "".join(answers).count(letter)


# -- differences ----------------------------------------------------------------------------------


@given(REPEATS, REPEATS, st.integers(0, 3))
def test_changing_the_sides_of_a_comparison_changes_the_sign_and_nothing_else(
    first: list[str], second: list[str], shift: int
) -> None:
    a, b = log_of(first), log_of(second, shift)
    if shift >= len(first):
        return  # no shared question
    forth, back = paired_difference(a, b, "exact"), paired_difference(b, a, "exact")
    assert back[:3] == pytest.approx((-forth.value, -forth.high, -forth.low), abs=1e-12)
    assert (back.better, back.worse) == (forth.worse, forth.better)
    assert (back.p, back.questions, back.in_noise) == (forth.p, forth.questions, forth.in_noise)


@given(REPEATS)
def test_a_log_differs_from_itself_by_nothing(answers: list[str]) -> None:
    made = paired_difference(log_of(answers), log_of(answers), "exact")
    assert (made.value, made.p, made.better, made.worse) == (0, 1, 0, 0)
    assert made.low == pytest.approx(-made.high)
    assert made.in_noise


def test_a_scorer_that_one_of_the_logs_lacks_is_named() -> None:
    a = log_of(["c"])
    b = EvalLog(Path("b.jsonl"), start(scorers=("other",)), [])
    with pytest.raises(LogError, match=r"b\.jsonl has no scorer 'exact'") as error:
        paired_difference(a, b, "exact")
    assert "other" in error.value.hint


@pytest.mark.parametrize(
    ("low", "p", "in_noise"),
    [(0.01, 0.04, False), (0.01, 0.06, True), (-0.01, 0.04, True), (0.0, 0.04, True)],
)  # fmt: skip
def test_a_difference_is_outside_the_noise_only_where_test_and_interval_agree(
    low: float, p: float, in_noise: bool
) -> None:
    assert Difference(0.1, low, 0.2, 50, 9, 3, p).in_noise == in_noise
    assert Difference(-0.1, -0.2, -low, 50, 3, 9, p).in_noise == in_noise


# -- the permutation test -------------------------------------------------------------------------

MIXED = st.lists(
    st.builds(Fraction, st.integers(-4, 4), st.sampled_from([1, 2, 3, 4])), max_size=8
)  # logs with one to four repeats against each other


def every_flip(differences: Sequence[Fraction]) -> float:
    """The share of all sign flips that are at least as far from 0."""
    observed = abs(sum(differences, Fraction(0)))
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    far = sum(
        abs(sum((d * s for d, s in zip(differences, flip, strict=True)), Fraction(0))) >= observed
        for flip in flips
    )
    return far / len(flips)


@given(MIXED)
def test_differences_of_unequal_repeats_are_flipped_exactly_too(d: list[Fraction]) -> None:
    assert permutation_test(d) == pytest.approx(every_flip(d), abs=1e-12)


@given(MIXED, st.integers(0, 5))
def test_the_test_knows_no_side_no_order_no_unit_and_no_ties(d: list[Fraction], ties: int) -> None:
    p = permutation_test(d)
    assert permutation_test([-x for x in d]) == p
    assert permutation_test(sorted(d)) == p
    assert permutation_test([x * Fraction(7, 3) for x in d]) == p
    assert permutation_test([*d, *[Fraction(0)] * ties]) == p


@given(MIXED)
def test_no_p_value_is_smaller_than_the_number_of_questions_allows(d: list[Fraction]) -> None:
    """Five questions cannot show anything at 5 %: all five won is p = 0.0625."""
    p = permutation_test(d)
    assert min(1.0, 2 / 2 ** sum(x != 0 for x in d)) <= p + 1e-12
    assert p <= 1
    won = [abs(x) for x in d if x]
    assert permutation_test(won) == pytest.approx(min(1.0, 2 / 2 ** len(won)))
