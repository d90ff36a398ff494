"""Runs a command that must not outlive the process that started it, even if that one is killed.

A script of its own (`python keeper.py COMMAND…`), which imports nothing of ours. It runs the
command in a session of its own and reads standard input, whose other end only the starter holds.
When that end closes, for whatever reason, each process of the session is asked to end, then killed.
Unlike `PR_SET_PDEATHSIG` this works for grandchildren, from any thread, and not on Linux alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE = 10.0  # seconds between asking and killing


def main(command: list[str]) -> int:
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=True
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _end(child))
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    code = child.wait()
    _kill(child.pid, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


def _watch(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    _kill(child.pid, signal.SIGTERM)
    threading.Thread(target=_kill_later, args=(child,), daemon=True).start()


def _kill_later(child: subprocess.Popen[bytes]) -> None:
    time.sleep(GRACE)
    _kill(child.pid, signal.SIGKILL)


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
