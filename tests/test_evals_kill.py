"""kill -9 in the middle of a run, in a process of its own; then the same command again.

`FORMOSA_CRASHES=100 pytest tests/test_evals_kill.py` does the random test a hundred times.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from evals_arithmetic import arithmetic, facts, model
from formosa.errors import LogError
from formosa.evals.run import run_task
from formosa.results.log import read_log
from formosa.results.merge import canonical_lines, result_sha256

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
    there = {short.key for short in log.briefs}

    chat, engine = model()
    how = {"repeats": 3, "seed": 5, "concurrency": 3}
    continued = asyncio.run(run_task(arithmetic(), chat, path, **how))  # type: ignore[arg-type]
    assert len(engine.prompts) == 30 - len(there)
    assert continued.finished

    asyncio.run(run_task(arithmetic(), model()[0], whole, **how))  # type: ignore[arg-type]
    assert facts(path) == facts(whole)


MANY = 400  # questions, each asked twice
RUNS = int(os.environ.get("FORMOSA_CRASHES", "2"))

ENDLESSLY = """
import asyncio, sys
from pathlib import Path
from evals_arithmetic import arithmetic, model
from formosa.evals.run import run_task

print("begun", flush=True)
asyncio.run(run_task(
    arithmetic(int(sys.argv[2])), model()[0], Path(sys.argv[1]), repeats=2, seed=5, concurrency=4,
))
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    log = asyncio.run(
        run_task(arithmetic(MANY), model()[0], path, repeats=2, seed=5, concurrency=4)
    )
    return list(canonical_lines(log))


@pytest.mark.parametrize("seed", range(RUNS))
def test_killed_at_random_moments_until_it_is_done_the_result_is_the_same_to_the_byte(
    tmp_path: Path, undisturbed: list[str], seed: int
) -> None:
    path, chance = tmp_path / "log.jsonl", random.Random(seed)
    kills, lines, code = 0, 0, -9
    while code != 0:
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESSLY, str(path), str(MANY)],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            try:
                # The first run is killed for certain; later ones get more and more time.
                code = child.wait(timeout=chance.uniform(0, 0.08) * (1 + kills / 4))
            except subprocess.TimeoutExpired:
                child.kill()
                code = child.wait()
        assert code in (0, -9)
        kills += code == -9
        try:
            now = len(read_log(path).samples)
        except LogError as error:  # killed before the first record
            assert "exist" in error.message or "empty" in error.message
            now = 0
        assert now >= lines  # what was answered stays
        lines = now
    print(f"killed {kills} times")  # shown by pytest -s
    log = read_log(path)
    assert list(canonical_lines(log)) == undisturbed
    assert path.read_bytes().count(b'"type":"sample"') == 2 * MANY  # and nothing was asked twice
    assert len(result_sha256(log)) == 64
