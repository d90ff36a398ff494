"""Clients that people use, against the real server: the openai SDK, LangChain and LiteLLM.

One model says what a script tells it, so that the words are known; the other is the embedded one,
so that an engine really generates, is forced, and is stopped.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2
import openai
import pydantic
import pytest

from formosa.engines.open import open_chat
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.run import serving

LITELLM = os.environ.get("FORMOSA_LITELLM_PYTHON", "")  # of an environment that has it

QUESTION = "台北氣溫如何？另外，告訴我最新的關稅政策"
CALLS = (
    "<think>\n要查兩件事\n</think>\n\n我來查。\n"
    '<tool_call>\n{"name": "get_weather", "arguments": {"location": "台北"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "search", "arguments": {"query": "關稅 政策"}}\n</tool_call>'
)
ANSWER = "台北現在 26 度；關稅為 32%。"
RESULTS = {"get_weather": "26 度", "search": "對等關稅 32%"}


def function(name: str, argument: str) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": name,
            "parameters": {
                "type": "object",
                # Bounded: the embedded model would repeat itself for ever inside the string.
                "properties": {argument: {"type": "string", "maxLength": 24}},
                "required": [argument],
            },
        },
    }


TOOLS: list[Any] = [function("get_weather", "location"), function("search", "query")]


class City(pydantic.BaseModel):
    """What the model must write in the tests of structured output."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    size: Literal["small", "large"]


class Served(NamedTuple):
    url: str
    engine: ScriptedEngine


def say(prompt: str) -> str:
    """Two calls for a question, an answer for their results."""
    return ANSWER if "<tool_response>" in prompt else CALLS


@pytest.fixture
def served() -> Iterator[Served]:
    engine = ScriptedEngine(say)
    with serving({"scripted": TemplatedChat(engine)}) as url:
        yield Served(url, engine)


@pytest.fixture(scope="module")
def real() -> Iterator[str]:
    chat = open_chat("smollm2-135m", context=600, slots=2, template="chatml")
    with serving({"smollm2": chat}) as url:
        yield url
    asyncio.run(chat.aclose())


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served.url, api_key="-", max_retries=0) as made:
        yield made


@pytest.fixture
def real_client(real: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=real, api_key="-", max_retries=0) as made:
        yield made


# -- openai ------------------------------------------------------------------------------------


def asked(**more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": "scripted", "messages": messages, "tools": TOOLS, **more}


def test_openai_reads_parallel_calls(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(**asked()).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "我來查。"
    calls: Any = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "search"]
    assert [json.loads(call.function.arguments) for call in calls] == [
        {"location": "台北"},
        {"query": "關稅 政策"},
    ]
    assert len({call.id for call in calls}) == 2


def test_openai_s_stream_helper_puts_the_same_message_together(client: openai.OpenAI) -> None:
    """The helper checks indices, ids and names of every delta itself."""
    with client.chat.completions.stream(**asked()) as stream:
        for _ in stream:
            pass
        message: Any = stream.get_final_completion().choices[0].message
    assert message.content == "我來查。"
    assert message.reasoning_content == message.reasoning == "要查兩件事"
    assert [call.function.arguments for call in message.tool_calls] == [
        '{"location": "台北"}',
        '{"query": "關稅 政策"}',
    ]


def test_openai_async_goes_round_the_whole_loop(served: Served) -> None:
    async def loop() -> str | None:
        async with openai.AsyncOpenAI(base_url=served.url, api_key="-", max_retries=0) as made:
            request = asked()
            first: Any = (await made.chat.completions.create(**request)).choices[0].message
            request["messages"].append(first.model_dump(exclude_none=True))
            for call in reversed(first.tool_calls or []):  # tools finish in any order
                name: str = call.function.name
                request["messages"].append(
                    {"role": "tool", "tool_call_id": call.id, "content": RESULTS[name]}
                )
            second = await made.chat.completions.create(**request)
            answer: str | None = second.choices[0].message.content
            return answer

    assert asyncio.run(loop()) == ANSWER
    told = served.engine.prompts[-1]
    assert told.index("26 度") < told.index("對等關稅 32%"), "results stand in the calls' order"


def test_openai_gets_its_own_error_classes(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="scripted"):
        client.chat.completions.create(**{**asked(), "model": "gpt-9"})
    with pytest.raises(openai.BadRequestError, match="temperature") as caught:
        client.chat.completions.create(**asked(temperature=9))
    assert caught.value.param == "temperature"


@pytest.mark.model
def test_openai_parses_structured_output(real_client: openai.OpenAI) -> None:
    parsed = real_client.chat.completions.parse(
        model="smollm2",
        messages=[{"role": "user", "content": "Describe the city of Taipei."}],
        response_format=City,
        temperature=0,
        max_tokens=200,
    )
    city = parsed.choices[0].message.parsed
    assert isinstance(city, City)


@pytest.mark.model
@pytest.mark.parametrize("choice", ["required", "search"])
def test_openai_gets_the_forced_call_from_a_model_that_knows_no_tools(
    real_client: openai.OpenAI, choice: str
) -> None:
    forced: Any = (
        choice if choice == "required" else {"type": "function", "function": {"name": choice}}
    )
    reply = real_client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Hello"}],
        tools=TOOLS,
        tool_choice=forced,
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=100,
    ).choices[0]
    calls: Any = reply.message.tool_calls
    (call,) = calls
    assert reply.finish_reason == "tool_calls"
    name, arguments = call.function.name, json.loads(call.function.arguments)
    assert list(arguments) == (["location"] if name == "get_weather" else ["query"])
    assert choice in ("required", name)


@pytest.mark.model
def test_openai_gets_choices_and_log_probabilities(real_client: openai.OpenAI) -> None:
    reply = real_client.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": "Say hello"}],
        n=2,
        seed=7,
        temperature=1.0,
        logprobs=True,
        top_logprobs=2,
        max_tokens=5,
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    for choice in reply.choices:
        tokens = choice.logprobs.content if choice.logprobs else None
        assert tokens
        assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
        text = b"".join(bytes(token.bytes or []) for token in tokens).decode(errors="replace")
        assert text.startswith(choice.message.content or "")


@pytest.mark.model
def test_openai_completes_plain_text(real_client: openai.OpenAI) -> None:
    whole = real_client.completions.create(
        model="smollm2", prompt="One, two, three,", max_tokens=4, temperature=0
    )
    pieces = real_client.completions.create(
        model="smollm2", prompt="One, two, three,", max_tokens=4, temperature=0, stream=True
    )
    assert whole.choices[0].text
    assert "".join(p.choices[0].text for p in pieces if p.choices) == whole.choices[0].text
    assert whole.usage is not None and whole.usage.completion_tokens == 4


# -- LangChain ---------------------------------------------------------------------------------


def langchain(url: str, model: str, **more: Any) -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(
        stream_usage=True,
        base_url=url,
        api_key=pydantic.SecretStr("-"),
        model=model,
        max_retries=0,
        **more,
    )


def test_langchain_calls_tools_and_answers(served: Served) -> None:
    from langchain_core.messages import HumanMessage, ToolMessage

    model = langchain(served.url, "scripted").bind_tools(TOOLS)
    history: list[Any] = [HumanMessage(QUESTION)]
    reply = model.invoke(history)
    assert [(call["name"], call["args"]) for call in reply.tool_calls] == [
        ("get_weather", {"location": "台北"}),
        ("search", {"query": "關稅 政策"}),
    ]
    assert reply.invalid_tool_calls == []
    history.append(reply)
    history += [
        ToolMessage(RESULTS[call["name"]], tool_call_id=call["id"]) for call in reply.tool_calls
    ]
    assert model.invoke(history).content == ANSWER


def test_langchain_merges_streamed_parallel_calls(served: Served) -> None:
    """It merges by index: two calls under one index would become one broken call."""
    whole: Any = None
    for chunk in langchain(served.url, "scripted").bind_tools(TOOLS).stream(QUESTION):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == "我來查。"
    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "search"]
    assert whole.tool_calls[1]["args"] == {"query": "關稅 政策"}
    assert whole.usage_metadata["output_tokens"] == len(CALLS)


@pytest.mark.model
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_langchain_gets_structured_output(real: str, method: str) -> None:
    model = langchain(real, "smollm2", temperature=0, max_completion_tokens=200)
    city = model.with_structured_output(City, method=method).invoke("Describe Taipei.")
    assert isinstance(city, City)


# -- LiteLLM ---------------------------------------------------------------------------------


@pytest.mark.skipif(not LITELLM, reason="make test gives LiteLLM its own environment")
def test_litellm_calls_tools_streams_the_same_and_does_not_retry_what_is_wrong(
    served: Served,
) -> None:
    """It retries 5xx, so what the client did wrong must come as its own error."""
    done = subprocess.run(
        [LITELLM, str(Path(__file__).with_name("litellm_client.py")), served.url],
        input=json.dumps({**asked(), "model": "openai/scripted"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for message in (found["whole"], found["streamed"]):
        assert message["content"] == "我來查。"
        assert message["reasoning"] == "要查兩件事"
        assert [name for name, _ in message["calls"]] == ["get_weather", "search"]
        assert json.loads(message["calls"][1][1]) == {"query": "關稅 政策"}
    assert found["refusal"] == "BadRequestError"


# -- the bytes themselves ----------------------------------------------------------------------


def test_a_stream_says_role_first_usage_last_and_done(served: Served) -> None:
    body = asked(stream=True, stream_options={"include_usage": True})
    text = httpx2.post(f"{served.url}/chat/completions", json=body, trust_env=False).text
    *events, done = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    values = [json.loads(event) for event in events]
    assert done == "[DONE]"
    assert values[0]["choices"][0]["delta"]["role"] == "assistant"
    assert values[-1]["choices"] == [] and values[-1]["usage"]["completion_tokens"] == len(CALLS)
    assert values[-2]["choices"][0]["finish_reason"] == "tool_calls"
