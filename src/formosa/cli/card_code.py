"""`formosa card verify --run-code`: the card's walk-through, run against a scripted server.

The model of that server says what the card prints as its model's calls; a second time, the same
calls the other way round, since a model calls in the order it likes. Code that answers calls by
name and id passes both.

Knows the server and the process. What is run, and what is said, is `formosa.card.walkthrough`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.card.walkthrough import Call, Walkthrough, replies, walkthrough
from formosa.cli import card_child
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.run import serving

PATIENCE = 60.0  # seconds for one run
_NAME = "walkthrough.py"


class Ran(NamedTuple):
    """How a run ended: `error` is "" where it went well, `line` that of the card."""

    error: str
    line: int


def run_code(card: Subject) -> list[Finding]:
    """Run the walk-through, and say how it ended."""
    made = walkthrough(card)
    where = "walk-through"
    if isinstance(made, str):
        return [found("code-not-run", 0, where, f"Nothing was run: {made}.")]
    try:
        import openai  # noqa: F401  # the card's code needs it
    except ImportError:
        message = "Nothing was run: the `openai` client is not installed (pip install openai)."
        return [found("code-not-run", made.first, where, message)]
    orders = [made.calls]
    if len(made.calls) > 1:
        orders.append(made.calls[::-1])
    ran = [_run(made, order) for order in orders]
    failed = [(order, end) for order, end in zip(orders, ran, strict=True) if end.error]
    if not failed:
        calls = ", ".join(call.name for call in made.calls) or "no call"
        ways = "in both orders" if len(orders) > 1 else "once"
        message = f"Lines {made.first} to {made.last} ran {ways} to their end ({calls})."
        return [found("code-ran", made.first, where, message)]
    order, end = failed[0]
    names = ", ".join(call.name for call in order) or "no call"
    which = "that the card prints" if made.printed else "of its tools"
    turned = order != made.calls
    message = (
        f"With the calls in the order {which}{', turned round' if turned else ''} ({names}), "
        f"it ends in {end.error}"
    )
    if len(failed) < len(orders):
        message += f"; {'as it stands' if turned else 'the other way round'} it runs to its end"
    return [found("code-fails", end.line or made.first, where, message + ".")]


def _run(made: Walkthrough, calls: tuple[Call, ...]) -> Ran:
    """One run, in a folder and a process of its own."""
    engine = ScriptedEngine(replies(calls, thinks=made.thinks), name="scripted")
    with (
        tempfile.TemporaryDirectory(prefix="formosa-card-") as folder,
        serving({"scripted": TemplatedChat(engine)}) as url,
    ):
        root = Path(folder)
        (root / _NAME).write_text(made.program, encoding="utf-8")
        port = url.split(":")[2].split("/")[0]
        command = [sys.executable, "-I", str(Path(card_child.__file__)), _NAME, port]
        with (root / "out").open("wb") as out, (root / "err").open("wb") as err:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=root,
                env=_environment(url, root),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                code = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                return Ran(f"nothing: it did not end within {PATIENCE:g} seconds", 0)
            finally:
                _stop(process)
        said = (root / "err").read_bytes()[-20_000:].decode("utf-8", "replace")
    return Ran("", 0) if code == 0 else _error(said, code)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # it ended, and what it started too
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(url: str, folder: Path) -> dict[str, str]:
    """No key, no proxy and no home of the person who checks."""
    names = ("PATH", "LANG", "LD_LIBRARY_PATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "none",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }


_FRAME = re.compile(r'File "[^"]*' + re.escape(_NAME) + r'", line (\d+)')
_HEAD = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b")


def _error(said: str, code: int) -> Ran:
    """The last line of a traceback, and the last line of the card in it."""
    frames = _FRAME.findall(said)
    lines = [line for line in said.splitlines() if line.strip()]
    # An exception's words may go on for lines; its first stands at the left after the frames.
    heads = [line for line in lines if _HEAD.match(line)]
    if heads:
        error = heads[-1]
    elif code < 0:
        error = f"signal {-code} (too much memory, time or output)"
    else:
        error = f"exit code {code}"
    return Ran(error[:300], int(frames[-1]) if frames else 0)
