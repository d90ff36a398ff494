"""How many cores this process has, how it waits for its threads, and where its freed memory goes.

The last two are settings of OpenMP and of the C library, whose defaults suit one program alone on a
large machine. Measured on two cores (docs/formosa-mini.md): a token of a 270M model with an adapter
is a thousand small operations, and threads that sleep between them need twice as long for it;
threads that spin until they are needed starve everything else on a shared machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPINS = "1000"  # some microseconds: longer than two neighbouring operations are apart

# glibc's malloc.h, with bytes. Larger blocks come from the system all the same: kept, blocks of
# hundreds of megabytes in ever other sizes leave holes between them, and 5 GB became 22.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 1 << 30}
_USUAL = {_MMAP_THRESHOLD: 128 << 10, _TRIM_THRESHOLD: 128 << 10}


def usable_cores() -> int:
    """How many cores this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, cores_of_quota() or cores)


def cores_of_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """A container's share of the machine in whole cores, rounded up; None without a limit."""
    try:
        quota, period = map(int, path.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(-(-quota // period), 1) if period > 0 else None


def wait_briefly() -> None:
    """Let threads of OpenMP spin for a moment before they sleep. A person's own settings stay.

    To be called before a library that uses OpenMP is loaded: it reads the environment once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


@contextmanager
def keeping_freed_memory() -> Iterator[bool]:
    """Within it, this process uses memory again that it freed, and hands little back to the system.

    A training frees and asks for the same megabytes in every layer of every step; a system that
    gives them anew fills each page with zeros first. Yields whether the C library can be told
    (glibc).
    """
    import ctypes  # which opens the C library when it is imported: a sandbox may forbid that

    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        yield False
        return
    try:
        told = [mallopt(name, value) for name, value in _KEEP.items()]
        yield all(answer == 1 for answer in told)
    finally:
        for name, value in _USUAL.items():
            mallopt(name, value)
        library.malloc_trim(0)
