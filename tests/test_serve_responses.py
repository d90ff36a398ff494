"""The Responses API, judged by the official client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pydantic
import pytest

from formosa.engines.protocol import ModelInfo, Named
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import FormosaError
from formosa.serve.protocol import RequestError, read_body
from formosa.serve.responses import ResponseBody
from formosa.serve.run import serving
from test_serve_replies import Bare, Client

PATH = "/v1/responses"
CALL = '<tool_call>\n{"name": "search", "arguments": {"q": "台"}}\n</tool_call>'
ALL = f"<think>\n想一想\n</think>\n\n我來查。\n{CALL}\n再查。\n{CALL}"
TOOLS: list[Any] = [{"type": "function", "name": "search", "parameters": {}, "strict": False}]


@contextmanager
def client_of(text: str, **options: Any) -> Iterator[openai.OpenAI]:
    chat = TemplatedChat(ScriptedEngine(lambda _: text, **options))
    with (
        serving({"m": chat}) as url,
        openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client,
    ):
        yield client


def read(**fields: Any) -> Any:
    body = read_body(ResponseBody, json.dumps({"input": "hi", **fields}).encode())
    return body.request(ModelInfo("m"))


def test_a_response_holds_reasoning_words_and_calls_in_their_order() -> None:
    with client_of(ALL) as client:
        response = client.responses.create(model="m", input="查關稅", tools=TOOLS)
    assert [item.type for item in response.output] == [
        "reasoning", "message", "function_call", "message", "function_call",
    ]  # fmt: skip
    thought, words, call = response.output[:3]
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == "想一想"
    assert words.type == "message"
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("search", {"q": "台"})
    assert call.call_id.startswith("call_")
    assert response.status == "completed"
    assert response.output_text.replace("\n", "") == "我來查。再查。"
    assert response.usage is not None
    assert response.usage.output_tokens == len(ALL)
    assert response.usage.output_tokens_details.reasoning_tokens == 3


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_a_stream_adds_up_to_the_whole_for_the_official_client(chunk: int) -> None:
    with client_of(ALL, chunk=chunk) as client:
        whole = client.responses.create(model="m", input="查", tools=TOOLS)
        with client.responses.stream(model="m", input="查", tools=TOOLS) as stream:
            events = list(stream)
            final = stream.get_final_response()

    def plain(response: Any) -> list[Any]:
        return [
            (item.type, getattr(item, "arguments", None),
             [part.text for part in getattr(item, "content", None) or ()])
            for item in response.output
        ]  # fmt: skip

    assert plain(final) == plain(whole)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.output_item.added") == kinds.count("response.output_item.done")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == final.output_text


def test_a_reply_that_was_cut_is_incomplete() -> None:
    with client_of("a long reply") as client:
        response = client.responses.create(model="m", input="hi", max_output_tokens=6)
        last = list(
            client.responses.create(model="m", input="hi", max_output_tokens=6, stream=True)
        )[-1]
    assert (response.status, response.output_text) == ("incomplete", "a long")
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"


def test_what_was_answered_can_be_sent_back() -> None:
    engine = ScriptedEngine([ALL, "26 度。"])
    with (
        serving({"m": TemplatedChat(engine)}) as url,
        openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client,
    ):
        first = client.responses.create(model="m", input="查", tools=TOOLS)
        results = [
            {"type": "function_call_output", "call_id": item.call_id, "output": f"<{item.id}>"}
            for item in first.output
            if item.type == "function_call"
        ]
        history: Any = [
            {"role": "user", "content": "查"},
            *(item.to_dict() for item in first.output),
            *reversed(results),
        ]
        last = client.responses.create(model="m", input=history, tools=TOOLS, instructions="短")
    assert last.output_text == "26 度。"
    prompt = engine.prompts[-1]
    assert prompt.index(results[0]["output"]) < prompt.index(results[1]["output"])
    assert "想一想" in prompt
    assert "短" in prompt.split("<|im_end|>")[0]


def test_a_parsed_shape_comes_back_as_an_object() -> None:
    class City(pydantic.BaseModel):
        name: str

    with client_of("", under=lambda _: '{"name": "台北"}') as client:
        response = client.responses.parse(model="m", input="?", text_format=City)
    assert response.output_parsed == City(name="台北")


def test_an_engine_that_is_elsewhere_answers_too() -> None:
    answer = Client(Bare()).ask("POST", PATH, json={"input": "hi"}).json()
    assert "output_tokens_details" not in answer["usage"], "nobody counted"


def test_choices_and_shapes_are_those_of_chat_completions() -> None:
    named = {"type": "function", "name": "search"}
    assert read(tools=TOOLS, tool_choice=named).tool_choice == Named("search")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    assert read(tools=TOOLS, tool_choice=allowed).tool_choice == "required"
    format = {"type": "json_schema", "name": "x", "schema": {"type": "object"}, "strict": True}
    assert read(text={"format": format}).json_schema == {"type": "object"}
    assert read(text={"format": {"type": "json_object"}}).json_schema == {}
    sampling = read(temperature=0.5, top_p=0.9, max_output_tokens=7).sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.5, 0.9, 7)
    assert read(parallel_tool_calls=False).parallel is False
    neutral = read(store=True, truncation="disabled", include=[], background=False)
    assert neutral == read()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input[0].type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "judge", "content": "x"}]}, "input"),
        ({"input": [{"role": "assistant", "content": 3}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "1"}]}, "input"),
        ({"input": [{"type": "reasoning", "summary": 3}]}, "input[0]"),
        ({"input": [{"type": "reasoning", "content": [{"text": 3}]}]}, "input[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"max_tokens": 3}, "max_tokens"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_path(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises((RequestError, FormosaError)) as caught:
        read(**fields)
    error = caught.value
    assert isinstance(error, RequestError)
    assert (error.status, error.param) == (400, param)


def test_a_refusal_of_the_engine_names_the_clients_field() -> None:
    client = Client(TemplatedChat(ScriptedEngine(["hi"])))
    format = {"type": "json_schema", "name": "x", "schema": {"type": "banana"}}
    answer = client.ask("POST", PATH, json={"input": "hi", "text": {"format": format}})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == "text.format.schema.type"
    assert error["message"].startswith("text.format.schema.type: ")
