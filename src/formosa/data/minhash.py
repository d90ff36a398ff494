"""Short signatures of texts: rows with alike texts get equal numbers in some band.

A text is the set of its runs of five characters, Han and Latin alike; one scheme, so that mixed
text is no special case. Their hashes are dealt to 128 bins and the smallest of each bin is kept
(one-permutation MinHash; an empty bin borrows from another one in a fixed order, "optimal
densification" of Shrivastava 2017). So a signature costs one pass over the text, not one for each
of its numbers. Bands of `rows` numbers are hashed to one number each; two texts of Jaccard
similarity s share a band with the probability 1 − (1 − s^rows)^bands.

Whole texts at a time in numpy: measured on 4,000 rows of 620 characters, some 7,000 rows a second
on one busy core, beside 2,500 with rensa 0.5 (Rust, but its runs have to be made in Python) and 380
with datasketch 2.0 (which also wants scipy). So there is no package behind this but numpy, which is
imported when it is needed.

Deterministic: fixed constants, no hash of Python's. Knows texts. Knows nothing of rows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from formosa.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

RUN = 5
BINS = 128
_RECALL = 0.98  # a pair right at the threshold is found with at least this probability
_ODD = 0x9E3779B97F4A7C15
_MIX = 0xBF58476D1CE4E5B9


def load_numpy() -> Any:
    """The module numpy.

    Raises:
        UserError: it is not installed.
    """
    try:
        import numpy
    except ImportError as error:
        raise UserError(
            "The search for near duplicates needs numpy.",
            "pip install 'formosa-lm[data]', or set data.duplicates.near to null",
        ) from error
    return numpy


def bands(threshold: float) -> tuple[int, int]:
    """(bands, numbers in each): the longest bands that still find a pair at the threshold."""
    for rows in range(BINS, 1, -1):
        count = BINS // rows
        if 1 - (1 - threshold**rows) ** count >= _RECALL:
            return count, rows
    return BINS, 1


def shingles(text: str) -> Hashes:
    """The hashes of all runs of five characters, ascending, each once."""
    np = load_numpy()
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if len(points) < RUN:
        points = np.pad(points, (0, RUN - len(points)))
    count = len(points) - RUN + 1
    hashes = np.zeros(count, np.uint64)
    for i in range(RUN):
        hashes *= np.uint64(_ODD)
        hashes += points[i : i + count]
    hashes = np.sort(_mixed(hashes))
    unique: Hashes = hashes[np.concatenate(([True], hashes[1:] != hashes[:-1]))]
    return unique


def signature(hashes: Hashes) -> Hashes:
    """The smallest hash in each bin of a sorted, non-empty set of hashes."""
    np = load_numpy()
    edges, order = _bins()
    first = np.searchsorted(hashes, edges)
    filled = first[:-1] < first[1:]
    first = first[:-1]
    if not filled.all():
        first = first[order[np.arange(BINS), filled[order].argmax(axis=1)]]
    smallest: Hashes = hashes[first]
    return smallest


def band_hashes(signatures: Hashes, seeds: Hashes, count: int, rows: int) -> Hashes:
    """One number for each band of each signature.

    Args:
        signatures: (texts, BINS).
        seeds: one a text; under other seeds equal signatures give other numbers.
        count: bands.
        rows: numbers in each.
    """
    np = load_numpy()
    columns = signatures[:, : count * rows].reshape(len(signatures), count, rows)
    made: Hashes = seeds[:, None] + np.arange(count, dtype=np.uint64)[None, :]
    for i in range(rows):
        made = _mixed(made * np.uint64(_ODD) + columns[:, :, i])
    return made


def jaccard(a: Hashes, b: Hashes) -> float:
    """Shared runs among all runs, of 1."""
    np = load_numpy()
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return float(shared / (len(a) + len(b) - shared))


def _mixed(hashes: Hashes) -> Hashes:
    """Well mixed numbers from any (the finalizer of splitmix64, shortened)."""
    np = load_numpy()
    hashes = hashes ^ (hashes >> np.uint64(30))
    hashes = hashes * np.uint64(_MIX)
    hashes = hashes ^ (hashes >> np.uint64(27))
    hashes = hashes * np.uint64(_ODD)
    mixed: Hashes = hashes ^ (hashes >> np.uint64(31))
    return mixed


@functools.cache
def _bins() -> tuple[Any, Any]:
    """Where each bin begins and the last one ends; and from which bins each one borrows."""
    np = load_numpy()
    edges = np.array([(i << 64) // BINS for i in range(BINS)] + [(1 << 64) - 1], np.uint64)
    keys = _mixed(np.arange(1, BINS * BINS + 1, dtype=np.uint64)).reshape(BINS, BINS)
    np.fill_diagonal(keys, 0)  # itself first
    return edges, np.argsort(keys, axis=1, kind="stable")
