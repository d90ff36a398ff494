"""Probes of clients that go away: their slots must be free for the next ones.

All slots are filled with long replies, the connections are closed, and one short request must be
answered soon after. How long it took is reported; what is judged is only that it came.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import httpx2

from formosa.serve.conformance.exchange import Server
from formosa.serve.conformance.probe import Broken, Skipped, need, probe
from formosa.serve.conformance.probes_errors import context_length

CROWD = 8  # clients that leave; more than the slots of a small server
LONG = 1000  # tokens that each of them asks for; half the context where that is less
STAY = 0.5  # seconds before they leave
COUNT = [{"role": "user", "content": "Count from one to one thousand, in words, without a break."}]


@probe("leave.whole", "a client that leaves before its answer frees its slot",
       "time-outs and retries fill the server with replies that nobody reads",
       level="should")  # fmt: skip
def leave_whole(server: Server) -> str:
    return _leave(server, stream=False)


@probe("leave.stream", "a client that leaves in the middle of a stream frees its slot",
       "the stop button of every chat window", level="should")  # fmt: skip
def leave_stream(server: Server) -> str:
    return _leave(server, stream=True)


def _leave(server: Server, *, stream: bool) -> str:
    before = _short(server, server.timeout)
    tokens = min(LONG, (context_length(server) or 2 * LONG) // 2)
    ended: list[str] = []
    endless: dict[str, Any] = {"ignore_eos": True}  # vLLM and llama.cpp know it
    if server.ask(max_tokens=1, **endless).status != 200:
        endless = {}

    def ask() -> None:
        body = server.body(messages=COUNT, max_tokens=tokens, stream=stream, **endless)
        left = time.monotonic() + STAY
        # The connection is closed by a time-out where nothing comes, and by leaving otherwise.
        limit = httpx2.Timeout(STAY, connect=10.0)
        with (
            contextlib.suppress(httpx2.TimeoutException),
            contextlib.closing(server.new_client()) as client,
            client.stream("POST", "/chat/completions", json=body, timeout=limit) as response,
        ):
            for _ in response.iter_bytes():
                if response.status_code == 200 and time.monotonic() > left:
                    return
            ended.append(str(response.status_code))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(ended) == CROWD:
        raise Skipped(f"the long replies were over before anybody left: {', '.join(ended)}")
    patience = max(server.patience, 4 * before)
    try:
        after = _short(server, patience)
    except httpx2.TimeoutException:
        raise Broken(
            f"no answer within {patience:.1f} s after {CROWD} clients left; "
            f"it took {before:.2f} s before"
        ) from None
    return f"the next answer took {after:.2f} s, {before:.2f} s before"


def _short(server: Server, timeout: float) -> float:
    """Seconds that a reply of one token takes."""
    started = time.monotonic()
    with contextlib.closing(server.new_client()) as client:
        response = client.post("/chat/completions", json=server.body(max_tokens=1), timeout=timeout)
    need(response.status_code == 200, f"{response.status_code} {response.text[:200]}")
    return time.monotonic() - started
