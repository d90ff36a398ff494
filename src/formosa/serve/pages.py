"""What else answers on the server's address: routes of rooms that this one does not know.

They stand behind the same checks as the API: the names in `Host`, the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

from starlette.routing import Route


@dataclass(frozen=True)
class Pages:
    """Routes, and what they need.

    Attributes:
        routes: beside those of the API.
        open: paths of them that answer without a key. They must hold nothing to guard: a browser
            sends no key when it is given an address, so a page is fetched first and asks then.
        around: makes what is entered before the first request and left after the last, in the
            server's event loop, such as connections. A `FormosaError` from it ends the server.
    """

    routes: Sequence[Route] = ()
    open: frozenset[str] = frozenset()
    around: Callable[[], AbstractAsyncContextManager[object]] = nullcontext
