"""The runner: every planned sample ends in one record, whatever happens, and is asked for once."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals_arithmetic import answer, arithmetic, ask, exact, facts, model
from formosa.chat.message import Message, Tool
from formosa.engines.protocol import ChatReply, ChatRequest, ModelInfo, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import EngineError, LogError, MessageError, UserError
from formosa.evals import lanes
from formosa.evals.plan import make_plan
from formosa.evals.run import run_task
from formosa.evals.task import Asked, Sample, Task
from formosa.files import JsonLines
from formosa.results.log import EvalLog, read_log
from formosa.results.metrics import outcomes, summary


@pytest.fixture(autouse=True)
def no_waiting_between_tries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lanes, "sleep", lambda seconds: asyncio.sleep(0))
        yield


def run(path: Path, chat: Any = None, task: Task[Any] | None = None, **how: Any) -> EvalLog:
    how = {"repeats": 2, "seed": 5, "concurrency": 3, **how}
    return asyncio.run(run_task(task or arithmetic(), chat or model()[0], path, **how))


def asked_of(engine: ScriptedEngine) -> list[str]:
    return [f"sum-{found}" for found in re.findall(r"sum-(\d+):", "\n".join(engine.prompts))]


def test_every_planned_sample_ends_in_exactly_one_record(tmp_path: Path) -> None:
    log = run(tmp_path / "log.jsonl")
    keys = Counter((sample["id"], sample["repeat"]) for sample in log.samples)
    assert keys == {(f"sum-{n}", r): 1 for n in range(10) for r in range(2)}
    assert log.finished
    assert log == read_log(tmp_path / "log.jsonl")
    # 4 and 9 get words; 2, 5 and 8 get a wrong number.
    assert outcomes(log, "exact")._asdict() == {
        "correct": 10, "wrong": 6, "unparsed": 4, "truncated": 0, "failed": 0,
    }  # fmt: skip
    assert log.end is not None
    assert log.end["counts"] == summary(log)["counts"]


def test_the_log_says_how_it_was_made(tmp_path: Path) -> None:
    log = run(tmp_path / "log.jsonl", limit=4, sampling=Sampling(max_tokens=20))
    assert log.start["plan"] == {
        "samples": 4, "repeats": 2, "seed": 5, "original": 10,
        "sha256": log.start["plan"]["sha256"],
    }  # fmt: skip
    assert log.start["request"]["max_tokens"] == 20
    assert log.start["model"]["name"] == "scripted"
    assert len(log.start["model"]["template_sha256"]) == 64
    assert log.start["scorers"] == ["exact", "odd"]
    sample = log.samples[0]
    assert sample["reply"]["message"] == {"role": "assistant", "content": "4"}
    assert sample["reply"]["text"].startswith("4")
    assert sample["reply"]["finish"] == "stop"
    assert len(sample["reply"]["usage"]) == 3
    assert sample["gold"] == 4
    assert sample["subject"] == "odd"
    assert sample["error"] is None
    assert set(sample["scores"]) == {"exact", "odd"}


def test_a_finished_run_asks_nothing_and_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first, before = run(path), path.read_bytes()
    chat, engine = model()
    assert run(path, chat) == first
    assert engine.prompts == []
    assert path.read_bytes() == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_log_cut_at_any_byte_is_continued_to_the_same_result(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = tmp_path / "whole.jsonl"
    if not whole.exists():
        run(whole)
    text = whole.read_bytes()
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(text[: data.draw(st.integers(0, len(text)))])
    answered = cut.read_bytes().count(b'\n{"type":"sample"')
    answered -= not cut.read_bytes().endswith(b"\n") and answered > 0
    chat, engine = model()
    run(cut, chat)
    assert facts(cut) == facts(whole)
    assert len(engine.prompts) <= 20 - answered


class AnyOrder:
    """Answers like the scripted model, but lets others go first as often as it is told."""

    def __init__(self, turns: dict[str, int]) -> None:
        self._chat, self.turns = model()[0], turns

    @property
    def info(self) -> ModelInfo:
        return self._chat.info

    async def reply(self, request: ChatRequest) -> ChatReply:
        for _ in range(self.turns.get(request.messages[-1].content[:5], 0)):
            await asyncio.sleep(0)
        return await self._chat.reply(request)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(st.sampled_from([f"sum-{n}" for n in range(10)]), st.integers(0, 40)),
    st.integers(1, 25),
)
def test_the_result_does_not_depend_on_who_answers_first(
    tmp_path: Path, turns: dict[str, int], concurrency: int
) -> None:
    whole, other = tmp_path / "whole.jsonl", tmp_path / "other.jsonl"
    if not whole.exists():
        run(whole)
    other.unlink(missing_ok=True)
    log = run(other, AnyOrder(turns), concurrency=concurrency)
    assert facts(other) == facts(whole)
    assert summary(log) == summary(read_log(whole))


def test_the_same_plan_is_the_same_requests_byte_for_byte() -> None:
    def hashes(**how: Any) -> list[str]:
        return [
            p.sha256 for p in make_plan(arithmetic(), **{"repeats": 2, "seed": 5, **how}).requests()
        ]

    assert hashes() == hashes()
    assert set(hashes(seed=6)) != set(hashes())
    assert set(hashes(limit=3)) < set(hashes())  # a part is a part of the whole
    warm = Sampling(temperature=0.7)
    assert len(set(hashes(sampling=warm))) == 20  # each with a sampling seed of its own
    assert hashes(sampling=warm) == hashes(sampling=warm)


def test_greedy_requests_have_no_sampling_seed_and_a_given_one_is_kept() -> None:
    def seeds(sampling: Sampling) -> set[int | None]:
        plan = make_plan(arithmetic(), sampling=sampling)
        return {planned.request.sampling.seed for planned in plan.requests()}

    assert seeds(Sampling()) == {None}
    assert seeds(Sampling(temperature=0.5, seed=3)) == {3}
    assert len(seeds(Sampling(temperature=0.5))) == 10


def test_requests_that_begin_alike_follow_each_other() -> None:
    """An engine keeps the state of its last prompts; jumping between tools would throw it away."""

    def with_tools(sample: Sample[int], repeat: int, seed: int) -> Asked:
        tool = Tool(f"tool_{sample.content % 3}")
        return replace(ask(sample, repeat, seed), tools=(tool,))

    task = replace(arithmetic(9), ask=with_tools)
    tools = [planned.asked.tools[0].name for planned in make_plan(task, repeats=2).requests()]
    assert tools == ["tool_0"] * 6 + ["tool_1"] * 6 + ["tool_2"] * 6


class Failing:
    """Fails the first `times` tries of every sample whose number is a multiple of `every`."""

    def __init__(self, every: int, times: int, error: Exception) -> None:
        self._every, self._times, self._error = every, times, error
        self._tries: Counter[str] = Counter()

    def __call__(self, prompt: str) -> str:
        found = re.search(r"sum-(\d+):", prompt)
        assert found
        self._tries[prompt] += 1
        if int(found[1]) % self._every == 0 and self._tries[prompt] <= self._times:
            raise self._error
        return answer(prompt)


def test_a_request_that_fails_twice_is_answered_at_the_third_try(tmp_path: Path) -> None:
    said: list[str] = []
    chat, engine = model(Failing(3, 2, EngineError("The server broke.")))
    log = run(tmp_path / "log.jsonl", chat, say=said.append)
    assert outcomes(log, "exact").failed == 0
    assert Counter(asked_of(engine))["sum-3"] == 6  # two repeats, three tries
    assert "sum-3: The server broke. (try 2 of 3)" in said


def test_a_request_that_keeps_failing_is_failed_for_all_scorers_with_the_reason(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    log = run(path, model(Failing(3, 99, EngineError("The server broke.")))[0])
    assert len(log.samples) == 20
    assert {sample["id"] for sample in log.failed()} == {"sum-0", "sum-3", "sum-6", "sum-9"}
    assert outcomes(log, "exact").failed == outcomes(log, "odd").failed == 8
    broken = log.failed()[0]
    assert (broken["reply"], broken["error"]) == (None, "The server broke.")
    assert broken["scores"]["odd"]["why"] == "The server broke."
    assert log.finished

    chat, engine = model()
    run(path, chat)
    assert engine.prompts == []  # a failed sample is an answer until one asks for a retry

    chat, engine = model()
    log = run(path, chat, retry=True)
    assert set(asked_of(engine)) == {"sum-0", "sum-3", "sum-6", "sum-9"}
    assert log.finished
    run(tmp_path / "whole.jsonl")
    assert summary(log) == summary(read_log(tmp_path / "whole.jsonl"))


def test_a_prompt_that_does_not_fit_fails_at_once(tmp_path: Path) -> None:
    engine = ScriptedEngine(answer, context=10)
    log = run(tmp_path / "log.jsonl", TemplatedChat(engine), say=pytest.fail)
    assert outcomes(log, "exact").failed == 20
    assert "the context holds 10" in log.samples[0]["error"]


def test_a_conversation_that_the_template_refuses_fails(tmp_path: Path) -> None:
    chat, _ = model(Failing(5, 99, MessageError("messages", "no system messages here")))
    log = run(tmp_path / "log.jsonl", chat)
    assert {sample["error"] for sample in log.failed()} == {"messages: no system messages here"}


def test_a_bug_in_a_scorer_stops_the_run_and_names_the_sample(tmp_path: Path) -> None:
    def broken(sample: Sample[int], repeat: int, seed: int, reply: ChatReply) -> Any:
        return exact(sample, repeat, seed, reply) if sample.content < 5 else 1 / 0

    path = tmp_path / "log.jsonl"
    with pytest.raises(ZeroDivisionError) as error:
        run(path, task=replace(arithmetic(), scorers={"exact": broken}), concurrency=1)
    assert error.value.__notes__ == ["while scoring the sample sum-5 of sums"]
    assert len(read_log(path).samples) == 10


def test_an_error_of_the_person_stops_the_run_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    chat, _ = model(Failing(8, 99, UserError("The server has two models.")))
    with pytest.raises(UserError, match="two models"):
        run(
            path,
            chat,
            limit=3,
            concurrency=1,
            task=replace(arithmetic(), samples=arithmetic().samples[1:]),
        )
    assert [sample["id"] for sample in read_log(path).samples] == [
        "sum-2",
        "sum-2",
        "sum-5",
        "sum-5",
    ]


def test_a_full_disk_stops_the_run_and_the_same_command_continues_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, append = tmp_path / "log.jsonl", JsonLines.append

    def fills_up(self: JsonLines, record: Any) -> int:
        if record.get("id") == "sum-6":
            raise UserError("The disk is full.")
        return append(self, record)

    with monkeypatch.context() as patched:
        patched.setattr(JsonLines, "append", fills_up)
        with pytest.raises(UserError, match="disk is full"):
            run(path)
    there = len(read_log(path).samples)
    assert 0 < there < 20
    chat, engine = model()
    assert run(path, chat).finished
    assert len(engine.prompts) == 20 - there


def test_a_cancelled_run_leaves_a_readable_log_and_no_lock(tmp_path: Path) -> None:
    """What Ctrl-C does to the task inside asyncio.run."""
    path = tmp_path / "log.jsonl"

    async def interrupted() -> None:
        begun = asyncio.Event()

        def progress(done: int, total: int) -> None:
            if done >= 4:
                begun.set()

        task = asyncio.create_task(
            run_task(arithmetic(), model()[0], path, repeats=2, seed=5, progress=progress)
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    log = read_log(path)
    assert not log.finished
    assert len(log.samples) >= 4
    assert run(path).finished


def test_two_runs_of_one_log_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    async def both() -> list[Any]:
        runs = (run_task(arithmetic(), model()[0], path) for _ in range(2))
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, EvalLog)
    assert isinstance(second, LogError)
    assert "Another run is writing" in second.message


@pytest.mark.parametrize(
    "change", [{"seed": 6}, {"repeats": 3}, {"limit": 3}, {"sampling": Sampling(max_tokens=9)}]
)
def test_another_plan_does_not_continue_the_log(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "log.jsonl"
    run(path)
    with pytest.raises(LogError, match="belongs to another run"):
        run(path, **change)


def test_a_question_asked_in_other_words_does_not_continue_the_log(tmp_path: Path) -> None:
    """The task's author changed the prompt and forgot the version."""

    def politely(sample: Sample[int], repeat: int, seed: int) -> Asked:
        asked = ask(sample, repeat, seed)
        return replace(asked, messages=(Message("user", "Please: " + asked.messages[0].content),))

    path = tmp_path / "log.jsonl"
    run(path)
    with pytest.raises(LogError, match="in other words now"):
        run(path, task=replace(arithmetic(), ask=politely))


def test_progress_begins_with_what_is_there_and_ends_with_all(tmp_path: Path) -> None:
    path, seen = tmp_path / "log.jsonl", []
    run(path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:16]), encoding="utf-8")
    said: list[str] = []
    run(path, progress=lambda done, total: seen.append((done, total)), say=said.append)
    assert seen == [(done, 20) for done in range(15, 21)]
    assert said == [f"{path}: 15 of 20 answers are there"]


def test_the_limit_on_tokens_reaches_the_engine_and_the_log(tmp_path: Path) -> None:
    log = run(tmp_path / "log.jsonl", sampling=Sampling(max_tokens=3))
    cut = [sample for sample in log.samples if sample["reply"]["finish"] == "length"]
    assert {sample["id"] for sample in cut} == {"sum-4", "sum-9"}
    assert outcomes(log, "exact").truncated == 4


@pytest.mark.parametrize("how", [{"repeats": 0}, {"concurrency": 0}, {"limit": 0}])
def test_arguments_that_ask_nothing_are_refused(tmp_path: Path, how: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        run(tmp_path / "log.jsonl", **how)
    assert not (tmp_path / "log.jsonl").exists()


def test_words_that_are_no_text_are_logged_all_the_same(tmp_path: Path) -> None:
    chat, _ = model(lambda prompt: "\ud800 \x00 \u2028")
    log = run(tmp_path / "log.jsonl", chat, limit=1)
    assert outcomes(log, "exact").unparsed == 2
    assert len(json.dumps(list(log.samples))) > 0
