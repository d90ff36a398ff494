"""Several differences together: Holm's method by hand, and the mean over tasks."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.results.metrics import Score, difference, permutation_test, wilson
from formosa.results.several import holm, mean_difference, mean_score

SHARES = st.lists(st.floats(0, 1), max_size=12)


def test_holm_is_as_in_the_textbooks() -> None:
    """Holm (1979) by hand: 4 × 0.01, 3 × 0.02, then never smaller than the one before."""
    assert holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.data())
def test_a_part_of_a_family_is_corrected_no_less_than_the_whole(
    ps: list[float], data: st.DataObject
) -> None:
    """The best of ten models is chosen by looking at all pairs, though nine are shown."""
    part = data.draw(st.sets(st.integers(0, len(ps) - 1), min_size=1))
    whole = holm(ps)
    for i, adjusted in zip(sorted(part), holm([ps[i] for i in sorted(part)], len(ps)), strict=True):
        assert adjusted >= whole[i] - 1e-12


def test_one_difference_keeps_its_p() -> None:
    assert holm([0.03]) == [0.03]


@given(SHARES)
def test_holm_never_makes_a_p_smaller_and_keeps_the_order(ps: list[float]) -> None:
    made = holm(ps)
    assert all(p <= adjusted <= 1 for p, adjusted in zip(ps, made, strict=True))
    for i, first in enumerate(ps):
        for j, second in enumerate(ps):
            if first < second:
                assert made[i] <= made[j]


def test_equal_models_are_rarely_told_apart_even_twenty_at_once() -> None:
    """Without Holm, 20 tests of 12 questions call one of them real far too often."""
    chance = random.Random(7)
    called, naive = 0, 0
    for _ in range(150):
        ps = []
        for _ in range(20):
            signs = [Fraction(chance.choice((-1, 1))) for _ in range(12)]
            ps.append(permutation_test(signs))
        called += min(holm(ps)) < 0.05
        naive += min(ps) < 0.05
    assert called / 150 <= 0.05 < naive / 150


def test_the_mean_over_tasks_weights_every_task_alike() -> None:
    small = [Fraction(1), Fraction(0)]  # +50 points of 2
    large = [Fraction(0)] * 98 + [Fraction(-1)] * 2  # −2 points of 100
    made = mean_difference([small, large])
    assert made.value == pytest.approx((0.5 - 0.02) / 2)
    assert (made.questions, made.better, made.worse) == (102, 1, 2)
    assert made.low < made.value < made.high


def test_the_mean_of_one_task_is_that_task() -> None:
    exact = [Fraction(1), Fraction(-1), Fraction(1, 3), Fraction(0)]
    assert mean_difference([exact]) == difference(exact)


def test_equal_tasks_have_the_p_of_all_their_questions() -> None:
    """With as many questions in each, the weights are equal: McNemar's test over all of them."""
    a = [Fraction(1)] * 5 + [Fraction(0)] * 5
    b = [Fraction(1)] * 3 + [Fraction(-1)] + [Fraction(0)] * 6
    assert mean_difference([a, b]).p == pytest.approx(permutation_test([*a, *b]))
    # 8 better, 1 worse of 9 that differ: 2 × (1 + 9) / 512
    assert mean_difference([a, b]).p == pytest.approx(20 / 512)


def test_the_mean_s_interval_is_narrower_than_that_of_its_tasks() -> None:
    exact = [Fraction(1)] * 6 + [Fraction(-1)] * 2 + [Fraction(0)] * 12
    alone, four = difference(exact), mean_difference([exact] * 4)
    assert four.value == pytest.approx(alone.value)
    assert four.high - four.low == pytest.approx((alone.high - alone.low) / 2)


@settings(deadline=None)  # an exact test, and other work on the machine may slow it
@given(
    st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=8), min_size=1, max_size=4)
)
def test_the_mean_s_interval_holds_its_value(tasks: list[list[int]]) -> None:
    made = mean_difference([[Fraction(one) for one in task] for task in tasks])
    assert -1 <= made.low <= made.value <= made.high <= 1
    assert 0 < made.p <= 1


def test_tasks_without_a_common_unit_do_not_fill_the_memory() -> None:
    """The exact test counts in units of the weights' common divisor, which may be tiny."""
    chance = random.Random(3)
    sizes = (397, 199, 193, 181)
    tasks = [[Fraction(chance.choice((-1, 0, 1))) for _ in range(size)] for size in sizes]
    assert 0 < mean_difference(tasks).p <= 1


def test_the_mean_of_equal_scores_has_an_interval_as_of_all_their_questions() -> None:
    low, high = wilson(0.6, 200)
    value, mean_low, mean_high = mean_score([Score(0.6, low, high, 200, 1)] * 4)
    all_low, all_high = wilson(0.6, 800)
    assert value == pytest.approx(0.6)
    assert (mean_low, mean_high) == pytest.approx((all_low, all_high), abs=0.002)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=5))
def test_the_interval_of_a_mean_holds_it(tasks: list[tuple[int, int]]) -> None:
    scores = []
    for right, more in tasks:
        value = right / (right + more)
        scores.append(Score(value, *wilson(value, right + more), right + more, 1))
    value, low, high = mean_score(scores)
    assert 0 <= low <= value <= high <= 1
