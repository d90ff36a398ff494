"""Mixtures: weights become counts that add up, and the same seed draws the same rows."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from formosa.data.mixture import draw, shares, wanted
from formosa.errors import DataError

NAMES = st.sampled_from(["a", "b", "c", "d"])
WEIGHTS = st.dictionaries(NAMES, st.floats(0.01, 100), min_size=1, max_size=4)
COUNTS = st.fixed_dictionaries({name: st.integers(0, 500) for name in "abcd"})


@given(WEIGHTS, st.integers(0, 10_000))
def test_shares_add_up_and_are_off_by_less_than_one_row(
    weights: dict[str, float], total: int
) -> None:
    parts = shares(total, weights)
    assert sum(parts.values()) == total
    whole = sum(weights.values())
    for name, count in parts.items():
        assert abs(count - total * weights[name] / whole) < 1.000001


def test_shares_of_no_weight_are_refused() -> None:
    assert shares(0, {"a": 0}) == {"a": 0}
    with pytest.raises(ValueError, match="no weight"):
        shares(3, {"a": 0})


@given(WEIGHTS, COUNTS, st.integers(1, 2000), st.booleans())
def test_what_is_wanted_does_not_depend_on_what_there_is(
    weights: dict[str, float], available: dict[str, int], rows: int, repeat: bool
) -> None:
    """A source that is short leaves a gap; the others keep their proportion."""
    assert wanted(weights, available, rows, repeat=repeat) == shares(rows, weights)


@given(WEIGHTS, COUNTS)
def test_without_a_size_the_mixture_is_the_largest_that_needs_no_row_twice(
    weights: dict[str, float], available: dict[str, int]
) -> None:
    assume(all(available[name] for name in weights))
    parts = wanted(weights, available, None, repeat=False)
    assert all(parts[name] <= available[name] for name in parts)
    total = sum(parts.values())
    whole = sum(weights.values())
    scarcest = min(available[name] * whole / weight for name, weight in weights.items())
    assert scarcest - len(weights) - 1 < total <= scarcest


@given(WEIGHTS, COUNTS)
def test_without_a_size_and_with_repeats_every_row_is_in_it(
    weights: dict[str, float], available: dict[str, int]
) -> None:
    parts = wanted(weights, available, None, repeat=True)
    assert all(parts[name] >= available[name] - 1 for name in parts)


def test_a_source_without_rows_can_hold_no_weight() -> None:
    with pytest.raises(DataError, match="b has no rows left") as caught:
        wanted({"a": 1, "b": 1}, {"a": 5, "b": 0}, None, repeat=False)
    assert "mixture.rows" in caught.value.hint
    assert wanted({"a": 1, "b": 0}, {"a": 5, "b": 0}, None, repeat=False) == {"a": 5, "b": 0}


@given(st.integers(0, 200), st.integers(0, 700), st.integers(0, 3))
def test_every_row_is_drawn_as_often_as_the_others_or_once_more(
    rows: int, count: int, seed: int
) -> None:
    numbers = array("I", range(100, 100 + rows))
    drawn = draw(numbers, count, "a", seed)
    assert len(drawn) == (count if rows else 0)
    assert list(drawn) == sorted(drawn)
    if rows:
        times = Counter(drawn)
        assert {times[number] for number in numbers} <= {count // rows, count // rows + 1}


def test_the_seed_and_the_name_choose_the_rows() -> None:
    numbers = array("I", range(1000))
    assert draw(numbers, 50, "a", 1) == draw(numbers, 50, "a", 1)
    assert draw(numbers, 50, "a", 1) != draw(numbers, 50, "a", 2)
    assert draw(numbers, 50, "a", 1) != draw(numbers, 50, "b", 1)


def test_a_draw_is_fair() -> None:
    """Each of ten rows in about half of the draws of five: the places are not favoured."""
    times = Counter(number for seed in range(400) for number in draw(range(10), 5, "a", seed))
    assert all(150 < times[number] < 250 for number in range(10))
