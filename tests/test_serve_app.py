"""The gateway over a real socket, asked by the official client."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from formosa.chat.message import Message
from formosa.chat.parser import parse_reply
from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import EngineError, UserError
from formosa.serve.app import create_app
from formosa.serve.run import serving

TWO_CALLS = (
    "<think>\n兩件事\n</think>\n\n我來查。\n"
    '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "search", "arguments": {"query": "關稅"}}\n</tool_call>'
)
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": "", "parameters": {}}}
    for name in ("get_weather", "search")
]
HELLO: list[Any] = [{"role": "user", "content": "你好"}]


@contextmanager
def client_of(engine: Any, **options: Any) -> Iterator[openai.OpenAI]:
    chat = TemplatedChat(engine)
    with (
        serving({"scripted": chat}, **options) as url,
        openai.OpenAI(base_url=url, api_key=options.get("api_key") or "-", max_retries=0) as client,
    ):
        yield client


def always(text: str, **options: Any) -> ScriptedEngine:
    return ScriptedEngine(lambda _: text, **options)


def collect(chunks: Iterator[ChatCompletionChunk]) -> dict[str, Any]:
    """A stream put together the way clients do it: by index, pieces joined."""
    whole: dict[str, Any] = {"content": "", "reasoning": "", "calls": [], "finish": None}
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            whole["content"] += delta.content or ""
            whole["reasoning"] += getattr(delta, "reasoning_content", None) or ""
            for call in delta.tool_calls or ():
                assert call.function is not None
                if call.index == len(whole["calls"]):
                    whole["calls"].append([call.id, call.function.name, ""])
                whole["calls"][call.index][2] += call.function.arguments or ""
            whole["finish"] = choice.finish_reason or whole["finish"]
    return whole


# -- replies ---------------------------------------------------------------------------------


def test_a_plain_reply_has_every_field_that_clients_read() -> None:
    with client_of(always("你好！")) as client:
        answer = client.chat.completions.create(model="scripted", messages=HELLO)
    (choice,) = answer.choices
    assert (choice.message.content, choice.finish_reason) == ("你好！", "stop")
    assert choice.message.tool_calls is None
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == "scripted"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3


def test_two_parallel_calls_come_whole_with_unique_ids() -> None:
    with client_of(always(TWO_CALLS)) as client:
        one, two = (
            client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS)
            for _ in range(2)
        )
    message = one.choices[0].message
    assert one.choices[0].finish_reason == "tool_calls"
    assert [call.function.name for call in message.tool_calls or ()] == ["get_weather", "search"]  # type: ignore[union-attr]
    assert [json.loads(call.function.arguments) for call in message.tool_calls or ()] == [  # type: ignore[union-attr]
        {"location": "台北"},
        {"query": "關稅"},
    ]
    assert message.content == "我來查。"
    ids = [call.id for a in (one, two) for call in a.choices[0].message.tool_calls or ()]
    assert len(set(ids)) == 4


def test_reasoning_goes_out_under_both_names() -> None:
    """The card's client reads `reasoning_content`; vLLM's clients read `reasoning`."""
    with client_of(always(TWO_CALLS)) as client:
        answer = client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS)
    extra = answer.choices[0].message.model_extra or {}
    assert extra["reasoning_content"] == extra["reasoning"] == "兩件事"


def test_content_is_null_when_there_are_only_calls() -> None:
    only = '<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call>'
    with client_of(always(only)) as client:
        answer = client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS)
    assert answer.choices[0].message.content is None


def test_parallel_tool_calls_false_keeps_the_first_call() -> None:
    with client_of(always(TWO_CALLS)) as client:
        answer = client.chat.completions.create(
            model="scripted", messages=HELLO, tools=TOOLS, parallel_tool_calls=False
        )
        whole = collect(
            client.chat.completions.create(
                model="scripted",
                messages=HELLO,
                tools=TOOLS,
                parallel_tool_calls=False,
                stream=True,
            )
        )
    assert len(answer.choices[0].message.tool_calls or ()) == 1
    assert [name for _, name, _ in whole["calls"]] == ["get_weather"]


def test_without_tools_their_tags_are_plain_content() -> None:
    with client_of(always(TWO_CALLS)) as client:
        for extra in ({}, {"tools": TOOLS, "tool_choice": "none"}):
            answer = client.chat.completions.create(  # type: ignore[call-overload]
                model="scripted", messages=HELLO, **extra
            )
            assert "<tool_call>" in answer.choices[0].message.content
            assert answer.choices[0].finish_reason == "stop"


def test_a_reply_that_was_cut_says_length() -> None:
    with client_of(always("a very long reply")) as client:
        answer = client.chat.completions.create(model="scripted", messages=HELLO, max_tokens=6)
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == "a very"


def test_results_reach_the_prompt_in_the_order_of_the_calls() -> None:
    engine = ScriptedEngine([TWO_CALLS, "台北 28 度。"])
    with client_of(engine) as client:
        first = client.chat.completions.create(model="scripted", messages=HELLO, tools=TOOLS)
        calls = first.choices[0].message.tool_calls or []
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"<{call.function.name}>"}  # type: ignore[union-attr]
            for call in reversed(calls)
        ]
        history: list[Any] = [*HELLO, first.choices[0].message, *results]
        last = client.chat.completions.create(model="scripted", messages=history, tools=TOOLS)
    assert last.choices[0].message.content == "台北 28 度。"
    prompt = engine.prompts[-1]
    assert 0 < prompt.index("<get_weather>") < prompt.index("<search>")
    assert "<think>\n兩件事\n</think>" in prompt


# -- streams ---------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_any_cutting_gives_the_same_streamed_message(chunk: int) -> None:
    wanted = parse_reply(TWO_CALLS).message
    with client_of(always(TWO_CALLS, chunk=chunk)) as client:
        whole = collect(
            client.chat.completions.create(
                model="scripted", messages=HELLO, tools=TOOLS, stream=True
            )
        )
    assert (whole["content"], whole["reasoning"]) == (wanted.content, wanted.reasoning)
    assert whole["finish"] == "tool_calls"
    assert [(name, text) for _, name, text in whole["calls"]] == [
        (call.name, call.arguments) for call in wanted.tool_calls
    ]
    assert len({id for id, _, _ in whole["calls"]}) == 2


def test_the_stream_helper_of_the_official_client_accepts_the_stream() -> None:
    with (
        client_of(always(TWO_CALLS)) as client,
        client.chat.completions.stream(model="scripted", messages=HELLO, tools=TOOLS) as stream,
    ):
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather", "search"]


def test_a_stream_begins_with_the_role_and_ends_with_usage_if_asked() -> None:
    with client_of(always("hi")) as client:
        chunks = list(
            client.chat.completions.create(
                model="scripted",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        silent = list(client.chat.completions.create(model="scripted", messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in silent)
    assert silent[-1].choices[0].finish_reason == "stop"


def test_a_stream_ends_with_done() -> None:
    with (
        serving({"scripted": TemplatedChat(always("hi"))}) as url,
        httpx2.Client() as http,
    ):
        answer = http.post(f"{url}/chat/completions", json={"messages": HELLO, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


# -- errors ----------------------------------------------------------------------------------


class Failing(ScriptedEngine):
    """Says a word, then breaks."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        yield Piece("one ")
        yield Piece("two ")
        raise EngineError("The engine broke.")


def test_an_engine_that_breaks_is_a_server_error() -> None:
    with client_of(Failing([])) as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="scripted", messages=HELLO)
    assert "The engine broke." in str(caught.value)


def test_an_engine_that_breaks_in_mid_stream_is_an_error_event() -> None:
    seen = []
    with client_of(Failing([])) as client, pytest.raises(openai.APIError, match="broke"):
        for chunk in client.chat.completions.create(model="scripted", messages=HELLO, stream=True):
            seen += [choice.delta.content for choice in chunk.choices]
    assert "".join(filter(None, seen)).startswith("one")


def test_a_prompt_that_does_not_fit_is_a_bad_request_streamed_or_not() -> None:
    with client_of(always("hi", context=20)) as client:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as caught:
                client.chat.completions.create(
                    model="scripted", messages=HELLO, stream=stream, max_tokens=5
                )
            assert caught.value.code == "context_length_exceeded"


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named() -> None:
    with client_of(always("hi")) as client:
        with pytest.raises(openai.NotFoundError, match="scripted") as caught:
            client.chat.completions.create(model="gpt-9", messages=HELLO)
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_a_result_that_answers_no_call_is_a_bad_request() -> None:
    messages: list[Any] = [*HELLO, {"role": "tool", "tool_call_id": "x", "content": "28"}]
    with client_of(always("hi")) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="scripted", messages=messages)
    assert caught.value.param == "messages[1].tool_call_id"


def test_errors_of_routes_are_error_objects_too() -> None:
    with serving({"scripted": TemplatedChat(always("hi"))}) as url, httpx2.Client() as http:
        for answer in (http.get(f"{url}/nothing"), http.get(f"{url}/chat/completions")):
            assert answer.status_code in (404, 405)
            assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("formosa.serve.connection.LARGEST_BODY", 1000)
    assert ask(create_app({"m": TemplatedChat(always("hi"))}), b" " * 1001)[0] == 413


# -- models, keys, hosts ---------------------------------------------------------------------


def test_models_are_listed_with_their_context() -> None:
    with client_of(always("hi", context=500)) as client:
        (model,) = client.models.list().data
        assert client.models.retrieve("scripted").id == model.id == "scripted"
        assert (model.model_extra or {})["max_model_len"] == 500


def test_the_model_may_be_left_out() -> None:
    with serving({"scripted": TemplatedChat(always("hi"))}) as url, httpx2.Client() as http:
        answer = http.post(f"{url}/chat/completions", json={"messages": HELLO})
        assert answer.json()["model"] == "scripted"
        assert http.get(url.replace("/v1", "/health")).json() == {"status": "ok"}


def test_a_wrong_key_is_refused_everywhere_but_at_health() -> None:
    with client_of(always("hi"), api_key="right-key") as client:
        assert client.models.list().data
        with openai.OpenAI(base_url=client.base_url, api_key="wrong", max_retries=0) as other:
            for call in (
                other.models.list,
                lambda: other.chat.completions.create(model="scripted", messages=HELLO),
            ):
                with pytest.raises(openai.AuthenticationError) as caught:
                    call()
                assert "right-key" not in str(caught.value)
        with httpx2.Client() as http:
            assert http.get(str(client.base_url).replace("/v1/", "/health")).status_code == 200


def test_a_web_page_that_resolves_its_name_to_this_machine_is_kept_out() -> None:
    with serving({"scripted": TemplatedChat(always("hi"))}) as url, httpx2.Client() as http:
        assert http.get(f"{url}/models", headers={"host": "evil.example"}).status_code == 400
        assert http.get(url.replace("127.0.0.1", "localhost") + "/models").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_an_address_that_others_reach_needs_a_key(host: str) -> None:
    with (
        pytest.raises(UserError, match="no API key"),
        serving({"m": TemplatedChat(always("hi"))}, host=host),
    ):
        pass


def test_a_port_that_is_taken_is_one_sentence() -> None:
    models = {"m": TemplatedChat(always("hi"))}
    with serving(models) as url, pytest.raises(UserError, match="Can't listen") as caught:
        port = int(url.removesuffix("/v1").rsplit(":", 1)[1])
        with serving(models, port=port):
            pass
    assert "--port" in caught.value.hint


# -- clients that go away --------------------------------------------------------------------


class Endless(ScriptedEngine):
    """Says one word and then thinks for ever; `stopped` is set when it is told to stop."""

    def __init__(self, *, first: bool) -> None:
        super().__init__([])
        self._first = first
        self.started, self.stopped = threading.Event(), threading.Event()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        try:
            self.started.set()
            if self._first:
                yield Piece("one two ")
            await asyncio.Event().wait()
            yield Piece("never")
        finally:
            self.stopped.set()


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "whole"])
@pytest.mark.parametrize("first", [True, False], ids=["after a word", "before a word"])
def test_a_client_that_goes_away_stops_the_generation(stream: bool, first: bool) -> None:
    """llama.cpp's own server keeps a slot busy until a reply that nobody reads is done."""
    engine = Endless(first=first)
    with serving({"m": TemplatedChat(engine)}) as url:

        async def leave() -> None:
            async with httpx2.AsyncClient(timeout=None) as http:
                body = {"messages": HELLO, "stream": stream}
                asking = asyncio.ensure_future(http.post(f"{url}/chat/completions", json=body))
                await asyncio.to_thread(engine.started.wait, 30)
                asking.cancel()
                await asyncio.wait([asking])

        asyncio.run(leave())
        assert engine.stopped.wait(30)


def test_replies_that_outlive_the_servers_patience_are_told_so() -> None:
    """Ctrl-C ends a server within seconds, without a traceback for each running reply."""

    async def ask_both(url: str, engines: list[Endless], stop: threading.Event) -> list[Any]:
        async with httpx2.AsyncClient(timeout=None) as http:
            bodies = [{"messages": HELLO, "stream": s, "model": str(s)} for s in (True, False)]
            asking = [
                asyncio.ensure_future(http.post(f"{url}/chat/completions", json=body))
                for body in bodies
            ]
            for engine in engines:
                await asyncio.to_thread(engine.started.wait, 30)
            stop.set()
            return await asyncio.gather(*asking)

    engines = [Endless(first=True), Endless(first=True)]
    models = dict(zip(("True", "False"), map(TemplatedChat, engines), strict=True))
    stop, answers = threading.Event(), []
    with serving(models, grace=0) as url:
        asking = threading.Thread(
            target=lambda: answers.extend(asyncio.run(ask_both(url, engines, stop)))
        )
        asking.start()
        stop.wait(30)
    asking.join(30)
    streamed, whole = answers
    assert (streamed.status_code, whole.status_code) == (200, 503)
    assert whole.json()["error"]["message"] == "the server is stopping"
    assert "the server is stopping" in streamed.text
    assert all(engine.stopped.is_set() for engine in engines)


# -- smaller things --------------------------------------------------------------------------


def ask(app: Any, body: bytes) -> tuple[int, Any]:
    async def post() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            kind = {"content-type": "application/json"}
            return await http.post("/v1/chat/completions", content=body, headers=kind)

    answer = asyncio.run(post())
    return answer.status_code, answer


def test_info_of_a_model_is_enough_to_be_served() -> None:
    """A chat model needs no context or template to be listed."""

    class Bare(TemplatedChat):
        @property
        def info(self) -> ModelInfo:
            return ModelInfo("bare")

    with serving({"bare": Bare(always("hi"))}) as url, httpx2.Client() as http:
        assert http.get(f"{url}/models").json()["data"][0]["max_model_len"] is None


def test_a_server_without_models_is_a_bug() -> None:
    with pytest.raises(ValueError, match="nothing to serve"):
        create_app({})


def test_history_with_reasoning_survives_the_way_through_the_client() -> None:
    engine = always("ok")
    past = Message("assistant", "4", reasoning="2+2").to_openai()
    messages: list[Any] = [*HELLO, past, {"role": "user", "content": "sure?"}]
    with client_of(engine) as client:
        client.chat.completions.create(model="scripted", messages=messages)
    assert "<think>\n2+2\n</think>\n\n4" in engine.prompts[0]
