"""TMMLU+: Taiwanese examinations in 66 subjects, four options each.

Source:   https://huggingface.co/datasets/ikala/tmmluplus, revision pinned below (that of the cards)
Licence:  MIT, as its publisher says
Version:  that of the protocol: `choice.py`, `logit.py`, `twinkle.py`
Size:     about 20,000 questions in the test split; one csv file a subject, `data/law_test.csv`

Row, invented:
    question: 下列何者是臺灣最高的山？
    A: 雪山    B: 玉山    C: 合歡山    D: 大屯山    answer: B

The name of a subject is that of its file without `_test`. Only the test split is asked; `_dev` and
`_val` are for examples.
"""

from __future__ import annotations

from formosa.evals.published import Published
from formosa.evals.variants import variants

NAME = "tmmluplus"
REVISION = "c0e8ae955997300d5dbf0e382bf0ba5115f85e8c"

TASKS = variants(NAME, "TMMLU+: Taiwanese examinations, 66 subjects, multiple choice")

_DATA = Published(
    name=NAME,
    repo="ikala/tmmluplus",
    revision=REVISION,
    patterns=("**/*_test.csv", "**/*test*.parquet", "**/*"),
    download=("*_test.csv",),
    subject_suffix="_test",
    prompt="zh",
    licence="MIT",
    language="zh-TW",
)

load = _DATA.load
