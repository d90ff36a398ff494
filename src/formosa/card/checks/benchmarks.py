"""Which benchmark a head of a table, an entry of a model-index or a log is about.

People write one benchmark in many ways: `TMMLU+(%)`, `tmmlu+`, `ikala/tmmluplus`. Known ones get
one name, and the tasks that ask them; others are compared by their letters and digits.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Benchmark(NamedTuple):
    """A benchmark that can be asked here.

    Attributes:
        name: ours.
        tasks: that ask it.
        pattern: what people write.
    """

    name: str
    tasks: tuple[str, ...]
    pattern: re.Pattern[str]


def _known(name: str, pattern: str, *tasks: str) -> Benchmark:
    return Benchmark(name, tasks or (name,), re.compile(pattern, re.IGNORECASE))


# In this order: "TMMLU+" holds "MMLU", and "Parallel Multiple" holds "Multiple".
KNOWN = (
    _known("tmmluplus", r"tmmlu\s*(\+|plus)"),
    _known("tw-legal", r"tw-legal|taiwan\S* law|台灣法律|臺灣法律"),
    _known("mmlu", r"(?<![a-z])mmlu(?![-_ ]?(pro|redux|lite))"),
    _known("math-500", r"math[-_ ]?500"),
    _known("gsm8k", r"gsm[-_ ]?8k"),
    _known("gpqa-diamond", r"gpqa[-_ :]*diamond"),
    _known("mini-zh-tw", r"mini-zh-tw"),
    _known(
        "bfcl-parallel-multiple",
        r"\(P\.?\s*M\.?\)|parallel[-_ ]multiple|bfcl-(zhtw-)?parallel-multiple",
        "bfcl-parallel-multiple",
    ),
    _known("bfcl-parallel", r"\(P\.?\)|bfcl-(zhtw-)?parallel|AST.*parallel"),
    _known("bfcl-multiple", r"\(M\.?\)|bfcl-(zhtw-)?multiple|AST.*multiple"),
    _known("bfcl-simple", r"\(S\.?\)|bfcl-(zhtw-)?simple|AST.*simple"),
)
_BY_NAME = {benchmark.name: benchmark for benchmark in KNOWN}
_PLAIN = re.compile(r"[^0-9a-z\u3400-\u9fff]+")


def benchmark_of(*texts: str | None) -> str:
    """The name of the benchmark that these texts are about; "" where they name nothing.

    A known one in any of them counts before the letters of the first.
    """
    shown = [text[:200] for text in texts if text]
    for text in shown:
        for known in KNOWN:
            if known.pattern.search(text):
                return known.name
    for text in shown:
        if plain := _PLAIN.sub("", text.lower()):
            return f"?{plain}"
    return ""


def tasks_of(name: str) -> tuple[str, ...]:
    """The tasks that ask a benchmark; () for one that nobody here knows."""
    return _BY_NAME[name].tasks if name in _BY_NAME else ()


def task_benchmark(task: str) -> str:
    """The benchmark of a task's name, variants included."""
    for ending in ("-twinkle-box", "-twinkle-pattern", "-logit"):
        task = task.removesuffix(ending)
    return benchmark_of(task)
