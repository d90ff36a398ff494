"""One OpenAI-compatible server: its address, its key, its models, and the manners of asking it.

Servers of the same shape honour different parameters, and most leave out in silence what they do
not know. So we ask which program it is (`owned_by` in its list of models) before we trust it.

A request that failed before it answered (no connection, 408, 429, 5xx) is sent again, after the
time that the server's `Retry-After` names. Once an answer has begun, it is not: what was yielded
can't be taken back. The key is never part of a message.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

import httpx2
import stamina

from formosa.engines.http import LoopClients, error_from, json_object
from formosa.engines.protocol import ModelInfo
from formosa.errors import BusyError, ContextError, EngineError, UserError

ATTEMPTS = 6
SILENCE = 600.0  # seconds
LONGEST_WAIT = 60.0  # seconds; a server that asks for more is not waited for
AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


BUSY = frozenset({429, 503})
NOT_THERE = frozenset({400, 401, 403, 404, 405, 422, 501})

Kind = Literal["vllm", "llama.cpp", "formosa", "unknown"]
_OWNERS: dict[Any, Kind] = {"vllm": "vllm", "llamacpp": "llama.cpp", "formosa": "formosa"}


class NotThereError(EngineError):
    """The server answered, and has no such route, or not for us, or one of another kind."""


class Server(NamedTuple):
    """The program behind an address."""

    kind: Kind
    version: tuple[int, ...] = ()  # vLLM's; () where it is unknown


class RemoteOptions(TypedDict, total=False):
    """How a server is asked: see `Remote`."""

    model: str | None
    api_key: str | None
    timeout: float
    transport: httpx2.AsyncBaseTransport | None
    info: ModelInfo | None
    attempts: int


class Endpoint:
    """One server: its address, its key and the manners of asking it. Arguments as for `Remote`.

    Attributes:
        here: whether it is on this machine.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float = SILENCE,
        transport: httpx2.AsyncBaseTransport | None = None,
        info: ModelInfo | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._attempts = attempts
        self._key = api_key
        self.url, self.who = _checked(base_url)
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx2.Timeout(timeout, connect=min(timeout, 30.0))
        # On this machine no proxy: the words stay here.
        self.here = urlsplit(self.url).hostname in ("127.0.0.1", "::1", "localhost")
        self._clients = LoopClients(
            lambda: httpx2.AsyncClient(
                headers=headers, timeout=limits, transport=transport, trust_env=not self.here
            )
        )
        known = info or ModelInfo(name=model or self.who, details={"engine": "remote"})
        self.info = replace(known, details={**known.details, "base_url": self.url})
        self._model = model
        self._listed: list[dict[str, Any]] | None = None
        self._server: Server | None = None
        self._keeps_name = info is not None

    @asynccontextmanager
    async def ask(
        self, path: str, body: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[httpx2.Response, None]:
        """An answer with status 200, its body not read yet."""
        client = await self._clients.get()
        url = path if path.startswith("http") else self.url + path
        try:
            response = await self._send(client, url, body)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx2.HTTPError as error:
            kind = type(error).__name__
            raise EngineError(
                f"{self.who} can't be reached or broke off: {kind}.",
                "check the address and that the server runs",
            ) from error

    async def _send(
        self, client: httpx2.AsyncClient, url: str, body: Mapping[str, Any] | None
    ) -> httpx2.Response:
        attempts = stamina.retry_context(
            on=wait_before_again, attempts=self._attempts, timeout=None
        )
        response: httpx2.Response | None = None
        try:
            async for attempt in attempts:
                with attempt:
                    request = client.build_request(
                        "GET" if body is None else "POST", url, json=body
                    )
                    response = await client.send(request, stream=True)
                    if response.status_code in AGAIN:
                        await response.aread()
                        response.raise_for_status()
        except httpx2.HTTPStatusError as error:
            response = error.response
        assert response is not None
        if response.status_code != 200:
            text = self.without_key((await response.aread()).decode(errors="replace"))
            await response.aclose()
            refusal = error_from(text, who=self.who, status=response.status_code)
            if response.status_code in NOT_THERE and type(refusal) is EngineError:
                refusal = NotThereError(refusal.message, refusal.hint)
            if response.status_code in BUSY and not isinstance(refusal, ContextError):
                raise BusyError(refusal.message, _seconds(response))
            raise refusal
        return response

    async def json(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with self.ask(path, body) as response:
            text = (await response.aread()).decode(errors="replace")
        try:
            return json_object(text, who=self.who)
        except EngineError as error:  # a page for people
            raise NotThereError(error.message) from error

    def without_key(self, text: str) -> str:
        """A server's words for an error message: some quote a key that they refuse."""
        return text.replace(self._key, "[key]") if self._key else text

    @property
    def root(self) -> str:
        """The address without `/v1`: where servers keep routes that OpenAI does not have."""
        return self.url.removesuffix("/v1")

    async def model(self) -> str:
        """The model's name: the one given, or the only one that the server lists."""
        if self._model is None:
            names = [str(item.get("id")) for item in await self.models()]
            if len(names) != 1:
                raise UserError(
                    f"{self.who} has {len(names)} models: {', '.join(names[:9]) or 'none'}.",
                    "name one of them",
                )
            self._model = names[0]
            if not self._keeps_name:
                self.info = replace(self.info, name=self._model)
        return self._model

    async def context(self) -> int | None:
        """Tokens that the model's context holds, where the server says it."""
        if self.info.context is None:
            name = await self.model()
            length: Any = None
            for item in await self.models():
                if item.get("id") == name:
                    length = item.get("max_model_len")
            if length is None and (await self.server()).kind == "llama.cpp":
                props = await self.json(f"{self.root}/props")
                length = (props.get("default_generation_settings") or {}).get("n_ctx")
            if isinstance(length, int):
                self.info = replace(self.info, context=length)
        return self.info.context

    async def server(self) -> Server:
        """Which program answers here; `unknown` where it does not say."""
        if self._server is None:
            try:
                owners = {item.get("owned_by") for item in await self.models()}
                kind = _OWNERS.get(owners.pop(), "unknown") if len(owners) == 1 else "unknown"
                version = ""
                if kind == "vllm":
                    version = str((await self.json(f"{self.root}/version")).get("version"))
                self._server = Server(kind, version_numbers(version))
            except NotThereError:  # one that can't be reached now may say it later
                self._server = Server("unknown")
        return self._server

    async def models(self) -> list[dict[str, Any]]:
        if self._listed is None:
            data = (await self.json("/models")).get("data")
            self._listed = [item for item in data or [] if isinstance(item, dict)]
        return self._listed

    async def aclose(self) -> None:
        await self._clients.aclose()


def _checked(base_url: str) -> tuple[str, str]:
    """The address without user, password and trailing slash; and the server's name in errors."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{base_url!r} is not an address.", "write http://HOST:PORT/v1")
    if parts.username or parts.password:
        raise UserError(
            "A user or password in the address would end up in logs.", "use --api-key instead"
        )
    clean = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return clean, parts.netloc


def wait_before_again(error: Exception) -> bool | float:
    """Whether a failed request is sent again, and after how many seconds."""
    if isinstance(error, httpx2.HTTPStatusError):
        asked = error.response.headers.get("retry-after", "")
        try:
            seconds = float(asked)
        except ValueError:
            return True  # none, or a date: the usual growing waits
        return seconds if 0 <= seconds <= LONGEST_WAIT else False
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


def version_numbers(version: str) -> tuple[int, ...]:
    """`0.11.1rc2` → (0, 11, 1)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _seconds(response: httpx2.Response) -> int:
    asked = response.headers.get("retry-after", "")
    return int(asked) if asked.isdecimal() else 1


class Remote:
    """What `RemoteText` and `RemoteChat` share: a server, and how it is asked.

    Args:
        base_url: as in `http://127.0.0.1:8000/v1`.
        model: the name that the server uses; may be left out where it has only one.
        api_key: sent as a bearer token, and only to this server.
        timeout: seconds that the server may be silent.
        transport: carries the requests; for tests and unusual networks.
        info: what is known about the model already.
        attempts: how often a request that failed before it was answered is sent in all.

    Raises:
        UserError: the address is none.
    """

    _endpoint_type: type[Endpoint] = Endpoint

    def __init__(self, base_url: str, **options: Unpack[RemoteOptions]) -> None:
        self._endpoint = self._endpoint_type(base_url, **options)

    @property
    def info(self) -> ModelInfo:
        return self._endpoint.info

    async def aclose(self) -> None:
        await self._endpoint.aclose()
