"""What it costs to take the likeliest token: three ways to ask llama.cpp for it, in turns.

    python benchmarks/sampling.py [--model gemma-3-270m] [--clients 1,4,8] [--rounds 5]

    top_k 1         what Formosa sends with temperature 0
    temperature 0   the same by the chain of samplers that sampling with a temperature takes
    llama.cpp's     its own samplers, all of them, with temperature 0

Alone, all must write the same; replies computed together differ in their last bits. The table has
the median of the rounds' tokens per second, and of the rounds' own ratios to the first way.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

import httpx2

from formosa.engines.dialect import GREEDY_SAMPLERS, SAMPLERS
from formosa.engines.llama import LlamaEngine
from formosa.models import gguf_file, resolve

PROMPT = "Trains of line {}: a long story about each of them.\n\n"
WAYS: dict[str, dict[str, Any]] = {
    "top_k 1": {"samplers": GREEDY_SAMPLERS, "top_k": 1},
    "temperature 0": {"samplers": SAMPLERS, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    "llama.cpp's": {},
}


async def texts(engine: LlamaEngine, way: str, clients: int, tokens: int, seed: int) -> list[str]:
    """What is written to `clients` prompts, asked at the same time."""
    headers = {"authorization": f"Bearer {engine.api_key}"}
    async with httpx2.AsyncClient(base_url=engine.base_url, headers=headers, timeout=600) as asking:

        async def one(number: int) -> str:
            body = {
                "prompt": PROMPT.format(seed * 100 + number),
                "n_predict": tokens,
                "ignore_eos": True,
                "temperature": 0.0,
                "cache_prompt": False,
                **WAYS[way],
            }
            response = await asking.post("/completion", json=body)
            return str(response.raise_for_status().json()["content"])

        return await asyncio.gather(*map(one, range(clients)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="gemma-3-270m")
    options.add_argument("--clients", default="1,4,8")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--tokens", type=int, default=48)
    given = options.parse_args()
    counts = [int(part) for part in given.clients.split(",")]
    engine = LlamaEngine(gguf_file(resolve(given.model)), context=512, slots=max(counts))
    asyncio.run(texts(engine, "top_k 1", max(counts), 4, 0))  # warm
    print(f"{given.model}, {given.tokens} tokens each, median of {given.rounds} rounds\n")
    print("| clients | asked | tokens/s | of top_k 1 |\n|---|---|---|---|")
    for clients in counts:
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(given.rounds):
            written = {}
            ways = list(WAYS)
            for way in ways[number % 3 :] + ways[: number % 3]:
                begun = time.perf_counter()
                written[way] = asyncio.run(texts(engine, way, clients, given.tokens, number + 1))
                speeds[way].append(clients * given.tokens / (time.perf_counter() - begun))
            if clients == 1 and len({tuple(text) for text in written.values()}) > 1:
                raise SystemExit(f"the ways differ: {written}")
        first = speeds["top_k 1"]
        for way, found in speeds.items():
            ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
            speed = statistics.median(found)
            print(f"| {clients} | {way} | {speed:.1f} | {ratio:.1%} |", flush=True)
    asyncio.run(engine.aclose())


if __name__ == "__main__":
    main()
