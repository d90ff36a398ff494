"""mini-zh-tw: 40 questions about everyday Taiwan, four options each. Our own.

Source:   written for Formosa; `data/mini_zh_tw.jsonl` beside this file
Licence:  CC0-1.0. Do with them what you like.
Version:  that of the protocol: `choice.py`, `logit.py`, `twinkle.py`

Daily life, geography, law, education, festivals, transport and public services, in the Chinese of
Taiwan. Only facts that will hold for years; nothing copied from an examination.

It is a smoke test: it shows in a minute whether a model follows the format and knows where it is.
With 40 questions the interval is about ± 15 points, so it ranks no models.

Row:
    {"id": "mini-01", "subject": "地理", "question": "臺灣最高的山是哪一座？",
     "right": "玉山", "wrong": ["雪山", "合歡山", "大屯山"]}
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from formosa.evals.choice import Choice, ChoiceSet
from formosa.evals.task import Sample, Task
from formosa.evals.variants import task_in, variants
from formosa.files import sha256_text
from formosa.wheels import Say

NAME = "mini-zh-tw"

TASKS = variants(
    NAME, "40 questions about everyday Taiwan, multiple choice; our own, comes with us"
)


def load(
    name: str,
    *,
    data_dir: Path | None = None,
    revision: str | None = None,
    say: Say | None = None,
) -> Task[Choice]:
    """One of `TASKS`. The data come with us, so the other arguments change nothing."""
    return task_in(mini_set(), name)


def mini_zh_tw() -> Task[Choice]:
    """The task in our own protocol."""
    return load(NAME)


def mini_set() -> ChoiceSet:
    """The questions. Their revision is the sha256 of their file."""
    text = resources.files("formosa.evals").joinpath("data/mini_zh_tw.jsonl").read_text("utf-8")
    samples = []
    for line in text.splitlines():
        row = json.loads(line)
        choice = Choice(row["question"], (row["right"], *row["wrong"]), right=0)
        samples.append(Sample(row["id"], choice, row["subject"]))
    return ChoiceSet(
        NAME,
        samples,
        prompt="zh",
        source="formosa/evals/data/mini_zh_tw.jsonl",
        revision=f"sha256:{sha256_text(text)}",
        licence="CC0-1.0",
        language="zh-TW",
    )
