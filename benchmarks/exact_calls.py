"""How often a model answers rows with exactly the right calls: by kind and language.

    formosa data synth --rows 200 --heldout --seed 11 > heldout.jsonl
    python benchmarks/exact_calls.py --model gemma-3-270m+try.gguf heldout.jsonl --limit 60 --show 5

To choose by: a recipe, a rate, a checkpoint. Benchmarks are for the final figures, and whoever
chooses by them measures his choice. Rows are in our own JSONL form (`formosa data synth`, or the
`train.jsonl` and `heldout.jsonl` of `formosa data prepare`). Each is asked greedily up to where its
assistant speaks for the first time. Calls are compared by name and JSON value in any order; a row
without calls is right when none was made, whatever was said.

The same rows are taken for the same `--limit`: evenly spread over the file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from formosa.data.rows import Row
from formosa.engines.open import open_chat
from formosa.engines.protocol import ChatModel, ChatRequest, Sampling
from formosa.results.metrics import wilson
from formosa.train.accuracy import same_calls_in_any_order


class Asked(NamedTuple):
    """A row, what was said, and whether its calls are exactly right."""

    row: Row
    said: str
    right: bool


def spread(rows: Sequence[Row], limit: int | None) -> list[Row]:
    """`limit` rows, evenly from the whole of them."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[i * len(rows) // limit] for i in range(limit)]


async def ask(chat: ChatModel, rows: Sequence[Row], max_tokens: int) -> list[Asked]:
    """Every row, one after the other."""
    found = []
    for row in rows:
        first = next(i for i, message in enumerate(row.messages) if message.role == "assistant")
        sampling = Sampling(temperature=0, max_tokens=max_tokens)
        reply = await chat.reply(ChatRequest(row.messages[:first], row.tools, sampling))
        right = not reply.defects and same_calls_in_any_order(
            row.messages[first].tool_calls, reply.message.tool_calls
        )
        found.append(Asked(row, reply.text or reply.message.content, right))
    return found


def table(asked: Sequence[Asked]) -> Iterator[str]:
    """A line for all, each language and each kind."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for item in asked:
        for name in ("all", item.row.language, f"  {item.row.kind}"):
            groups[name].append(item.right)
    order = ["all", *sorted((name for name in groups if name != "all"), key=lambda n: (n[0], n))]
    yield f"{'rows':<22}{'right':>7}{'of':>5}  {'%':>5}  95 % interval"
    for name in sorted(order, key=lambda n: (n != "all", n.startswith(" "), n)):
        right, of = sum(groups[name]), len(groups[name])
        low, high = wilson(right / of, of)
        yield f"{name:<22}{right:>7}{of:>5}  {right / of:>5.1%}  {low:.1%} to {high:.1%}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--show", type=int, default=0, help="print so many wrong answers")
    given = parser.parse_args(arguments)
    lines = given.rows.read_text(encoding="utf-8").splitlines()
    read = [Row.from_json(json.loads(line), f"{given.rows}:{i}") for i, line in enumerate(lines, 1)]
    rows = spread(
        [row for row in read if any(m.role == "assistant" for m in row.messages)], given.limit
    )

    async def run() -> list[Asked]:
        chat = open_chat(given.model, threads=given.threads)
        try:
            return await ask(chat, rows, given.max_tokens)
        finally:
            await chat.aclose()

    asked = asyncio.run(run())
    for line in table(asked):
        print(line)
    wrong = [item for item in asked if not item.right]
    for item in wrong[: given.show]:
        first = next(message for message in item.row.messages if message.role == "assistant")
        calls = [(call.name, call.arguments) for call in first.tool_calls]
        print(f"\n{item.row.id}: {item.row.question}\n  wanted {calls}\n  said   {item.said}")


if __name__ == "__main__":
    main()
