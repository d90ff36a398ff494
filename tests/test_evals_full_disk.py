"""A disk that fills up under a run, with a file that really cannot grow: nothing answered is lost.

A process may be given a limit on the size of its files; writing past it is refused by the system in
the same two steps as on a full disk, first a part of the record, then an error.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evals_arithmetic import arithmetic, facts, model
from formosa.evals.run import run_task
from formosa.results.log import EvalLog, read_log

AT_A_TIME = 3
HOW: dict[str, Any] = {"repeats": 2, "seed": 5, "concurrency": AT_A_TIME}

CHILD = """
import asyncio, resource, sys
from pathlib import Path
from evals_arithmetic import answer, arithmetic, model
from formosa.errors import UserError
from formosa.evals.run import run_task

answered = 0

def script(prompt):
    global answered
    answered += 1
    return answer(prompt)

room = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    asyncio.run(run_task(
        arithmetic(), model(script)[0], Path(sys.argv[1]), repeats=2, seed=5, concurrency=3,
    ))
except UserError as error:
    print(answered, error.message)
"""


def run(path: Path) -> tuple[EvalLog, int]:
    """The finished log, and how many questions were asked for it."""
    chat, engine = model()
    return asyncio.run(run_task(arithmetic(), chat, path, **HOW)), len(engine.prompts)


def run_with_room(path: Path, room: int) -> tuple[int, str]:
    """How many questions were answered before the file could not grow, and what was said then."""
    done = subprocess.run(  # -B: no compiled modules are written under the limit
        [sys.executable, "-B", "-c", CHILD, str(path), str(room)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    answered, said = done.stdout.strip().split(" ", 1)
    return int(answered), said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "log.jsonl"
    run(path)
    return path


@pytest.mark.parametrize("full_at", ["the start", "an answer", "the end"])
def test_where_the_disk_fills_up_answers_stay_and_the_same_command_continues(
    tmp_path: Path, whole: Path, full_at: str
) -> None:
    sizes = [len(line) for line in whole.read_bytes().splitlines(keepends=True)]
    room = {
        "the start": sizes[0] // 2,
        "an answer": sum(sizes[:9]) + sizes[9] // 2,
        "the end": sum(sizes) - sizes[-1] // 2,
    }[full_at]
    path = tmp_path / "log.jsonl"
    answered, said = run_with_room(path, room)
    assert said.startswith((f"The disk is full while writing {path}", f"Cannot write {path}"))
    kept = path.read_bytes()
    assert len(kept) <= room
    assert kept == b"" or kept.endswith(b"\n")  # no half record is left behind
    there = 0 if full_at == "the start" else len(read_log(path).samples)
    assert answered - AT_A_TIME <= there <= answered
    assert {"the start": there == 0, "an answer": 0 < there < 20, "the end": there == 20}[full_at]

    log, asked = run(path)
    assert log.finished
    assert asked == 20 - there
    assert facts(path) == facts(whole)


def test_a_disk_that_fills_up_again_and_again_costs_no_answer(tmp_path: Path, whole: Path) -> None:
    """Whoever frees a little space each time still gets to the end."""
    path, size = tmp_path / "log.jsonl", whole.stat().st_size
    there = 0
    for room in (size // 4, size // 2, 3 * size // 4):
        run_with_room(path, room)
        now = len(read_log(path).samples)
        assert now > there
        there = now
    log, asked = run(path)
    assert log.finished
    assert asked == 20 - there
    assert facts(path) == facts(whole)
