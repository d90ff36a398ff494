"""MMLU: 57 subjects in English, four options each; 14,042 questions in the test split.

Source:   https://huggingface.co/datasets/cais/mmlu, revision pinned below (that of the cards); or
          the csv files of https://github.com/hendrycks/test with --data-dir
Paper:    https://arxiv.org/abs/2009.03300
Licence:  MIT
Version:  that of the protocol: `choice.py`, `logit.py`, `twinkle.py`

Row, invented; on the hub, where the answer is a position from 0 and `subject` is a column:
    question: Which of these is a prime number?   subject: elementary_mathematics
    choices: ["1", "4", "9", "11"]                answer: 3
and in the csv files, which have no line with names:
    Which of these is a prime number?,1,4,9,11,D

The prompt is English. The twinkle variants ask with the Chinese one, as was done for the cards: its
English version is younger than they are.
"""

from __future__ import annotations

from formosa.evals.published import Published
from formosa.evals.variants import variants

NAME = "mmlu"
REVISION = "c30699e8356da336a370243923dbaf21066bb9fe"

TASKS = variants(NAME, "MMLU: 57 subjects in English, multiple choice")

_DATA = Published(
    name=NAME,
    repo="cais/mmlu",
    revision=REVISION,
    # The hub has all subjects in one file and each in its own; the csv files come in `test/`.
    patterns=("**/all/test-*.parquet", "**/test-*.parquet", "**/*_test.csv", "**/*"),
    download=("all/test-*.parquet",),
    subject_suffix="_test",
    prompt="en",
    licence="MIT",
    language="en",
    unnamed=("question", "A", "B", "C", "D", "answer"),
)

load = _DATA.load
