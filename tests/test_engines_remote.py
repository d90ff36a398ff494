"""Servers of others: what they answer, refuse, forget and break off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import stamina

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.reply import Delta
from formosa.engines.dialect import grammar_fields
from formosa.engines.endpoint import Server, wait_before_again
from formosa.engines.http import error_from
from formosa.engines.protocol import (
    ChatEvent,
    ChatRequest,
    Finished,
    Logprob,
    Logprobs,
    Named,
    Piece,
    Sampling,
    TokenLogprob,
    Usage,
)
from formosa.engines.remote import RemoteText
from formosa.engines.remote_chat import RemoteChat
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import (
    BusyError,
    ContextError,
    EngineError,
    FormosaError,
    UnsupportedError,
    UserError,
)

ASKED = ChatRequest((Message("user", "hi"),), sampling=Sampling(max_tokens=9))
TOOL = Tool.of("search", "", {"type": "object"})
Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def chat(answer: Answer, **options: Any) -> RemoteChat:
    transport = httpx2.MockTransport(answer)
    return RemoteChat("http://box:1/v1", transport=transport, **{"model": "m", **options})


def text(answer: Answer, **options: Any) -> RemoteText:
    transport = httpx2.MockTransport(answer)
    return RemoteText("http://box:1/v1", transport=transport, **{"model": "m", **options})


def sse(*events: Any, done: bool = True) -> httpx2.Response:
    data = [json.dumps(event, ensure_ascii=False) for event in events] + ["[DONE]"] * done
    body = "".join(f"data: {item}\n\n" for item in data).encode()
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def streamed(model: RemoteChat, request: ChatRequest = ASKED) -> list[ChatEvent]:
    async def collect() -> list[ChatEvent]:
        return [event async for event in model.stream(request)]

    return asyncio.run(collect())


async def collected(engine: RemoteText, sampling: Sampling) -> list[Piece]:
    return [piece async for piece in engine.generate("Once", sampling)]


def continued(engine: RemoteText, sampling: Sampling) -> list[Piece]:
    return asyncio.run(collected(engine, sampling))


# -- chat ------------------------------------------------------------------------------------


def test_the_request_says_what_was_asked_and_nothing_else() -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/models":
            return httpx2.Response(200, json={"data": [{"id": "m", "owned_by": "formosa"}]})
        seen.append((json.loads(request.content), request.headers.get("authorization")))
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    sampling = Sampling(temperature=0, top_k=4, seed=1, stop=("x",))
    request = ChatRequest(ASKED.messages, (TOOL,), sampling, {"enable_thinking": False})
    asyncio.run(chat(answer, api_key="sk-1").reply(request))
    body, key = seen[0]
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [TOOL.to_openai()],
        "temperature": 0,
        "top_k": 4,
        "seed": 1,
        "stop": ["x"],
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert key == "Bearer sk-1"


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_both_names_of_reasoning_are_read(field: str) -> None:
    """vLLM renamed the field; llama.cpp and others did not."""
    whole = {"choices": [{"message": {"content": "4", field: "2+2"}, "finish_reason": "stop"}]}
    reply = asyncio.run(chat(lambda _: httpx2.Response(200, json=whole)).reply(ASKED))
    assert reply.message == Message("assistant", "4", reasoning="2+2")

    parts = sse(delta(**{field: "2+"}), delta(**{field: "2"}), delta(content="4"), delta("stop"))
    assert streamed(chat(lambda _: parts)) == [
        Delta("reasoning", "2+"),
        Delta("reasoning", "2"),
        Delta("content", "4"),
        Finished(reply),
    ]


def call_piece(index: int | None, id: str = "", name: str = "", arguments: Any = "") -> Any:
    piece: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    piece |= {"id": id} if id else {}
    piece |= {} if index is None else {"index": index}
    return delta(tool_calls=[piece])


WANTED = (ToolCall("one", '{"x": 1}', "a"), ToolCall("two", "{}", "b"))


@pytest.mark.parametrize(
    "pieces",
    [
        [
            call_piece(0, "a", "one"),
            call_piece(0, arguments='{"x"'),
            call_piece(0, arguments=": 1}"),
            call_piece(1, "b", "two"),
        ],
        [call_piece(0, "a", "one", '{"x": 1}'), call_piece(1, "b", "two", "{}")],
        [
            call_piece(None, "a", "one"),
            call_piece(None, arguments='{"x": 1}'),
            call_piece(None, "b", "two"),
        ],
        [call_piece(0, "a", "one", {"x": 1}), call_piece(1, "b", "two")],
        [delta(tool_calls=[
            {"index": 0, "id": "a", "function": {"name": "one", "arguments": '{"x": 1}'}},
            {"index": 1, "id": "b", "function": {"name": "two"}},
        ])],
    ],
    ids=["vLLM", "whole", "no index", "object", "one delta"],
)  # fmt: skip
def test_pieces_of_calls_become_whole_calls(pieces: list[Any]) -> None:
    events = streamed(chat(lambda _: sse(*pieces, delta("tool_calls"))))
    assert tuple(event for event in events if isinstance(event, ToolCall)) == WANTED
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reply.message.tool_calls == WANTED
    assert last.reply.finish == "tool_calls"


def test_a_call_is_handed_over_when_the_next_one_begins() -> None:
    parts = [call_piece(0, "a", "one"), call_piece(1, "b", "two"), delta(content="later")]
    events = streamed(chat(lambda _: sse(*parts, delta("tool_calls"))))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["ToolCall", "Delta", "ToolCall", "Finished"]


def test_calls_mean_tool_calls_whatever_the_server_says() -> None:
    """A named tool_choice makes vLLM say `stop`; several servers say it always."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": None, "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": "stop"}]}
    reply = asyncio.run(chat(lambda _: httpx2.Response(200, json=body)).reply(ASKED))
    assert reply.finish == "tool_calls"


def test_a_reply_with_broken_arguments_is_kept_for_whoever_judges_it() -> None:
    """A benchmark counts it as wrong; an exception would count it as failed."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x'}}
    body = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "length"}]}
    reply = asyncio.run(chat(lambda _: httpx2.Response(200, json=body)).reply(ASKED))
    assert reply.message.tool_calls == (ToolCall("f", '{"x', "a"),)
    assert reply.finish == "length"


def test_usage_is_read_from_the_chunk_without_choices() -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 5},
    }
    parts = sse(delta(content="hi"), delta("stop"), {"choices": [], "usage": usage})
    last = streamed(chat(lambda _: parts))[-1]
    assert isinstance(last, Finished)
    assert last.reply.usage == Usage(7, 2, 5)


def test_line_separators_inside_a_text_do_not_cut_it() -> None:
    """U+2028 is a line break to `str.splitlines`, and plain text to JSON."""
    parts = sse(delta(content="a\u2028b\x85c"), delta("stop"))
    assert streamed(chat(lambda _: parts))[0] == Delta("content", "a\u2028b\x85c")


def test_the_only_model_of_a_server_needs_no_name() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/models":
            return httpx2.Response(200, json={"data": [{"id": "only"}]})
        assert json.loads(request.content)["model"] == "only"
        return httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}}]})

    model = chat(answer, model=None)
    asyncio.run(model.reply(ASKED))
    assert model.info.name == "only"


def test_several_models_must_be_told_apart() -> None:
    models = httpx2.Response(200, json={"data": [{"id": "a"}, {"id": "b"}]})
    with pytest.raises(UserError, match="2 models: a, b"):
        asyncio.run(chat(lambda _: models, model=None).reply(ASKED))


# -- what a request may ask for ------------------------------------------------------------------


def asked_of(kind: str | None, answer: Any, seen: list[Any]) -> Answer:
    """A server that says which program it is, and keeps what it was asked."""

    def respond(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/v1/models":
            return httpx2.Response(200, json={"data": [{"id": "m", "owned_by": kind}]})
        if path == "/version":
            return httpx2.Response(200, json={"version": "0.32.0"})
        if path == "/tokenize":
            return httpx2.Response(404)
        seen.append(json.loads(request.content))
        return answer if isinstance(answer, httpx2.Response) else answer(seen[-1])

    return respond


HI = httpx2.Response(200, json={"choices": [{"message": {"content": "hi"}}]})
CALLED = {"id": "a", "type": "function", "function": {"name": "search", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"tool_choice": "auto"}, {}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        (
            {"tool_choice": Named("search")},
            {"tool_choice": {"type": "function", "function": {"name": "search"}}},
        ),
        ({"parallel": False}, {"parallel_tool_calls": False}),
        ({"json_schema": {}}, {"response_format": {"type": "json_object"}}),
        (
            {"json_schema": {"type": "object"}},
            {"response_format": {"type": "json_schema", "json_schema": {
                "name": "reply", "schema": {"type": "object"}, "strict": True}}},
        ),
        ({"sampling": Sampling(logit_bias={5: -1.0})}, {"logit_bias": {"5": -1.0}}),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_passed_on(change: dict[str, Any], fields: dict[str, Any]) -> None:
    seen: list[Any] = []
    message = {"tool_calls": [CALLED]}
    body = httpx2.Response(200, json={"choices": [{"message": message}]})
    request = replace(ASKED, tools=(TOOL,), sampling=Sampling())
    asyncio.run(chat(asked_of("vllm", body, seen)).reply(replace(request, **change)))
    known = {"model", "messages", "temperature", "tools"}
    assert {key: value for key, value in seen[0].items() if key not in known} == fields
    assert seen[0]["tools"] == [TOOL.to_openai()]


def test_tools_that_may_not_be_called_are_not_shown() -> None:
    """vLLM would put them into the prompt all the same."""
    seen: list[Any] = []
    request = replace(ASKED, tools=(TOOL,), tool_choice="none")
    asyncio.run(chat(asked_of("vllm", HI, seen)).reply(request))
    assert not {"tools", "tool_choice"} & seen[0].keys()


def test_a_forced_call_that_did_not_come_is_an_error() -> None:
    """vLLM says `tool_calls` and sends none; llama.cpp rambles until it is cut."""
    for reason, raises in (("tool_calls", True), ("stop", True), ("length", False)):
        choice = {"message": {"content": "hm"}, "finish_reason": reason}
        body = httpx2.Response(200, json={"choices": [choice]})
        model = chat(asked_of("vllm", body, []))
        request = replace(ASKED, tools=(TOOL,), tool_choice="required")
        if raises:
            with pytest.raises(EngineError, match="sent no call"):
                asyncio.run(model.reply(request))
        else:
            assert asyncio.run(model.reply(request)).finish == "length"


def test_no_more_calls_than_were_asked_for() -> None:
    """llama.cpp sends two under `parallel_tool_calls: false`."""
    request = replace(ASKED, tools=(TOOL,), parallel=False)
    body = {"choices": [{"message": {"tool_calls": [CALLED, {**CALLED, "id": "b"}]}}]}
    reply = asyncio.run(chat(lambda _: httpx2.Response(200, json=body)).reply(request))
    assert [call.id for call in reply.message.tool_calls] == ["a"]
    parts = [call_piece(0, "a", "one"), call_piece(1, "b", "two"), call_piece(2, "c", "three")]
    events = streamed(chat(lambda _: sse(*parts, delta("tool_calls"))), request)
    assert [event.id for event in events if isinstance(event, ToolCall)] == ["a"]
    last = events[-1]
    assert isinstance(last, Finished)
    assert len(last.reply.message.tool_calls) == 1


@pytest.mark.parametrize("name", ["top_k", "min_p", "repetition_penalty"])
def test_a_server_that_may_not_honour_a_parameter_is_not_trusted(name: str) -> None:
    """OpenAI refuses them; Ollama answers as if they had not been there."""
    extra: dict[str, Any] = {name: 1}
    sampling = Sampling(max_tokens=2, **extra)
    for asked in (
        lambda: chat(asked_of("library", HI, [])).reply(replace(ASKED, sampling=sampling)),
        lambda: collected(text(asked_of(None, HI, [])), sampling),
    ):
        with pytest.raises(UnsupportedError) as caught:
            asyncio.run(asked())
        assert caught.value.parameter == name


def test_a_chat_server_is_given_no_grammar() -> None:
    request = replace(ASKED, sampling=Sampling(grammar="start: x"))
    with pytest.raises(UnsupportedError, match="grammar"):
        asyncio.run(chat(asked_of("vllm", HI, [])).reply(request))


ENTRY = {
    "token": "hi",
    "logprob": -0.5,
    "bytes": [104, 105],
    "top_logprobs": [{"token": "hi", "logprob": -0.5, "bytes": [104, 105]}],
}
TOKEN = TokenLogprob("hi", -0.5, b"hi")


def test_log_probabilities_of_a_chat_are_read_in_both_ways() -> None:
    seen: list[Any] = []
    request = replace(ASKED, sampling=Sampling(logprobs=1))
    choice = {"message": {"content": "hi"}, "logprobs": {"content": [ENTRY]}}
    whole = httpx2.Response(200, json={"choices": [choice]})
    reply = asyncio.run(chat(asked_of("vllm", whole, seen)).reply(request))
    assert reply.logprobs == (Logprob(TOKEN, (TOKEN,)),)
    assert (seen[0]["logprobs"], seen[0]["top_logprobs"]) == (True, 1)

    part = delta(content="hi")
    part["choices"][0]["logprobs"] = {"content": [ENTRY]}
    events = streamed(chat(asked_of("vllm", sse(part, delta("stop")), [])), request)
    assert events[:2] == [Delta("content", "hi"), Logprobs(reply.logprobs)]


def test_log_probabilities_that_did_not_come_are_refused() -> None:
    request = replace(ASKED, sampling=Sampling(logprobs=1))
    with pytest.raises(UnsupportedError, match="sent none"):
        asyncio.run(chat(asked_of("vllm", HI, [])).reply(request))
    with pytest.raises(UnsupportedError, match="sent none"):
        silent = asked_of("vllm", sse(piece_of("a", "stop")), [])
        continued(text(silent), Sampling(max_tokens=2, logprobs=1))


# -- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx2.Response(200, text="<html>"), "JSON object"),
        (httpx2.Response(200, json=[1]), "JSON object"),
        (httpx2.Response(200, json={}), "without a choice"),
        (httpx2.Response(200, json={"choices": [{}]}), "without a message"),
        (httpx2.Response(404, json={"error": {"message": "no such model"}}), "no such model"),
        (httpx2.Response(401, json={"detail": "who are you"}), "401.*who are you"),
        (httpx2.Response(400, text="plain words"), "plain words"),
        (httpx2.Response(400, json={"error": "just text"}), "just text"),
        (httpx2.Response(418), "without a word"),
    ],
)
def test_what_a_server_answers_instead_is_one_sentence(
    response: httpx2.Response, words: str
) -> None:
    with pytest.raises(EngineError, match=words):
        asyncio.run(chat(lambda _: response).reply(ASKED))


@pytest.mark.parametrize("status", [500, 401, 400])
def test_a_key_is_in_no_error(status: int) -> None:
    """OpenAI, for one, quotes a key that it does not know."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        words = f"Incorrect API key provided: {request.headers['authorization']}."
        return httpx2.Response(status, json={"error": {"message": words}})

    with pytest.raises(EngineError, match=r"\[key\]") as caught:
        asyncio.run(chat(answer, api_key="sk-secret").reply(ASKED))
    shown = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert "sk-secret" not in "".join(map(repr, shown)) + caught.value.hint


@pytest.mark.parametrize("url", ["box:1", "ftp://box/v1", "", "http://user:pw@box/v1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        RemoteChat(url)
    assert "pw" not in str(caught.value)


def test_a_stream_that_breaks_off_is_an_error_and_not_a_short_answer() -> None:
    with pytest.raises(EngineError, match="broke off"):
        streamed(chat(lambda _: sse(delta(content="half an ans"), done=False)))


def test_a_connection_that_breaks_in_mid_answer_is_an_error() -> None:
    class Broken(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n'
            raise httpx2.ReadError("gone")

    head = {"content-type": "text/event-stream"}
    with pytest.raises(EngineError, match="broke off: ReadError"):
        streamed(chat(lambda _: httpx2.Response(200, headers=head, stream=Broken())))


def test_an_error_event_in_the_stream_is_an_error() -> None:
    parts = sse(delta(content="half"), {"error": {"message": "the engine broke"}})
    with pytest.raises(EngineError, match="the engine broke"):
        streamed(chat(lambda _: parts))


@pytest.mark.parametrize(
    ("body", "lengths"),
    [
        (
            {"error": {"message": "too long", "n_prompt_tokens": 5000, "n_ctx": 4096}},
            (5000, 1, 4096),
        ),
        (
            {"error": {"message": "This model's maximum context length is 4096 tokens. However, "
             "you requested 5000 tokens (4000 in the messages, 1000 in the completion)."}},
            (4000, 1000, 4096),
        ),
        (
            {"error": {"message": "This model's maximum context length is 128 tokens. However, "
             "your messages resulted in 300 tokens."}},
            (300, 1, 128),
        ),
        ({"error": {"message": str(ContextError(9, 8, 7))}}, (9, 8, 7)),
    ],
    ids=["llama.cpp", "vLLM", "OpenAI", "Formosa"],
)  # fmt: skip
def test_a_context_that_is_too_small_is_told_with_its_lengths(
    body: dict[str, Any], lengths: tuple[int, int, int]
) -> None:
    error: FormosaError = error_from(json.dumps(body), who="box", status=400)
    assert isinstance(error, ContextError)
    assert (error.prompt_tokens, error.reply_tokens, error.context) == lengths


# -- once more -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    answers = [
        httpx2.Response(status, json={"error": {"message": "busy"}}),
        httpx2.Response(status, text="busy"),
        httpx2.Response(200, json={"choices": [{"message": {"content": "at last"}}]}),
    ]
    reply = asyncio.run(chat(lambda _: answers.pop(0)).reply(ASKED))
    assert reply.message.content == "at last"


def test_one_of_several_servers_is_not_waited_for() -> None:
    asked: list[int] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        asked.append(1)
        return httpx2.Response(503)

    with pytest.raises(BusyError):
        asyncio.run(chat(answer, attempts=2).reply(ASKED))
    assert len(asked) == 2


def test_a_refused_request_is_not_asked_again() -> None:
    asked: list[int] = []

    def answer(_: httpx2.Request) -> httpx2.Response:
        asked.append(1)
        return httpx2.Response(400, json={"error": {"message": "no"}})

    with pytest.raises(EngineError):
        asyncio.run(chat(answer).reply(ASKED))
    assert len(asked) == 1


def test_a_server_that_stays_busy_is_an_error_with_its_words() -> None:
    busy = httpx2.Response(429, json={"error": {"message": "come back later"}})
    with pytest.raises(EngineError, match=r"429.*come back later"):
        asyncio.run(chat(lambda _: busy).reply(ASKED))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), ("0", 0), (None, 1), ("soon", 1)])
def test_a_server_that_stays_busy_says_when_to_come_again(header: str | None, seconds: int) -> None:
    headers = {"retry-after": header} if header else {}
    busy = httpx2.Response(503, headers=headers, json={"error": {"message": "full"}})
    with pytest.raises(BusyError) as caught:
        asyncio.run(chat(lambda _: busy).reply(ASKED))
    assert caught.value.retry_after == seconds


def test_a_parameter_that_a_server_refuses_is_named() -> None:
    """A client's mistake must not look like a failure of ours."""
    error = {"message": "temperature must be in [0, 2]", "param": "temperature", "code": 400}
    responses = [httpx2.Response(400, json={"error": error}), sse({"error": error})]
    model = chat(lambda _: responses.pop())
    for _ in range(2):
        with pytest.raises(UnsupportedError) as caught:
            streamed(model)
        assert caught.value.parameter == "temperature"


def test_a_server_that_is_not_there_is_an_error_with_a_hint() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(EngineError, match="box:1 can't be reached") as caught:
        asyncio.run(chat(answer).reply(ASKED))
    assert "address" in caught.value.hint


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("3600", False),
        ("-1", False),
        ("nan", False),
        ("Wed, 21 Oct 2099 07:28:00 GMT", True),
        (None, True),
    ],
)
def test_the_time_that_a_server_names_is_waited_and_no_hours(
    header: str | None, wait: bool | float
) -> None:
    headers = {"retry-after": header} if header is not None else {}
    request = httpx2.Request("GET", "http://box")
    response = httpx2.Response(429, headers=headers, request=request)
    error = httpx2.HTTPStatusError("busy", request=request, response=response)
    assert wait_before_again(error) == wait
    assert type(wait_before_again(error)) is type(wait)


def test_an_answer_that_has_begun_is_not_asked_again() -> None:
    assert wait_before_again(httpx2.ReadError("gone")) is False
    assert wait_before_again(ValueError()) is False


# -- text ------------------------------------------------------------------------------------


def completions(*events: Any, tokens: Any = (1, 2), models: Any = ()) -> Answer:
    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/tokenize":
            found = httpx2.Response(200, json={"tokens": list(tokens)}) if tokens else None
            return found or httpx2.Response(404)
        if path == "/v1/models":
            return httpx2.Response(200, json={"data": list(models)})
        answer.bodies.append(json.loads(request.content))  # type: ignore[attr-defined]
        return sse(*events)

    answer.bodies = []  # type: ignore[attr-defined]
    return answer


def piece_of(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": finish}]}


def test_prompts_go_as_token_ids_where_the_server_can_make_them() -> None:
    answer = completions(piece_of("a"), piece_of("b", "length"))
    pieces = continued(text(answer), Sampling(max_tokens=2))
    assert pieces == [Piece("a"), Piece("b"), Piece("", "length", None)]
    assert answer.bodies[0]["prompt"] == [1, 2]  # type: ignore[attr-defined]


def test_prompts_go_as_text_to_servers_without_a_tokenizer() -> None:
    answer = completions(piece_of("a", "stop"), tokens=None)
    engine = text(answer)
    assert continued(engine, Sampling(max_tokens=2))[-1].finish == "stop"
    assert answer.bodies[0]["prompt"] == "Once"  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="no /tokenize"):
        asyncio.run(engine.tokenize("x"))


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("llamacpp", {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.0}),
        ("vllm", {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("formosa", {}),
        ("library", {}),
    ],
)
def test_what_was_not_asked_for_is_not_left_to_the_defaults_of_a_server(
    kind: str, wanted: dict[str, Any]
) -> None:
    """llama.cpp's cut the choice to 40 tokens, vLLM's are those of a file beside the model."""
    seen: list[Any] = []
    names = {"top_k", "top_p", "min_p", "repeat_penalty", "repetition_penalty"}
    engine = text(asked_of(kind, lambda _: sse(piece_of("a", "stop")), seen))
    continued(engine, Sampling(temperature=0.7, max_tokens=2))
    assert {name: seen[0][name] for name in names & seen[0].keys()} == wanted
    if wanted:
        continued(engine, Sampling(temperature=0.7, max_tokens=2, top_k=3, top_p=0.5))
        assert (seen[1]["top_k"], seen[1]["top_p"], seen[1]["min_p"]) == (3, 0.5, 0.0)


@pytest.mark.parametrize("status", [404, 403, 200], ids=["none", "not for us", "a page"])
def test_a_server_without_the_routes_beside_the_api_is_used_without_them(status: int) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/completions":
            return sse(piece_of("a", "stop"))
        return httpx2.Response(status, text="<html>")

    assert continued(text(answer), Sampling(max_tokens=2))[0] == Piece("a")


@pytest.mark.parametrize("route", ["/tokenize", "/v1/models"])
def test_a_server_that_is_down_is_not_taken_for_one_without_a_route(route: str) -> None:
    """It would be asked in a worse way for ever: prompts as text, grammars refused."""
    down = True
    seen: list[Any] = []
    up = asked_of("vllm", lambda _: sse(piece_of("a", "stop")), seen)

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == route and down:
            raise httpx2.ConnectError("refused")
        if request.url.path == "/tokenize":
            return httpx2.Response(200, json={"tokens": [1, 2]})
        return up(request)

    engine = text(answer)
    sampling = Sampling(max_tokens=2, grammar="start: x")
    with pytest.raises(EngineError, match="can't be reached"):
        continued(engine, sampling)
    down = False
    continued(engine, sampling)
    assert seen[0]["prompt"] == [1, 2]
    assert seen[0]["structured_outputs"] == {"grammar": "start: x"}


def test_without_max_tokens_the_rest_of_the_context_is_asked_for() -> None:
    """Servers stop after 16 tokens where nothing is said."""
    answer = completions(piece_of("a", "stop"), models=[{"id": "m", "max_model_len": 100}])
    continued(text(answer), Sampling())
    assert answer.bodies[0]["max_tokens"] == 98  # type: ignore[attr-defined]


def test_without_max_tokens_an_unknown_context_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        continued(text(completions(models=[{"id": "m"}])), Sampling())
    assert "max_tokens" in caught.value.hint


def test_text_that_breaks_off_is_an_error() -> None:
    with pytest.raises(EngineError, match="broke off"):
        continued(text(completions(piece_of("a"))), Sampling(max_tokens=4))


def written(*events: Any) -> Callable[[dict[str, Any]], httpx2.Response]:
    """A server that obeys: a snowman comes where the grammar begins with one."""

    def answer(body: dict[str, Any]) -> httpx2.Response:
        if body["stream"]:
            return sse(*events)
        snowman = "\u2603" if "\u2603" in body["grammar"] else ""
        return httpx2.Response(200, json={"choices": [{"text": snowman}]})

    return answer


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("vllm", "structured_outputs", {"grammar": "start: x"}),
        ("formosa", "structured_outputs", {"grammar": "start: x"}),
        ("llamacpp", "grammar", "%llguidance {}\nstart: x"),
    ],
)
def test_each_program_is_told_a_grammar_in_its_words(kind: str, field: str, value: Any) -> None:
    seen: list[Any] = []
    engine = text(asked_of(kind, written(piece_of("a", "stop")), seen))
    for _ in range(2):
        continued(engine, Sampling(max_tokens=2, grammar="start: x"))
    assert seen[-1][field] == value
    # llama.cpp writes freely under a grammar that it can't read: it is tried once.
    assert len(seen) == (3 if kind == "llamacpp" else 2)


def test_an_older_vllm_is_told_a_grammar_in_older_words() -> None:
    old, new = Server("vllm", (0, 10, 2)), Server("vllm", (0, 11))
    assert grammar_fields("g", old, who="box") == {"guided_grammar": "g"}
    assert grammar_fields("g", new, who="box") == {"structured_outputs": {"grammar": "g"}}


def test_a_llama_cpp_that_does_not_follow_is_found_out() -> None:
    free = httpx2.Response(200, json={"choices": [{"text": "Sure!"}]})
    with pytest.raises(UnsupportedError, match="can't follow"):
        engine = text(asked_of("llamacpp", free, []))
        continued(engine, Sampling(max_tokens=2, grammar="start: x"))


@pytest.mark.parametrize("kind", ["library", None, "openai"])
def test_a_grammar_is_given_to_nobody_else(kind: str | None) -> None:
    with pytest.raises(UnsupportedError, match="not known to follow"):
        continued(text(asked_of(kind, HI, [])), Sampling(max_tokens=2, grammar="start: x"))


def test_vllm_s_log_probabilities_under_a_grammar_are_not_the_model_s() -> None:
    """Measured: all of them are 0 where the grammar leaves one choice."""
    sampling = Sampling(max_tokens=2, grammar="start: x", logprobs=1)
    with pytest.raises(UnsupportedError) as caught:
        continued(text(asked_of("vllm", HI, [])), sampling)
    assert caught.value.parameter == "logprobs"


def test_token_numbers_become_bytes_where_the_vocabulary_is_here() -> None:
    """vLLM writes half a character as nothing."""
    seen: list[Any] = []
    vocabulary = Vocabulary(["a", "åı", "°"], [1, 1, 1], byte_level=True)
    columns = {
        "tokens": ["token_id:1", "token_id:2"],
        "token_logprobs": [-1.0, -2.0],
        "top_logprobs": [{"token_id:0": -0.5, "token_id:1": -1.0}, {"token_id:2": -2.0}],
    }
    part = {"choices": [{"text": "台", "finish_reason": "stop", "logprobs": columns}]}
    engine = text(asked_of("vllm", sse(part), seen), vocabulary=vocabulary)
    first = continued(engine, Sampling(max_tokens=2, logprobs=2))[0]
    assert b"".join(token.chosen.bytes for token in first.logprobs).decode() == "台"
    assert first.logprobs[0].top[0] == TokenLogprob("a", -0.5, b"a", 0)
    assert seen[0]["return_tokens_as_token_ids"] is True


def test_pieces_are_tokenised_one_by_one() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/models":
            return httpx2.Response(404)
        body = json.loads(request.content)
        if request.url.path == "/tokenize":
            asked.append(body["prompt"])
            return httpx2.Response(200, json={"tokens": [len(body["prompt"])]})
        assert body["prompt"] == [2, 3]
        return sse(piece_of("a", "stop"))

    async def ask() -> list[Piece]:
        sampling = Sampling(max_tokens=2)
        return [piece async for piece in text(answer).generate(("<|", "im>"), sampling)]

    assert asyncio.run(ask())[-1].finish == "stop"
    assert asked == ["<|", "im>"]


def test_a_llama_cpp_that_reports_half_of_its_tokens_is_found_out() -> None:
    """Its server keeps tokens back that end inside a character, and gives the whole character the
    log-probability of its last third. In this process they are asked for: see `llama_logprobs`."""
    part = piece_of("台", "stop")
    part["choices"][0]["logprobs"] = {"content": [{**ENTRY, "token": "台", "bytes": None}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    engine = text(asked_of("llamacpp", sse(part, usage), []))
    with pytest.raises(UnsupportedError, match="kept some"):
        continued(engine, Sampling(max_tokens=2, logprobs=1))
