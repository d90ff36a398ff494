"""What a reply may have beside its words: choices, log-probabilities, usage, numbers, a record."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import stat
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from formosa.chat.message import Message
from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    Logprob,
    ModelInfo,
    Piece,
    Prompt,
    Sampling,
    TokenLogprob,
    Usage,
)
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import BusyError, EngineError, MessageError, UnsupportedError, UserError
from formosa.files import read_jsonl, sha256_text
from formosa.serve.app import create_app
from formosa.serve.logprobs import chat_logprobs, text_logprobs
from formosa.serve.queue import Limits

HELLO: list[Any] = [{"role": "user", "content": "你好"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
CALL = '<tool_call>\n{"name": "search", "arguments": {"q": "台"}}\n</tool_call>'
BROKEN = '<tool_call>\n{"name": "search", "arguments": {\n</tool_call>'
THOUGHT = "<think>\n想一想\n</think>\n\n"


class Client:
    """An app, asked in this process."""

    def __init__(self, chat: Any, **options: Any) -> None:
        self.app = create_app({"m": chat}, **options)

    def post(self, path: str = "/v1/chat/completions", **fields: Any) -> httpx2.Response:
        body = fields if "prompt" in fields else {"messages": HELLO, **fields}
        return self.ask("POST", path, json=body)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.ask("GET", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        async def answer() -> httpx2.Response:
            async with self.http() as http:
                return await http.request(method, path, **options)

        return asyncio.run(answer())

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://t")

    def stop(self) -> None:
        """Live and end as under a server."""

        async def live() -> None:
            async with self.app.router.lifespan_context(self.app):
                pass

        asyncio.run(live())

    def metric(self, name: str, **labels: str) -> float:
        words = ",".join(f'{key}="{value}"' for key, value in labels.items())
        start = f"formosa_{name}{{{words}}} " if words else f"formosa_{name} "
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(start):
                return float(line.rsplit(" ", 1)[1])
        return math.nan


def client_of(text: str, **options: Any) -> Client:
    return Client(TemplatedChat(ScriptedEngine(lambda _: text)), **options)


def chunks_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


# -- several choices -------------------------------------------------------------------------


class Seeded(ScriptedEngine):
    """Says its seed."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        for character in f"seed {sampling.seed}":
            yield Piece(character)
            await asyncio.sleep(0)
        yield Piece("", "stop", Usage(10, 4, 3))


def test_several_choices_come_at_once_each_with_its_seed() -> None:
    answer = Client(TemplatedChat(Seeded([]))).post(n=3, seed=5).json()
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2]
    assert [c["message"]["content"] for c in answer["choices"]] == ["seed 5", "seed 6", "seed 7"]


def test_the_prompt_of_several_choices_counts_once() -> None:
    """llama.cpp's own server counts the tokens of one choice only."""
    client = Client(TemplatedChat(Seeded([])))
    usage = client.post(n=3).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        10,
        12,
        22,
    )
    assert usage["prompt_tokens_details"] == {"cached_tokens": 3}
    options = {"include_usage": True}
    streamed = chunks_of(client.post(n=3, stream=True, stream_options=options))[-1]
    assert streamed["usage"] == usage


def test_several_choices_are_streamed_side_by_side() -> None:
    chunks = chunks_of(Client(TemplatedChat(Seeded([]))).post(n=2, seed=1, stream=True))
    texts, order = ["", ""], []
    finishes: list[Any] = [None, None]
    for chunk in chunks:
        (choice,) = chunk["choices"]
        order.append(choice["index"])
        texts[choice["index"]] += choice["delta"].get("content") or ""
        finishes[choice["index"]] = choice["finish_reason"] or finishes[choice["index"]]
    assert (texts, finishes) == (["seed 1", "seed 2"], ["stop", "stop"])
    assert order != sorted(order), "the second did not wait for the first"


class FailsOnce(ScriptedEngine):
    """The second of its replies breaks, the first never ends."""

    def __init__(self) -> None:
        super().__init__([])
        self.asked = 0
        self.closed = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        self.asked += 1
        try:
            if self.asked == 2:
                raise EngineError("The second broke.")
            await asyncio.Event().wait()
            yield Piece("never")
        finally:
            self.closed += 1


def test_one_choice_that_breaks_ends_all_of_them() -> None:
    engine = FailsOnce()
    answer = Client(TemplatedChat(engine)).post(n=2)
    assert answer.status_code == 500
    assert "The second broke." in answer.text
    assert engine.closed == 2


def test_more_choices_than_fit_are_refused_before_any_is_written() -> None:
    client = Client(TemplatedChat(Seeded([])), limits=Limits(2, 1))
    answer = client.post(n=4)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "n")
    assert client.post(n=3).status_code == 200


# -- log-probabilities -----------------------------------------------------------------------


def test_logprobs_are_those_of_every_token_tags_included() -> None:
    answer = client_of(THOUGHT + "好").post(logprobs=True, top_logprobs=1).json()
    content = answer["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == THOUGHT + "好"
    assert content[-1] == {
        "token": "好",
        "logprob": 0.0,
        "bytes": list("好".encode()),
        "top_logprobs": [{"token": "好", "logprob": 0.0, "bytes": list("好".encode())}],
    }


@pytest.mark.parametrize("text", ["好的", THOUGHT + "好", CALL, "a" + CALL + "b" + CALL])
def test_streamed_logprobs_add_up_to_those_of_the_whole(text: str) -> None:
    client = client_of(text)
    whole = client.post(logprobs=True, tools=TOOLS).json()["choices"][0]
    streamed = []
    content = ""
    for chunk in chunks_of(client.post(logprobs=True, tools=TOOLS, stream=True)):
        (choice,) = chunk["choices"]
        streamed += (choice["logprobs"] or {"content": []})["content"]
        content += choice["delta"].get("content") or ""
    assert streamed == whole["logprobs"]["content"]
    assert content == (whole["message"]["content"] or "")


def test_text_comes_with_the_logprobs_of_its_own_tokens() -> None:
    for chunk in chunks_of(client_of("abcdef").post(logprobs=True, stream=True))[1:-1]:
        (choice,) = chunk["choices"]
        tokens = [entry["token"] for entry in choice["logprobs"]["content"]]
        assert "".join(tokens) == choice["delta"]["content"]


def test_logprobs_that_were_not_asked_for_are_null() -> None:
    assert client_of("hi").post().json()["choices"][0]["logprobs"] is None


def test_what_json_cannot_hold_is_a_very_low_number() -> None:
    never = Logprob(TokenLogprob("a", -math.inf, b"a"), (TokenLogprob("b", math.nan, b"b"),))
    for value in (chat_logprobs([never]), text_logprobs([never], 0)):
        json.dumps(value, allow_nan=False)
    assert chat_logprobs([never])["content"][0]["logprob"] == -9999.0


# -- usage -----------------------------------------------------------------------------------


def test_reasoning_tokens_are_counted_by_the_engine() -> None:
    """vLLM says 0 where the prompt opened the think block, which is a false number."""
    client = client_of(THOUGHT + "好")
    usage = client.post().json()["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": len("想一想")}
    streamed = client.post(stream=True, stream_options={"include_usage": True})
    assert chunks_of(streamed)[-1]["usage"] == usage
    plain = client_of("好").post().json()["usage"]
    assert plain["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_reasoning_tokens_that_nobody_counted_are_left_out() -> None:
    class Mute(ScriptedEngine):
        async def tokenize(self, text: str) -> list[int]:
            raise EngineError("no tokenizer")

    for chat in (TemplatedChat(Mute([THOUGHT + "好"])), Bare()):
        assert "completion_tokens_details" not in Client(chat).post().json()["usage"]


def test_chunks_of_a_stream_with_usage_say_that_they_have_none() -> None:
    with_usage = client_of("hi").post(stream=True, stream_options={"include_usage": True})
    *others, last = chunks_of(with_usage)
    assert last["usage"]["completion_tokens"] == 2
    assert all(chunk["usage"] is None for chunk in others)
    assert all("usage" not in chunk for chunk in chunks_of(client_of("hi").post(stream=True)))


# -- models that only answer conversations ----------------------------------------------------


class Bare:
    """A chat model without a text engine, like a server elsewhere."""

    info = ModelInfo("bare", details={"engine": "remote", "base_url": "http://u:p@host/v1?k=1"})

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        if self.error:
            raise self.error
        yield Finished(await self.reply(request))

    async def reply(self, request: ChatRequest) -> ChatReply:
        return ChatReply(Message("assistant", "hi", reasoning="hm"), "stop", Usage(1, 1))

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("stream", [True, False])
def test_what_an_engine_cannot_honour_is_a_bad_request(stream: bool) -> None:
    answer = Client(Bare(UnsupportedError("logit_bias", "not here"))).post(stream=stream)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["param"], error["code"]) == ("logit_bias", "unsupported_parameter")


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ("response_format", MessageError("json_schema.type", "is wrong"),
         "response_format.json_schema.schema.type"),
        ("structured_outputs", MessageError("json_schema.a[0]", "is wrong"),
         "structured_outputs.json.a[0]"),
        ("structured_outputs", UnsupportedError("grammar", "is wrong"), "structured_outputs"),
        ("response_format", UnsupportedError("grammar", "is wrong"), "response_format"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_shape_has_the_path_of_the_clients_field(
    fields: str, error: Exception, param: str
) -> None:
    shapes: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "structured_outputs": {"json": {}},
    }
    answer = Client(Bare(error)).post(**{fields: shapes[fields]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["message"] == f"{param}: is wrong"


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_is_busy_says_when_to_come_again(stream: bool) -> None:
    answer = Client(Bare(BusyError("Full.", 9))).post(stream=stream)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")


@pytest.mark.parametrize("stream", [True, False])
def test_a_bug_is_a_server_error_that_tells_a_client_nothing(stream: bool) -> None:
    client = Client(Bare(ZeroDivisionError("secret")))

    async def post() -> httpx2.Response:
        transport = httpx2.ASGITransport(client.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            body = {"messages": HELLO, "stream": stream}
            return await http.post("/v1/chat/completions", json=body)

    answer = asyncio.run(post())
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "internal error"


def test_a_stream_that_ends_without_a_word_is_an_engine_error() -> None:
    class Silent(Bare):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
            return
            yield  # makes it a generator

    for stream in (True, False):
        answer = Client(Silent()).post(stream=stream)
        assert (answer.status_code, answer.json()["error"]["message"]) == (
            500,
            "The model gave no reply.",
        )


# -- numbers ---------------------------------------------------------------------------------


def test_numbers_of_requests_tokens_and_malformed_calls() -> None:
    client = client_of(BROKEN)
    client.post(tools=TOOLS)
    client.post(tools=TOOLS, stream=True)
    client.post(temperature=-1)
    client.get("/nothing/here")
    client.get("/v1/models/m")
    route = "/v1/chat/completions"
    assert client.metric("requests_total", route=route, status="200") == 2
    assert client.metric("requests_total", route=route, status="400") == 1
    assert client.metric("requests_total", route="other", status="404") == 1
    assert client.metric("requests_total", route="/v1/models", status="200") == 1
    assert client.metric("completion_tokens_total", model="m") == 2 * len(BROKEN)
    assert client.metric("prompt_tokens_total", model="m") > 0
    assert client.metric("malformed_calls_total", model="m") == 2
    assert client.metric("time_to_first_token_seconds_count", model="m") == 2
    assert client.metric("reply_seconds_count", model="m") == 2
    assert client.metric("running", model="m") == client.metric("waiting", model="m") == 0


def test_numbers_of_two_apps_are_their_own() -> None:
    one, two = client_of("hi"), client_of("hi")
    one.post()
    assert one.metric("reply_seconds_count", model="m") == 1
    assert two.metric("reply_seconds_count", model="m") == 0


def test_those_who_run_wait_and_leave_are_counted() -> None:
    client = Client(TemplatedChat(FailsOnce()), limits=Limits(1, 1))

    async def use() -> None:
        async with client.http() as http:
            body = {"messages": HELLO}
            asking = [
                asyncio.ensure_future(http.post("/v1/chat/completions", json=body))
                for _ in range(2)
            ]
            text = ""
            while 'formosa_waiting{model="m"} 1.0' not in text:
                await asyncio.sleep(0)
                text = (await http.get("/metrics")).text
            assert 'formosa_running{model="m"} 1.0' in text
            full = await http.post("/v1/chat/completions", json=body)
            assert (full.status_code, full.json()["error"]["code"]) == (503, "busy")
            assert int(full.headers["retry-after"]) >= 1
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    asyncio.run(use())
    assert client.metric("cancelled_total", model="m") == 2
    assert client.metric("running", model="m") == client.metric("waiting", model="m") == 0


# -- what there is to know -------------------------------------------------------------------


def test_props_tell_of_the_model_and_nothing_secret() -> None:
    class Full(TemplatedChat):
        @property
        def info(self) -> ModelInfo:
            details: Mapping[str, Any] = {
                "engine": "llama.cpp", "slots": 4, "adapters": {"zh": Path("/home/me/zh.gguf")},
                "api_key": "sk-secret", "library": "/home/me/lib.so", "odd": object,
            }  # fmt: skip
            return ModelInfo("m", 99, "/home/me/m.gguf", "abc", self.template, details)

    client = Client(Full(ScriptedEngine(["hi"])))
    answer = client.get("/props")
    (model,) = answer.json()["models"]
    assert (model["file"], model["context"], model["sha256"]) == ("m.gguf", 99, "abc")
    assert model["limits"] == {"running": 4, "waiting": Limits().waiting}
    assert model["details"]["adapters"] == {"zh": "zh.gguf"}
    assert model["template"]["sha256"] == ChatTemplate.formosa().sha256
    assert model["template"]["source"] == ChatTemplate.formosa().source
    assert "/home" not in answer.text
    assert "secret" not in answer.text


def test_props_of_a_server_elsewhere_hide_who_asks_it() -> None:
    (model,) = Client(Bare()).get("/props").json()["models"]
    assert model["details"]["base_url"] == "http://host/v1"
    assert model["template"] is None
    assert model["raw_text"] is False


def test_props_and_metrics_ask_for_the_key() -> None:
    client = client_of("hi", api_key="k")
    for path in ("/props", "/metrics", "/v1/models"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"authorization": "bearer k"}).status_code == 200
    assert client.get("/health").status_code == 200


# -- stopping --------------------------------------------------------------------------------


def test_a_server_that_stops_lets_nobody_in_and_says_so() -> None:
    client = client_of("hi")
    client.app.state.stop()
    for answer in (client.post(), client.post(prompt="x", path="/v1/completions")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "stopping")
        assert answer.headers["retry-after"]
    assert client.get("/health").status_code == 503


# -- the record ------------------------------------------------------------------------------


def test_the_record_holds_the_raw_text_beside_its_parse(tmp_path: Path) -> None:
    path = tmp_path / "new" / "replies.jsonl"
    engine = ScriptedEngine(lambda _: BROKEN + CALL)
    client = Client(TemplatedChat(engine), record=path, api_key="sk-secret")
    key = {"authorization": "Bearer sk-secret"}
    for stream in (False, True):
        body = {"messages": HELLO, "tools": TOOLS, "seed": 3, "stream": stream}
        answer = client.ask("POST", "/v1/chat/completions", json=body, headers=key)
        assert answer.status_code == 200
    client.stop()
    records = [record for _, record in read_jsonl(path)]
    assert len(records) == 2
    for record in records:
        assert record["text"] == BROKEN + CALL
        assert record["message"]["tool_calls"][0]["function"]["name"] == "search"
        assert record["defects"][0]["text"]
        assert record["prompt_sha256"] == sha256_text(engine.prompts[0])
        assert record["request"]["messages"] == HELLO
        assert record["request"]["sampling"] == {"temperature": 1.0, "seed": 3}
        assert record["finish_reason"] == "tool_calls"
        assert record["usage"]["completion"] == len(BROKEN + CALL)
    assert "sk-secret" not in path.read_text(encoding="utf-8")


def test_the_record_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_text("")
    path.chmod(0o666)
    client = client_of("hi", record=path)
    client.post()
    client.stop()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_text_completions_are_recorded_too(tmp_path: Path) -> None:
    path = tmp_path / "replies.jsonl"
    client = client_of("raw", record=path)
    client.post(prompt=["a", "b"], path="/v1/completions")
    client.post(prompt="c", path="/v1/completions", stream=True)
    client.stop()
    records = [record for _, record in read_jsonl(path)]
    assert [record["request"]["prompt"] for record in records] == ["a", "b", "c"]
    assert {record["text"] for record in records} == {"raw"}


def test_a_full_disk_costs_no_reply_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of("hi", record=tmp_path / "replies.jsonl")

    def full(*_: Any) -> None:
        raise UserError("The disk is full.")

    monkeypatch.setattr("formosa.files.JsonLines.append", full)
    with caplog.at_level(logging.WARNING):
        assert [client.post().status_code for _ in range(3)] == [200, 200, 200]
    assert [record.getMessage() for record in caplog.records] == [
        "A reply could not be recorded: The disk is full. (said once)"
    ]
    client.stop()


def test_a_record_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot write"):
        client_of("hi", record=tmp_path)
