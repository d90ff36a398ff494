"""Several differences looked at together: honest p-values, and the mean over several tasks.

**Holm.** Of twenty differences between equal models, one is below p = 0.05 by chance. Holm's
step-down method (1979) makes each p larger, so that the chance of calling *any* of them real where
none is stays below 5 %, however they depend on each other. The smallest p is multiplied by their
number, the next by one less, and so on; none becomes smaller than the one before it.

**The mean over tasks** (BFCL's `ast_mean`: the plain mean of four scores). Each task's questions
are a stratum: the mean's difference is the mean of the tasks' differences, its interval comes from
the sum of their variances, each by Bonett and Price as in `metrics.py`. The p-value is that of the
same sign-flip permutation test, over the questions of all tasks at once, each weighted by the
inverse of its task's number of questions, so that the test's sum is the mean itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from formosa.results.metrics import Difference, Score, difference, permutation_test


def holm(ps: Sequence[float], family: int = 0) -> list[float]:
    """Holm's adjusted p-values, in the order of `ps`.

    Args:
        ps: of single tests.
        family: how many tests these were taken from, where that is more than there are here. So a
            best model that was found in the very data may be compared with the others: of k models
            there are k (k − 1) / 2 pairs. Each p is then at least what all of them would give.
    """
    family = max(family, len(ps))
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, highest = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (family - place) * ps[i]))
        adjusted[i] = highest
    return adjusted


def mean_difference(tasks: Sequence[Sequence[Fraction]]) -> Difference:
    """The plain mean of the differences of several tasks.

    Args:
        tasks: for each task the differences of its questions, one at least.
    """
    if len(tasks) == 1:
        return difference(tasks[0])
    parts = [difference(exact) for exact in tasks]
    k = len(parts)
    value = math.fsum(part.value for part in parts) / k
    # A task's interval lies around an adjusted middle, not around its value: each side by itself.
    low = value - math.sqrt(math.fsum((part.value - part.low) ** 2 for part in parts)) / k
    high = value + math.sqrt(math.fsum((part.high - part.value) ** 2 for part in parts)) / k
    weighted = [one / len(exact) for exact in tasks for one in exact]
    return Difference(
        value,
        max(-1.0, low),
        min(1.0, high),
        sum(part.questions for part in parts),
        sum(part.better for part in parts),
        sum(part.worse for part in parts),
        permutation_test(weighted),
    )


def mean_score(scores: Sequence[Score]) -> tuple[float, float, float]:
    """The plain mean of the scores of several tasks with its 95 % interval.

    The distances from each score to the ends of its interval are squared and added, as variances
    are (Newcombe's square-and-add), so that the interval stays inside 0 to 1.
    """
    k = len(scores)
    value = math.fsum(made.value for made in scores) / k
    low = value - math.sqrt(math.fsum((made.value - made.low) ** 2 for made in scores)) / k
    high = value + math.sqrt(math.fsum((made.high - made.value) ** 2 for made in scores)) / k
    return value, max(0.0, low), min(1.0, high)
