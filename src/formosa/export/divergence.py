"""How far a file's thoughts are from its checkpoint's, on a fixed text.

At every token of the text both say how probable each token of the vocabulary is next. Measured are
the Kullback-Leibler divergence of the file's answer from the checkpoint's (in nats; 0: the same),
and how often both have the same first choice. The whole distribution is compared, not a top ten:
the logits come from llama.cpp itself, one token at a time as when it writes (`native.read_logits`).

The reference is the checkpoint in float32, which is stricter than an F16 file: what F16 itself
loses is seen too. The table of levels has F16 as a row.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import NamedTuple

from formosa.export.native import read_logits
from formosa.export.reference import Reference

# Nats, on average. SmolLM2-135M loses 0.007 at Q8_0, 0.02 at Q6_K, 0.13 at Q5_K_M and 0.45 at Q4_0:
# its widths fit no K-quants, and larger models lose far less. Damage looks different: rows in the
# wrong order cost several.
LIMITS = {
    "F32": 0.01,
    "F16": 0.01,
    "BF16": 0.05,
    "Q8_0": 0.1,
    "Q6_K": 0.25,
    "Q5_K_M": 0.7,
    "Q4_K_M": 1.0,
    "Q4_0": 1.5,
}


class Divergence(NamedTuple):
    """What was measured.

    Attributes:
        tokens: of the text.
        mean: Kullback-Leibler divergence per token, in nats.
        worst: of all tokens.
        same_first: share of tokens with the same first choice, from 0 to 1.
        tokens_per_second: the median speed at which the file took them, on this machine.
    """

    tokens: int
    mean: float
    worst: float
    same_first: float
    tokens_per_second: float


def measure(reference: Reference, path: Path, *, threads: int = 1) -> Divergence:
    """Read the fixed text with a file, and compare. The reference keeps what was measured.

    Raises:
        ModelError: llama.cpp can't load the file.
        UserError: xllamacpp is not installed.
    """
    import numpy as np

    wanted = reference.log_probabilities
    lost, same, times = [], 0, []
    read = read_logits(path, reference.ids, threads=threads)
    for before, (logits, seconds) in zip(wanted, read, strict=True):
        found = logits[: len(before)].astype(np.float64)
        found -= found.max()
        found -= np.log(np.exp(found).sum())
        # Rounding can make it a little less than nothing.
        lost.append(max(float((np.exp(before) * (before - found)).sum()), 0.0))
        same += int(found.argmax()) == int(before.argmax())
        times.append(seconds)
    measured = Divergence(
        tokens=len(lost),
        mean=statistics.fmean(lost),
        worst=max(lost),
        same_first=same / len(lost),
        tokens_per_second=1 / statistics.median(times),
    )
    reference.measured[path] = measured
    return measured
