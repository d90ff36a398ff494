"""Which models of llama.cpp may be freed, once one of them was given a grammar.

llama.cpp keeps llguidance's tokenizer for the address of the vocabulary that read a grammar last.
Were that model freed, the next one might come to lie at the same address: it would be held to the
other's tokens, or the process would end where the two differ in number. So a server that was given
a grammar lives on until another one surely has read a later one.

Which of two reads last when both are asked at the same time can't be seen from here; and a request
that was given up may be read all the same, later. Both are then kept.

Knows no llama.cpp: a server is whatever frees its model when the last reference goes.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False)
class _Kept:
    """A server, and how its requests with a grammar stand."""

    server: Any
    begun: int = 0
    running: int = 0
    given_up: int = 0  # how many had begun when one ended without an answer; 0: none did

    @property
    def idle(self) -> bool:
        return not self.running and not self.given_up


_lock = threading.Lock()
_kept: list[_Kept] = []
atexit.register(_kept.clear)


@contextmanager
def guided(server: Any) -> Iterator[Callable[[], None]]:
    """Around a request with a grammar. Gives what is to be called when its answer begins: the
    grammar has been read by then."""
    with _lock:
        own = next((kept for kept in _kept if kept.server is server), None)
        if own is None:
            own = _Kept(server)
            _kept.append(own)
        own.begun += 1
        own.running += 1
        number = own.begun
        earlier = [(kept, kept.begun) for kept in _kept if kept is not own and kept.idle]
    answered = False

    def read() -> None:
        nonlocal answered
        if answered:
            return
        answered = True
        with _lock:
            free = [kept for kept, begun in earlier if kept.begun == begun and kept in _kept]
            for kept in free:
                _kept.remove(kept)
        # The last references go with this frame, not under the lock: a model that goes joins its
        # threads.
        earlier.clear()

    try:
        yield read
    finally:
        with _lock:
            own.running -= 1
            if not answered:
                own.given_up = own.begun
            elif number > own.given_up:  # llama.cpp takes requests in their order
                own.given_up = 0
