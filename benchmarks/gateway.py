"""What the gateway costs: tokens per second and time to the first token, beside the bare engine.

One llama.cpp, asked in three ways in turn, so that all meet the same machine:

    text      llama.cpp's own /completion: no chat layer at all, the least that is possible
    chat      llama.cpp's own /v1/chat/completions
    formosa   our /v1/chat/completions, in front of the same llama.cpp

The clients live in a process of their own and do little more than count lines. Every reply has
exactly as many tokens as were asked for: the end of the turn is biased away.

    python benchmarks/gateway.py [--clients 1,8,32] [--rounds 5] [--tokens 64]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

QUESTION = "Tell a long story about train number {}. Do not stop."


class Target(NamedTuple):
    """One way to ask: an address, and the body of a question."""

    name: str
    url: str
    key: str
    body: dict[str, Any]  # "{}" in it is the number of the question


class Measured(NamedTuple):
    tokens_per_second: float
    first_token: float  # seconds, median over the clients


# -- the clients, in a process of their own ----------------------------------------------------


async def ask(target: Target, number: int, tokens: int) -> float:
    """Ask one question, read the stream to its end; seconds to the first piece of text."""
    parts = urlsplit(target.url)
    body = json.dumps(target.body).replace("{}", str(number)).encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {target.key}\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode() + body)
    first, seen = 0.0, 0
    while line := await reader.readline():
        # The first event of a chat stream is the role alone, with empty content.
        if line.startswith(b"data: {") and b'"content":""' not in line.replace(b'": "', b'":"'):
            seen += 1
            first = first or time.perf_counter() - started
    writer.close()
    if seen < tokens // 2:
        raise RuntimeError(f"{target.name} sent only {seen} events for {tokens} tokens")
    return first


async def measure(target: Target, clients: int, tokens: int, seed: int) -> Measured:
    started = time.perf_counter()
    firsts = await asyncio.gather(
        *(ask(target, seed * 1000 + client, tokens) for client in range(clients))
    )
    return Measured(clients * tokens / (time.perf_counter() - started), statistics.median(firsts))


def run_clients(request: dict[str, Any]) -> None:
    target = Target(*request["target"])
    result = asyncio.run(measure(target, request["clients"], request["tokens"], request["seed"]))
    print(json.dumps(result))


def from_other_process(target: Target, clients: int, tokens: int, seed: int) -> Measured:
    request = {"target": target, "clients": clients, "tokens": tokens, "seed": seed}
    done = subprocess.run(
        [sys.executable, __file__, "--request", json.dumps(request)],
        check=True,
        capture_output=True,
        text=True,
    )
    return Measured(*json.loads(done.stdout))


# -- the servers ------------------------------------------------------------------------------


def targets(engine: Any, gateway: str, prompt: str, ends: list[int], tokens: int) -> list[Target]:
    ask: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
    common = {"stream": True, "temperature": 0, "max_tokens": tokens}
    bias = {str(token): -100 for token in ends}
    listed = [[token, False] for token in ends]
    text = {
        "prompt": prompt,
        "n_predict": tokens,
        "stream": True,
        "temperature": 0,
        "logit_bias": listed,
    }
    key = engine.api_key
    return [
        Target("text", f"{engine.base_url}/completion", key, text),
        Target(
            "chat",
            f"{engine.base_url}/v1/chat/completions",
            key,
            {**ask, **common, "logit_bias": listed},
        ),
        Target(
            "formosa", f"{gateway}/chat/completions", "-", {**ask, **common, "logit_bias": bias}
        ),
    ]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--model", default="smollm2-135m")
    options.add_argument("--clients", default="1,8,32")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--tokens", type=int, default=64)
    options.add_argument("--request", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.request:
        run_clients(json.loads(given.request))
        return

    from formosa.chat.message import Message
    from formosa.chat.template import ChatTemplate
    from formosa.engines.llama import LlamaEngine
    from formosa.engines.templated import TemplatedChat
    from formosa.models import gguf_file, resolve
    from formosa.serve.run import serving

    counts = [int(part) for part in given.clients.split(",")]
    engine = LlamaEngine(gguf_file(resolve(given.model)), context=512, slots=max(counts))
    template = engine.info.template or ChatTemplate.formosa(engine.family or "chatml")
    prompt = template.prompt([Message("user", QUESTION)])
    ends = asyncio.run(engine.tokenize(template.stop + "<|endoftext|>"))
    with serving({"bench": TemplatedChat(engine, template)}) as url:
        asked = targets(engine, url, prompt, ends, given.tokens)
        for target in asked:
            from_other_process(target, 1, given.tokens, 0)
        print(f"{given.model}, {given.tokens} tokens each, median of {given.rounds} rounds\n")
        print("| clients | asked | tokens/s | of text | first token, ms | added to text |")
        print("|---|---|---|---|---|---|")
        for clients in counts:
            rounds: dict[str, list[Measured]] = {target.name: [] for target in asked}
            for number in range(given.rounds):
                turn = asked[number % 3 :] + asked[: number % 3]
                for target in turn:
                    found = from_other_process(target, clients, given.tokens, number + 1)
                    rounds[target.name].append(found)
            show(clients, rounds)
    asyncio.run(engine.aclose())


def show(clients: int, rounds: dict[str, list[Measured]]) -> None:
    def median(name: str, field: int) -> float:
        return statistics.median(measured[field] for measured in rounds[name])

    def paired(name: str, other: str) -> float:
        pairs: Sequence[tuple[Measured, Measured]] = list(
            zip(rounds[name], rounds[other], strict=True)
        )
        return statistics.median(a.tokens_per_second / b.tokens_per_second for a, b in pairs)

    for name in rounds:
        added = (median(name, 1) - median("text", 1)) * 1000
        print(
            f"| {clients} | {name} | {median(name, 0):.1f} | {paired(name, 'text'):.1%} "
            f"| {median(name, 1) * 1000:.1f} | {added:+.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
