"""Real weights behind the gateway."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest

from formosa.engines.open import open_chat
from formosa.serve.run import serving

pytestmark = pytest.mark.model

ASKED: list[Any] = [{"role": "user", "content": "Name three colours."}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    chat = open_chat("smollm2-135m", context=400, template="chatml")
    with (
        serving({"smollm2": chat}) as url,
        openai.OpenAI(base_url=url, api_key="-", max_retries=0) as made,
    ):
        yield made
    asyncio.run(chat.aclose())


def test_greedy_text_is_the_same_each_time_streamed_or_not(client: openai.OpenAI) -> None:
    wholes = [
        client.chat.completions.create(
            model="smollm2", messages=ASKED, temperature=0, max_tokens=24
        )
        for _ in range(2)
    ]
    texts = {whole.choices[0].message.content for whole in wholes}
    chunks = list(
        client.chat.completions.create(
            model="smollm2",
            messages=ASKED,
            temperature=0,
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    texts.add("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))
    assert len(texts) == 1
    assert texts != {""}
    finishes = {c.choices[0].finish_reason for c in chunks if c.choices} - {None}
    assert finishes == {wholes[0].choices[0].finish_reason}
    usage, whole_usage = chunks[-1].usage, wholes[1].usage
    assert usage is not None
    assert whole_usage is not None
    assert usage.completion_tokens == whole_usage.completion_tokens
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens


def test_tools_reach_the_model(client: openai.OpenAI) -> None:
    lengths = []
    for tools in ([], WEATHER):
        answer = client.chat.completions.create(
            model="smollm2", messages=ASKED, tools=tools, temperature=0, max_tokens=1
        )
        assert answer.usage is not None
        lengths.append(answer.usage.prompt_tokens)
    assert lengths[1] > lengths[0] + 50


def test_a_prompt_that_does_not_fit_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="smollm2", messages=[{"role": "user", "content": "word " * 500}]
        )
    assert caught.value.code == "context_length_exceeded"
    assert "400" in str(caught.value)


def test_a_forced_call_fits_its_schema_and_nothing_else_comes(client: openai.OpenAI) -> None:
    """The model is far too small to call a tool by itself."""
    choices: list[Any] = ["required", {"type": "function", "function": {"name": "get_weather"}}]
    for choice in choices:
        answer = client.chat.completions.create(
            model="smollm2",
            messages=ASKED,
            tools=WEATHER,
            tool_choice=choice,
            parallel_tool_calls=False,
            temperature=0,
            max_tokens=60,
        )
        (choice_given,) = answer.choices
        assert choice_given.message.tool_calls is not None
        (call,) = choice_given.message.tool_calls
        assert choice_given.finish_reason == "tool_calls"
        assert call.type == "function"
        assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_a_schema_is_kept_to(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    answer = client.chat.completions.create(
        model="smollm2",
        messages=ASKED,
        temperature=0,
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["n"], int)


TOLD = '<think>\n"想"\\ /\n</think>\n\n好。\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "台北"}}\n</tool_call>'  # noqa: E501


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_can_be_told_to_the_letter(client: openai.OpenAI, stream: bool) -> None:
    """How the conformance suite asks a server with real weights for a known reply."""
    body = {
        "messages": ASKED,
        "tools": WEATHER,
        "stream": stream,
        "structured_outputs": {"choice": [TOLD]},
    }
    answer = httpx2.post(f"{client.base_url}chat/completions", json=body, timeout=60)
    assert r"{\"city\": \"台北\"}" in answer.text
    assert '"finish_reason": "tool_calls"' in answer.text
    assert "好" in answer.text
    assert "<tool_call>" not in answer.text


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"structured_outputs": {"regex": "a(("}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "start: nowhere"}}, "structured_outputs"),
        ({"structured_outputs": {"json": {"type": "banana"}}}, "structured_outputs.json.type"),
    ],
)
def test_a_shape_that_says_nothing_is_a_bad_request(
    client: openai.OpenAI, extra: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2", messages=ASKED, extra_body=extra)
    assert caught.value.param == param


def test_logprobs_are_of_the_tokens_that_came(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2", messages=ASKED, temperature=0, max_tokens=5, logprobs=True, top_logprobs=3
    )
    (choice,) = answer.choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert len(tokens) == 5
    assert "".join(token.token for token in tokens) == choice.message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(other.logprob for other in token.top_logprobs) <= 0


def test_several_choices_differ_and_come_again_with_their_seed(client: openai.OpenAI) -> None:
    first, second = (
        client.chat.completions.create(
            model="smollm2", messages=ASKED, n=3, seed=7, max_tokens=8, temperature=1.5
        )
        for _ in range(2)
    )
    texts = [choice.message.content for choice in first.choices]
    assert len(set(texts)) == 3
    assert texts[0] == second.choices[0].message.content
    assert first.usage is not None
    assert first.usage.completion_tokens > 8


def test_raw_text_is_continued(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="smollm2", prompt="1, 2, 3, 4,", temperature=0, max_tokens=3
    )
    assert "5" in answer.choices[0].text


def test_the_responses_api_answers(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="smollm2", input="Name three colours.", temperature=0, max_output_tokens=24
    )
    whole = client.chat.completions.create(
        model="smollm2", messages=ASKED, temperature=0, max_tokens=24
    )
    assert answer.output_text == whole.choices[0].message.content


def test_the_command_serves_until_ctrl_c() -> None:
    command = [sys.executable, "-m", "formosa.cli.main", "serve", "smollm2-135m"]
    options = ["--template", "chatml", "--port", "0", "--context", "128", "--name", "tiny"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first, chat, _, curl = (process.stdout.readline() for _ in range(4))
        try:
            url = first.split()[-1]
            with openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client:
                answer = client.chat.completions.create(
                    model="tiny", messages=ASKED, temperature=0, max_tokens=3
                )
            assert answer.choices[0].message.content
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert first.startswith("tiny is served at http://127.0.0.1:")
    assert chat == f"Chat at {url.removesuffix('/v1')}/chat\n"
    assert curl.startswith("curl http://127.0.0.1:")
    assert process.returncode == 0
    assert err == "Ctrl-C ends it.\n"
