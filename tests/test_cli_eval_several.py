"""`formosa eval view`: figures over several tasks, and without questions nobody can get right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command_line import Done, formosa
from evals_arithmetic import scored, start
from formosa.evals.bfcl import lenient, zhtw
from formosa.evals.registry import known_bad
from formosa.results.log_writer import LogWriter
from formosa.results.metrics import summary


def view(*arguments: object) -> Done:
    done = formosa("eval", "view", *arguments)
    assert done.code == 0, done.err
    return done


def log_of(path: Path, task: str, outcomes: dict[str, str], finished: bool = True) -> Path:
    """A log of BFCL's main scorer, from id → outcome."""
    begun = start(task={"name": task, "version": 1}, samples=len(outcomes), scorers=("ast",))
    with LogWriter(path, begun) as writer:
        for id, outcome in outcomes.items():
            record = scored(id, outcome, gold=[])
            writer.append({**record, "scores": {"ast": record["scores"]["exact"]}})
        if finished:
            writer.finish(summary)
    return path


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """Two of the questions are known to be bad, and were answered wrong."""
    tasks = {
        "bfcl-simple": {"simple_python_1": "correct", "simple_python_87": "wrong"},
        "bfcl-multiple": {"multiple_1": "correct"},
        "bfcl-parallel": {"parallel_1": "correct", "parallel_26": "wrong"},
        "bfcl-parallel-multiple": {"parallel_multiple_1": "wrong"},
    }
    return [log_of(tmp_path / f"{name}.jsonl", name, made) for name, made in tasks.items()]


def test_figures_over_several_tasks_stand_there_with_and_without_bad_questions(
    logs: list[Path],
) -> None:
    done = view(*logs)
    first, second = done.out.split("over several tasks, without 2 questions that nobody can get")
    assert "over several tasks" in first
    assert "bfcl-parallel-multiple · m" in first
    assert max(map(len, done.out.splitlines())) <= 80
    assert line(first, "ast_mean").endswith("50.0")
    assert line(second, "ast_mean").endswith("75.0")
    value = view(*logs, "--json").json
    assert value["aggregates"]["m"]["ast"]["bfcl ast_mean"] == 0.5
    assert value["aggregates_without_known_bad"]["m"]["ast"]["bfcl ast_mean"] == 0.75
    assert value["logs"][0]["without_known_bad"]["left_out"] == ["simple_python_87"]
    assert value["logs"][1]["without_known_bad"] is None


def line(text: str, word: str) -> str:
    (found,) = [row.rstrip() for row in text.splitlines() if f" {word} " in f" {row} "]
    return found


def test_one_log_shows_its_score_with_and_without_them(logs: list[Path]) -> None:
    done = view(logs[0])
    first, second = done.out.split("without 1 question that nobody can get right")
    assert "50.0 (" in first
    assert "100.0 (" in second.splitlines()[2]
    value = view(logs[0], "--json").json
    assert value["scorers"]["ast"]["score"]["value"] == 0.5  # the first figure is of all questions
    made = value["without_known_bad"]
    assert made["left_out"] == ["simple_python_87"]
    assert (made["scores"]["ast"]["value"], made["scores"]["ast"]["questions"]) == (1.0, 1)


def test_a_log_without_such_questions_shows_one_figure(logs: list[Path]) -> None:
    assert "nobody can get right" not in view(logs[1]).out
    assert view(logs[1], "--json").json["without_known_bad"] is None
    assert "nobody can get right" not in view(logs[1], logs[3]).out


def test_the_same_id_is_bad_in_one_language_and_good_in_the_other(tmp_path: Path) -> None:
    outcomes = {"parallel_26": "correct", "parallel_44": "wrong"}
    for task, left_out in (("bfcl-zhtw-parallel", "parallel_44"), ("bfcl-parallel", "parallel_26")):
        path = log_of(tmp_path / f"{task}.jsonl", task, outcomes)
        assert view(path, "--json").json["without_known_bad"]["left_out"] == [left_out]
    assert known_bad("bfcl-prompt-zhtw-parallel") == zhtw.KNOWN_BAD
    assert known_bad("bfcl-prompt-simple") == lenient.KNOWN_BAD
    assert known_bad("mini-zh-tw") == frozenset()
    assert known_bad("a task of another version") == frozenset()


def test_where_only_bad_questions_were_asked_there_is_no_second_figure(
    tmp_path: Path, logs: list[Path]
) -> None:
    """`--limit 1` may choose one."""
    path = log_of(tmp_path / "one.jsonl", "bfcl-simple", {"simple_python_87": "wrong"})
    assert "nobody can get right" not in view(path).out
    assert view(path, "--json").json["without_known_bad"] == {
        "left_out": ["simple_python_87"], "scores": {},
    }  # fmt: skip
    value: dict[str, Any] = view(path, *logs[1:], "--json").json
    assert value["aggregates"]["m"]["ast"]["bfcl ast_mean"] == 0.375
    assert value["aggregates_without_known_bad"] == {}  # a figure that lacks a category has none


def test_interrupted_logs_are_shown_but_not_in_figures(tmp_path: Path, logs: list[Path]) -> None:
    part = log_of(tmp_path / "part.jsonl", "bfcl-simple", {"simple_python_1": "correct"}, False)
    done = view(part, *logs[1:])
    assert f"{part} is interrupted: 1 of 1 answers" in done.err
    assert "ast_mean" not in done.out
    assert "over several tasks" not in done.out
