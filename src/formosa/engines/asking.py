"""A chat server for thousands of short questions: one try a request, and little work around it.

`RemoteChat` is for people and agents: it waits and tries again by itself, streams, and costs about
a millisecond of CPU a request in the HTTP client. An evaluation asks 100,000 questions, and wants
to be told at once that a server is busy, so that it can slow down for all of them. Two differences:

- one try. `BusyError` (with the server's Retry-After), `UnreachableError` and other errors go to
  the caller at once, who knows about the other requests.
- requests go through the standard library's `http.client` on kept connections, in threads: a tenth
  of the CPU time. Where the environment names a proxy for this address, `httpx2` is used all the
  same, since it knows the manners of proxies.

What is sent and how an answer is read is `RemoteChat`'s own code.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import math
import select
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack
from urllib.parse import urlsplit

import httpx2

from formosa.engines.endpoint import (
    BUSY,
    NOT_THERE,
    SILENCE,
    Endpoint,
    NotThereError,
    RemoteOptions,
)
from formosa.engines.http import error_from, json_object
from formosa.engines.remote_chat import RemoteChat
from formosa.errors import BusyError, ContextError, EngineError, FormosaError, UserError

MOST = 128  # connections to one server
REFUSED = frozenset({401, 403})


class UnreachableError(EngineError):
    """Nobody answered: no connection, or it ended before a word came back."""


class Answer(NamedTuple):
    """What came back over HTTP; `value` is the body's JSON object, where it is one."""

    status: int
    retry_after: str
    body: bytes
    value: dict[str, Any] | None


class _OneTry(Endpoint):
    def __init__(self, base_url: str, **options: Unpack[RemoteOptions]) -> None:
        options["attempts"] = 1  # whoever asks knows about the other requests
        super().__init__(base_url, **options)
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if key := options.get("api_key"):
            self._headers["authorization"] = f"Bearer {key}"
        direct = options.get("transport") is None and not _has_proxy(self.url)
        self._lines = Lines(self.url, options.get("timeout", SILENCE)) if direct else None

    async def json(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        url = path if path.startswith("http") else self.url + path
        sent = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        if self._lines is not None:
            answer = await self._lines.ask(url, sent, self._headers, who=self.who)
        else:
            answer = await self._through_client(url, sent)
        if answer.status == 200 and answer.value is not None:
            return answer.value
        text = answer.body.decode(errors="replace")
        if answer.status == 200:
            return json_object(text, who=self.who)  # which says what is wrong with it
        refusal = self._refusal(answer, text)
        if sent is None and answer.status in NOT_THERE and type(refusal) is EngineError:
            raise NotThereError(refusal.message, refusal.hint)
        raise refusal

    def _refusal(self, answer: Answer, text: str) -> FormosaError:
        text = self.without_key(text)
        if answer.status in REFUSED:
            words = error_from(text, who=self.who, status=answer.status).message
            return UserError(words, "give the server's key with --api-key")
        error = error_from(text, who=self.who, status=answer.status)
        if answer.status in BUSY and not isinstance(error, ContextError):
            return BusyError(error.message, seconds_of(answer.retry_after))
        return error

    async def _through_client(self, url: str, sent: bytes | None) -> Answer:
        client = await self._clients.get()
        try:
            response = await client.request(
                "GET" if sent is None else "POST", url, content=sent, headers=self._headers
            )
        except httpx2.ConnectError as error:
            raise _unreachable(self.who, type(error).__name__) from error
        except httpx2.HTTPError as error:
            raise EngineError(f"{self.who} broke off: {type(error).__name__}.") from error
        retry_after = response.headers.get("retry-after", "")
        content = response.content
        return Answer(response.status_code, retry_after, content, _object(content))

    async def aclose(self) -> None:
        if self._lines is not None:
            self._lines.close()
        await super().aclose()


class AskingChat(RemoteChat):
    """A chat server that is asked once. Arguments as for `Remote`, without `attempts`."""

    _endpoint_type = _OneTry

    async def prepare(self) -> None:
        """Find out the model's name, where none was given."""
        await self._endpoint.model()

    async def alive(self) -> bool:
        """Whether anything answers at the address at all."""
        try:
            await self._endpoint.json("/models")
        except UnreachableError:
            return False
        except FormosaError:
            return True  # an answer of another kind
        return True


@dataclass
class Line:
    """A connection, and the number (`id`) of the last answer that came over it."""

    connection: http.client.HTTPConnection
    last: Any = None
    dropped: bool = False  # nobody waits for it any more


class Lines:
    """Kept connections to one server, each used by one thread at a time.

    Args:
        url: of the server; its path does not matter.
        timeout: seconds that it may be silent.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._timeout = parts.hostname or "", parts.port, timeout
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: list[Line] = []
        self._closed = False
        self._threads = ThreadPoolExecutor(MOST, thread_name_prefix="formosa-line")

    async def ask(
        self, url: str, body: bytes | None, headers: Mapping[str, str], *, who: str
    ) -> Answer:
        """Send one request and read the whole answer. Cancelling it hangs up.

        Raises:
            UnreachableError: there was no connection, or it ended before a word came.
            EngineError: it broke off in the middle, or the server was silent for too long.
        """
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        line, kept = self._line()
        work = self._threads.submit(self._exchange, line, kept, target, body, headers, who)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            line.dropped = True
            if work.cancelled():  # it had not begun
                line.connection.close()
            elif (sock := line.connection.sock) is not None:  # whoever reads from it comes back
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            raise

    def _line(self) -> tuple[Line, bool]:
        """A connection, and whether it was used before."""
        if self._idle:
            line = self._idle.pop()
            line.dropped = False
            return line, True
        if self._tls is not None:
            return Line(
                http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout, context=self._tls
                )
            ), False
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return Line(connection), False

    def _exchange(
        self,
        line: Line,
        kept: bool,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        who: str,
    ) -> Answer:
        """One request and its answer, in a thread.

        A server that answered twice leaves an answer on the line, which must never be taken for
        that to the next question: what is there before we ask is thrown away with the connection,
        and an answer with the number of the last one is asked for again on a new connection.
        """
        connection, method = line.connection, "GET" if body is None else "POST"
        if kept and (connection.sock is None or _readable(connection.sock)):
            connection.close()  # it hung up meanwhile, or said more than its answer
            kept = False
        try:
            try:
                connection.request(method, target, body, headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if not kept or line.dropped:
                    raise
                connection.close()  # hung up just before we wrote: not a word was answered
                connection.request(method, target, body, headers)
                response = connection.getresponse()
                kept = False
        except TimeoutError as error:
            connection.close()
            raise EngineError(f"{who} was silent for {self._timeout:g} seconds.") from error
        except (OSError, http.client.RemoteDisconnected) as error:
            connection.close()
            raise _unreachable(who, _words(error)) from error
        except http.client.HTTPException as error:
            connection.close()
            raise EngineError(f"{who} did not answer in HTTP: {_words(error)}.") from error
        try:
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineError(f"{who} broke off in the middle of an answer.") from error
        value = _object(content)
        number = value.get("id") if value else None
        if kept and number is not None and number == line.last:
            connection.close()
            return self._exchange(line, False, target, body, headers, who)
        line.last = number
        keep = not (response.will_close or line.dropped)
        if keep:
            self._idle.append(line)
        if not keep or self._closed:
            connection.close()
        return Answer(response.status, response.headers.get("retry-after", ""), content, value)

    def close(self) -> None:
        """Hang up. Whoever was still asked is not waited for, but hangs up, too."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            self._idle.pop().connection.close()


def seconds_of(retry_after: str) -> int:
    """The seconds of a Retry-After header; 1 where it is missing or a date."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 1
    return math.ceil(seconds) if 0 <= seconds < 86_400 else 1


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unreachable(who: str, words: str) -> UnreachableError:
    return UnreachableError(
        f"{who} can't be reached: {words}.", "check the address and that the server runs"
    )


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


def _readable(sock: socket.socket) -> bool:
    """Whether there is something to read, or the other side hung up."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _has_proxy(url: str) -> bool:
    parts = urlsplit(url)
    if parts.hostname in ("127.0.0.1", "::1", "localhost"):
        return False
    proxies = urllib.request.getproxies()
    if not (proxies.get(parts.scheme) or proxies.get("all")):
        return False
    return not urllib.request.proxy_bypass(parts.netloc)
