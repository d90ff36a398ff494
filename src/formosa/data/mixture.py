"""How many rows of each source, by weight, and which ones.

`rows: 10000` with the weights 3 and 1 wants 7,500 and 2,500. A source that has fewer gives what it
has, and the others still give what was wanted of them: nothing fills the gap that nobody asked for.
With `repeat` it is gone through again. Without `rows` the mixture is as large as the weights allow:
the scarcest source decides, or with `repeat` the richest.

Pure: numbers in, numbers out. Which rows are drawn depends on the seed and the source's name only.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping, Sequence

from formosa.errors import DataError


def shares(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`total` split by weight into whole numbers that add up to it (largest remainders).

    Raises:
        ValueError: no weight is above 0, but the total is.
    """
    whole = sum(weights.values())
    if whole <= 0:
        if total:
            raise ValueError("no weight is above 0")
        return dict.fromkeys(weights, 0)
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def wanted(
    weights: Mapping[str, float], available: Mapping[str, int], rows: int | None, *, repeat: bool
) -> dict[str, int]:
    """How many rows of each source the mixture asks for.

    Args:
        weights: by source; 0 leaves a source out.
        available: rows that each source has.
        rows: of the whole mixture; None for as many as the weights allow.
        repeat: whether a source may give rows more than once.

    Raises:
        DataError: without `rows`, where a source with a weight has nothing.
    """
    if rows is not None:
        return shares(rows, weights)
    whole = sum(weights.values())
    totals = []
    for name, weight in weights.items():
        if weight <= 0:
            continue
        if not available[name] and not repeat:
            raise DataError(
                f"The source {name} has no rows left, so no mixture can hold its weight.",
                "give it the weight 0, or say how many rows the mixture has: mixture.rows",
            )
        totals.append(available[name] * whole / weight)
    total = int((max if repeat else min)(totals, default=0))
    parts = shares(total, weights)
    while not repeat and any(parts[name] > available[name] for name in parts):  # by rounding up
        total -= 1
        parts = shares(total, weights)
    return parts


def draw(numbers: Sequence[int], count: int, name: str, seed: int) -> array[int]:
    """`count` of the numbers, in their order; once each where they are enough, else every one as
    often as the others or once more."""
    drawn = array("I")
    if not numbers or count <= 0:
        return drawn
    whole, rest = divmod(count, len(numbers))
    once_more = _chosen(len(numbers), rest, random.Random(f"formosa draw {seed} {name}"))
    for number, more in zip(numbers, once_more, strict=True):
        drawn.extend([number] * (whole + more))
    return drawn


def _chosen(total: int, count: int, dice: random.Random) -> bytearray:
    """A 1 for each of `count` places of `total`. Some five bytes a place, unlike `sample`."""
    flags = bytearray(total)
    order = array("I", range(total))
    for i in range(count):
        j = dice.randrange(i, total)
        order[i], order[j] = order[j], order[i]
        flags[order[i]] = 1
    return flags
