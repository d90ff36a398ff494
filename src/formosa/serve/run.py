"""Run the gateway: in the foreground until Ctrl-C, or in a thread beside other work.

The socket is opened before anything else, so a port that is taken is one sentence, and port 0 (any
free one) has its number at once.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import uvicorn

from formosa.engines.protocol import ChatModel
from formosa.errors import UserError
from formosa.serve.app import create_app

GRACE = 3  # seconds that running replies get when the server stops
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")


def check_host(host: str, api_key: str | None) -> None:
    """Refuse an address that others can reach, unless a key guards it.

    Raises:
        UserError: it is not loopback, and there is no key.
    """
    if not _is_loopback(host) and not api_key:
        raise UserError(
            f"{host} can be reached by others, and no API key is set.",
            "add --api-key, or leave out --host to serve this machine only",
        )


@contextmanager
def serving(
    models: Mapping[str, ChatModel],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    api_key: str | None = None,
) -> Iterator[str]:
    """Serve in a thread; gives the base URL for clients, as in `http://127.0.0.1:40123/v1`.

    The models stay open: they belong to the caller.

    Raises:
        UserError: the address can't be used.
    """
    check_host(host, api_key)
    with _listen(host, port) as listener:
        server = _Server(_config(models, host, api_key, close=False))
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="formosa-serve", daemon=True
        )
        thread.start()
        server.ready.wait()
        try:
            yield _url(host, listener)
        finally:
            server.should_exit = True
            thread.join()


def run_server(
    models: Mapping[str, ChatModel],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then let running replies end and close the models.

    `started` is called with the base URL once requests are answered.

    Raises:
        UserError: the address can't be used.
    """
    check_host(host, api_key)
    with _listen(host, port) as listener:
        url = _url(host, listener)
        server = _Server(
            _config(models, host, api_key, close=True),
            started=lambda: started(url) if started else None,
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            return  # uvicorn passes the signal on, after it has shut down


class _Server(uvicorn.Server):
    """A server that says when it answers requests."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._started_hook = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
        if self._started_hook is not None:
            self._started_hook()


def _config(
    models: Mapping[str, ChatModel], host: str, api_key: str | None, *, close: bool
) -> uvicorn.Config:
    guarded = api_key is None and _is_loopback(host)
    hosts = sorted({*LOOPBACK_NAMES, host}) if guarded else None
    return uvicorn.Config(
        create_app(models, api_key=api_key, hosts=hosts, close=close),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UserError(
            f"Can't listen on {host}, port {port}: {error.strerror or error}.",
            "choose another with --port; 0 takes any free one",
        ) from error


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/v1"
