"""Scores from counted questions: how many were answered right so and so often of so many times.

A log of 100,000 answers has few different shares (2 of 3, 5 of 5, …), so counting them first makes
every figure cheap. The figures are those of `metrics.py` to the last bit: sums are exact, as
`math.fsum` is, only each different value is added once, with its count.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from formosa.results.metrics import Score, wilson

Tally = Mapping[tuple[int, int], int]
"""(correct answers, answers) of a question → how many questions have just these."""


def score_of(tally: Tally) -> Score | None:
    """What `metrics.score` says of these questions; None where there are none."""
    n = sum(tally.values())
    if n == 0:
        return None
    shares = [(correct / of, count) for (correct, of), count in tally.items()]
    mean = _sum(shares) / n
    answers = sum(of * count for (_, of), count in tally.items())
    spread = _sum([((share - mean) ** 2, count) for share, count in shares])
    low, high = wilson(mean, _effective_size(mean, spread, n, answers))
    return Score(mean, low, high, n, max(of for _, of in tally))


def _effective_size(mean: float, spread: float, n: int, answers: int) -> float:
    """As in `metrics.effective_size`, which has the reasons."""
    if n == 1 or mean in (0.0, 1.0):
        return float(n)
    if spread == 0:
        return float(answers)
    return min(float(answers), max(float(n), mean * (1 - mean) * n * n / spread))


def _sum(values: list[tuple[float, int]]) -> float:
    """The sum of each value times its count, rounded once."""
    return float(sum((Fraction(value) * count for value, count in values), Fraction(0)))
