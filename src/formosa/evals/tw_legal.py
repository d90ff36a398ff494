"""tw-legal-benchmark-v1: the law of Taiwan, four options each; some 200 questions.

Source:   https://huggingface.co/datasets/lianghsun/tw-legal-benchmark-v1
Licence:  see its page on the hub: its terms may ask for an accepted licence and HF_TOKEN
Version:  that of the protocol: `choice.py`, `logit.py`, `twinkle.py`

Row, invented:
    question: 依民法規定，滿幾歲為成年？
    A: 十六歲    B: 十七歲    C: 十八歲    D: 二十歲    answer: C

The cards name the revision by its first seven digits. The hub does not take those, so they are
looked up in its list of commits, and the whole commit is what the log records. The hub keeps the
questions in a split called `train`, which the cards call test; it is all there is.

With about 200 questions the interval is some ± 7 points, so two models of one card rarely differ.
"""

from __future__ import annotations

from formosa.evals.published import Published
from formosa.evals.variants import variants

NAME = "tw-legal"
REVISION = "66c3a5f"  # as in the cards; resolved when it is fetched

TASKS = variants(NAME, "tw-legal-benchmark-v1: the law of Taiwan, multiple choice")

_DATA = Published(
    name=NAME,
    repo="lianghsun/tw-legal-benchmark-v1",
    revision=REVISION,
    patterns=("**/*",),
    download=("*.csv", "*.tsv", "*.json", "*.jsonl", "*.parquet"),
    subject_suffix="",
    prompt="zh",
    licence="see the data set's page",
    language="zh-TW",
)

load = _DATA.load
