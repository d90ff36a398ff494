"""Logs for other programs: nothing is lost on the way, and nothing private gets out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evals_arithmetic import scored, start
from formosa.errors import LogError, UserError
from formosa.results import export
from formosa.results.export import NO_QUESTION, to_inspect, to_parquet
from formosa.results.log import OUTCOMES, EvalLog
from formosa.results.metrics import score


def log_of(*outcomes: str, end: bool = True, **changes: Any) -> EvalLog:
    samples = [
        scored(
            f"q{n}",
            outcome,
            reply=None if outcome == "failed" else said(f"答 {n}"),
            error="gone" if outcome == "failed" else None,
            gold=n,
            seconds=0.5,
        )
        for n, outcome in enumerate(outcomes)
    ]
    begun = start(samples=len(outcomes), **changes)
    last = {"type": "end", "finished": "2026-01-01T00:01:00Z"} if end else None
    return EvalLog(Path("x.jsonl"), begun, samples, last)


def said(text: str, finish: str = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **more}
    return {"text": text, "message": message, "finish": finish, "usage": [9, 2, 0]}


def inspected(log: EvalLog, tmp_path: Path, **how: Any) -> dict[str, Any]:
    to_inspect(log, tmp_path / "x.json", **how)
    value: dict[str, Any] = json.loads((tmp_path / "x.json").read_bytes())
    return value


@pytest.mark.parametrize("write", [to_parquet, to_inspect])
def test_a_log_of_a_private_task_is_not_exported(tmp_path: Path, write: Any) -> None:
    """GPQA's authors ask that no question appear in plain text anywhere."""
    log = log_of("correct", task={"name": "gpqa-diamond", "private": True})
    with pytest.raises(LogError, match="not to be shown"):
        write(log, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_its_accuracy_is_the_share_of_what_it_calls_correct(tmp_path: Path) -> None:
    log = log_of(*OUTCOMES, "correct", "correct")
    value = inspected(log, tmp_path)
    values = [sample["scores"]["exact"]["value"] for sample in value["samples"]]
    metrics = value["results"]["scores"][0]["metrics"]
    assert metrics["accuracy"]["value"] == values.count("C") / len(values) == 3 / 7
    made = score(log, "exact")
    assert (metrics["ci_low"]["value"], metrics["ci_high"]["value"]) == (made.low, made.high)
    outcomes = [sample["scores"]["exact"]["metadata"]["outcome"] for sample in value["samples"]]
    assert outcomes == [*OUTCOMES, "correct", "correct"]  # which C and I alone would not tell


def test_an_interrupted_log_is_not_passed_off_as_a_whole_one(tmp_path: Path) -> None:
    log = log_of("correct", "failed", end=False)
    log.start["plan"]["samples"] = 5
    value = inspected(log, tmp_path)
    assert value["status"] == "cancelled"
    assert (value["results"]["total_samples"], value["results"]["completed_samples"]) == (5, 1)
    assert inspected(log_of("correct"), tmp_path)["status"] == "success"


@pytest.mark.parametrize(
    ("finish", "shown"),
    [("stop", "stop"), ("length", "max_tokens"), ("tool_calls", "tool_calls"), (None, "stop")],
)
def test_why_a_reply_ended_is_said_in_its_words(tmp_path: Path, finish: Any, shown: str) -> None:
    log = log_of("correct")
    log.samples[0]["reply"] = said("x", finish)
    (choice,) = inspected(log, tmp_path)["samples"][0]["output"]["choices"]
    assert choice["stop_reason"] == shown


def test_questions_are_shown_only_where_they_are_given(tmp_path: Path) -> None:
    (sample,) = inspected(log_of("correct"), tmp_path)["samples"]
    assert sample["input"] == NO_QUESTION
    assert [message["role"] for message in sample["messages"]] == ["assistant"]

    def asked(id: str, repeat: int) -> list[dict[str, Any]]:
        return [{"role": "system", "content": "s"}, {"role": "user", "content": f"{id}/{repeat}"}]

    (sample,) = inspected(log_of("correct"), tmp_path, questions=asked)["samples"]
    assert [message["role"] for message in sample["messages"]] == ["system", "user", "assistant"]
    assert sample["input"][1]["content"] == "q0/0"
    assert sample["messages"][2]["content"] == "答 0"


def test_repeats_are_epochs_counted_from_one(tmp_path: Path) -> None:
    samples = [scored("a", repeat=n, reply=said("x")) for n in range(3)]
    log = EvalLog(Path("x"), start(samples=1, repeats=3), samples)
    value = inspected(log, tmp_path)
    assert [(sample["id"], sample["epoch"]) for sample in value["samples"]] == [
        ("a", 1), ("a", 2), ("a", 3),
    ]  # fmt: skip
    assert value["eval"]["config"] == {"epochs": 3, "limit": 1}
    assert value["eval"]["dataset"]["sample_ids"] == ["a"]


def test_an_export_of_no_more_than_a_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no answers yet"):
        to_inspect(log_of(), tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_a_table_is_written_in_parts_and_holds_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export, "BATCH", 3)
    to_parquet(log_of(*["correct", "failed"] * 4, "unparsed"), tmp_path / "x.parquet")
    rows = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["id"] for row in rows] == [f"q{n}" for n in range(9)]
    assert [row["error"] for row in rows[:2]] == [None, "gone"]
    assert (rows[1]["text"], rows[1]["prompt_tokens"]) == (None, None)
    assert (rows[0]["prompt_tokens"], rows[0]["completion_tokens"]) == (9, 2)
    assert rows[8]["exact.outcome"] == "unparsed"


def test_tool_calls_are_a_column_and_none_where_there_was_none(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    log = log_of("correct", "correct")
    calls = [{"id": "c", "function": {"name": "f", "arguments": '{"城": 1}'}}]
    log.samples[0]["reply"] = said("", tool_calls=calls)
    to_parquet(log, tmp_path / "x.parquet")
    first, second = parquet.read_table(tmp_path / "x.parquet").to_pylist()
    assert json.loads(first["tool_calls"]) == calls
    assert second["tool_calls"] is None


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="needs pyarrow") as error:
        to_parquet(log_of("correct"), tmp_path / "x.parquet")
    assert "pip install" in error.value.hint


def test_an_export_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        to_inspect(log_of("correct"), tmp_path / "file" / "x.json")
