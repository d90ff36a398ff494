"""Runs one program of a card, in a process of its own: `python -I card_child.py PROGRAM PORT`.

Whatever address the program asks on this machine, it reaches the scripted server; every other
address, other programs, and files outside of its folder are refused. This holds for Python code
that means no harm, and for most that does; it is no wall against machine code, which is why
nothing is run unless `--run-code` is given. `card_code.py` ends what takes too long.
"""

from __future__ import annotations

import os
import resource
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

LOOPBACK = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104  as cards write it
CPU = 30  # seconds
MEMORY = 4 << 30  # bytes of address space
OUTPUT = 1 << 20  # bytes of the largest file, what it prints included

_NEVER = (
    "subprocess.Popen os.system os.exec os.posix_spawn os.spawn os.fork os.forkpty os.startfile "
    "pty.spawn socket.bind socket.sendto ctypes.dlopen os.kill os.killpg os.putenv"
)
_PATHS = (
    "os.remove os.rename os.rmdir os.mkdir os.chmod os.chown os.link os.symlink os.truncate "
    "shutil.rmtree shutil.move"
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main(program: str, port: int) -> None:
    _limit()
    _fence(port, Path.cwd().resolve())
    runpy.run_path(program, run_name="__main__")


def _limit() -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, CPU),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def _fence(port: int, folder: Path) -> None:
    """Refuse everything but our port and our folder, from now on."""
    never, paths = frozenset(_NEVER.split()), frozenset(_PATHS.split())

    class Redirected(socket.socket):
        """Every port of this machine is the scripted server's."""

        def connect(self, address: Any) -> None:
            super().connect(_ours(address, port))

        def connect_ex(self, address: Any) -> int:
            return super().connect_ex(_ours(address, port))

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event in never:
            raise PermissionError(f"the walk-through may not use {event}")
        if event == "socket.connect" and args[1] != ("127.0.0.1", port):
            raise PermissionError("the walk-through reaches the scripted server only")
        if event == "socket.getaddrinfo" and str(args[0]) not in LOOPBACK:
            raise PermissionError(f"the walk-through may not ask for {args[0]}")
        if event in paths:
            for path in args[:2]:  # the second is a path, too, or a number
                if not _inside(path, folder):
                    raise PermissionError(f"the walk-through may not change {path}")
        if event == "open" and args[2] & _WRITES and not _inside(args[0], folder):
            raise PermissionError(f"the walk-through may not write {args[0]}")

    socket.socket = Redirected  # type: ignore[misc]
    sys.addaudithook(watch)


def _ours(address: Any, port: int) -> Any:
    if isinstance(address, tuple) and address[0] in LOOPBACK:
        return ("127.0.0.1", port)
    return address  # `watch` refuses it


def _inside(path: Any, folder: Path) -> bool:
    if not isinstance(path, str | bytes | os.PathLike) or str(path) == os.devnull:
        return True
    return Path(os.fsdecode(path)).resolve().is_relative_to(folder)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
