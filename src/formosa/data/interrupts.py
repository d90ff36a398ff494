"""Ctrl-C that comes at a known place, not in the middle of another library's bookkeeping.

Python raises `KeyboardInterrupt` between any two instructions of the main thread. Raised while a
process pool takes a call, it leaves the pool's lock held, and nothing that waits for it ever ends
(seen: once in some fifty times).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def kept_interrupts() -> Iterator[Callable[[], None]]:
    """Inside, Ctrl-C is kept for the function that is given: called, it raises what was kept.

    What is still kept at the end is raised there, unless another error is on its way. Nothing
    changes where Ctrl-C would not raise: in other threads than the main one, where it is ignored
    (`nohup`), or where somebody else takes it.

    Raises:
        KeyboardInterrupt: by the function and at the end, if Ctrl-C was pressed.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield lambda: None
        return
    kept = False

    def keep(number: int, frame: FrameType | None) -> None:
        nonlocal kept
        kept = True

    def give() -> None:
        nonlocal kept
        if kept:
            kept = False
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, keep)
    try:
        yield give
    finally:
        signal.signal(signal.SIGINT, before)
    give()


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes that are started inside never get Ctrl-C; to this one it comes afterwards.

    They inherit a mask, which holds from their first instruction on. What they could do about it
    themselves would come after their imports.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
