"""What the model really wrote, and the routes of other rooms: what a page needs of the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from formosa.chat.message import Message
from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import ChatModel, ChatReply, ChatRequest, Finished, ModelInfo
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.serve.app import create_app
from formosa.serve.pages import Pages
from formosa.serve.run import run_server, serving

WROTE = (
    "<think>\n要查\n</think>\n\n我來查。\n"
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n'
    '<tool_call>\n{"name": \n</tool_call>'
)
TOOLS = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "你好"}], "tools": TOOLS}
RAW = {"formosa": {"raw": True}}


class Elsewhere:
    """A model that another server renders and parses for."""

    info = ModelInfo("elsewhere")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Any, None]:
        yield Finished(ChatReply(Message("assistant", "hi"), "stop"))

    async def reply(self, request: ChatRequest) -> ChatReply:
        raise AssertionError("the gateway streams")

    async def aclose(self) -> None:
        return None


def app_of(model: ChatModel | None = None, **options: Any) -> Starlette:
    return create_app({"m": model or TemplatedChat(ScriptedEngine(lambda _: WROTE))}, **options)


def ask(app: Starlette, path: str, body: Any = None, **headers: str) -> httpx2.Response:
    async def asked() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            if body is None:
                return await client.get(path, headers=headers)
            return await client.post(path, json=body, headers=headers)

    return asyncio.run(asked())


def chunks(answer: httpx2.Response) -> Iterator[dict[str, Any]]:
    for line in answer.text.split("\n\n"):
        if line and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


# -- raw text --------------------------------------------------------------------------------


def test_who_asks_gets_the_prompt_and_what_the_model_really_wrote() -> None:
    value = ask(app_of(), "/v1/chat/completions", {**ASKED, **RAW}).json()
    raw = value["formosa"]
    assert raw["prompt"].endswith("<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n")
    (reply,) = raw["replies"]
    assert (reply["index"], reply["text"]) == (0, WROTE)
    (defect,) = reply["defects"]
    assert defect["problem"] and '{"name":' in defect["text"]
    assert value["choices"][0]["message"]["reasoning_content"] == "要查"


def test_who_does_not_ask_sees_the_fields_of_the_api_alone() -> None:
    value = ask(app_of(), "/v1/chat/completions", ASKED).json()
    assert value.keys() == {"id", "object", "created", "model", "choices", "usage"}
    streamed = ask(app_of(), "/v1/chat/completions", {**ASKED, "stream": True})
    assert all("formosa" not in chunk and chunk["choices"] for chunk in chunks(streamed))
    refused = ask(app_of(), "/v1/chat/completions", {**ASKED, "formosa": {"raw": False}}).json()
    assert "formosa" not in refused


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_ends_with_it_before_the_usage(usage: bool) -> None:
    body = {**ASKED, **RAW, "stream": True, "n": 2}
    if usage:
        body["stream_options"] = {"include_usage": True}
    answer = ask(app_of(), "/v1/chat/completions", body)
    assert answer.text.endswith("data: [DONE]\n\n")
    without_choices = [chunk for chunk in chunks(answer) if not chunk["choices"]]
    assert len(without_choices) == 1 + usage
    raw = without_choices[0]
    assert [reply["text"] for reply in raw["formosa"]["replies"]] == [WROTE, WROTE]
    assert raw.get("usage", "left out") == (None if usage else "left out")
    assert not usage or without_choices[1]["usage"]["total_tokens"] > 0


def test_the_official_client_reads_past_it() -> None:
    chunk = list(chunks(ask(app_of(), "/v1/chat/completions", {**ASKED, **RAW, "stream": True})))
    for value in chunk:
        openai.types.chat.ChatCompletionChunk.model_validate(value)


def test_a_prompt_that_another_server_made_is_null_and_not_guessed() -> None:
    value = ask(app_of(Elsewhere()), "/v1/chat/completions", {"messages": ASKED["messages"], **RAW})
    assert value.json()["formosa"] == {
        "prompt": None,
        "replies": [{"index": 0, "text": None, "defects": []}],
    }


def test_a_mistyped_field_of_ours_is_refused_like_any_other() -> None:
    answer = ask(app_of(), "/v1/chat/completions", {**ASKED, "formosa": {"row": True}})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "formosa.row: unknown field"


@pytest.mark.parametrize(
    ("source", "variable"),
    [("{{ enable_thinking }}", "enable_thinking"), ("{{ reasoning_effort }}", "reasoning_effort"),
     ("{{ messages }}", None)],
)  # fmt: skip
def test_props_say_whether_a_model_can_be_told_to_think(source: str, variable: str | None) -> None:
    template = ChatTemplate.from_source(source)
    model = TemplatedChat(ScriptedEngine(["hi"]), template)
    (shown,) = ask(app_of(model), "/props").json()["models"]
    assert shown["template"]["thinking"] == variable


# -- pages -----------------------------------------------------------------------------------


async def said(_: Request) -> PlainTextResponse:
    return PlainTextResponse("here")


def test_pages_stand_behind_the_same_checks_as_the_api() -> None:
    routes = [Route("/page", said), Route("/private", said)]
    pages = Pages(routes, open=frozenset({"/page"}))
    guarded = app_of(api_key="k", pages=pages)
    assert ask(guarded, "/page").text == "here"
    assert ask(guarded, "/private").status_code == 401
    assert ask(guarded, "/private", authorization="Bearer k").text == "here"
    assert ask(guarded, "/v1/models").status_code == 401
    named = app_of(hosts=["127.0.0.1"], pages=pages)
    assert ask(named, "/page").text == "here"
    assert ask(named, "/page", host="evil.example").status_code == 400


def test_pages_are_counted_by_their_route() -> None:
    app = app_of(pages=Pages([Route("/page", said)]))
    ask(app, "/page")
    assert 'route="/page"' in ask(app, "/metrics").text


def test_what_pages_need_is_open_while_the_server_is() -> None:
    told: list[str] = []

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        told.append("opened")
        yield
        told.append("closed")

    app = app_of(pages=Pages(around=around))

    async def lived() -> None:
        async with app.router.lifespan_context(app):
            told.append("served")

    asyncio.run(lived())
    assert told == ["opened", "served", "closed"]
    assert app.state.failed is None


class Unreachable:
    async def __aenter__(self) -> None:
        raise UserError("no such server", "start it")

    async def __aexit__(self, *_: object) -> None:
        return None


def test_what_can_t_be_opened_ends_the_server_with_its_one_sentence() -> None:
    """Raised in a lifespan it would be a traceback in a log, with the sentence somewhere in it."""
    model = TemplatedChat(ScriptedEngine(["hi"]))
    started: list[str] = []
    with pytest.raises(UserError, match="no such server"):
        run_server({"m": model}, port=0, pages=Pages(around=Unreachable), started=started.append)
    assert started == []
    with (
        pytest.raises(UserError, match="no such server"),
        serving({"m": model}, pages=Pages(around=Unreachable)),
    ):
        raise AssertionError("the block is not entered")
