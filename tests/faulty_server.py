"""A chat server that goes wrong by a seeded plan, for tests of whoever asks it.

    with serving(answer, faults=chosen("cut", "busy", seed=3)) as server:
        RemoteChat(server.url)

A fault depends on the question and on how often it was asked, never on the clock, so a plan gives
the same faults in any order of requests. Every question is answered well in the end.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("busy", "gone", "error", "cut", "reset", "malformed", "empty", "no-choice", "twice",
          "late-twice", "slow")  # fmt: skip
Fault = Callable[[str, int], str]  # (question, how often it was asked before) → fault or ""


def chosen(*faults: str, seed: int, times: int = 2, share: float = 0.5) -> Fault:
    """For the first `times` tries of a question, one of `faults` at this share."""

    def fault(question: str, tries: int) -> str:
        if tries >= times:
            return ""
        digest = hashlib.sha256(f"{seed}/{question}/{tries}".encode()).digest()
        return faults[digest[1] % len(faults)] if digest[0] < 256 * share else ""

    return fault


class FaultyServer(ThreadingHTTPServer):
    """Attributes: `asked`, how often each question came; `headers`, those of the last request;
    `gone`, whether nothing is answered any more."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Callable[[str], str], fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.fault = answer, fault
        self.asked: Counter[str] = Counter()
        self.met: Counter[str] = Counter()  # faults
        self.headers: dict[str, str] = {}
        self.most = 0  # requests at the same time
        self._now = 0
        self.answered = 0
        self.gone = False  # whether it says nothing at all
        self._lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def begins(self, question: str, headers: dict[str, str]) -> str:
        with self._lock:
            fault = "reset" if self.gone else self.fault(question, self.asked[question])
            self.asked[question] += 1
            self.met[fault] += 1
            self.headers = headers
            self._now += 1
            self.most = max(self.most, self._now)
        return fault

    def ends(self) -> None:
        with self._lock:
            self._now -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement
    server: FaultyServer

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        if self.server.gone:
            self.close_connection = True
            return
        self._send({"data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        fault = self.server.begins(question, {k.lower(): v for k, v in self.headers.items()})
        try:
            self._answer(question, fault)
        finally:
            self.server.ends()

    def _answer(self, question: str, fault: str) -> None:
        message = {"role": "assistant", "content": self.server.answer(question)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 1}
        self.server.answered += 1
        good = {"id": f"{question}/{self.server.answered}", "choices": [choice], "usage": usage}
        if fault == "busy":
            self._send({"error": {"message": "slow down"}}, 429, {"retry-after": "0"})
        elif fault == "gone":
            self._send({"error": {"message": "loading"}}, 503)
        elif fault == "error":
            self._send({"error": {"message": f"broke at {self.headers.get('authorization')}"}}, 500)
        elif fault == "refused":
            self._send({"error": {"message": "no such key"}}, 401)
        elif fault == "malformed":
            self._raw(b'{"choices": [{"mess')
        elif fault == "empty":
            self._raw(b"")
        elif fault == "no-choice":
            self._send({"choices": []})
        elif fault == "cut":
            self._raw(json.dumps(good).encode()[:20], length=400)
            self.close_connection = True
        elif fault == "reset":
            self.close_connection = True
        elif fault == "slow":  # longer than anybody waits
            self.server.closing.wait(20)
            self.close_connection = True
        else:
            self._send(good)
            if fault == "twice":
                self._send(good)
            elif fault == "late-twice":
                self.wfile.flush()
                self._send({**good, "choices": [{**choice, "message": {**message,
                            "content": "stale"}}]})  # fmt: skip

    def _send(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._raw(json.dumps(value).encode(), status, headers)

    def _raw(
        self,
        body: bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(
    answer: Callable[[str], str], fault: Fault = lambda question, tries: ""
) -> Iterator[FaultyServer]:
    """The server, until the block ends."""
    with FaultyServer(answer, fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()
