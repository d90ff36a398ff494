"""Whether two answers are the same: math-verify in worker processes that can be killed.

math-verify hangs on power towers, grows on factorials, needs the main thread of a process for its
own time limits, and even these don't stop it in C code. So it runs in processes of its own; one
that takes too long or too much memory dies, only its comparison is lost, and the next comparison
starts another. The time limit is one of processor time, so that a busy machine changes no score.

Equal texts and whole numbers are compared here, without a worker: that is nearly all of GSM8K.

Knows two texts. Knows nothing of replies and scores.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

from formosa.errors import EngineError, UserError
from formosa.evals.math import worker
from formosa.evals.math.answers import plain, whole_number

START_SECONDS = 120.0  # until a worker has imported sympy, on a machine that is busy
ANSWER_SECONDS = 60.0  # of the clock; the processor time is limited by the worker itself
WORKERS = 2


class Comparison(NamedTuple):
    """`equal` is None where it could not be found out; `how` is for people."""

    equal: bool | None
    how: str


def require() -> str:
    """The version of math-verify that is installed.

    Raises:
        UserError: none is.
    """
    if util.find_spec("math_verify") is None:
        raise UserError(
            "Answers of mathematics are compared with math-verify, which is not installed.",
            "pip install 'math-verify>=0.9'",
        )
    return metadata.version("math-verify")


class Comparer:
    """Compares answers, from any thread. Workers are started when they are needed.

    Args:
        workers: processes at the same time; more callers than that wait.
    """

    def __init__(self, workers: int = WORKERS) -> None:
        self._all = [_Worker() for _ in range(workers)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for one in reversed(self._all):
            self._free.put(one)

    def compare(self, gold: str, answer: str) -> Comparison:
        """Whether `answer` is the right answer `gold`. Not symmetric, as math-verify is not.

        Raises:
            EngineError: no worker can be started.
        """
        if plain(gold) == plain(answer):
            return Comparison(True, "the same text")
        whole = whole_number(gold), whole_number(answer)
        if whole[0] is not None and whole[1] is not None:
            return Comparison(whole[0] == whole[1], "compared as whole numbers")
        chosen = self._free.get()
        try:
            found = chosen.ask({"gold": gold, "answer": answer})
        finally:
            self._free.put(chosen)
        if "equal" in found:
            return Comparison(bool(found["equal"]), "compared by math-verify")
        return Comparison(None, str(found["problem"]))

    def close(self) -> None:
        """End the workers. Comparing again starts new ones."""
        for one in self._all:
            one.stop()

    def pids(self) -> list[int]:
        """Of the workers that are running."""
        return [one.process.pid for one in self._all if one.process is not None]


class _Worker:
    """One process, asked one question at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._read = b""

    def ask(self, request: dict[str, str]) -> dict[str, Any]:
        # One that died while it was idle is no answer to this question: it gets another.
        if self.process is not None and self.process.poll() is not None:
            self.stop()
        if self.process is None:
            self._start()
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self._line(ANSWER_SECONDS)
        except BrokenPipeError:
            line = None
        if line is None:
            return {"problem": self._death()}
        found: dict[str, Any] = json.loads(line)
        return found

    def _start(self) -> None:
        # Nothing of the person's environment: there may be keys in it. -P: no modules from the
        # folder of the script, whose neighbours have the names of others.
        kept = ("PATH", "HOME", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")
        self._read = b""
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(Path(worker.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={key: os.environ[key] for key in kept if key in os.environ},
            cwd=tempfile.gettempdir(),
        )
        line = self._line(START_SECONDS)
        said = json.loads(line) if line else {"problem": self._death()}
        if "ready" not in said:
            self.stop()
            raise EngineError(f"The worker for math-verify does not start: {said['problem']}.")

    def _line(self, seconds: float) -> bytes | None:
        """The next line; None where the process ended, or the time did."""
        assert self.process is not None and self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._read:
            ready, _, _ = select.select([descriptor], [], [], seconds)
            data = os.read(descriptor, 1 << 16) if ready else b""
            if not data:
                return None
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _death(self) -> str:
        """Why there is no answer; the process is gone after this."""
        assert self.process is not None
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)  # what closed its output is ending
        code = self.process.poll()
        self.stop()
        if code == -signal.SIGXCPU:
            return f"the comparison took more than {worker.SECONDS} s of processor time"
        if code is None:
            return f"the comparison took more than {ANSWER_SECONDS:g} s"
        return f"the worker ended with code {code}"

    def stop(self) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not sent is of no use any more
                if pipe is not None:
                    pipe.close()


_shared: Comparer | None = None
_lock = threading.Lock()


def shared() -> Comparer:
    """The comparer of this process; its workers end with the process."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = Comparer()
            atexit.register(_shared.close)
        return _shared
