"""kill -9 in the middle of a run, in a process of its own; then the same command again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from evals_arithmetic import arithmetic, facts, model
from formosa.evals.run import run_task
from formosa.results.log import read_log, sample_key

CHILD = """
import asyncio, sys, threading
from pathlib import Path
from evals_arithmetic import answer, arithmetic, model
from formosa.evals.run import run_task

answered = 0

def script(prompt):
    global answered
    answered += 1
    if answered > 12:
        print("hanging", flush=True)
        threading.Event().wait()  # the whole process stands still until it is killed
    return answer(prompt)

asyncio.run(run_task(
    arithmetic(), model(script)[0], Path(sys.argv[1]), repeats=3, seed=5, concurrency=3,
))
"""


def test_a_killed_run_is_continued_and_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    path, whole = tmp_path / "killed.jsonl", tmp_path / "whole.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "hanging\n"
        child.kill()
        assert child.wait() == -9

    log = read_log(path)
    assert not log.finished
    assert 10 <= len(log.samples) <= 12  # of twelve answers, two more could be under way
    there = {sample_key(sample) for sample in log.samples}

    chat, engine = model()
    how = {"repeats": 3, "seed": 5, "concurrency": 3}
    continued = asyncio.run(run_task(arithmetic(), chat, path, **how))  # type: ignore[arg-type]
    assert len(engine.prompts) == 30 - len(there)
    assert continued.finished

    asyncio.run(run_task(arithmetic(), model()[0], whole, **how))  # type: ignore[arg-type]
    assert facts(path) == facts(whole)
