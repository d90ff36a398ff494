"""What a chat request may say: honoured, or refused with the name of the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import ChatRequest, ModelInfo, Named
from formosa.errors import (
    BusyError,
    ContextError,
    EngineError,
    FormosaError,
    MessageError,
    ModelError,
    UnsupportedError,
)
from formosa.serve.chat import ChatBody
from formosa.serve.history import MALFORMED
from formosa.serve.protocol import RequestError, json_bytes, read_body, request_error

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}

SEARCH = {"type": "function", "function": {"name": "search", "strict": True}}
NAMED = {"type": "function", "function": {"name": "search"}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}
INFO = ModelInfo("m")

CUT_CALL = {
    "role": "assistant",
    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"x'}}],
}


def read(**fields: Any) -> ChatBody:
    return read_body(ChatBody, json.dumps({"messages": HELLO, **fields}).encode())


def ask(info: ModelInfo = INFO, **fields: Any) -> ChatRequest:
    (request,) = read(**fields).requests(info)
    return request


def test_sampling_is_taken_over_whole() -> None:
    request = ask(
        temperature=0, top_p=0.9, top_k=5, min_p=0.1, seed=-3, max_tokens=7, stop=["a", "b"],
        presence_penalty=1, frequency_penalty=-1.5,
    )  # fmt: skip
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0, 0.9, 5)
    assert (sampling.min_p, sampling.seed, sampling.max_tokens) == (0.1, -3, 7)
    assert sampling.stop == ("a", "b")
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1, -1.5)


def test_what_is_left_out_is_what_the_api_promises() -> None:
    sampling = ask().sampling
    assert sampling.temperature == 1
    assert sampling.max_tokens is None


def test_null_is_the_same_as_leaving_out() -> None:
    """The official client sends no nulls, but many others do."""
    names = set(ChatBody.model_fields) - {"messages"}
    nulls: dict[str, Any] = dict.fromkeys(names)
    assert ask(INFO, **nulls) == ask()


def test_one_stop_text_may_stand_alone() -> None:
    assert ask(stop="END").sampling.stop == ("END",)


def test_both_names_of_max_tokens_are_known() -> None:
    assert ask(max_completion_tokens=5).sampling.max_tokens == 5
    assert ask(max_completion_tokens=5, max_tokens=5).sampling.max_tokens == 5


def test_minus_one_turns_top_k_off() -> None:
    """What vLLM's clients send."""
    assert ask(top_k=-1).sampling.top_k is None


def test_tool_choice_none_hides_the_tools() -> None:
    assert ask(tools=[WEATHER], tool_choice="none").tools == ()
    assert len(ask(tools=[WEATHER], tool_choice="auto").tools) == 1


def test_an_empty_list_of_tools_is_no_tools() -> None:
    assert ask(tools=[]).tools == ()


def test_template_variables_reach_the_template() -> None:
    request = ask(chat_template_kwargs={"enable_thinking": False})
    assert request.template_variables == {"enable_thinking": False}


def test_fields_that_change_no_answer_are_accepted() -> None:
    read(user="u", metadata={"a": "b"}, store=True, service_tier="auto", prompt_cache_key="k")


def test_neutral_values_ask_for_nothing() -> None:
    neutral = ask(
        n=1, logprobs=False, top_logprobs=0, logit_bias={"5": 0}, response_format={"type": "text"},
        modalities=["text"], repetition_penalty=1.0, skip_special_tokens=False, functions=[],
    )  # fmt: skip
    assert neutral == ask()


def test_penalties_and_biases_reach_the_engine() -> None:
    sampling = ask(repetition_penalty=1.2, logit_bias={"7": -100, "8": 1.5}).sampling
    assert sampling.repetition_penalty == 1.2
    assert sampling.logit_bias == {7: -100, 8: 1.5}


def test_logprobs_are_those_of_the_choice_and_of_as_many_others_as_asked_for() -> None:
    assert ask().sampling.logprobs is None
    assert ask(logprobs=True).sampling.logprobs == 0
    assert ask(logprobs=True, top_logprobs=5).sampling.logprobs == 5


def test_several_choices_have_seeds_of_their_own() -> None:
    """One seed for all would write the same words again."""
    assert [r.sampling.seed for r in read(n=3, seed=7).requests(INFO)] == [7, 8, 9]
    assert [r.sampling.seed for r in read(n=2).requests(INFO)] == [None, None]


# -- tools -----------------------------------------------------------------------------------


def test_a_forced_choice_is_handed_on() -> None:
    tools = [WEATHER, SEARCH]
    assert ask(tools=tools).tool_choice == "auto"
    assert ask(tools=tools, tool_choice="required").tool_choice == "required"
    for named in (NAMED, {"type": "function", "name": "search"}):
        assert ask(tools=tools, tool_choice=named).tool_choice == Named("search")
    assert ask(tools=tools, parallel_tool_calls=False).parallel is False


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_allowed_tools_are_the_only_ones_that_are_shown(mode: str) -> None:
    allowed = {"mode": mode, "tools": [NAMED]}
    request = ask(
        tools=[WEATHER, SEARCH], tool_choice={"type": "allowed_tools", "allowed_tools": allowed}
    )
    assert request.tool_choice == mode
    assert [tool.name for tool in request.tools] == ["search"]


# -- shapes of the reply ---------------------------------------------------------------------


def test_json_of_any_shape_is_an_empty_schema() -> None:
    assert ask(response_format={"type": "json_object"}).json_schema == {}
    assert ask().json_schema is None


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_schema_is_kept_to_whether_it_is_strict_or_not(strict: bool | None) -> None:
    holder = {"name": "city", "schema": SCHEMA, "strict": strict}
    format = {"type": "json_schema", "json_schema": holder}
    assert ask(response_format=format).json_schema == SCHEMA


def test_structured_outputs_of_vllm_are_schemas_or_grammars() -> None:
    def shape(**outputs: Any) -> ChatRequest:
        return ask(structured_outputs=outputs)

    assert shape(json=SCHEMA).json_schema == shape(json=json.dumps(SCHEMA)).json_schema == SCHEMA
    assert shape(json_object=True).json_schema == {}
    assert shape(grammar='start: "a"').sampling.grammar == 'start: "a"'
    assert shape(choice=["好", 'a"\n']).sampling.grammar == 'start: "好" | "a\\"\\n"'
    assert shape(choice=["a", ""]).sampling.grammar == 'start: "a" | ""'
    assert shape(regex="a/b\\/c").sampling.grammar == "start: /a\\/b\\/c/"


# -- how much it thinks ----------------------------------------------------------------------


def knowing(variable: str) -> ModelInfo:
    template = ChatTemplate.from_source("{%- if " + variable + " %}x{% endif %}")
    return ModelInfo("m", template=template)


def test_effort_goes_to_the_variable_that_the_template_knows() -> None:
    request = ask(knowing("reasoning_effort"), reasoning_effort="low")
    assert request.template_variables == {"reasoning_effort": "low"}
    for effort, thinks in (("none", False), ("high", True)):
        request = ask(knowing("enable_thinking"), reasoning_effort=effort)
        assert request.template_variables == {"enable_thinking": thinks}


def test_effort_that_no_template_reads_is_refused() -> None:
    for info in (INFO, ModelInfo("m", template=ChatTemplate.from_source("{{ messages }}"))):
        with pytest.raises(UnsupportedError, match="no variable for it"):
            ask(info, reasoning_effort="high")


def test_a_variable_that_a_client_names_itself_wins() -> None:
    request = ask(
        knowing("enable_thinking"),
        reasoning_effort="high",
        chat_template_kwargs={"enable_thinking": False},
    )
    assert request.template_variables == {"enable_thinking": False}


# -- history ---------------------------------------------------------------------------------


def test_a_conversation_with_a_call_that_was_cut_goes_on() -> None:
    """llama.cpp's own server answers 500 to it for ever, though it wrote that call itself."""
    _, past = ask(messages=[*HELLO, CUT_CALL]).messages
    assert past.tool_calls[0].values() == {MALFORMED: '{"x'}


def test_the_developers_role_is_the_systems() -> None:
    (message,) = ask(messages=[{"role": "developer", "content": "Be brief."}]).messages
    assert message.role == "system"


def test_content_may_come_in_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert ask(messages=[{"role": "user", "content": parts}]).messages[0].content == "ab"


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": 3}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"one": 5}}, "logit_bias"),
        ({"logit_bias": {"1": 500}}, "logit_bias.1"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "x": 1}}},
            "response_format.json_schema.x",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strict": 1}}},  # noqa: E501
            "response_format.json_schema.strict",
        ),
        ({"structured_outputs": []}, "structured_outputs"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"json": {}, "choice": ["a"]}}, "structured_outputs"),
        ({"structured_outputs": {"json": "{"}}, "structured_outputs.json"),
        ({"structured_outputs": {"json": "[" * 5000}}, "structured_outputs.json"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"structured_outputs": {"choice": [1]}}, "structured_outputs.choice"),
        ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
        ({"structured_outputs": {"jsn": {}}}, "structured_outputs.jsn"),
        (
            {"structured_outputs": {"json": {}}, "response_format": {"type": "json_object"}},
            "structured_outputs",
        ),
        (
            {"tools": [SEARCH], "tool_choice": NAMED, "response_format": JSON_SCHEMA},
            "response_format",
        ),
        (
            {"tools": [SEARCH], "tool_choice": NAMED, "structured_outputs": {"choice": ["a"]}},
            "structured_outputs",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "any", "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": ["auto"]}, "tool_choice"),
        ({"tool_choice": NAMED, "tools": [WEATHER]}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [NAMED]}},
            "tool_choice.allowed_tools.tools",
        ),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"verbosity": "high"}, "verbosity"),
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
        ask(**fields)
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
        read_body(ChatBody, body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("error", "status", "param", "code"),
    [
        (ContextError(5000, 10, 4096), 400, "messages", "context_length_exceeded"),
        (MessageError("tools[0].name", "no"), 400, "tools[0].name", "invalid_value"),
        (UnsupportedError("seed", "no"), 400, "seed", "unsupported_parameter"),
        (ModelError("No."), 400, None, None),
        (BusyError("Full.", 7), 503, None, "busy"),
        (EngineError("It broke."), 500, None, None),
    ],
)
def test_our_errors_become_openai_error_objects(
    error: FormosaError, status: int, param: str | None, code: str | None
) -> None:
    """Clients retry 5xx, so what they did wrong themselves must be 4xx."""
    answer = request_error(error)
    assert answer.status == status
    kind = "server_error" if status >= 500 else "invalid_request_error"
    assert answer.body()["error"] == {
        "message": str(answer), "type": kind, "param": param, "code": code
    }  # fmt: skip
    assert str(answer).startswith(error.message)


def test_an_error_says_what_helps() -> None:
    context = str(request_error(ContextError(5000, 10, 4096)))
    assert "5000" in context
    assert "4096" in context
    assert "do this" in str(request_error(ModelError("No.", "do this")))
    assert request_error(BusyError("Full.", 7)).headers() == {"retry-after": "7"}
    assert request_error(EngineError("It broke.")).headers() == {}


def test_words_that_utf8_cannot_hold_are_sent_as_escapes() -> None:
    assert json.loads(json_bytes({"a": "台\ud800"})) == {"a": "台\ud800"}
    assert json_bytes({"a": "台"}) == '{"a": "台"}'.encode()
