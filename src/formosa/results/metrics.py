"""From a log to figures: outcome counts, scores with intervals, paired differences.

**What is counted.** A score is the share of correct answers over *all* samples that were asked. The
other four outcomes lower it alike; a failed sample too, so that a score never rises because a
server broke, and asking failed samples again can only raise it. The outcomes stand beside every
score.

**The interval** (95 %) says how far the score could be from that of all the questions one could
ask, so the questions are the clusters and the repeats of a question are not independent. From each
question's share of correct repeats p_q, with mean m over n questions, comes the variance of the
mean, v = Σ(p_q − m)² / n², and from that the effective sample size n_eff = m(1 − m) / v: the number
of independent answers that would be as uncertain. It lies between n (every repeat agrees) and the
number of answers (repeats tell as much as new questions), and is n where m is 0 or 1, or n is 1.
Wilson's interval for m at n_eff follows: with one repeat it is the plain Wilson interval, and 0 of
10 is 0 … 0.28, not ± 0.

**A paired difference** is taken over the questions that both logs hold: mean of p_q(b) − p_q(a).
Its interval is Bonett and Price's (2012) adjusted one: two invented questions are added, one won
and one lost, so that it is not ± 0 where few questions differ. The p-value is that of the exact
two-sided sign-flip permutation test: if the models were equal, each question's difference could as
well have had the other sign; p is the share of all such flips whose sum is at least as far from 0.
With one repeat this is McNemar's exact test. Above 1,000 differing questions with unequal
differences (or weights without a common unit), the sum of the flips is taken as normal.

Only the standard library, and sums that don't depend on the order of the samples.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from statistics import NormalDist
from typing import Any, NamedTuple

from formosa.errors import LogError
from formosa.results.log import OUTCOMES, Brief, EvalLog

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)


class Outcomes(NamedTuple):
    """How many samples ended how. Their sum is the number of samples asked."""

    correct: int = 0
    wrong: int = 0
    unparsed: int = 0
    truncated: int = 0
    failed: int = 0


class Score(NamedTuple):
    """A share of 1 with its 95 % interval."""

    value: float
    low: float
    high: float
    questions: int
    repeats: int  # the most that any question was asked


class Difference(NamedTuple):
    """b minus a on the questions both were asked, as shares of 1, with a 95 % interval."""

    value: float
    low: float
    high: float
    questions: int
    better: int  # questions on which b is better
    worse: int
    p: float  # two-sided permutation test on questions (McNemar's exact test with one repeat)

    @property
    def in_noise(self) -> bool:
        """Whether equal models would differ so much, or the interval holds 0."""
        return self.p >= 1 - CONFIDENCE or self.low <= 0 <= self.high


def outcomes(log: EvalLog, scorer: str) -> Outcomes:
    """The five counts.

    Raises:
        LogError: the log has no such scorer.
    """
    place = _place(log, scorer)
    counts = dict.fromkeys(OUTCOMES, 0)
    for short in log.briefs:
        counts[short.outcomes[place]] += 1
    return Outcomes(**counts)


def score(log: EvalLog, scorer: str) -> Score:
    """The share of correct answers, every question counting alike.

    Raises:
        LogError: the log has no such scorer, or no samples yet.
    """
    shares = _question_shares(log, scorer)
    if not shares:
        raise LogError(f"{log.path} holds no answers yet.", "run the same command again")
    return _score(shares.values())


def by_subject(log: EvalLog, scorer: str) -> dict[str, Score]:
    """A score for every subject, in the order of their names."""
    place = _place(log, scorer)
    groups: dict[str, list[Brief]] = {}
    for short in log.briefs:
        groups.setdefault(short.subject, []).append(short)
    return {subject: _score(_shares(groups[subject], place).values()) for subject in sorted(groups)}


def subject_mean(log: EvalLog, scorer: str) -> float:
    """The plain mean over subjects, as several leaderboards print it: not `score(...).value`,
    which weights every question alike."""
    values = [part.value for part in by_subject(log, scorer).values()]
    if not values:
        raise LogError(f"{log.path} holds no answers yet.", "run the same command again")
    return math.fsum(values) / len(values)


def summary(log: EvalLog) -> dict[str, Any]:
    """The counts and scores of the log's end record, from all samples."""
    scores = {}
    for scorer in log.scorers:
        made = score(log, scorer)
        scores[scorer] = {
            "value": made.value,
            "low": made.low,
            "high": made.high,
            "confidence": CONFIDENCE,
            "questions": made.questions,
            "repeats": made.repeats,
        }
    counts = {scorer: outcomes(log, scorer)._asdict() for scorer in log.scorers}
    return {"counts": counts, "scores": scores}


def paired_difference(a_log: EvalLog, b_log: EvalLog, scorer: str) -> Difference:
    """How much better `b_log` is than `a_log`, on the questions that both hold.

    Raises:
        LogError: they are of different tasks (or versions, or data), or share no question.
    """
    for name in ("name", "version", "revision"):
        a, b = (log.start["task"].get(name) for log in (a_log, b_log))
        if a != b:
            raise LogError(
                f"The logs cannot be compared: task.{name} is {a!r} in {a_log.path} "
                f"and {b!r} in {b_log.path}.",
                "run both models with the same task",
            )
    differences = question_differences(
        question_shares(a_log, scorer), question_shares(b_log, scorer)
    )
    if not differences:
        raise LogError(f"{a_log.path} and {b_log.path} share no question.")
    return difference(list(differences.values()))


def question_shares(log: EvalLog, scorer: str) -> dict[str, Fraction]:
    """Each question's share of correct answers, by its id, in the order of the log.

    Raises:
        LogError: the log has no such scorer.
    """
    shares = _question_shares(log, scorer)
    return {id: _fraction(correct, of) for id, (correct, of) in shares.items()}


def question_shares_of(counts: Iterable[tuple[str, int, int]]) -> dict[str, Fraction]:
    """The same from (question, correct answers, answers)."""
    return {id: _fraction(correct, of) for id, correct, of in counts}


def question_differences(
    a: Mapping[str, Fraction], b: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """b minus a on each question that both hold."""
    # Among many questions there are few shares, and equal ones are one value: each pair of values
    # is taken from each other once.
    made: dict[tuple[int, int], Fraction] = {}
    found = {}
    for question, one in a.items():
        other = b.get(question)
        if other is not None:
            pair = (id(one), id(other))
            if pair not in made:
                made[pair] = other - one
            found[question] = made[pair]
    return found


def wilson(value: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share `value` of `size` independent answers."""
    z2 = _Z * _Z
    middle = (value + z2 / (2 * size)) / (1 + z2 / size)
    half = _Z / (1 + z2 / size) * math.sqrt(value * (1 - value) / size + z2 / (4 * size * size))
    # At 0 and 1 the ends are exact; rounding must not push them past the value.
    return max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))


def sign_test(better: int, worse: int) -> float:
    """Two-sided p-value of `better` against `worse` if both were equally likely; exact."""
    differing = better + worse
    ways = tail = 1  # of 0 on the smaller side; each next binomial coefficient comes from the last
    for k in range(1, min(better, worse) + 1):
        ways = ways * (differing - k + 1) // k
        tail += ways
    return min(1.0, 2 * tail / (1 << differing))


EXACT = 1000  # differing questions, up to which the permutation test is worked out in full
_WORK = 4 * 10**9  # bits moved for it; weights without a small common unit would need far more


def permutation_test(differences: Sequence[Fraction]) -> float:
    """Two-sided p-value of the sum of `differences` if each could as well be its negative.

    Exact: all 2^n sums are counted, packed as the coefficients of a polynomial into one integer.
    """
    counted = _counted(differences)
    sizes = [abs(d) for d, n in counted.items() for _ in range(n) if d]
    if not sizes:
        return 1.0
    unit = math.lcm(*(d.denominator for d in counted))
    shared = math.gcd(*(int(d * unit) for d in counted))
    whole = {abs(d): abs(int(d * unit)) // shared for d in counted}
    steps = [whole[size] for size in sizes]
    total = abs(int(sum(d * n for d, n in counted.items()) * unit)) // shared
    if all(step == 1 for step in steps):
        better = (len(steps) + total) // 2
        return sign_test(better, len(steps) - better)
    width = len(steps) + 1  # bits: no coefficient is above 2^n
    if len(steps) > EXACT or len(steps) * sum(steps) * width > _WORK:
        # Sums of the same parity follow each other by 2; half of that is the correction.
        deviation = math.sqrt(sum(step * step for step in steps))
        return 2 * (1 - NormalDist().cdf(max(0.0, total - 1) / deviation))
    counts = 1
    for step in steps:  # the place of a coefficient is the sum of what was flipped up
        counts += counts << (step * width)
    # A sum s of signed steps is at place (Σ + s) / 2; those from `total` upwards are one tail.
    tail = counts >> ((sum(steps) + total + 1) // 2 * width)
    mask, ways = (1 << width) - 1, 0
    while tail:
        ways += tail & mask
        tail >>= width
    return min(1.0, 2 * ways / (1 << len(steps)))


class _Share(NamedTuple):
    correct: int
    of: int

    @property
    def value(self) -> float:
        return self.correct / self.of


@functools.cache
def _share(correct: int, of: int) -> _Share:
    return _Share(correct, of)


@functools.cache
def _fraction(correct: int, of: int) -> Fraction:
    """One value for equal shares: of a log of 100,000 questions there are a few."""
    return Fraction(correct, of)


def _counted(differences: Sequence[Fraction]) -> dict[Fraction, int]:
    """How often each value is there. Equal values are one object as a rule, which counts faster."""
    values = {id(d): d for d in differences}
    counted: dict[Fraction, int] = {}
    for place, n in Counter(map(id, differences)).items():
        counted[values[place]] = counted.get(values[place], 0) + n
    return counted


def _place(log: EvalLog, scorer: str) -> int:
    """Where the scorer stands in each brief."""
    if scorer not in log.scorers:
        raise LogError(
            f"{log.path} has no scorer {scorer!r}.", f"its scorers: {', '.join(log.scorers)}"
        )
    return log.scorers.index(scorer)


def _question_shares(log: EvalLog, scorer: str) -> Mapping[str, _Share]:
    return _shares(log.briefs, _place(log, scorer))


def _shares(briefs: Sequence[Brief], place: int) -> Mapping[str, _Share]:
    """Each question's correct answers of how many."""
    of = Counter(short.id for short in briefs)
    right = Counter(short.id for short in briefs if short.outcomes[place] == "correct")
    return {id: _share(right.get(id, 0), answers) for id, answers in of.items()}


def _score(shares: Iterable[_Share]) -> Score:
    shares = list(shares)
    n = len(shares)
    mean = math.fsum(share.value for share in shares) / n
    size = effective_size([share.value for share in shares], sum(share.of for share in shares))
    low, high = wilson(mean, size)
    return Score(mean, low, high, n, max(share.of for share in shares))


def effective_size(shares: Sequence[float], answers: int) -> float:
    """The effective sample size of questions with these shares, from `answers` answers in all."""
    n = len(shares)
    mean = math.fsum(shares) / n
    spread = math.fsum((share - mean) ** 2 for share in shares)
    if n == 1 or mean in (0.0, 1.0):
        return float(n)  # one question tells nothing of how questions differ
    if spread == 0:
        return float(answers)
    return min(float(answers), max(float(n), mean * (1 - mean) * n * n / spread))


def difference(exact: Sequence[Fraction]) -> Difference:
    """The mean of the questions' differences, of which there is one at least; see above."""
    differences = [value for d, count in _counted(exact).items() for value in [float(d)] * count]
    n = len(differences)
    value = math.fsum(differences) / n
    better = sum(d > 0 for d in differences)
    worse = sum(d < 0 for d in differences)
    middle = math.fsum(differences) / (n + 2)
    variance = (math.fsum(d * d for d in differences) + 2) / (n + 2) - middle * middle
    half = _Z * math.sqrt(variance / (n + 2))
    low, high = max(-1.0, middle - half), min(1.0, middle + half)
    p = permutation_test(exact)
    return Difference(value, min(low, value), max(high, value), n, better, worse, p)
