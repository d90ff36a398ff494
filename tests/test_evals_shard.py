"""Plans, their parts on several machines, and the logs of the parts put together."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals_arithmetic import answer, arithmetic, ask, model
from formosa.chat.message import Message
from formosa.engines.protocol import ChatRequest, ModelInfo, Sampling
from formosa.errors import EngineError, LogError, UserError
from formosa.evals import lanes, plan
from formosa.evals.plan import Shard, make_plan, request_sha256
from formosa.evals.run import run_task
from formosa.evals.task import Asked, Sample
from formosa.results.log import EvalLog, read_log
from formosa.results.merge import canonical_lines, merge, result_sha256
from formosa.results.metrics import outcomes

HOW: dict[str, Any] = {"repeats": 2, "seed": 5}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "sleep", lambda seconds: asyncio.sleep(0))


def run(path: Path, **how: Any) -> EvalLog:
    chat = how.pop("chat", None) or model()[0]
    return asyncio.run(run_task(arithmetic(11), chat, path, **{**HOW, **how}))


@pytest.fixture
def shards(tmp_path: Path) -> list[EvalLog]:
    return [run(tmp_path / f"{k}of3.jsonl", shard=Shard(k, 3)) for k in (1, 2, 3)]


def silent(line: str) -> None:
    raise AssertionError(line)


def test_merged_shards_are_the_unsharded_run_to_the_byte(
    tmp_path: Path, shards: list[EvalLog]
) -> None:
    whole = run(tmp_path / "whole.jsonl")
    merged = merge(shards, tmp_path / "merged.jsonl", silent)
    assert merged.finished
    assert merged == read_log(tmp_path / "merged.jsonl")
    assert list(canonical_lines(merged)) == list(canonical_lines(whole))
    assert result_sha256(merged) == result_sha256(whole)
    assert [log.planned for log in shards] == [8, 8, 6]
    # The order in which shards are named does not matter.
    again = merge(shards[::-1], tmp_path / "again.jsonl", silent)
    assert [s["id"] for s in again.samples] == [s["id"] for s in merged.samples]


def test_a_missing_shard_is_named_and_may_come_later(tmp_path: Path, shards: list[EvalLog]) -> None:
    said: list[str] = []
    path = tmp_path / "merged.jsonl"
    partly = merge([shards[0], shards[2]], path, said.append)
    assert not partly.finished
    assert said == ["shard 2 of 3 not given", "8 of 22 answers are missing"]
    assert len(partly.samples) == 14
    said.clear()
    merged = merge([shards[1]], path, said.append)  # what is in the merged log stays
    assert merged.finished
    assert len(merged.samples) == 22


def test_what_a_missing_shard_held_can_be_asked_in_the_merged_log(
    tmp_path: Path, shards: list[EvalLog]
) -> None:
    path = tmp_path / "merged.jsonl"
    merge(shards[:2], path, lambda line: None)
    chat, engine = model()
    log = run(path, chat=chat)
    assert log.finished
    assert len(engine.prompts) == 6
    assert result_sha256(log) == result_sha256(run(tmp_path / "whole.jsonl"))


def test_an_unfinished_shard_is_named(tmp_path: Path, shards: list[EvalLog]) -> None:
    lines = shards[1].path.read_text("utf-8").splitlines(keepends=True)
    shards[1].path.write_text("".join(lines[:4]), encoding="utf-8")
    said: list[str] = []
    merge([read_log(log.path) for log in shards], tmp_path / "merged.jsonl", said.append)
    assert said[0].startswith("shard 2 of 3 is unfinished: 3 of 8 answers")
    assert said[1] == "5 of 22 answers are missing"


def test_an_answer_beats_a_failure_and_counts_once(tmp_path: Path, shards: list[EvalLog]) -> None:
    def broken(prompt: str) -> str:
        raise EngineError("The server broke.")

    failed = run(tmp_path / "failed.jsonl", chat=model(broken)[0], shard=Shard(1, 3))
    assert failed.failures == 8
    for order in ([failed, *shards], [*shards, failed]):
        merged = merge(order, tmp_path / f"{order[0] is failed}.jsonl", silent)
        assert (len(merged.samples), merged.failures) == (22, 0)


def test_the_same_shard_twice_counts_once(tmp_path: Path, shards: list[EvalLog]) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(shards[0].path.read_bytes())
    merged = merge([*shards, read_log(copy)], tmp_path / "merged.jsonl", silent)
    assert len(merged.samples) == 22


def test_two_different_answers_to_one_question_are_not_merged(
    tmp_path: Path, shards: list[EvalLog]
) -> None:
    other = run(tmp_path / "other.jsonl", chat=model(lambda p: "7")[0], shard=Shard(1, 3))
    with pytest.raises(LogError, match="different answers to sum-") as error:
        merge([*shards, other], tmp_path / "merged.jsonl", silent)
    assert "leave out one" in error.value.hint
    assert not (tmp_path / "merged.jsonl").exists()


def test_logs_of_different_runs_are_not_merged(tmp_path: Path, shards: list[EvalLog]) -> None:
    other = run(tmp_path / "other.jsonl", seed=6, shard=Shard(2, 3))
    with pytest.raises(LogError, match=r"is of another run than .*plan.seed: 5 in the log, 6 now"):
        merge([shards[0], other], tmp_path / "merged.jsonl", silent)
    with pytest.raises(LogError, match="nothing to merge"):
        merge([], tmp_path / "merged.jsonl", silent)


def test_a_shard_is_continued_as_that_shard_only(tmp_path: Path, shards: list[EvalLog]) -> None:
    with pytest.raises(LogError, match="plan.shard"):
        run(shards[0].path, shard=Shard(2, 3))
    with pytest.raises(LogError, match="plan.shard"):
        run(shards[0].path)
    before = shards[0].path.read_bytes()
    assert run(shards[0].path, shard=Shard(1, 3)).finished
    assert shards[0].path.read_bytes() == before


@given(st.integers(1, 40), st.integers(1, 12), st.one_of(st.none(), st.integers(1, 50)))
def test_shards_hold_every_sample_exactly_once(count: int, of: int, limit: int | None) -> None:
    task = arithmetic(count)
    whole = [sample.id for sample in make_plan(task, limit=limit).samples]
    parts: list[str] = []
    for number in range(1, of + 1):
        try:
            part = make_plan(task, limit=limit, shard=Shard(number, of))
        except UserError as error:
            assert "holds no sample" in error.message
            assert number > len(whole)
            continue
        parts += [sample.id for sample in part.samples]
        assert part.sha256 == make_plan(task, limit=limit).sha256
    assert sorted(parts) == sorted(whole)


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "a/b", "-1/8", "1/0", "1/8/2", "９/10x"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no shard"):
        Shard.read(text)
    assert Shard.read(" 3/8 ") == Shard(3, 8)


# -- plans ----------------------------------------------------------------------------------------


def test_samples_that_begin_alike_are_brought_together_inside_a_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_system(sample: Sample[int], repeat: int, seed: int) -> Asked:
        system = Message("system", "odd" if sample.content % 2 else "even")
        return Asked((system, *ask(sample, repeat, seed).messages))

    task = replace(arithmetic(12), ask=with_system)
    monkeypatch.setattr(plan, "WINDOW", 6)
    asked = [p.sample.content for p in make_plan(task).requests()]
    assert asked == [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    assert len({p.key for p in make_plan(task, repeats=3).requests()}) == 36


def test_a_plan_of_many_questions_holds_no_requests() -> None:
    """100,000 prompts must not lie in memory at once: only those of a window do."""
    made = make_plan(arithmetic(4_000), repeats=3)
    tracemalloc.start()
    count = sum(1 for _ in made.requests())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == len(made) == 12_000
    assert peak < 10e6


def test_the_hash_of_a_request_is_of_what_is_asked_and_nothing_else() -> None:
    """Another value here would orphan every log that is out there."""
    request = ChatRequest((Message("user", "1 + 1 = ?"),), sampling=Sampling(max_tokens=9))
    assert request_sha256(request) == request_sha256(replace(request))
    assert request_sha256(request)[:16] == "7266a33da8ed1dd3"
    for changed in (
        replace(request, messages=(Message("user", "1 + 2 = ?"),)),
        replace(request, sampling=Sampling(max_tokens=8)),
        replace(request, sampling=Sampling(max_tokens=9, stop=("x",))),
        replace(request, tool_choice="required"),
        replace(request, json_schema={}),
    ):
        assert request_sha256(changed) != request_sha256(request)


def test_the_start_of_an_unsharded_plan_says_nothing_of_shards() -> None:
    info = ModelInfo("m")
    assert "shard" not in make_plan(arithmetic()).start(info)["plan"]
    sharded = make_plan(arithmetic(), shard=Shard(2, 4)).start(info)["plan"]
    assert sharded["shard"] == {"number": 2, "of": 4, "samples": 3}
    assert sharded["samples"] == 10
    json.dumps(sharded)


def test_five_outcomes_survive_a_merge(tmp_path: Path, shards: list[EvalLog]) -> None:
    merged = merge(shards, tmp_path / "merged.jsonl", silent)
    whole = run(tmp_path / "whole.jsonl", chat=model(answer)[0])
    assert outcomes(merged, "exact") == outcomes(whole, "exact")
