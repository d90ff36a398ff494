"""A redacted log says what became of every answer, and nothing that a benchmark or a model said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_line import formosa
from evals_arithmetic import arithmetic, model, scored, start
from formosa.errors import LogError
from formosa.evals.run import run_task
from formosa.evals.score import rescore
from formosa.files import sha256_file
from formosa.results.log import OUTCOMES, EvalLog
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary
from formosa.results.redact import redact
from formosa.results.report import figures

SECRET = "機密 secret"
TEXTS = st.text(alphabet="甲乙丙 \n\"\\'x", max_size=8).map(lambda text: SECRET + text)


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """What a sample record may hold, with something to hide in every place for a text."""
    outcome = draw(st.sampled_from(OUTCOMES))
    said, failed = draw(TEXTS), outcome == "failed"
    call = {"id": "c", "function": {"name": said, "arguments": json.dumps({"city": said})}}
    reply = {
        "text": said,
        "message": {"role": "assistant", "content": said, "tool_calls": [call]},
        "finish": draw(st.sampled_from(["stop", "length"])),
        "usage": [draw(st.integers(1, 900)), draw(st.integers(1, 900)), 0],
        "defects": [["unclosed", said]],
        "logprobs": [[[said, -0.5], []]],
    }
    return {
        "subject": "law",
        "request_sha256": "ab" * 32,
        "reply": None if failed else reply,
        "error": said if failed else None,
        "scores": {"exact": {"outcome": outcome, "answer": said, "why": said}},
        "purity": [draw(st.integers(0, 99)), 0, 0],
        "gold": draw(st.sampled_from([said, [{said: {"city": [said]}}]])),
        "seconds": draw(st.floats(0, 60).map(lambda seconds: round(seconds, 3))),
        "another": said,  # of a later version
    }


def written(path: Path, made: list[dict[str, Any]], end: bool = True) -> EvalLog:
    path.unlink(missing_ok=True)
    with LogWriter(path, start(samples=len(made))) as writer:
        for number, fields in enumerate(made):
            writer.append({**scored(f"q{number}"), **fields})
        return writer.finish(summary) if end else writer.log_so_far()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(answers(), min_size=1, max_size=6))
def test_no_text_is_left_and_every_figure_is_the_same(
    tmp_path: Path, made: list[dict[str, Any]]
) -> None:
    log = written(tmp_path / "whole.jsonl", made)
    bare = redact(log, tmp_path / "bare" / "log.jsonl")
    assert "secret" not in bare.path.read_text(encoding="utf-8")
    assert [short._replace(offset=0) for short in bare.briefs] == [
        short._replace(offset=0) for short in log.briefs
    ]
    before, after = figures(log), figures(bare)
    assert {**after, "log": ""} == {**before, "log": ""}
    assert bare.end == log.end and bare.finished


def test_it_names_the_whole_log_and_no_folder_of_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl"
    asked = {**start()["model"], "path": "/home/somebody/models/base.gguf"}
    with LogWriter(path, start(samples=1, model=asked)) as writer:
        writer.append(scored("q0"))
        log = writer.finish(summary)
    bare = redact(log, tmp_path / "bare.jsonl")
    assert bare.start["redacted"] == {"sha256": sha256_file(path)}
    assert bare.start["model"] == {**asked, "path": "base.gguf"}


def test_an_unfinished_log_is_refused(tmp_path: Path) -> None:
    log = written(tmp_path / "whole.jsonl", [{}], end=False)
    with pytest.raises(LogError, match="not finished: 1 of 1") as caught:
        redact(log, tmp_path / "bare.jsonl")
    assert "formosa eval retry" in caught.value.hint
    assert not (tmp_path / "bare.jsonl").exists()


def test_a_log_is_redacted_once_and_never_over_itself(tmp_path: Path) -> None:
    log = written(tmp_path / "whole.jsonl", [{}])
    before = log.path.read_bytes()
    with pytest.raises(LogError, match="over itself"):
        redact(log, log.path)
    assert log.path.read_bytes() == before
    bare = redact(log, tmp_path / "bare.jsonl")
    with pytest.raises(LogError, match="redacted already"):
        redact(bare, tmp_path / "twice.jsonl")


def test_nothing_can_be_scored_again(tmp_path: Path) -> None:
    """The replies are gone, and a score of empty ones would be a lie."""
    task = arithmetic(3)
    log = asyncio.run(run_task(task, model()[0], tmp_path / "whole.jsonl"))
    assert rescore(log, task, tmp_path / "again.jsonl").finished
    bare = redact(log, tmp_path / "bare.jsonl")
    with pytest.raises(LogError, match="not kept, so it can't be scored again"):
        rescore(bare, task, tmp_path / "never.jsonl")


# -- the command ---------------------------------------------------------------------------------


def test_the_command_keeps_the_names(tmp_path: Path) -> None:
    logs = [tmp_path / "logs" / f"{who}-sums.jsonl" for who in ("base", "trained")]
    for log in logs:
        written(log, [{"gold": SECRET}])
    done = formosa("eval", "redact", *logs, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [p.name for p in logs]
    assert "1 answers" in done.out + done.err
    shown = formosa("eval", "view", tmp_path / "out" / "base-sums.jsonl")
    assert shown.code == 0 and SECRET not in shown.out
    same = formosa("eval", "compare", *(tmp_path / "out" / log.name for log in logs))
    assert same.code == 0, same.err


def test_two_logs_of_one_name_would_overwrite_each_other(tmp_path: Path) -> None:
    logs = [tmp_path / folder / "sums.jsonl" for folder in ("a", "b")]
    for log in logs:
        written(log, [{}])
    done = formosa("eval", "redact", *logs, "--out", tmp_path / "out")
    assert done.code == 1 and "Two logs are called sums.jsonl" in done.err
    assert not (tmp_path / "out").exists()
