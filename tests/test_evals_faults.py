"""Servers that go wrong in every way we could think of: nothing is lost or counted twice."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evals_arithmetic import answer, arithmetic, facts
from faulty_server import FAULTS, chosen, serving
from formosa.chat.message import Message
from formosa.engines.asking import AskingChat, UnreachableError, _has_proxy
from formosa.engines.protocol import ChatRequest
from formosa.errors import BusyError, EngineError, FormosaError, UserError
from formosa.evals import lanes
from formosa.evals.lanes import StoppedError
from formosa.evals.record import without_keys
from formosa.evals.run import run_task
from formosa.results.log import EvalLog, read_log
from formosa.results.merge import result_sha256
from formosa.results.metrics import outcomes

SAMPLES = 24


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No waiting between tries; the seconds that would have been waited."""
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(lanes, "sleep", sleep)
    return asked


def ask(path: Path, *servers: str, **how: Any) -> EvalLog:
    """The arithmetic task asked of those servers, as the command does it."""

    async def run() -> EvalLog:
        key = how.pop("api_key", None)
        timeout = how.pop("timeout", 20)
        models = [AskingChat(url, api_key=key, model="m", timeout=timeout) for url in servers]
        try:
            return await run_task(
                arithmetic(SAMPLES), models, path, **{"concurrency": None, "seed": 5, **how}
            )
        finally:
            for model in models:
                await model.aclose()

    return asyncio.run(run())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    """What a server without faults gives."""
    with serving(answer) as server:
        log = ask(tmp_path_factory.mktemp("whole") / "log.jsonl", server.url)
    assert outcomes(log, "exact").correct == 13
    return log


def same(log: EvalLog, whole: EvalLog) -> None:
    """The same answers, but for the server's address."""
    assert len(log.samples) == SAMPLES
    mine, theirs = ([(s["id"], s["repeat"], s["scores"], s["reply"]) for s in sorted(
        one.samples, key=lambda s: str(s["id"]))] for one in (log, whole))  # fmt: skip
    assert mine == theirs
    assert log.end is not None
    assert whole.end is not None
    assert log.end["scores"] == whole.end["scores"]


@pytest.mark.parametrize("fault", FAULTS)
def test_after_any_fault_every_question_has_its_own_answer_once(
    tmp_path: Path, whole: EvalLog, fault: str
) -> None:
    times = 1 if fault == "slow" else 2
    share = 0.1 if fault == "slow" else 0.6
    with serving(answer, chosen(fault, seed=2, times=times, share=share)) as server:
        log = ask(tmp_path / "log.jsonl", server.url, limit_s=0.5 if fault == "slow" else None)
    assert server.met[fault] > 0
    same(log, whole)
    lines = (tmp_path / "log.jsonl").read_text("utf-8").count('"type":"sample"')
    assert lines == SAMPLES


@pytest.mark.parametrize("seed", range(6))
def test_all_faults_together_change_nothing(tmp_path: Path, whole: EvalLog, seed: int) -> None:
    fast = [fault for fault in FAULTS if fault != "slow"]
    with serving(answer, chosen(*fast, seed=seed, share=0.8)) as server:
        log = ask(tmp_path / "log.jsonl", server.url, concurrency=[None, 1, 3, 16][seed % 4])
    same(log, whole)
    assert sum(server.met.values()) > SAMPLES


def test_faults_that_never_end_are_failed_samples_and_a_retry_asks_only_those(
    tmp_path: Path, whole: EvalLog
) -> None:
    def always(question: str, tries: int) -> str:
        return "error" if "sum-3:" in question else "malformed" if "sum-7:" in question else ""

    with serving(answer, always) as server:
        log = ask(tmp_path / "log.jsonl", server.url)
        assert {record["id"] for record in log.failed()} == {"sum-3", "sum-7"}
        assert outcomes(log, "exact").failed == 2
        asked = Counter(server.asked)
    with serving(answer) as server:
        again = ask(tmp_path / "log.jsonl", server.url, retry=True)
        assert sum(server.asked.values()) == 2
    assert max(asked.values()) == lanes.ATTEMPTS
    same(again, whole)


def test_one_question_that_breaks_the_connection_does_not_stop_the_others(tmp_path: Path) -> None:
    """Some prompts crash a worker of a server, each time they come."""
    with serving(answer, lambda q, tries: "reset" if "sum-0:" in q else "") as server:
        log = ask(tmp_path / "log.jsonl", server.url, concurrency=4)
    assert [record["id"] for record in log.failed()] == ["sum-0"]
    assert "can't be reached" in log.failed()[0]["error"]


@pytest.mark.parametrize("last", [True, False])
def test_a_question_that_breaks_the_connection_fails_even_where_it_is_the_last(
    tmp_path: Path, last: bool
) -> None:
    """Such a run could never be finished, if the server were held for dead."""
    bad = f"sum-{SAMPLES - 1 if last else 5}:"
    with serving(answer, lambda q, tries: "reset" if bad in q else "") as server:
        log = ask(tmp_path / "log.jsonl", server.url, concurrency=1)
        assert log.finished
        assert log.failures == 1
        again = ask(tmp_path / "log.jsonl", server.url, concurrency=1, retry=True)
        assert again.failures == 1  # alone, too


def test_a_server_that_answers_nothing_but_its_models_is_given_up(tmp_path: Path) -> None:
    with serving(answer, lambda q, tries: "reset") as server, pytest.raises(StoppedError):
        ask(tmp_path / "log.jsonl", server.url, concurrency=1)
    assert read_log(tmp_path / "log.jsonl").failures == lanes.BLAMED


def test_a_busy_server_is_asked_less_at_a_time_and_left_alone_as_long_as_it_says(
    tmp_path: Path, whole: EvalLog, waits: list[float]
) -> None:
    with serving(answer, chosen("gone", seed=1, times=1, share=1)) as server:
        log = ask(tmp_path / "log.jsonl", server.url)
    same(log, whole)
    assert set(waits) == {1.0}  # it named no time
    assert set(server.asked.values()) == {2}


def test_a_server_that_is_gone_stops_the_run_with_one_sentence_and_keeps_the_answers(
    tmp_path: Path, whole: EvalLog, waits: list[float]
) -> None:
    path = tmp_path / "log.jsonl"
    said: list[str] = []

    def dies(question: str, tries: int) -> str:
        server.gone = server.asked.total() == 10
        return "reset" if server.gone else ""

    with serving(answer, dies) as server, pytest.raises(StoppedError, match="are kept") as error:
        ask(path, server.url, concurrency=1, say=said.append)
    assert "same command" in error.value.hint
    log = read_log(path)
    assert not log.finished
    assert len(log.samples) == 10
    assert log.failures == 0
    assert waits[-1] >= lanes.FIRST_WAIT * 2 ** (lanes.DEAD_AFTER - 2)
    assert sum("can't be reached" in line for line in said) <= 2 * lanes.DEAD_AFTER
    with serving(answer) as server:  # the same model at another address
        same(ask(path, server.url), whole)


def test_nobody_there_at_all_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(StoppedError):
            ask(tmp_path / "log.jsonl", url)
    assert read_log(tmp_path / "log.jsonl").samples == []


def test_several_servers_share_the_questions(tmp_path: Path, whole: EvalLog) -> None:
    with serving(answer) as one, serving(answer) as two:
        log = ask(tmp_path / "log.jsonl", one.url, two.url, concurrency=2)
        assert set(one.asked).isdisjoint(two.asked)
        assert min(len(one.asked), len(two.asked)) >= 3
    same(log, whole)
    assert log.start["model"]["details"]["base_urls"] == [one.url, two.url]


def test_a_server_that_dies_leaves_its_questions_to_the_others(
    tmp_path: Path, whole: EvalLog
) -> None:
    said: list[str] = []
    with serving(answer) as one, serving(answer, lambda q, tries: "reset") as two:
        log = ask(tmp_path / "log.jsonl", one.url, two.url, concurrency=2, say=said.append)
    same(log, whole)
    assert any("1 of 2 go on" in line for line in said) or two.asked.total() < lanes.DEAD_AFTER


def test_servers_with_different_models_are_refused(tmp_path: Path) -> None:
    models = [AskingChat("http://127.0.0.1:9/v1", model=name) for name in "ab"]
    with pytest.raises(UserError, match="different models: a, b"):
        asyncio.run(run_task(arithmetic(), models, tmp_path / "log.jsonl"))


def test_a_fixed_number_is_kept_and_an_adaptive_one_grows(tmp_path: Path) -> None:
    with serving(answer) as server:
        ask(tmp_path / "one.jsonl", server.url, concurrency=1)
        assert server.most == 1


def test_a_key_that_the_server_echoes_is_nowhere_in_the_log(tmp_path: Path) -> None:
    key = "sk-abcdefghijklmnop1234567890"

    with serving(answer, lambda q, tries: "error") as server:
        log = ask(tmp_path / "log.jsonl", server.url, api_key=key, concurrency=2)
    assert server.headers["authorization"] == f"Bearer {key}"  # it was sent, and echoed
    assert log.failures == SAMPLES
    text = (tmp_path / "log.jsonl").read_text("utf-8")
    assert key not in text
    assert "broke at Bearer [key]" in text or "[key]" in text


@pytest.mark.parametrize(
    "text",
    ["Incorrect API key provided: sk-proj-Abc_123-4567890abcdef",
     "Bearer abcdefghijklmnop.qrstuv==", "hf_abcdefghijklmnopqrstuv", "x api_key=0123456789abcdef!",
     "AIzaSyA1234567890abcdefghijklmnop"],
)  # fmt: skip
def test_what_looks_like_a_key_is_taken_out_of_errors(text: str) -> None:
    assert "[key]" in without_keys(text)
    assert not re.search(r"\w{16}", without_keys(text))


def test_ordinary_words_of_servers_stay() -> None:
    text = "The prompt has 5000 tokens: token limit exceeded, skipped task-1234 (model key-value)"
    assert without_keys(text) == text


def test_a_key_in_the_environment_or_the_address_is_nowhere_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment0123456789")
    with serving(answer) as server:
        ask(tmp_path / "log.jsonl", server.url + "?api-key=sk-address0123456789", limit=2)
    assert "0123456789" not in (tmp_path / "log.jsonl").read_text("utf-8")
    with pytest.raises(UserError, match="end up in logs"):
        AskingChat("http://me:sk-secret0123456789@127.0.0.1:1/v1")


def reply_of(fault: str, **how: Any) -> None:
    """What one question meets, asked once."""

    async def once(url: str) -> None:
        model = AskingChat(url, model="m", **how)
        try:
            await model.reply(ChatRequest((Message("user", "sum-1: 1 + 1 + 2 = ?"),)))
        finally:
            await model.aclose()

    def always(question: str, tries: int) -> str:
        return fault

    with serving(answer, always) as server:
        asyncio.run(once(server.url))


ONCE: list[tuple[str, type[FormosaError], str]] = [
    ("busy", BusyError, "slow down"),
    ("gone", BusyError, "loading"),
    ("error", EngineError, r"500"),
    ("cut", EngineError, "broke off in the middle"),
    ("reset", UnreachableError, "can't be reached"),
    ("malformed", EngineError, "did not answer with a JSON object"),
    ("empty", EngineError, "did not answer with a JSON object"),
    ("no-choice", EngineError, "without a choice"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), ONCE, ids=[row[0] for row in ONCE])
def test_asked_once_a_fault_is_an_error_of_its_kind(
    fault: str, kind: type[FormosaError], words: str
) -> None:
    with pytest.raises(kind, match=words) as error:
        reply_of(fault)
    assert (type(error.value) is UnreachableError) == (fault == "reset")


def test_a_silent_server_is_left_after_the_timeout() -> None:
    with pytest.raises(EngineError, match="was silent for 0.2 seconds"):
        reply_of("slow", timeout=0.2)


def test_killed_or_faulty_runs_have_the_same_canonical_form(tmp_path: Path) -> None:
    with serving(answer, chosen("cut", "twice", "busy", seed=8)) as server:
        a = ask(tmp_path / "a.jsonl", server.url)
        b = ask(tmp_path / "b.jsonl", server.url, concurrency=1)
    assert result_sha256(a) == result_sha256(b)
    assert facts(a.path) == facts(b.path)


def test_a_wrong_key_stops_the_run_at_once(tmp_path: Path) -> None:
    """100,000 failed samples would be the alternative."""
    with (
        serving(answer, lambda q, tries: "refused") as server,
        pytest.raises(UserError, match="no such key") as error,
    ):
        ask(tmp_path / "log.jsonl", server.url, api_key="wrong", concurrency=3)
    assert "--api-key" in error.value.hint
    assert server.asked.total() <= 3
    assert read_log(tmp_path / "log.jsonl").samples == []


def test_where_a_proxy_is_set_the_client_that_knows_proxies_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert _has_proxy("http://far.example/v1")
    assert not _has_proxy("https://far.example/v1")
    assert not _has_proxy("http://inside.example/v1")
    assert not _has_proxy("http://127.0.0.1:8000/v1")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, BusyError), (500, EngineError), (401, UserError), (200, EngineError)],
)
def test_through_a_proxy_errors_are_of_the_same_kinds(
    status: int, kind: type[FormosaError]
) -> None:
    def answered(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, text="{}", headers={"retry-after": "7"})

    async def once() -> None:
        transport = httpx2.MockTransport(answered)
        model = AskingChat("http://far.example/v1", model="m", transport=transport)
        try:
            await model.reply(ChatRequest((Message("user", "?"),)))
        finally:
            await model.aclose()

    with pytest.raises(kind) as error:
        asyncio.run(once())
    if isinstance(error.value, BusyError):
        assert error.value.retry_after == 7


def test_a_stream_is_asked_for_once_too() -> None:
    """Its caller counts the tries of all requests together."""
    asked = []

    def busy(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(429, text="{}", headers={"retry-after": "0"})

    async def once() -> None:
        transport = httpx2.MockTransport(busy)
        model = AskingChat("http://far.example/v1", model="m", transport=transport, attempts=9)
        try:
            async for _ in model.stream(ChatRequest((Message("user", "?"),))):
                raise AssertionError("nothing was answered")
        finally:
            await model.aclose()

    with pytest.raises(BusyError):
        asyncio.run(once())
    assert asked == ["/v1/chat/completions"]


def test_through_a_proxy_a_server_that_is_not_there_is_unreachable() -> None:
    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    async def once() -> None:
        transport = httpx2.MockTransport(nobody)
        model = AskingChat("http://far.example/v1", transport=transport)
        try:
            await model.prepare()
        finally:
            await model.aclose()

    with pytest.raises(UnreachableError):
        asyncio.run(once())


def test_the_model_of_a_server_is_asked_for_where_it_is_not_named() -> None:
    async def once(url: str) -> str:
        model = AskingChat(url)
        try:
            await model.prepare()
            return model.info.name
        finally:
            await model.aclose()

    with serving(answer) as server:
        assert asyncio.run(once(server.url)) == "m"


def test_a_server_that_is_no_server_of_http_is_said(tmp_path: Path) -> None:
    async def once() -> None:
        async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"SSH-2.0-OpenSSH\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(nonsense, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            model = AskingChat(f"http://127.0.0.1:{port}/v1", model="m")
            try:
                await model.reply(ChatRequest((Message("user", "?"),)))
            finally:
                await model.aclose()

    with pytest.raises(EngineError, match="did not answer in HTTP"):
        asyncio.run(once())
