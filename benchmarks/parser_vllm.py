"""vLLM's Hermes tool parser on given texts. Run by `parser.py` with the Python of vLLM.

Standard input: {"texts": [...], "chunk": characters, "limit": CPU seconds for one text}. The last
line of standard output: for each text {"whole": [MB/s, false], "by token": [MB/s, given up]}.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

MODULE = "vllm.tool_parsers.hermes_tool_parser"


def parser() -> Any:
    hermes = importlib.import_module(MODULE).Hermes2ProToolParser
    return hermes(object())  # it only asks that there be a tokenizer


def whole(text: str) -> list[Any]:
    best, spent, runs = float("inf"), 0.0, 0
    while spent < 0.2 or (runs < 2 and spent < 1):
        started = time.process_time()
        parser().extract_tool_calls(text, None)
        took = max(time.process_time() - started, 1e-9)
        best, spent, runs = min(best, took), spent + took, runs + 1
    return [len(text.encode()) / 1e6 / best, False]


def streamed(text: str, chunk: int, limit: float) -> list[Any]:
    best = 0.0
    begun = time.process_time()
    while True:
        one, started, done = parser(), time.process_time(), ""
        for start in range(0, len(text), chunk):
            delta = text[start : start + chunk]
            before, done = done, done + delta
            one.extract_tool_calls_streaming(before, done, delta, [], [], [], None)
            if start % 256 == 0 and time.process_time() - started > limit:
                took = time.process_time() - started
                return [len(done.encode()) / 1e6 / took, True]
        took = max(time.process_time() - started, 1e-9)
        best = max(best, len(text.encode()) / 1e6 / took)
        if time.process_time() - begun > 0.2:
            return [best, False]


def main() -> None:
    given = json.load(sys.stdin)
    parser()  # the import takes seconds, and is not what is measured
    answer = [
        {
            "whole": whole(text),
            "by token": streamed(text, given["chunk"], given["limit"]),
        }
        for text in given["texts"]
    ]
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    main()
