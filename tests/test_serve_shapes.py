"""Whatever a model writes, every way of asking for it says the same."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_strategies import is_object, replies
from formosa.chat.message import Message
from formosa.chat.parser import parse_reply
from formosa.engines.protocol import ChatRequest, Finished, Piece, Prompt, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import EngineError
from formosa.serve.metrics import Metrics
from formosa.serve.protocol import seed_of
from formosa.serve.queue import Limits
from formosa.serve.run import serving
from formosa.serve.served import Served
from test_serve_replies import TOOLS, Client

RESPONSE_TOOLS = [{"type": "function", "name": "search", "parameters": {}}]
WITH_USAGE = {"include_usage": True}


class Several(ScriptedEngine):
    """Its seed says which of several texts it writes; it lets others run in between."""

    def __init__(self, texts: Sequence[str], chunk: int = 3) -> None:
        super().__init__([])
        self.texts, self.chunk = texts, chunk
        self.open = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        engine = ScriptedEngine([self.texts[sampling.seed or 0]], chunk=self.chunk)
        self.open += 1
        try:
            async for piece in engine.generate(prompt, sampling):
                yield piece
                await asyncio.sleep(0)
        finally:
            self.open -= 1


def data_of(answer: httpx2.Response) -> list[Any]:
    """The data of server-sent events. Not by lines as Python knows them: JSON may hold U+2028."""
    assert answer.status_code == 200, answer.text
    return [block.partition("data: ")[2] for block in answer.text.split("\n\n") if block]


def put_together(chunks: list[Any], count: int) -> list[dict[str, Any]]:
    """The choices of a stream, as a client joins them."""
    choices: list[dict[str, Any]] = [
        {"content": "", "reasoning": "", "calls": [], "finish": None, "logprobs": []}
        for _ in range(count)
    ]
    for chunk in chunks:
        (part,) = chunk["choices"]
        choice, delta = choices[part["index"]], part["delta"]
        assert choice["finish"] is None, "nothing comes after the end"
        choice["content"] += delta.get("content") or ""
        choice["reasoning"] += delta.get("reasoning") or ""
        assert delta.get("reasoning") == delta.get("reasoning_content")
        for call in delta.get("tool_calls") or ():
            assert call["index"] == len(choice["calls"])
            choice["calls"].append((call["function"]["name"], call["function"]["arguments"]))
        choice["logprobs"] += (part["logprobs"] or {"content": []})["content"]
        choice["finish"] = part["finish_reason"]
    return choices


@settings(max_examples=80, deadline=None)
@given(
    st.lists(replies(), min_size=1, max_size=3),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 40)),
    st.lists(st.sampled_from(["\n", "}", "hi", "</think>"]), max_size=2),
)
def test_a_streamed_chat_adds_up_to_the_one_that_is_not_streamed(
    texts: list[str], chunk: int, parallel: bool, logprobs: bool, limit: int | None, stop: list[str]
) -> None:
    client = Client(TemplatedChat(Several(texts, chunk)))
    fields: dict[str, Any] = {
        "n": len(texts), "seed": 0, "tools": TOOLS, "parallel_tool_calls": parallel,
        "logprobs": logprobs, "max_tokens": limit, "stop": stop or None,
    }  # fmt: skip
    whole = client.post(**fields).json()
    *data, done = data_of(client.post(**fields, stream=True, stream_options=WITH_USAGE))
    assert done == "[DONE]"
    *chunks, last = map(json.loads, data)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for choice, streamed in zip(whole["choices"], put_together(chunks, len(texts)), strict=True):
        message = choice["message"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        assert streamed == {
            "content": message["content"] or "",
            "reasoning": message.get("reasoning", ""),
            "calls": [(call["name"], call["arguments"]) for call in calls],
            "finish": choice["finish_reason"],
            "logprobs": (choice["logprobs"] or {"content": []})["content"],
        }
        assert all(is_object(call["arguments"]) for call in calls)
        assert (choice["finish_reason"] == "tool_calls") <= bool(calls)
        assert parallel or len(calls) <= 1
        if parallel and limit is None and not stop:
            said = parse_reply(texts[choice["index"]].partition("<|im_end|>")[0]).message
            assert (message["content"] or "", len(calls)) == (said.content, len(said.tool_calls))
            if logprobs:
                tokens = "".join(entry["token"] for entry in choice["logprobs"]["content"])
                assert tokens == texts[choice["index"]].partition("<|im_end|>")[0]


def plain(items: list[Any]) -> list[Any]:
    """Items without the names that are made up for each response."""
    return [{k: v for k, v in item.items() if k not in ("id", "call_id")} for item in items]


@settings(max_examples=80, deadline=None)
@given(replies(), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 40)))
def test_the_events_of_a_response_tell_its_items(text: str, chunk: int, limit: int | None) -> None:
    client = Client(TemplatedChat(Several([text], chunk)))
    body = {"input": "hi", "tools": RESPONSE_TOOLS, "max_output_tokens": limit}
    whole = client.ask("POST", "/v1/responses", json=body).json()
    answer = client.ask("POST", "/v1/responses", json={**body, "stream": True})
    events = [json.loads(data) for data in data_of(answer)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    final = last["response"]
    assert last["type"] == f"response.{final['status']}" == f"response.{whole['status']}"
    assert plain(final["output"]) == plain(whole["output"])
    assert (final["usage"], final["incomplete_details"]) == (
        whole["usage"],
        whole["incomplete_details"],
    )
    told: list[str] = []  # the joined pieces of each item
    ended: list[Any] = []
    for event in events[2:-1]:
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(told) == len(ended)
            assert event["item"]["status"] == "in_progress"
            told.append("")
        elif event["type"].endswith(".delta"):
            told[event["output_index"]] += event["delta"]
        elif event["type"] == "response.output_item.done":
            ended.append(event["item"])
    assert ended == final["output"]
    said = [
        item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"]
        for item in final["output"]
    ]
    assert told == said
    assert {item["status"] for item in final["output"][:-1]} <= {"completed"}
    if final["status"] == "completed":
        assert {item["status"] for item in final["output"]} <= {"completed"}


def test_what_was_cut_is_incomplete_in_its_event_and_in_the_response() -> None:
    """Words that were cut are; a call that came whole is whole, whatever was cut behind it."""
    call = '<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call>'
    for text, limit, wanted in (("a long reply", 6, "incomplete"), (call, len(call), "completed")):
        client = Client(TemplatedChat(Several([f"{text} and more"])))
        body = {"input": "hi", "tools": RESPONSE_TOOLS, "max_output_tokens": limit, "stream": True}
        *_, done, last = map(json.loads, data_of(client.ask("POST", "/v1/responses", json=body)))
        assert last["type"] == "response.incomplete"
        assert done["type"] == "response.output_item.done"
        assert done["item"] == last["response"]["output"][-1]
        assert done["item"]["status"] == wanted


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 12)),
    st.integers(1, 4),
)
def test_whoever_leaves_when_leaves_nothing_behind(
    count: int, running: int, leaves: int | None, chunk: int
) -> None:
    """After the last event or in the middle: no place is taken, no generation goes on."""
    texts = [f"reply {i}" for i in range(count)]
    engine = Several(texts, chunk)
    chat = TemplatedChat(engine)
    served = Served("m", chat, Limits(running, count), Metrics())
    ended: list[Message] = []

    async def use() -> None:
        streams = [
            chat.stream(ChatRequest((Message("user", "?"),), sampling=Sampling(seed=i)))
            for i in range(count)
        ]
        most = seen = 0
        async with aclosing(served.run(streams, lambda e: None)) as events:
            async for _, event in events:
                most = max(most, engine.open)
                seen += 1
                if isinstance(event, Finished):
                    ended.append(event.reply.message)
                if seen == leaves:
                    break
        assert most <= running

    asyncio.run(use())
    assert (served.queue.running, served.queue.waiting, engine.open) == (0, 0, 0)
    if leaves is None:
        assert sorted(message.content for message in ended) == texts


# -- small promises that nobody held to --------------------------------------------------------


def test_a_field_with_a_slip_of_the_pen_is_refused_with_the_right_one() -> None:
    """Other servers answer as if it had not been there."""
    client = Client(TemplatedChat(Several(["hi"])))
    for field, near in (("max_token", "max_tokens"), ("top-p", "top_p"), ("banana", None)):
        fields: dict[str, Any] = {field: 1}
        error = client.post(**fields).json()["error"]
        assert error["param"] == field
        wanted = f"unknown field; did you mean {near}?" if near else "unknown field"
        assert error["message"] == f"{field}: {wanted}"


def test_every_field_that_does_not_fit_is_named_at_once() -> None:
    error = Client(TemplatedChat(Several(["hi"]))).post(n=0, top_p=2, seed="x").json()["error"]
    assert [part.split(":")[0] for part in error["message"].split("; ")] == ["top_p", "n", "seed"]


class Uncounted(Several):
    """Counts the tokens of its first reply only."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        async for piece in super().generate(prompt, sampling):
            yield piece._replace(usage=None) if sampling.seed else piece

    async def tokenize(self, text: str) -> list[int]:
        raise EngineError("no tokenizer")


def test_usage_that_is_not_known_of_every_choice_is_not_given_at_all() -> None:
    """Half a sum looks like a sum."""
    client = Client(TemplatedChat(Uncounted(["one", "two"])))
    assert client.post(n=1, seed=0).json()["usage"]["completion_tokens"] == 3
    assert client.post(n=2, seed=0).json()["usage"] is None
    assert client.post(prompt="x", n=2, seed=0, path="/v1/completions").json()["usage"] is None
    *_, last, done = data_of(client.post(n=2, seed=0, stream=True, stream_options=WITH_USAGE))
    assert (json.loads(last)["usage"], done) == (None, "[DONE]")


def test_the_last_seed_has_followers_too() -> None:
    assert [seed_of(2**63 - 2, index) for index in range(3)] == [2**63 - 2, 2**63 - 1, -(2**63)]
    assert seed_of(None, 3) is None


def test_an_ipv6_address_stands_in_brackets_and_is_answered() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with serving({"m": TemplatedChat(Several(["hi"]))}, host="::1") as url:
        assert url.startswith("http://[::1]:")
        with httpx2.Client(trust_env=False) as http:
            assert http.get(f"{url}/models").status_code == 200
            assert http.get(f"{url}/models", headers={"host": "evil.example"}).status_code == 400
