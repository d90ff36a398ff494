"""Scores and their intervals, against values worked out by hand or printed in the literature."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals_arithmetic import scored, start
from formosa.errors import LogError
from formosa.results.log import OUTCOMES, EvalLog
from formosa.results.metrics import (
    Outcomes,
    by_subject,
    effective_size,
    outcomes,
    paired_difference,
    permutation_test,
    score,
    sign_test,
    subject_mean,
    summary,
    wilson,
)


def log_of(answers: dict[str, str], **changes: object) -> EvalLog:
    """A log from `{"question": "cwc"}`: one letter a repeat, c(orrect) w u t f."""
    names = {name[0]: name for name in OUTCOMES}
    samples = [
        scored(question, names[letter], repeat)
        for question, letters in answers.items()
        for repeat, letter in enumerate(letters)
    ]
    return EvalLog(Path("x.jsonl"), start(**changes), samples)  # type: ignore[arg-type]


def right(correct: int, of: int) -> EvalLog:
    return log_of({f"q{i}": "c" if i < correct else "w" for i in range(of)})


def test_every_outcome_is_counted_and_all_of_them_are_in_the_score() -> None:
    log = log_of({"a": "cw", "b": "ut", "c": "fc"})
    assert outcomes(log, "exact") == Outcomes(2, 1, 1, 1, 1)
    assert score(log, "exact").value == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("correct", "of", "low", "high"),
    [
        # Wilson's interval; the first two are in Newcombe (1998), Table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (0, 20, 0.0, 0.1611),
        (1, 1, 0.2065, 1.0),
    ],
)
def test_with_one_repeat_the_interval_is_wilsons(
    correct: int, of: int, low: float, high: float
) -> None:
    made = score(right(correct, of), "exact")
    assert (made.low, made.high) == pytest.approx((low, high), abs=5e-5)
    assert (made.questions, made.repeats) == (of, 1)


def test_none_of_ten_is_not_plus_minus_nothing() -> None:
    made = score(right(0, 10), "exact")
    assert made.value == 0.0
    assert made.low == 0.0
    assert made.high > 0.25


def test_repeats_that_always_agree_tell_nothing_new() -> None:
    once = score(log_of({"a": "c", "b": "w", "c": "w"}), "exact")
    thrice = score(log_of({"a": "ccc", "b": "www", "c": "www"}), "exact")
    assert thrice[:3] == pytest.approx(once[:3])
    assert thrice.repeats == 3


def test_the_effective_size_by_hand() -> None:
    # m = 1/2, Σ(p−m)² = 1/4 + 0 + 0 + 1/4 = 1/2, v = 1/2 / 16 = 1/32, so n_eff = 1/4 · 32 = 8.
    assert effective_size([1.0, 0.5, 0.5, 0.0], answers=8) == pytest.approx(8)
    # Σ = 4 · 1/4 = 1, v = 1/16, n_eff = 4: as many as questions.
    assert effective_size([1.0, 1.0, 0.0, 0.0], answers=8) == pytest.approx(4)
    # Every question alike and none certain: each answer counts, and no more than those.
    assert effective_size([0.5, 0.5, 0.5], answers=6) == 6
    # One question says nothing about others, however often it is asked.
    assert effective_size([0.5], answers=100) == 1


def test_more_repeats_narrow_the_interval_but_not_as_much_as_more_questions() -> None:
    few = score(log_of({"a": "cw", "b": "cc", "c": "ww", "d": "cw"}), "exact")
    repeats = score(log_of({"a": "cwcw", "b": "cccc", "c": "wwww", "d": "cwcw"}), "exact")
    questions = score(
        log_of({f"{q}{i}": s for q, s in zip("abcd", ("cw", "cc", "ww", "cw"), strict=True)
                for i in range(2)}),
        "exact",
    )  # fmt: skip
    assert few.high - few.low >= repeats.high - repeats.low > questions.high - questions.low


SHARES = st.lists(st.sampled_from(["c", "w", "cc", "cw", "ww", "ccw", "f", "tu"]), min_size=1)


@given(SHARES)
def test_an_interval_holds_its_value_and_stays_a_share(answers: list[str]) -> None:
    made = score(log_of({f"q{i}": letters for i, letters in enumerate(answers)}), "exact")
    assert 0 <= made.low <= made.value <= made.high <= 1
    assert made.high - made.low > 0


@given(SHARES, st.randoms())
def test_no_figure_depends_on_the_order_of_the_samples(
    answers: list[str], chance: random.Random
) -> None:
    log = log_of({f"q{i}": letters for i, letters in enumerate(answers)})
    other = EvalLog(log.path, log.start, chance.sample(log.samples, len(log.samples)))
    assert summary(other) == summary(log)


def test_the_effective_size_lies_between_questions_and_answers() -> None:
    @given(st.lists(st.integers(0, 4), min_size=1))
    def check(correct: list[int]) -> None:
        size = effective_size([n / 4 for n in correct], 4 * len(correct))
        assert len(correct) <= size <= 4 * len(correct)

    check()


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """300 seeded runs of 60 questions, two repeats, each question with its own chance."""
    chance = random.Random(7)
    covered = 0
    for _ in range(300):
        truth = 0.55  # the mean of the beta distribution below
        answers = {}
        for i in range(60):
            p = chance.betavariate(1.1, 0.9)
            answers[f"q{i}"] = "".join("c" if chance.random() < p else "w" for _ in range(2))
        made = score(log_of(answers), "exact")
        covered += made.low <= truth <= made.high
    assert 0.92 <= covered / 300 <= 0.98


def test_subjects_have_scores_of_their_own_and_their_mean_is_another_figure() -> None:
    log = EvalLog(
        Path("x"),
        start(),
        [
            scored("a", "correct", subject="law"),
            scored("b", "wrong", subject="art"),
            scored("c", "wrong", subject="art"),
            scored("d", "wrong", subject="art"),
        ],
    )
    assert {name: part.value for name, part in by_subject(log, "exact").items()} == {
        "art": 0.0,
        "law": 1.0,
    }
    assert subject_mean(log, "exact") == 0.5
    assert score(log, "exact").value == 0.25


def test_the_end_record_has_counts_and_scores_of_every_scorer() -> None:
    made = summary(right(3, 4))
    assert made["counts"] == {
        "exact": {"correct": 3, "wrong": 1, "unparsed": 0, "truncated": 0, "failed": 0}
    }
    low, high = wilson(0.75, 4)
    assert made["scores"]["exact"] == {
        "value": 0.75,
        "low": pytest.approx(low),
        "high": pytest.approx(high),
        "confidence": 0.95,
        "questions": 4,
        "repeats": 1,
    }


def test_unknown_scorers_and_empty_logs_are_sentences() -> None:
    with pytest.raises(LogError, match="no scorer 'box'") as error:
        outcomes(right(1, 2), "box")
    assert "exact" in error.value.hint
    with pytest.raises(LogError, match="no answers yet"):
        score(right(0, 0), "exact")
    with pytest.raises(LogError, match="no answers yet"):
        subject_mean(right(0, 0), "exact")


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (4, 4, 1.0),
        (2000, 1, 0.0),
    ],
)
def test_the_sign_test_is_exact(better: int, worse: int, p: float) -> None:
    assert sign_test(better, worse) == pytest.approx(p, abs=1e-12)


def test_a_paired_difference_by_hand() -> None:
    # 50 questions: b wins 9, loses 2. Bonett and Price: p12 = 10/52, p21 = 3/52.
    a = log_of({f"q{i}": "w" if i < 9 else "c" for i in range(50)})
    b = log_of({f"q{i}": "w" if i in (20, 21) else "c" for i in range(50)})
    made = paired_difference(a, b, "exact")
    middle, variance = 7 / 52, (13 / 52 - (7 / 52) ** 2) / 52
    half = 1.959964 * math.sqrt(variance)
    assert made.value == pytest.approx(7 / 50)
    assert (made.low, made.high) == pytest.approx((middle - half, middle + half), abs=1e-6)
    assert (made.questions, made.better, made.worse) == (50, 9, 2)
    assert made.p == pytest.approx(2 * (1 + 11 + 55) / 2048)


def test_the_difference_is_b_minus_a_and_turns_with_them() -> None:
    a, b = right(2, 10), right(7, 10)
    forth, back = paired_difference(a, b, "exact"), paired_difference(b, a, "exact")
    assert forth.value == pytest.approx(0.5)
    assert back[:3] == pytest.approx((-forth.value, -forth.high, -forth.low))
    assert forth.p == back.p


def test_equal_logs_differ_by_nothing_but_not_for_certain() -> None:
    made = paired_difference(right(3, 10), right(3, 10), "exact")
    assert (made.value, made.p, made.better, made.worse) == (0.0, 1.0, 0, 0)
    assert made.low < -0.1
    assert made.high > 0.1


def test_only_shared_questions_are_compared() -> None:
    a, b = log_of({"x": "c", "y": "w"}), log_of({"y": "c", "z": "w"})
    made = paired_difference(a, b, "exact")
    assert (made.questions, made.value) == (1, 1.0)


def test_repeats_of_both_logs_may_differ_in_number() -> None:
    made = paired_difference(log_of({"x": "cw"}), log_of({"x": "ccc"}), "exact")
    assert made.value == 0.5


@given(SHARES, SHARES)
def test_a_difference_lies_in_its_interval(first: list[str], second: list[str]) -> None:
    a, b = (
        log_of({f"q{i}": letters for i, letters in enumerate(answers)})
        for answers in (first, second)
    )
    made = paired_difference(a, b, "exact")
    assert -1 <= made.low <= made.value <= made.high <= 1
    assert 0 <= made.p <= 1


@pytest.mark.parametrize("field", ["name", "version", "revision"])
def test_logs_of_different_tasks_are_not_compared(field: str) -> None:
    task = {"name": "sums", "version": 1, "revision": "r1"}
    other = log_of({"a": "c"}, task={**task, field: "other"})
    with pytest.raises(LogError, match=f"cannot be compared: task.{field}"):
        paired_difference(log_of({"a": "c"}), other, "exact")


def test_logs_without_a_shared_question_are_not_compared() -> None:
    with pytest.raises(LogError, match="share no question"):
        paired_difference(log_of({"a": "c"}), log_of({"b": "c"}), "exact")


def signs(differences: list[Fraction]) -> float:
    """The permutation test by trying every flip."""
    observed, n = abs(sum(differences, Fraction(0))), 0
    flips = list(itertools.product((1, -1), repeat=len(differences)))
    for flip in flips:
        flipped = (d * sign for d, sign in zip(differences, flip, strict=True))
        n += abs(sum(flipped, Fraction(0))) >= observed
    return n / len(flips)


THIRDS = st.lists(st.sampled_from([Fraction(k, 3) for k in range(-3, 4)]), max_size=9)


@given(THIRDS)
def test_the_permutation_test_counts_every_flip(differences: list[Fraction]) -> None:
    assert permutation_test(differences) == pytest.approx(signs(differences), abs=1e-12)


@given(st.integers(0, 30), st.integers(0, 30))
def test_with_one_repeat_the_permutation_test_is_mcnemars(better: int, worse: int) -> None:
    differences = [Fraction(1)] * better + [Fraction(-1)] * worse + [Fraction(0)] * 5
    assert permutation_test(differences) == sign_test(better, worse)


def test_many_unequal_differences_are_taken_as_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    differences = [Fraction(chance.choice([-3, -2, -1, 1, 2, 3]), 3) for _ in range(300)]
    exact = permutation_test(differences)
    monkeypatch.setattr("formosa.results.metrics.EXACT", 10)
    assert permutation_test(differences) == pytest.approx(exact, abs=1e-3)
    assert 0 < exact < 1


def test_a_difference_inside_the_noise_says_so() -> None:
    a = log_of({f"q{i}": "w" for i in range(20)})
    assert paired_difference(a, right(3, 20), "exact").in_noise
    assert not paired_difference(a, right(15, 20), "exact").in_noise


@pytest.mark.parametrize("better", range(0, 31, 5))
@pytest.mark.parametrize("worse", [0, 1, 7, 30])
def test_the_sign_test_is_the_sum_of_binomial_coefficients(better: int, worse: int) -> None:
    n, few = better + worse, min(better, worse)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    assert sign_test(better, worse) == min(1.0, 2 * tail / 2**n)


def test_the_sign_test_takes_logs_of_a_hundred_thousand_questions() -> None:
    """Exact where half of them differ; the normal approximation says 0.0744."""
    assert sign_test(24_800, 25_200) == pytest.approx(0.07436, abs=1e-5)
