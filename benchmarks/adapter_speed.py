"""What an adapter costs where llama.cpp adds it while it runs: the base, and with it, in turns.

    python benchmarks/adapter_speed.py [--adapter formosa-mini] [--clients 1,8] [--rounds 5]

Prompts of some 500 tokens (a request of BFCL with its tools has about that many), none of them
cached, replies of 50. Prompt and reply are timed by llama.cpp itself, the request from outside; the
table has medians of the rounds, each of as many requests at once as its row says.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import NamedTuple

import httpx2

from formosa.engines.dialect import GREEDY_SAMPLERS
from formosa.engines.llama import LlamaEngine
from formosa.models import ADAPTERS, gguf_file, resolve

PROMPT = " ".join(f"Train {{0}}-{number} runs from Taipei to Hualien." for number in range(32))


class Timing(NamedTuple):
    """Of one request."""

    prompt: float  # tokens a second
    reply: float  # tokens a second
    seconds: float  # from its sending to its last token


async def asked(engine: LlamaEngine, scale: float, clients: int, tokens: int, seed: int) -> Timing:
    """Medians of requests sent at the same time; `scale` 0 leaves the adapter out."""
    headers = {"authorization": f"Bearer {engine.api_key}"}
    async with httpx2.AsyncClient(base_url=engine.base_url, headers=headers, timeout=600) as asking:

        async def one(number: int) -> Timing:
            body = {
                "prompt": PROMPT.format(seed * 100 + number),
                "n_predict": tokens,
                "ignore_eos": True,
                "samplers": GREEDY_SAMPLERS,
                "top_k": 1,
                "cache_prompt": False,
                "lora": [{"id": 0, "scale": scale}],
            }
            begun = time.perf_counter()
            response = await asking.post("/completion", json=body)
            seconds = time.perf_counter() - begun
            timings = response.raise_for_status().json()["timings"]
            return Timing(timings["prompt_per_second"], timings["predicted_per_second"], seconds)

        found = await asyncio.gather(*map(one, range(clients)))
    return Timing(*(statistics.median(values) for values in zip(*found, strict=True)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--adapter", default="formosa-mini", choices=sorted(ADAPTERS))
    options.add_argument("--clients", default="1,8")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--tokens", type=int, default=50)
    given = options.parse_args()
    counts = [int(part) for part in given.clients.split(",")]
    adapter = ADAPTERS[given.adapter]
    engine = LlamaEngine(
        gguf_file(resolve(adapter.base)),
        context=1024,
        slots=max(counts),
        adapters={adapter.name: adapter.path},
    )
    scales = {adapter.base: 0.0, f"with {adapter.name}": 1.0}
    asyncio.run(asked(engine, 1.0, max(counts), 4, 0))  # warm
    print(f"medians of {given.rounds} rounds, {given.tokens} tokens a reply\n")
    print("| requests at once | asked | prompt tokens/s | reply tokens/s | seconds |")
    print("|---|---|---|---|---|")
    for clients in counts:
        timings: dict[str, list[Timing]] = {name: [] for name in scales}
        for number in range(given.rounds):
            names = list(scales) if number % 2 else list(reversed(scales))
            for name in names:
                timing = asked(engine, scales[name], clients, given.tokens, number + 1)
                timings[name].append(asyncio.run(timing))
        for name, found in timings.items():
            prompt, reply, seconds = map(statistics.median, zip(*found, strict=True))
            print(f"| {clients} | {name} | {prompt:.0f} | {reply:.0f} | {seconds:.2f} |")
    asyncio.run(engine.aclose())


if __name__ == "__main__":
    main()
