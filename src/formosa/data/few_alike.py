"""Which pairs of a few texts are alike: exact, and in pure Python.

Texts are sets of runs of five characters, as in `minhash.py`. Two sets of Jaccard similarity t or
more share at least one of their rarest runs: of a set of n, the n − ⌈t·n⌉ + 1 rarest are enough
(prefix filter; Chaudhuri et al. 2006, Bayardo et al. 2007). So only texts that share one of these
are compared, and none is missed.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

RUN = 5


def runs(text: str) -> frozenset[str]:
    """All runs of five characters; of a shorter text, the text."""
    text = text.ljust(RUN, "\0")
    return frozenset(text[i : i + RUN] for i in range(len(text) - RUN + 1))


def similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared runs among all runs, of 1."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def alike_pairs(texts: Sequence[tuple[str, int]], threshold: float) -> Iterator[tuple[int, int]]:
    """Every pair of indices, smaller first, whose texts have equal kinds and are alike.

    Args:
        texts: (text, kind).
        threshold: Jaccard similarity from which on two texts are alike; above 0.
    """
    sets = [runs(text) for text, _ in texts]
    often: Counter[str] = Counter()
    for made in sets:
        often.update(made)
    seen: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for i, (_, kind) in enumerate(texts):
        made = sets[i]
        # A hair less than the threshold, so that no rounding loses a pair.
        needed = len(made) - math.ceil((threshold - 1e-9) * len(made)) + 1
        rarest = sorted(made, key=lambda run: (often[run], run))[:needed]
        others = dict.fromkeys(j for run in rarest for j in seen[kind, run])
        for j in others:
            if similarity(made, sets[j]) >= threshold:
                yield j, i
        for run in rarest:
            seen[kind, run].append(i)
