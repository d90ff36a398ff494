"""The questions of a log, put together again: what the model saw, or nothing. No network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval_logs import mini_log, sample_of, start_of
from formosa.evals.plan import make_plan
from formosa.evals.registry import load_task
from formosa.results.index import LogIndex
from formosa.web.evals.questions import Question, Questions

LONG = 60  # seconds: more than any of these takes

ROWS = "question,A,B,C,D,answer\n臺灣最高的山是哪一座？,雪山,玉山,合歡山,大屯山,B\n"


def test_the_questions_of_our_own_task_are_there_to_the_letter(tmp_path: Path) -> None:
    index = LogIndex(mini_log(tmp_path / "a.jsonl", repeats=2))
    questions = Questions(index.start)
    assert questions.missing(LONG) is None
    for record in index.records(range(len(index))):
        question = questions.of(record)
        assert isinstance(question, Question)
        assert question.exact
        assert [message.role for message in question.messages] == ["system", "user"]
        assert question.first_line in question.text
        (right,) = (option.letter for option in question.options if option.right)
        assert right == record["gold"]


def test_other_words_are_shown_only_where_data_and_answer_are_the_same(tmp_path: Path) -> None:
    """A log of an older Formosa has another hash of the same question."""
    index = LogIndex(mini_log(tmp_path / "a.jsonl"))
    record = {**index.record(0), "request_sha256": "f" * 64}
    questions = Questions(index.start)
    questions.missing(LONG)
    again = questions.of(record)
    assert isinstance(again, Question)
    assert not again.exact
    wrong_gold = "ABCD"["ABCD".index(record["gold"]) - 1]
    assert questions.of({**record, "gold": wrong_gold}) == "other words"
    other_data = {**index.start, "task": {**index.start["task"], "revision": "sha256:other"}}
    questions = Questions(other_data)
    questions.missing(LONG)
    assert questions.of(record) == "other words"
    assert questions.of({**record, "id": "no such question"}) == "other words"


def test_a_private_task_is_never_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formosa.web.evals.questions.load_logged", pytest.fail)
    start = start_of()
    start["task"] |= {"name": "gpqa-diamond", "private": True}
    questions = Questions(start)
    assert questions.missing(LONG) == "private"
    assert questions.of(sample_of("q1")) == "private"
    assert questions.holding("a") == set()


@pytest.mark.parametrize(
    ("name", "revision"), [("bfcl-simple", "v4"), ("tmmluplus", "a" * 40), ("gsm8k", "b" * 40)]
)
def test_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, revision: str
) -> None:
    """To look at a log somebody sent must tell nobody that one looks at it."""
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    asked: list[Any] = []
    seen: list[str | None] = []

    def refuse(command: Any, **options: Any) -> Any:
        asked.append(command)
        seen.append(options["env"].get("PIP_NO_INDEX"))
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no index")

    monkeypatch.setattr("formosa.wheels.subprocess.run", refuse)
    monkeypatch.setattr(
        "httpx2.HTTPTransport.handle_request", lambda _, request: asked.append(request)
    )
    start = start_of()
    start["task"] |= {"name": name, "revision": revision}
    before = dict(os.environ)
    questions = Questions(start)
    assert questions.missing(LONG) == "not here"
    assert all(value == "1" for value in seen)
    assert [one for one in asked if not isinstance(one, list)] == []
    hub = sys.modules.get("huggingface_hub.constants")
    assert hub is None or hub.HF_HUB_OFFLINE is False
    assert dict(os.environ) == before


def of_file(tmp_path: Path, named: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start and first record of a log of questions in a file, as `named` in the log."""
    task = load_task(f"file:{tmp_path / 'questions.csv'}")
    plan = make_plan(task)
    start = start_of(samples=1)
    start["task"] = {**task.describe(), "name": f"file:{named}", "source": f"file:{named}"}
    start["plan"]["original"] = 1
    (planned,) = plan.requests()
    record = sample_of(planned.sample.id, gold=planned.asked.gold)
    return start, record


@pytest.mark.parametrize("absolute", [True, False])
def test_questions_in_a_file_are_read_where_it_lies_in_the_places(
    tmp_path: Path, absolute: bool
) -> None:
    (tmp_path / "questions.csv").write_text(ROWS, encoding="utf-8")
    named = str(tmp_path / "questions.csv") if absolute else "questions.csv"
    start, record = of_file(tmp_path, named)
    inside = Questions(start, (tmp_path,))
    assert inside.missing(LONG) is None
    question = inside.of(record)
    assert isinstance(question, Question)
    assert question.first_line == "臺灣最高的山是哪一座？"
    assert inside.holding("玉山") == {record["id"]}


@pytest.mark.parametrize("named", ["/etc/passwd", "../../etc/passwd", "~/x.csv", "questions.csv"])
def test_a_log_makes_nobody_read_other_files(
    tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log may come from somebody else, and name any file as its questions."""
    (tmp_path / "questions.csv").write_text(ROWS, encoding="utf-8")
    start, _ = of_file(tmp_path, named)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("formosa.web.evals.questions.load_logged", lambda *_, **__: 1 / 0)
    questions = Questions(start, (tmp_path / "empty",))
    assert questions.missing(LONG) == "not here"
