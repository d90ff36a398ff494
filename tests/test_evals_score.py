"""Replies that are there already are scored again, or for the first time, and exported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals_arithmetic import arithmetic, ask, exact, model
from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Defect
from formosa.engines.protocol import ChatReply, Logprob, TokenLogprob, Usage
from formosa.errors import DataError, LogError
from formosa.evals.record import purity_record, reply_from_record, reply_record
from formosa.evals.run import run_task
from formosa.evals.score import plan_of, rescore, score_outputs
from formosa.evals.task import Asked, Sample, ScoreRecord, Task
from formosa.results.export import to_inspect, to_parquet
from formosa.results.log import EvalLog, read_log
from formosa.results.metrics import outcomes


@pytest.fixture
def log(tmp_path: Path) -> EvalLog:
    return asyncio.run(
        run_task(arithmetic(), model()[0], tmp_path / "log.jsonl", repeats=2, seed=5)
    )


def kind(sample: Sample[int], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
    """A corrected scorer: any reply is right."""
    return ScoreRecord("correct", reply.message.content, "generous")


# -- replies as records ---------------------------------------------------------------------------

FULL = ChatReply(
    Message("assistant", "好", "想", (ToolCall("f", '{"a": 1', "call_0"),)),
    "tool_calls",
    Usage(5, 6, 2),
    "<think>想</think>好",
    (Defect("not JSON", '{"a": 1'),),
    (Logprob(TokenLogprob("A", -0.1, b"A"), (TokenLogprob("B", -2.5, b"B"),)),),
)


@pytest.mark.parametrize("reply", [FULL, ChatReply(Message("assistant", "x"), "length")])
def test_a_reply_comes_back_from_the_log_as_it_was(reply: ChatReply) -> None:
    record = json.loads(json.dumps(reply_record(arithmetic(), reply)))
    assert reply_from_record(record, "x") == reply


@pytest.mark.parametrize(
    "record", [{}, {"message": 3, "finish": "stop"}, {"message": {"tool_calls": [1]}},
               {"message": {}, "finish": "stop", "logprobs": [3]}]
)  # fmt: skip
def test_a_damaged_reply_is_a_sentence(record: dict[str, Any]) -> None:
    with pytest.raises(LogError, match="here: the reply is damaged"):
        reply_from_record(record, "here")


def test_purity_is_counted_beside_the_scores(log: EvalLog) -> None:
    # 这/们 are Simplified; 視頻 is the mainland's word for 影片. Reasoning does not count.
    reply = ChatReply(Message("assistant", "这個視頻", "这这这"), "stop")
    assert purity_record(reply) == [4, 1, 2]
    assert log.samples[0]["purity"] == [0, 0, 0]


def test_of_a_private_task_no_text_is_kept(tmp_path: Path) -> None:
    """GPQA asks that its questions are nowhere in plain text; a reply may quote one."""
    task = replace(
        arithmetic(), private=True, keep=lambda reply: {"characters": len(reply.message.content)}
    )
    log = asyncio.run(run_task(task, model()[0], tmp_path / "log.jsonl"))
    text = log.path.read_text("utf-8")
    assert "I don't know" not in text
    assert log.samples[0]["reply"] == {
        "private": {"characters": 1}, "finish": "stop", "usage": log.samples[0]["reply"]["usage"],
    }  # fmt: skip
    assert log.start["task"]["private"] is True
    for refused in (
        lambda: rescore(log, task, tmp_path / "new.jsonl"),
        lambda: to_parquet(log, tmp_path / "x.parquet"),
        lambda: to_inspect(log, tmp_path / "x.json"),
    ):
        with pytest.raises(LogError):
            refused()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_slow_scorers_work_in_threads(tmp_path: Path) -> None:
    task = replace(arithmetic(), slow_scorers=True)
    log = asyncio.run(run_task(task, model()[0], tmp_path / "log.jsonl"))
    assert outcomes(log, "exact").correct == 5


def test_a_task_may_need_its_own_sampling(tmp_path: Path) -> None:
    task = replace(arithmetic(), needs=lambda s: replace(s, max_tokens=1), decoder="letters/1")
    log = asyncio.run(run_task(task, model()[0], tmp_path / "log.jsonl"))
    assert log.start["request"]["max_tokens"] == 1
    assert log.start["task"]["decoder"] == "letters/1"
    assert rescore(log, task, tmp_path / "new.jsonl").finished


def test_what_a_private_tasks_scorers_read_is_enough_to_score_again(tmp_path: Path) -> None:
    task = replace(arithmetic(), private=True, keep=lambda r: {"read": r.message.content[:1]})
    log = asyncio.run(run_task(task, model()[0], tmp_path / "log.jsonl"))
    new = rescore(log, replace(task, scorers={"kind": kind}), tmp_path / "new.jsonl")
    assert outcomes(new, "kind").correct == 10
    assert [s["reply"] for s in new.samples] == [s["reply"] for s in log.samples]


# -- an old log, a new scorer ---------------------------------------------------------------------


def test_the_same_scorers_make_the_same_scores(tmp_path: Path, log: EvalLog) -> None:
    new = rescore(log, arithmetic(), tmp_path / "new.jsonl")
    assert new.finished
    assert [s["scores"] for s in new.samples] == [s["scores"] for s in log.samples]
    assert new.start["rescored"]["log"] == "log.jsonl"


def test_a_new_scorer_judges_old_replies_and_the_old_log_stays(
    tmp_path: Path, log: EvalLog
) -> None:
    before = log.path.read_bytes()
    task = replace(arithmetic(), version=2, scorers={"kind": kind})
    new = rescore(log, task, tmp_path / "new.jsonl")
    assert outcomes(new, "kind").correct == 20
    assert (new.start["task"]["version"], new.scorers) == (2, ["kind"])
    assert log.path.read_bytes() == before


def test_a_question_in_other_words_is_not_scored_again(tmp_path: Path, log: EvalLog) -> None:
    def politely(sample: Sample[int], repeat: int, seed: int) -> Asked:
        asked = ask(sample, repeat, seed)
        return replace(asked, messages=(Message("user", "Please: " + asked.messages[0].content),))

    with pytest.raises(LogError, match="asked in other words now"):
        rescore(log, replace(arithmetic(), ask=politely), tmp_path / "new.jsonl")
    assert not (tmp_path / "new.jsonl").exists()


def test_a_question_that_is_gone_is_named(tmp_path: Path, log: EvalLog) -> None:
    with pytest.raises(LogError, match="is no question of sums now"):
        rescore(log, arithmetic(9), tmp_path / "new.jsonl")


def test_a_log_that_is_there_is_not_overwritten(tmp_path: Path, log: EvalLog) -> None:
    with pytest.raises(LogError, match="is there already"):
        rescore(log, arithmetic(), log.path)
    assert read_log(log.path).finished


# -- ready outputs --------------------------------------------------------------------------------


def outputs(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_ready_outputs_are_scored_like_replies(tmp_path: Path) -> None:
    rows: list[Any] = [{"id": f"sum-{n}", "text": str(n + 3)} for n in range(8)]
    rows += [{"id": "sum-8", "response": "12", "finish": "length"},
             {"id": "sum-9", "message": {"content": "?"}, "finish_reason": "length"}]  # fmt: skip
    log = score_outputs(outputs(tmp_path, *rows), arithmetic(), tmp_path / "log.jsonl", model="f1")
    assert log.finished
    assert outcomes(log, "exact")._asdict() == {
        "correct": 8, "wrong": 1, "unparsed": 0, "truncated": 1, "failed": 0,
    }  # fmt: skip
    assert log.start["model"]["name"] == "f1"
    assert log.start["outputs"]["file"] == "outputs.jsonl"


def test_outputs_that_are_missing_leave_an_unfinished_log(tmp_path: Path) -> None:
    path = outputs(tmp_path, {"id": "sum-1", "text": "4"})
    log = score_outputs(path, arithmetic(), tmp_path / "log.jsonl", model="f1")
    assert (log.finished, len(log.samples), log.planned) == (False, 1, 10)


def test_tool_calls_may_be_the_reply(tmp_path: Path) -> None:
    seen: list[Message] = []

    def look(sample: Sample[int], repeat: int, seed: int, reply: ChatReply) -> ScoreRecord:
        seen.append(reply.message)
        return exact(sample, repeat, seed, reply)

    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    path = outputs(tmp_path, {"id": "sum-1", "tool_calls": [call]})
    task = replace(arithmetic(), scorers={"exact": look})
    score_outputs(path, task, tmp_path / "log.jsonl", model="f1")
    assert seen[0].tool_calls == (ToolCall("f", '{"a": 1}', "call_0"),)


WRONG: list[tuple[Any, str]] = [
    ([{"text": "4"}], "outputs.jsonl:1: a row must be an object with an `id`"),
    ([3], ":1: a row must be"),
    ([{"id": "sum-99", "text": "4"}], "sums has no question 'sum-99'"),
    ([{"id": "sum-1"}], "there is no reply in the row"),
    ([{"id": "sum-1", "text": "4", "repeat": 1}], "the repeat 1 is none of 0 to 0"),
    ([{"id": "sum-1", "text": "4", "repeat": True}], "the repeat True"),
    ([{"id": "sum-1", "text": "4"}] * 2, ":2: a second reply to sum-1, repeat 0"),
    ([{"id": "sum-1", "message": "4"}], "no message in OpenAI's shape"),
    ([{"id": "sum-1", "tool_calls": [{"name": "f"}]}], "no message in OpenAI's shape"),
]


@pytest.mark.parametrize(("rows", "sentence"), WRONG, ids=[row[1] for row in WRONG])
def test_outputs_that_do_not_fit_are_refused_with_the_line(
    tmp_path: Path, rows: list[Any], sentence: str
) -> None:
    with pytest.raises(DataError) as error:
        score_outputs(outputs(tmp_path, *rows), arithmetic(), tmp_path / "log.jsonl", model="f1")
    assert sentence in error.value.message
    assert not (tmp_path / "log.jsonl").exists()


# -- exports --------------------------------------------------------------------------------------


def test_a_parquet_table_holds_every_sample(tmp_path: Path, log: EvalLog) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    to_parquet(log, tmp_path / "log.parquet")
    table = parquet.read_table(tmp_path / "log.parquet")
    rows = table.to_pylist()
    assert len(rows) == 20
    record = log.samples[0]
    assert rows[0]["exact.outcome"] == record["scores"]["exact"]["outcome"]
    assert rows[0]["content"] == record["reply"]["message"]["content"]
    assert json.loads(rows[0]["gold"]) == record["gold"]
    assert json.loads(table.schema.metadata[b"formosa.start"]) == log.start


def test_words_that_are_no_text_are_exported_all_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    chat, _ = model(lambda prompt: "\ud800 x")
    log = asyncio.run(run_task(arithmetic(1), chat, tmp_path / "log.jsonl"))
    to_parquet(log, tmp_path / "log.parquet")
    assert parquet.read_table(tmp_path / "log.parquet").to_pylist()[0]["content"].endswith(" x")
    to_inspect(log, tmp_path / "log.json")
    json.loads((tmp_path / "log.json").read_bytes())


Inspected = Callable[..., dict[str, Any]]


@pytest.fixture
def inspected(tmp_path: Path) -> Inspected:
    def make(log: EvalLog, **how: Any) -> dict[str, Any]:
        to_inspect(log, tmp_path / "inspect.json", **how)
        value: dict[str, Any] = json.loads((tmp_path / "inspect.json").read_bytes())
        return value

    return make


def test_an_export_for_inspect_holds_scores_and_replies(log: EvalLog, inspected: Inspected) -> None:
    """The reader of inspect_ai 0.3.285 opened such a file; the package is too large for here."""
    value = inspected(log)
    assert (value["version"], value["status"]) == (2, "success")
    assert value["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 0.5
    assert value["eval"]["config"]["epochs"] == 2
    assert len(value["samples"]) == 20
    sample = value["samples"][0]
    assert sample["scores"]["exact"]["value"] in ("C", "I")
    assert sample["scores"]["exact"]["metadata"]["outcome"]
    assert "--questions" in sample["input"]


def test_an_export_for_inspect_may_hold_the_questions(log: EvalLog, inspected: Inspected) -> None:
    plan = plan_of(log, arithmetic())
    samples = {sample.id: sample for sample in plan.samples}

    def asked(id: str, repeat: int) -> list[dict[str, Any]]:
        return [m.to_openai() for m in plan.one(samples[id], repeat).asked.messages]

    sample = inspected(log, questions=asked)["samples"][3]
    assert sample["id"] in sample["input"][0]["content"]
    assert [m["role"] for m in sample["messages"]] == ["user", "assistant"]


def test_failed_samples_and_tool_calls_are_exported(tmp_path: Path, inspected: Inspected) -> None:
    rows = [{"id": "sum-0", "message": {"content": "", "reasoning": "hm", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": arguments}}
        for arguments in ('{"x": 1}', "{broken")]}}]  # fmt: skip
    log = score_outputs(outputs(tmp_path, *rows), arithmetic(1), tmp_path / "log.jsonl", model="f1")
    message = inspected(log)["samples"][0]["output"]["choices"][0]["message"]
    assert message["tool_calls"][0]["arguments"] == {"x": 1}
    assert message["tool_calls"][1]["parse_error"] == "{broken"
    assert message["content"][0] == {"type": "reasoning", "reasoning": "hm"}

    failed = {"exact": {"outcome": "failed", "answer": None, "why": "gone"}}
    record = {"id": "a", "repeat": 0, "reply": None, "error": "gone", "scores": failed}
    one = {**log.start, "scorers": ["exact"]}
    sample = inspected(EvalLog(Path("x"), one, [record]))["samples"][0]
    assert sample["error"]["message"] == "gone"
    assert sample["output"]["choices"] == []


def test_the_plan_of_a_log_is_that_of_the_run(log: EvalLog) -> None:
    task: Task[int] = arithmetic()
    asked = {planned.key: planned.sha256 for planned in plan_of(log, task).requests()}
    assert asked == {short.key: short.request for short in log.briefs}
