"""Several processes: the same bytes, errors as sentences, and nothing left behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formosa.data import judging, workers
from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark
from formosa.data.prepare import prepare
from formosa.data.sources.record import Record
from formosa.errors import DataError, UserError

ASKED = "請問臺灣最高的山是哪一座山，它的高度是多少公尺？"


@pytest.fixture(autouse=True)
def few_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HERE", 10)
    monkeypatch.setattr(workers, "CHUNK", 7)


def line(number: int) -> str:
    if number % 10 == 3:
        return "{" if number % 20 == 3 else json.dumps({"messages": [], "id": str(number)})
    question = ASKED if number == 77 else f"這是第 {number // 2} 個問題，請問該怎麼回答比較好？"
    turns = [
        ("user", question),
        ("assistant", f"這個問題的回答是 {number // 2 * 37}，供您參考,謝謝。"),
    ]
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]})


def write(folder: Path, rows: int) -> DataConfig:
    path = folder / "mine.jsonl"
    path.write_text("".join(line(i) + "\n" for i in range(rows)), encoding="utf-8")
    law = folder / "law.jsonl"
    law.write_text(
        "".join(json.dumps({"text": f"第 {i} 條　本法之規定如下。" * 4}) + "\n" for i in range(30)),
        encoding="utf-8",
    )
    sources: list[dict[str, Any]] = [
        {"path": str(path), "licence": "MIT", "format": "messages"},
        {"path": str(law), "licence": "MIT"},
    ]
    return DataConfig.model_validate({"sources": sources, "heldout": 8, "skip_bad": True})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_bytes_are_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    config = write(tmp_path, 150)
    benchmarks = [Benchmark("mini", (ASKED,), ())]
    said: list[list[str]] = []
    for processes in (1, 3):
        said.append([])
        out = tmp_path / str(processes)
        report = prepare(config, out, benchmarks=benchmarks, workers=processes, say=said[-1].append)
        assert report.dropped["benchmark: mini"] == 1 and report.dropped["duplicate"] > 10
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    assert said[0] == said[1]


def test_a_bad_row_found_by_a_worker_stops_the_run(tmp_path: Path) -> None:
    config = write(tmp_path, 60).model_copy(update={"skip_bad": False})
    with pytest.raises(DataError) as alone:
        prepare(config, tmp_path / "1")
    with pytest.raises(DataError) as several:
        prepare(config, tmp_path / "2", workers=2)
    assert several.value.message == alone.value.message
    assert contents(tmp_path / "2") == {} and not multiprocessing.active_children()


def test_a_small_source_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "HERE", 1000)

    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process was started for 60 rows")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", started)
    assert prepare(write(tmp_path, 30), tmp_path / "out", workers=8).rows["train"] > 0


def test_a_source_is_read_no_further_than_the_workers_are_busy(tmp_path: Path) -> None:
    """`Pool.imap` would read ten million records into memory before the first is judged."""
    read = 0

    def records() -> Iterator[Record]:
        nonlocal read
        for number in range(5000):
            read += 1
            question = {"role": "user", "content": f"{number}?"}
            answer = {"role": "assistant", "content": "Yes, that is so."}
            yield Record(f"x:{number}", {"messages": [question, answer]})

    from formosa.data.formats.draft import Reader
    from formosa.data.formats.registry import FORMATS

    config = DataConfig.model_validate({"heldout": 0})
    with workers.Workers(config, processes=2) as judges:
        reader = Reader(FORMATS["messages"])
        found = judges.judge(records(), "x", reader, "refuse")
        for _ in range(200):
            next(found)
        most = 200 + (2 * workers.AHEAD + 2) * workers.CHUNK
        assert read <= most
        assert [next(found).where for _ in range(3)] == ["x:200", "x:201", "x:202"]


def test_a_worker_that_is_killed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, 150)
    killed = judging.Judge.__call__

    def kill(self: judging.Judge, records: Any) -> Iterator[judging.Verdict]:
        for child in multiprocessing.active_children():
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
        return killed(self, records)

    with workers.Workers(config, processes=2) as judges:
        started = judges._started()
        list(started.map(abs, range(4)))  # they are up
        monkeypatch.setattr(judging.Judge, "__call__", kill)
        monkeypatch.setattr("formosa.data.prepare.Workers", lambda *_: judges)
        with pytest.raises(UserError, match="process that judged rows was killed") as caught:
            prepare(config, tmp_path / "out", workers=2)
    assert "--workers" in caught.value.hint
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("moment", ["workers begin", "rows are written"])
def test_ctrl_c_ends_all_processes_and_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Workers get the terminal's Ctrl-C, too; they leave it to their parent and print nothing.

    A worker that has just been started is importing: it can't have ignored anything yet.
    """
    config = write(tmp_path, 40_000)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(config.model_dump_json(), encoding="utf-8")
    code = """
import sys
from pathlib import Path
from formosa.data import workers
from formosa.data.config import DataConfig
from formosa.data.prepare import prepare
if __name__ == "__main__":
    workers.HERE = 10
    config = DataConfig.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        prepare(config, Path(sys.argv[2]), workers=2, say=lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        sys.exit(130)
"""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(recipe), str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    rows = out / ".preparing" / "work" / "rows"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if moment == "workers begin" and len(children.read_text().split()) == 3:
            break  # two, and the one that follows shared memory
        if moment == "rows are written" and rows.exists() and rows.stat().st_size > 20_000:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert contents(out) == {}
