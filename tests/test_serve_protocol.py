"""What a request may say: honoured, or refused with the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from formosa.errors import ContextError, EngineError, MessageError, ModelError
from formosa.serve.protocol import CompletionRequest, RequestError, read_request, request_error

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}

CUT_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x'}}],
}


def read(**fields: Any) -> CompletionRequest:
    return read_request(json.dumps({"messages": HELLO, **fields}).encode())


def test_sampling_is_taken_over_whole() -> None:
    request = read(
        temperature=0, top_p=0.9, top_k=5, min_p=0.1, seed=-3, max_tokens=7, stop=["a", "b"],
        presence_penalty=1, frequency_penalty=-1.5,
    ).chat_request()  # fmt: skip
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0, 0.9, 5)
    assert (sampling.min_p, sampling.seed, sampling.max_tokens) == (0.1, -3, 7)
    assert sampling.stop == ("a", "b")
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1, -1.5)


def test_what_is_left_out_is_what_the_api_promises() -> None:
    sampling = read().chat_request().sampling
    assert sampling.temperature == 1
    assert sampling.max_tokens is None


def test_null_is_the_same_as_leaving_out() -> None:
    """The official client sends no nulls, but many others do."""
    names = set(CompletionRequest.model_fields) - {"messages"}
    assert read(**dict.fromkeys(names)).chat_request() == read().chat_request()


def test_one_stop_text_may_stand_alone() -> None:
    assert read(stop="END").chat_request().sampling.stop == ("END",)


def test_both_names_of_max_tokens_are_known() -> None:
    assert read(max_completion_tokens=5).chat_request().sampling.max_tokens == 5
    assert read(max_completion_tokens=5, max_tokens=5).chat_request().sampling.max_tokens == 5


def test_minus_one_turns_top_k_off() -> None:
    """What vLLM's clients send."""
    assert read(top_k=-1).chat_request().sampling.top_k is None


def test_tool_choice_none_hides_the_tools() -> None:
    assert read(tools=[WEATHER], tool_choice="none").chat_request().tools == ()
    assert len(read(tools=[WEATHER], tool_choice="auto").chat_request().tools) == 1


def test_an_empty_list_of_tools_is_no_tools() -> None:
    assert read(tools=[]).chat_request().tools == ()


def test_template_variables_reach_the_template() -> None:
    request = read(chat_template_kwargs={"enable_thinking": False}).chat_request()
    assert request.template_variables == {"enable_thinking": False}


def test_fields_that_change_no_answer_are_accepted() -> None:
    read(user="u", metadata={"a": "b"}, store=True, service_tier="auto", prompt_cache_key="k")


def test_neutral_values_of_what_is_not_supported_are_accepted() -> None:
    read(
        n=1, logprobs=False, top_logprobs=0, logit_bias={}, response_format={"type": "text"},
        modalities=["text"], repetition_penalty=1.0, skip_special_tokens=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required", "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"skip_special_tokens": True}, "skip_special_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "4"}, "max_tokens"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": 3}, "stop"),
        ({"seed": 2**64}, "seed"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "judge", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [*HELLO, CUT_CALL]}, "messages[1].tool_calls[0].arguments"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].function.name"),
        ({"tools": [{"type": "web_search", "function": {}}]}, "tools[0].type"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
        ({"model": 7}, "model"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_with_its_path(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises((RequestError, MessageError)) as caught:
        read(**fields).chat_request()
    error = caught.value
    if isinstance(error, MessageError):
        error = request_error(error)
    assert isinstance(error, RequestError)
    assert error.status == 400
    assert error.param == param
    assert param.split("[")[0].split(".")[0] in str(error)


def test_a_mistyped_field_names_the_nearest_one() -> None:
    with pytest.raises(RequestError, match="max_token: unknown field; did you mean max_tokens"):
        read(max_token=5)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 10_000, b'{"messages": NaN}',
     b'{"messages": [{"role": "user", "content": "\\ud800"}]}'],
)  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    """A lone surrogate could never be written as UTF-8: it would fail later, inside an engine."""
    with pytest.raises(RequestError) as caught:
        read_request(body)
    assert caught.value.status == 400


def test_our_errors_become_openai_error_objects() -> None:
    """Clients retry 5xx, so what they did wrong themselves must be 4xx."""
    context = request_error(ContextError(5000, 10, 4096))
    assert context.status == 400
    assert context.body()["error"]["code"] == "context_length_exceeded"
    assert "5000" in context.body()["error"]["message"]
    assert request_error(ModelError("No.", "do this")).status == 400
    assert "do this" in str(request_error(ModelError("No.", "do this")))
    engine = request_error(EngineError("It broke."))
    assert engine.status == 500
    assert engine.body()["error"] == {
        "message": "It broke.", "type": "server_error", "param": None, "code": None
    }  # fmt: skip
