"""How long the BFCL checker takes beside the reference's own, and how long it takes to start.

    python benchmarks/bfcl_checker.py

Both check the same calls in the same process, in turns: the accepted answers of every item, and as
many wrong ones. "Cold start" is a new process that imports the checker, reads one category with
its answers, and judges one item. The reference's cold start is not measured: its checker imports
every vendor's client, and its installation resolves to some 150 packages. Here its code runs with
stubs in their place (tests/bfcl_reference.py).

Needs the wheel bfcl-eval, which is fetched once.
"""

from __future__ import annotations

import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bfcl_reference import Upstream
from formosa.evals.bfcl.checker import check
from formosa.evals.bfcl.items import CATEGORIES, BfclItem, load

ROUNDS = 7
STARTS = 5
GOAL_START = 0.5  # seconds

COLD = """
from formosa.evals.bfcl.checker import check
from formosa.evals.bfcl.items import load
item = load("simple_python").items[0]
check(item.functions, [{"f": {}}], item.answers, item.category, dots_replaced=True)
"""

Case = tuple[list[Any], list[Any], list[Any], str]  # functions, calls, answers, category


def answers(item: BfclItem) -> list[Any]:
    """The first accepted values, as calls. Nearly all of them are right."""
    calls = []
    for answer in item.answers:
        [(name, accepted)] = answer.items()
        arguments = {}
        for parameter, values in accepted.items():
            given = [value for value in values if value != ""]
            if given:
                value = given[0]
                if isinstance(value, dict):
                    value = {key: some[0] for key, some in value.items() if some and some[0] != ""}
                arguments[parameter] = str(value) if "java" in item.category else value
        calls.append({name.replace(".", "_"): arguments})
    return calls


def spoiled(calls: list[Any]) -> list[Any]:
    """The last argument of the last call replaced."""
    calls = copy.deepcopy(calls)
    for arguments in calls[-1].values():
        for parameter in list(arguments)[-1:]:
            arguments[parameter] = "something else"
    return calls


def seconds(judge: Callable[..., object], cases: list[Case]) -> float:
    started = time.perf_counter()
    for case in cases:
        judge(*case)
    return time.perf_counter() - started


def cold_start(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> None:
    upstream = Upstream()

    def ours(functions: Any, calls: Any, answers: Any, category: str) -> bool:
        return check(functions, calls, answers, category, dots_replaced=True).ok

    print(f"{'µs an item, median of ' + str(ROUNDS):<26}{'items':>7}{'ours':>8}{'reference':>11}")
    total = [0.0, 0.0]
    for category in CATEGORIES:
        if "relevance" in category:
            continue
        cases: list[Case] = []
        for item in load(category).items:
            calls = answers(item)
            cases += [
                (list(item.functions), given, list(item.answers), category)
                for given in (calls, spoiled(calls))
            ]
        disagree = sum(ours(*case) != upstream.judge(*case) for case in cases)
        assert disagree == 0, f"{category}: {disagree} verdicts differ"
        # In turns, so that whatever else the machine does hits both.
        rounds = [(seconds(ours, cases), seconds(upstream.judge, cases)) for _ in range(ROUNDS)]
        medians = [statistics.median(one[i] for one in rounds) for i in (0, 1)]
        total = [sum(pair) for pair in zip(total, medians, strict=True)]
        mine, other = (1e6 * median / len(cases) for median in medians)
        print(f"{category:<26}{len(cases):>7}{mine:>8.1f}{other:>11.1f}")
    print(f"all: {total[0] / total[1]:.2f} of the reference's time")

    starts = sorted(cold_start(COLD) for _ in range(STARTS))
    python = sorted(cold_start("pass") for _ in range(STARTS))
    print(f"cold start: {starts[STARTS // 2]:.2f} s (goal < {GOAL_START}), of which Python itself "
          f"{python[STARTS // 2]:.2f} s; fastest {starts[0]:.2f} s")  # fmt: skip


if __name__ == "__main__":
    main()
