"""Real weights behind the gateway."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

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


def test_the_command_serves_until_ctrl_c() -> None:
    command = [sys.executable, "-m", "formosa.cli.main", "serve", "smollm2-135m"]
    options = ["--template", "chatml", "--port", "0", "--context", "128", "--name", "tiny"]
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first, _, curl = (process.stdout.readline() for _ in range(3))
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
    assert curl.startswith("curl http://127.0.0.1:")
    assert process.returncode == 0
    assert err == "Ctrl-C ends it.\n"
