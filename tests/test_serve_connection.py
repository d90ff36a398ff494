"""A real socket: bytes that are no HTTP, bodies that never come, clients that vanish."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from formosa.engines.protocol import Piece, Prompt, Sampling, Usage
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.queue import Limits
from formosa.serve.run import serving

HELLO: list[Any] = [{"role": "user", "content": "你好"}]


class Waiting(ScriptedEngine):
    """Says one word, then waits until it is let go; counts how many it writes at a time."""

    def __init__(self) -> None:
        super().__init__([])
        self.let_go = threading.Event()
        self.started = threading.Semaphore(0)
        self.running = self.most = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield Piece("one")
            self.started.release()
            while not self.let_go.is_set():
                await asyncio.sleep(0.005)
            yield Piece("", "stop", Usage(1, 1))
        finally:
            self.running -= 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"m": TemplatedChat(ScriptedEngine(lambda _: "hi"))}) as base:
        yield base


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def send(url: str, data: bytes) -> bytes:
    """What the server says to these bytes, until it closes the connection or has answered."""
    with connected(url) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def request(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def alive(url: str) -> bool:
    with httpx2.Client() as http:
        answer = http.post(f"{url}/chat/completions", json={"messages": HELLO})
        return bool(answer.json()["choices"][0]["message"]["content"] == "hi")


MESSAGE = b'{"role": "user", "content": %s}'
BODIES = {
    "deep lists": b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep objects": b'{"a": ' * 5000 + b"1" + b"}" * 5000,
    "a deep schema": b'{"messages": [{"role": "user", "content": "x"}], "tools": [{"type":'
    b' "function", "function": {"name": "f", "parameters": ' + b'{"a": ' * 150 + b"{}" + b"}" * 150
    + b"}}]}",
    "a huge whole number": b'{"messages": [], "seed": ' + b"9" * 6000 + b"}",
    "a huge whole number inside": b'{"messages": [{"role": "user", "content": "x"}],'
    b' "chat_template_kwargs": {"a": ' + b"9" * 4200 + b"}}",
    "a huge number in a schema": b'{"messages": [{"role": "user", "content": "x"}], "tools":'
    b' [{"type": "function", "function": {"name": "f", "parameters": {"minimum": '
    + b"9" * 4200 + b"}}}]}",
    "a huge fraction": b'{"messages": [], "temperature": 1e999999}',
    "a number that is none": b'{"messages": [], "temperature": NaN}',
    "half a character": b'{"messages": [' + MESSAGE % b'"\\ud800"' + b"]}",
    "bytes that are no UTF-8": b'{"messages": [' + MESSAGE % b'"\xff\xfe"' + b"]}",
    "the same field twice": b'{"messages": [' + MESSAGE % b'"a"' + b'], "n": 1, "n": 1}',
    "a nul": b'{"messages": [' + MESSAGE % b'"a\\u0000b"' + b"]}",
    "a byte order mark": b"\xef\xbb\xbf{}",
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_is_a_server_error(url: str, body: bytes) -> None:
    assert status(send(url, request(body))) < 500
    assert alive(url)


RAW = {
    "noise": b"\x00\x01\x02\xff" * 50 + b"\r\n\r\n",
    "no request at all": b"\r\n\r\n\r\n",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a length that is none": request(b"{}", "Content-Length: many"),
    "a negative length": request(b"{}", length=-5),
    "two lengths": request(b"{}", "Content-Length: 7"),
    "a body longer than it says": request(b"{}" * 500, length=2),
    "a body shorter than it says": request(b"{}", length=500),
    "a chunk of no size": b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
    "a header of a megabyte": request(b"{}", "X-Long: " + "x" * 2**20),
    "many headers": request(b"{}", *(f"X-{i}: y" for i in range(5000))),
    "half a request line": b"POST /v1/chat",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "an odd path": b"GET /v1/models/%ff%00..%2f..%2fetc HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Connection: close\r\n\r\n",
}


@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
def test_no_bytes_bring_the_server_down(url: str, data: bytes) -> None:
    try:
        answer = send(url, data)
    except OSError:  # it hung up on us
        answer = b""
    assert not answer or status(answer) < 500
    assert alive(url)


def test_requests_that_never_end_keep_nobody_else_waiting(url: str) -> None:
    with connected(url) as one, connected(url) as two:
        one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127")
        two.sendall(request(b'{"messages": [', length=1000))
        assert alive(url)


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formosa.serve.connection.BODY_SECONDS", 0)
    with (
        serving({"m": TemplatedChat(ScriptedEngine(["hi"]))}) as base,
        connected(base) as connection,
    ):
        connection.sendall(request(b'{"messages": [', length=1000))
        assert status(connection.recv(65536)) == 408


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_only_json_is_read_so_that_no_web_page_can_ask(url: str, kind: str) -> None:
    """A page may send these kinds to this machine without asking the browser's leave."""
    with httpx2.Client() as http:
        body = json.dumps({"messages": HELLO})
        headers = {"content-type": kind} if kind else {}
        answer = http.post(f"{url}/chat/completions", content=body, headers=headers)
        assert answer.status_code == 415
        for good in ("application/json; charset=utf-8", "Application/JSON"):
            headers = {"content-type": good}
            answer = http.post(f"{url}/chat/completions", content=body, headers=headers)
            assert answer.status_code == 200


# -- the queue, seen from outside -------------------------------------------------------------


def ask_all(url: str, count: int, **fields: Any) -> list[httpx2.Response]:
    async def run() -> list[httpx2.Response]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(timeout=60, limits=limits) as http:
            body = {"messages": HELLO, **fields}
            return await asyncio.gather(
                *(http.post(f"{url}/chat/completions", json=body) for _ in range(count))
            )

    return asyncio.run(run())


@pytest.mark.parametrize("stream", [True, False])
def test_never_more_run_than_there_are_places_and_the_rest_is_told_when_to_come(
    stream: bool,
) -> None:
    engine = Waiting()
    with serving({"m": TemplatedChat(engine)}, limits=Limits(2, 3)) as base:
        answers: list[httpx2.Response] = []
        asking = threading.Thread(target=lambda: answers.extend(ask_all(base, 9, stream=stream)))
        asking.start()
        for _ in range(2):
            assert engine.started.acquire(timeout=30)
        with httpx2.Client() as http:
            root = base.removesuffix("/v1")
            while 'status="503"} 4.0' not in http.get(f"{root}/metrics").text:
                pass
        engine.let_go.set()
        asking.join(30)
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * 4
    assert all("retry-after" in a.headers for a in answers if a.status_code == 503)
    assert engine.most == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_gives_its_place_to_the_next(stream: bool) -> None:
    """llama.cpp's own server goes on writing a reply that is not streamed."""
    engine = Waiting()
    with serving({"m": TemplatedChat(engine)}, limits=Limits(1, 5)) as base:

        async def leave() -> None:
            async with httpx2.AsyncClient(timeout=60) as http:

                def ask() -> asyncio.Task[httpx2.Response]:
                    body = {"messages": HELLO, "stream": stream}
                    return asyncio.ensure_future(http.post(f"{base}/chat/completions", json=body))

                first = ask()
                assert await asyncio.to_thread(engine.started.acquire, timeout=30)
                second = ask()
                first.cancel()
                assert await asyncio.to_thread(engine.started.acquire, timeout=30)
                engine.let_go.set()
                assert (await second).status_code == 200

        asyncio.run(leave())
        root = base.removesuffix("/v1")
        with httpx2.Client() as http:
            assert 'formosa_running{model="m"} 0.0' in http.get(f"{root}/metrics").text


def test_those_who_wait_are_sent_away_at_once_when_the_server_stops() -> None:
    """And the one that runs may end: it is let go only when the others have their answer."""
    engine = Waiting()
    answers: list[httpx2.Response] = []

    async def ask(base: str) -> None:
        async with httpx2.AsyncClient(timeout=60) as http:
            body = {"messages": HELLO}
            asking = [http.post(f"{base}/chat/completions", json=body) for _ in range(3)]
            for done in asyncio.as_completed(asking):
                answers.append(await done)
                if len(answers) == 2:
                    engine.let_go.set()

    with serving({"m": TemplatedChat(engine)}, limits=Limits(1, 5), grace=30) as base:
        asking = threading.Thread(target=lambda: asyncio.run(ask(base)))
        asking.start()
        assert engine.started.acquire(timeout=30)
        root = base.removesuffix("/v1")
        with httpx2.Client() as http:
            while 'formosa_waiting{model="m"} 2.0' not in http.get(f"{root}/metrics").text:
                pass
    asking.join(30)
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].json()["error"]["code"] == "stopping"
