"""How fast a reply is parsed: whole, and in chunks as a server gets them. Prints a table.

    python benchmarks/parser.py
    python benchmarks/parser.py --vllm-python .venv-vllm/bin/python

MB of UTF-8 per CPU second. The work must grow with the length of the text and not with its square,
so the figures of one row should be about equal. Hostile text (tags that never close, quotes that
never end) is in the table because that is where parsers that re-read their buffer stand still.

With `--vllm-python`, the Python of an environment that holds vLLM, its Hermes tool parser reads the
same texts in the same chunks in the same run (`parser_vllm.py`). It is called as vLLM's server
calls it: with all the text so far, for each chunk. A text that takes longer than the limit is
given up; `<` marks the speed up to there, which is more than the whole would have got.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from formosa.chat.parser import ReplyParser, parse_reply

CALL = (
    "<tool_call>\n"
    '{"name": "search", "arguments": {"query": "台北 } \\"天氣\\" </b> 2025", "days": 3}}'
    "\n</tool_call>\n"
)
TEXTS: dict[str, Callable[[int], str]] = {
    "prose": lambda n: _repeated("台北今天多雲，氣溫 26 度，a < b。\n", n),
    "calls": lambda n: _repeated(CALL, n),
    "one long string": lambda n: (
        f'<tool_call>\n{{"name": "f", "arguments": {{"x": "{"字" * (n // 3)}"}}}}\n</tool_call>'
    ),
    "tags that never close": lambda n: _repeated("<tool_call>{", n),
    "strings that never close": lambda n: _repeated('<tool_call>{"x</tool_call> a', n),
}
SIZES = (1_000, 10_000, 100_000, 1_000_000)  # bytes
CHUNK = 4  # characters: about one token
LIMIT = 3.0  # CPU seconds for one text


def _repeated(piece: str, size: int) -> str:
    return piece * (size // len(piece.encode()) + 1)


class Speed(NamedTuple):
    """MB per CPU second; `given_up` where only a part was read."""

    value: float
    given_up: bool = False

    def __str__(self) -> str:
        return f"{'<' if self.given_up else ''}{self.value:.{2 if self.value < 100 else 0}f}"


def whole(text: str) -> None:
    parse_reply(text)


def streamed(text: str, size: int) -> None:
    parser = ReplyParser()
    for start in range(0, len(text), size):
        parser.feed(text[start : start + size])
    parser.flush()


def measured(run: Callable[[str], None], text: str) -> Speed:
    """The best of as many runs as fit in a fifth of a second, two at least if they are short."""
    best, spent, runs = float("inf"), 0.0, 0
    while spent < 0.2 or (runs < 2 and spent < 1):
        started = time.process_time()
        run(text)
        took = max(time.process_time() - started, 1e-9)
        best, spent, runs = min(best, took), spent + took, runs + 1
    return Speed(len(text.encode()) / 1e6 / best)


def vllm_speeds(python: Path, texts: list[str]) -> list[dict[str, Speed]]:
    """What vLLM's parser does with each text, measured by a process of its own environment."""
    done = subprocess.run(
        [python, Path(__file__).with_name("parser_vllm.py")],
        input=json.dumps({"texts": texts, "chunk": CHUNK, "limit": LIMIT}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return [{how: Speed(*speed) for how, speed in one.items()} for one in answer]


def main() -> None:
    arguments = argparse.ArgumentParser(description="Parser speed, MB per CPU second.")
    arguments.add_argument("--vllm-python", type=Path, help="the Python that vLLM is installed for")
    options = arguments.parse_args()
    cells = [(kind, size) for kind in TEXTS for size in SIZES]
    texts = {(kind, size): TEXTS[kind](size) for kind, size in cells}
    rows: dict[tuple[str, str], list[Speed]] = {}
    for kind, size in cells:
        text = texts[kind, size]
        runs: dict[str, Callable[[str], None]] = {
            "formosa, whole": whole,
            "formosa, by token": lambda text: streamed(text, CHUNK),
            "formosa, by character": lambda text: streamed(text, 1),
        }
        for how, run in runs.items():
            rows.setdefault((kind, how), []).append(measured(run, text))
    if options.vllm_python:
        found = vllm_speeds(options.vllm_python, [texts[cell] for cell in cells])
        for (kind, _), one in zip(cells, found, strict=True):
            for how, speed in one.items():
                rows.setdefault((kind, f"vllm, {how}"), []).append(speed)
    heads = [f"{size // 1000} kB" for size in SIZES]
    print(f"{'MB/s':<26}{'':<24}" + "".join(f"{head:>10}" for head in heads))
    for kind in TEXTS:
        for (of, how), speeds in rows.items():
            if of == kind:
                print(f"{kind:<26}{how:<24}" + "".join(f"{speed!s:>10}" for speed in speeds))


if __name__ == "__main__":
    main()
