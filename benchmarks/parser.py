"""How fast a reply is parsed: whole, and one character at a time. Prints a table.

    python benchmarks/parser.py

The work must grow with the length of the text and not with its square, so the figures of one row
should be about equal. Hostile text (tags that never close, quotes that never end) is in the table
because that is where parsers that re-read their buffer stand still.
"""

from __future__ import annotations

import time

from formosa.chat.parser import ReplyParser, parse_reply

CALL = (
    "<tool_call>\n"
    '{"name": "search", "arguments": {"query": "台北 } </tool_call> 天氣"}}'
    "\n</tool_call>\n"
)
TEXTS = {
    "prose": "台北今天多雲，氣溫 26 度，a < b。\n",
    "calls": CALL,
    "one long string": None,
    "tags that never close": "<tool_call>{",
    "strings that never close": '<tool_call>{"x</tool_call> a',
}
SIZES = (1_000, 10_000, 100_000, 1_000_000)


def text_of(kind: str, size: int) -> str:
    piece = TEXTS[kind]
    if piece is None:
        return '<tool_call>{"name": "f", "arguments": {"x": "' + "字" * size + '"}}</tool_call>'
    return piece * (size // len(piece) + 1)


def megabytes_per_second(text: str, *, by_character: bool) -> float:
    size = len(text.encode())
    started = time.perf_counter()
    if by_character:
        parser = ReplyParser()
        for character in text:
            parser.feed(character)
        parser.flush()
    else:
        parse_reply(text)
    return size / 1e6 / (time.perf_counter() - started)


def main() -> None:
    heads = [f"{size // 1000} kB" for size in SIZES]
    print(f"{'MB/s':<28}{'':<14}" + "".join(f"{head:>10}" for head in heads))
    for kind in TEXTS:
        for by_character in (False, True):
            how = "by character" if by_character else "whole"
            figures = [
                megabytes_per_second(text_of(kind, size), by_character=by_character)
                for size in SIZES
            ]
            print(f"{kind:<28}{how:<14}" + "".join(f"{figure:>10.2f}" for figure in figures))


if __name__ == "__main__":
    main()
