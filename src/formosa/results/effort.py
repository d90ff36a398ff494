"""What the answers of a log cost, and in which Chinese they are.

Purity is counted over the text of all replies, reasoning left out: the share of Simplified-only
characters, and of characters in mainland words, among all Han characters. What counts as either is
`formosa.zh`; the runner puts three numbers into each record.
"""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from formosa.results.log import EvalLog


class Effort(NamedTuple):
    """Sums over the answers that there are. Tokens are None where no server counted them."""

    answers: int
    prompt_tokens: int | None
    completion_tokens: int | None
    median_s: float | None  # seconds for one reply, with what it waited
    total_s: float  # of all replies: more than the clock's where several were asked at a time


class Purity(NamedTuple):
    """Shares of the Han characters in all replies, of 1; None where there are none."""

    han: int
    simplified: float | None
    mainland: float | None


def effort(log: EvalLog) -> Effort:
    """Tokens and time."""
    answered = [short for short in log.briefs if not short.failed]
    tokens = [short.tokens for short in answered if short.tokens]
    times = [short.seconds for short in answered if short.seconds is not None]
    return Effort(
        len(answered),
        sum(prompt for prompt, _ in tokens) if tokens else None,
        sum(completion for _, completion in tokens) if tokens else None,
        statistics.median(times) if times else None,
        round(math.fsum(times), 3),
    )


def purity(log: EvalLog) -> Purity:
    """In which Chinese the replies are."""
    counted = [short.purity for short in log.briefs if short.purity]
    han, simplified, mainland = (sum(part[i] for part in counted) for i in range(3))
    if not han:
        return Purity(0, None, None)
    return Purity(han, simplified / han, mainland / han)
