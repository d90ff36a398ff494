"""Run the gateway, or another app: until Ctrl-C, or in a thread beside other work.

The socket is opened before anything else, so a port that is taken is one sentence, and port 0 (any
free one) has its number at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from formosa.engines.protocol import ChatModel
from formosa.errors import FormosaError, UserError
from formosa.serve.app import create_app
from formosa.serve.pages import Pages
from formosa.serve.queue import Limits

GRACE = 3.0  # seconds that running replies get when the server stops
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
    limits: Limits | None = None,
    record: Path | None = None,
    grace: float = GRACE,
    pages: Pages | None = None,
) -> Iterator[str]:
    """Serve in a thread; gives the base URL for clients, as in `http://127.0.0.1:40123/v1`.

    The models stay open: they belong to the caller. `limits`, `record` and `pages` are those of
    `create_app`; `grace` is how many seconds running replies get when the block ends.

    Raises:
        UserError: the address can't be used, or the record can't be written.
    """
    check_host(host, api_key)
    make = partial(
        create_app,
        models,
        api_key=api_key,
        hosts=_hosts(host, api_key),
        limits=limits,
        record=record,
        pages=pages,
    )

    with listening(make, host=host, port=port, grace=grace) as url:
        yield f"{url}/v1"


def run_server(
    models: Mapping[str, ChatModel],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key: str | None = None,
    limits: Limits | None = None,
    record: Path | None = None,
    grace: float = GRACE,
    started: Callable[[str], None] | None = None,
    pages: Pages | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then let running replies end and close the models.

    `limits`, `record` and `pages` are those of `create_app`; `grace` is how many seconds running
    replies get at the end, while those that wait are refused at once. `started` is called with the
    base URL once requests are answered.

    Raises:
        UserError: the address can't be used, or the record can't be written.
        FormosaError: what the pages need can't be opened.
    """
    check_host(host, api_key)
    make = partial(
        create_app,
        models,
        api_key=api_key,
        hosts=_hosts(host, api_key),
        close=True,
        limits=limits,
        record=record,
        pages=pages,
    )

    run_app(
        make,
        host=host,
        port=port,
        grace=grace,
        started=lambda url: started(f"{url}/v1") if started else None,
    )


@contextmanager
def listening(
    make: Callable[[], Starlette],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grace: float = GRACE,
) -> Iterator[str]:
    """Serve any app of ours in a thread; gives its address, as in `http://127.0.0.1:40123`.

    The app is made once the address is ours.

    Raises:
        UserError: the address can't be used.
        FormosaError: the app says (`app.state.failed`) that it could not start.
    """
    with _listen(host, port) as listener:
        server = _Server(make(), grace)
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="formosa-serve", daemon=True
        )
        thread.start()
        server.ready.wait()
        try:
            if server.failed is not None:
                raise server.failed
            yield _url(host, listener)
        finally:
            server.should_exit = True
            thread.join()


def run_app(
    make: Callable[[], Starlette],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grace: float = GRACE,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve any app of ours until Ctrl-C or SIGTERM; `started` is called with its address.

    Raises:
        UserError: the address can't be used.
        FormosaError: the app says (`app.state.failed`) that it could not start.
    """
    with _listen(host, port) as listener:
        url = _url(host, listener)
        server = _Server(make(), grace, started=lambda: started(url) if started else None)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            return  # uvicorn passes the signal on, after it has shut down
    if server.failed is not None:
        raise server.failed


class _Server(uvicorn.Server):
    """A server that says when it answers requests, and tells the app when it stops."""

    def __init__(
        self, app: Starlette, grace: float, started: Callable[[], None] | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=grace,  # type: ignore[arg-type]  # it is only waited for
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._app = app
        self._started_hook = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
        if self.failed is not None:
            # Not at once: uvicorn would leave without letting the app close what it has opened.
            asyncio.get_running_loop().call_soon(setattr, self, "should_exit", True)
        elif self._started_hook is not None:
            self._started_hook()

    @property
    def failed(self) -> FormosaError | None:
        """Why the app could not start, if it says so."""
        failed = getattr(self._app.state, "failed", None)
        return failed if isinstance(failed, FormosaError) else None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if stop := getattr(self._app.state, "stop", None):
            stop()
        await super().shutdown(sockets)


def _hosts(host: str, api_key: str | None) -> list[str] | None:
    """The names that clients may call this server by; None where a key guards it."""
    guarded = api_key is None and _is_loopback(host)
    return sorted({*LOOPBACK_NAMES, host}) if guarded else None


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
    return f"http://{name}:{listener.getsockname()[1]}"
