"""Whatever a client sends: an answer in the API's shape, never a server error, nothing left behind.

Ten thousand bodies, most of them nearly right, since those get furthest. The app runs in this
process: a real socket is asked in `test_serve_connection.py`.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import random
import sys
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.app import create_app

REPLY = (
    "<think>\n兩件事\n</think>\n\n我來查。\n"
    '<tool_call>\n{"name": "search", "arguments": {"q": "關稅"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get", "arguments": {'
)
REQUESTS = 10_000
WARM_UP = 2_000  # caches of pydantic, regular expressions and Jinja fill

USER: Any = {"role": "user", "content": "你好"}
SCHEMA: Any = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
TOOLS: Any = [
    {"type": "function", "function": {"name": "search", "description": "d", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "get", "strict": True}},
]
CALLS: Any = [
    {"id": "a", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}},
    {"id": "b", "type": "function", "function": {"name": "get", "arguments": "{"}},
]
HISTORY: Any = [
    {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
    USER,
    {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "b", "content": "2"},
    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
]
CHAT: list[dict[str, Any]] = [
    {"messages": [USER]},
    {"messages": HISTORY, "tools": TOOLS, "model": "m", "parallel_tool_calls": False},
    {"messages": HISTORY, "tools": TOOLS, "stream": True, "n": 2, "seed": 3,
     "stream_options": {"include_usage": True}},
    {"messages": [USER], "tools": TOOLS, "tool_choice": "required", "max_tokens": 9},
    {"messages": [USER], "tools": TOOLS, "logprobs": True, "top_logprobs": 2, "stream": True,
     "tool_choice": {"type": "function", "function": {"name": "get"}}},
    {"messages": [USER], "tools": TOOLS, "tool_choice": {"type": "allowed_tools",
     "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "name": "get"}]}}},
    {"messages": [USER], "response_format": {"type": "json_schema",
     "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
    {"messages": [USER], "response_format": {"type": "json_object"}, "stop": ["a", "b"]},
    {"messages": [USER], "structured_outputs": {"choice": ["a", "b"]}, "temperature": 0.5},
    {"messages": [USER], "top_p": 0.9, "top_k": 5, "min_p": 0.1, "presence_penalty": 1,
     "frequency_penalty": -1, "repetition_penalty": 1.1, "chat_template_kwargs": {"a": 1}},
    {"messages": [USER], "logit_bias": {"5": 1}, "user": "u", "reasoning_effort": "low"},
]  # fmt: skip
TEXT: list[dict[str, Any]] = [
    {"prompt": "a", "max_tokens": 5},
    {"prompt": ["a", "b"], "n": 2, "logprobs": 1, "stream": True, "stop": "x"},
    {"prompt": "a", "structured_outputs": {"json": SCHEMA}, "echo": False},
]
ITEMS: Any = [
    {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
    {"type": "function_call", "call_id": "a", "name": "search", "arguments": '{"q": "x"}'},
    {"type": "function_call", "call_id": "b", "name": "get", "arguments": "{"},
    {"type": "function_call_output", "call_id": "b", "output": "2"},
    {"type": "function_call_output", "call_id": "a", "output": [{"type": "text", "text": "1"}]},
]
FUNCTIONS: Any = [{"type": "function", "name": "search", "parameters": SCHEMA, "strict": True}]
RESPONSES: list[dict[str, Any]] = [
    {"input": "x", "instructions": "y", "max_output_tokens": 9, "stream": True},
    {"input": ITEMS, "tools": FUNCTIONS, "tool_choice": "auto", "temperature": 0.5},
    {"input": ITEMS, "tools": FUNCTIONS, "stream": True, "reasoning": {"effort": None}},
    {"input": "x", "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
     "metadata": {"a": "b"}, "store": False, "parallel_tool_calls": False},
]  # fmt: skip
BODIES = {"chat/completions": CHAT, "completions": TEXT, "responses": RESPONSES}
NAMES = sorted(
    {key for bodies in BODIES.values() for body in bodies for key in body}
    | {"functions", "maxTokens", ""}
)
HARMLESS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**64, -(10**40), 10**400, 0.5, -0.0,
    1e308, "", "a", "台北", "\x00", "\ud800", "<|im_end|>", "x" * 3000, [], {}, [None],
    [[]], {"": None}, {"a": {"b": []}}, "auto", "text", "user", "tool",
)  # fmt: skip


def junk(chance: random.Random) -> Any:
    value = chance.choice(HARMLESS)
    for _ in range(chance.choice((0,) * 15 + (1, 1, 2, 300))):
        value = [value] if chance.random() < 0.5 else {"type": value}
    return value


def mutated(chance: random.Random, value: Any) -> Any:
    """The same, with one thing put in another's place, left out, added or said twice."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return junk(chance)
    value = copy.copy(value)
    key: Any = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    deed = chance.random()
    if deed < 0.15:
        del value[key]
    elif deed < 0.3 and isinstance(value, dict):
        value[chance.choice(NAMES)] = junk(chance)
    elif deed < 0.4 and isinstance(value, list):
        value.append(chance.choice([*value, junk(chance)]))
    else:
        value[key] = mutated(chance, value[key])
    return value


def bodies(seed: int) -> list[tuple[str, bytes]]:
    chance = random.Random(seed)
    found = []
    for _ in range(REQUESTS):
        kind, examples = chance.choice(list(BODIES.items()))
        body: Any = chance.choice(examples)
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            body = mutated(chance, body)
        data = json.dumps(body).encode()
        if chance.random() < 0.02:  # cut anywhere
            data = data[: chance.randrange(len(data) + 1)]
        found.append((kind, data))
    return found


def app() -> Any:
    engine = ScriptedEngine(lambda _: REPLY, under=lambda _: REPLY)
    return create_app({"m": TemplatedChat(engine)})


def check(answer: httpx2.Response) -> None:
    """It is what the API promises: an object, events, or an error object that says why not."""
    if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
        assert answer.json().keys() & {"choices", "output"}
        return
    if answer.status_code == 200:
        *events, last = [part.split("data: ", 1)[1] for part in answer.text.split("\n\n") if part]
        if last == "[DONE]":
            assert all("choices" in json.loads(event) for event in events)
        else:
            assert json.loads(last)["type"] in ("response.completed", "response.incomplete")
        return
    assert 400 <= answer.status_code < 500
    error = answer.json()["error"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("seed", [1])
def test_ten_thousand_bad_requests_leave_nothing_behind(seed: int) -> None:
    engine = ScriptedEngine(lambda _: REPLY, under=lambda _: REPLY)
    served = create_app({"m": TemplatedChat(engine)})
    statuses: dict[int, int] = {}
    blocks = tasks = 0

    async def run() -> None:
        nonlocal blocks, tasks
        transport = httpx2.ASGITransport(served)
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            kind = {"content-type": "application/json"}
            for number, (path, body) in enumerate(bodies(seed)):
                answer = await http.post(f"/v1/{path}", content=body, headers=kind)
                try:
                    check(answer)
                except Exception as error:
                    raise AssertionError(f"{body[:2000]!r} → {answer.text[:2000]}") from error
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                engine.prompts.clear()
                engine.requests.clear()
                if number == WARM_UP:
                    await asyncio.sleep(0)
                    gc.collect()
                    blocks, tasks = sys.getallocatedblocks(), len(asyncio.all_tasks())
            await asyncio.sleep(0)
            gc.collect()
            blocks = sys.getallocatedblocks() - blocks
            tasks = len(asyncio.all_tasks()) - tasks

    asyncio.run(run())
    assert statuses[200] > REQUESTS / 10, "the bodies must not all fail at the first field"
    assert statuses[400] > REQUESTS / 2
    assert tasks == 0
    # A few hundred come and go with caches; one lost object a request would be thousands.
    assert blocks < (REQUESTS - WARM_UP) / 4


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def ask(path: str, body: bytes) -> httpx2.Response:
    async def post() -> httpx2.Response:
        transport = httpx2.ASGITransport(app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://t") as http:
            kind = {"content-type": "application/json"}
            return await http.post(f"/v1/{path}", content=body, headers=kind)

    return asyncio.run(post())


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(path, body) for path, bodies in BODIES.items() for body in bodies]),
    st.sampled_from(NAMES),
    JUNK,
)  # fmt: skip
def test_any_value_of_any_field_is_honoured_or_refused(
    example: tuple[str, dict[str, Any]], field: str, value: Any
) -> None:
    path, body = example
    check(ask(path, json.dumps({**body, field: value}).encode()))


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_no_bytes_are_ever_a_server_error(data: bytes) -> None:
    answer = ask("chat/completions", data)
    check(answer)
    assert answer.status_code >= 400
