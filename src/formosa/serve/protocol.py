"""OpenAI's request and error shapes for chat completions.

A field is honoured, or refused with its name: nothing that a client asks for is dropped in
silence. Fields that change no answer (`user`, `metadata`, `store` …) are accepted.

Reference: https://platform.openai.com/docs/api-reference/chat/create. Beyond it, as other
servers have them: `top_k`, `min_p`, `chat_template_kwargs`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Annotated, Any

import pydantic
import pydantic_core

from formosa.chat.message import Message, Tool
from formosa.engines.protocol import ChatRequest, Sampling
from formosa.errors import ContextError, FormosaError, MessageError, UserError
from formosa.serve.history import repair

RESERVED = frozenset(
    {"self", "messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}
)  # template variables that a client can't set


class RequestError(Exception):
    """A request that is answered with an error object.

    Attributes:
        status: of the HTTP answer.
        param: the path of the field, as in `messages[0].role`.
        code: a word for programs, as in `model_not_found`.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}


def request_error(error: FormosaError) -> RequestError:
    """The HTTP answer that one of our errors means: 400 for the client's own, 500 for engines."""
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    if isinstance(error, ContextError):
        return RequestError(400, text, param="messages", code="context_length_exceeded")
    if isinstance(error, MessageError):
        return RequestError(400, text, param=error.path or None, code="invalid_value")
    return RequestError(400 if isinstance(error, UserError) else 500, text)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _refused(accepted: Sequence[Any], why: str) -> pydantic.BeforeValidator:
    """A validator for a field whose only accepted values change nothing."""

    def check(value: Any) -> None:
        if not any(value == item and type(value) is type(item) for item in (None, *accepted)):
            raise pydantic_core.PydanticCustomError("refused", "{why}", {"why": why})

    return pydantic.BeforeValidator(check)


class StreamOptions(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # padding against eavesdroppers of the network


Whole = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, pydantic.Field(ge=-2, le=2)]
Stop = Annotated[str, pydantic.Field(min_length=1, max_length=1000)]


class CompletionRequest(pydantic.BaseModel):
    """The body of `POST /v1/chat/completions`. `messages` and `tools` are read by our own types."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    messages: Annotated[list[Any], pydantic.Field(min_length=1)]
    model: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    max_tokens: Whole | None = None
    max_completion_tokens: Whole | None = None
    temperature: Annotated[float, pydantic.Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, pydantic.Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None
    seed: Annotated[int, pydantic.Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: Annotated[
        Annotated[list[Stop], pydantic.Field(max_length=16)] | None,
        pydantic.BeforeValidator(_one_or_many),
    ] = None
    chat_template_kwargs: dict[str, Any] | None = None

    # Known, and only their neutral values can be honoured so far.
    n: Annotated[None, _refused([1], "only one choice at a time: n must be 1")] = None
    logprobs: Annotated[None, _refused([False], "log-probabilities are not returned")] = None
    top_logprobs: Annotated[None, _refused([0], "log-probabilities are not returned")] = None
    logit_bias: Annotated[None, _refused([{}], "tokens can't be biased")] = None
    response_format: Annotated[
        None, _refused([{"type": "text"}], 'only {"type": "text"} is supported')
    ] = None
    modalities: Annotated[None, _refused([["text"]], 'only ["text"] is supported')] = None
    repetition_penalty: Annotated[
        None, _refused([1, 1.0], "use presence_penalty or frequency_penalty")
    ] = None
    skip_special_tokens: Annotated[
        None, _refused([False], "tags are always kept: only false is supported")
    ] = None
    functions: Annotated[None, _refused([[]], "an old field: use tools")] = None
    function_call: Annotated[None, _refused([], "an old field: use tool_choice")] = None

    # Change no answer.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def chat_request(self) -> ChatRequest:
        """What a chat model is asked.

        Raises:
            RequestError, MessageError: with the path of the field.
        """
        messages = [
            Message.from_openai(value, f"messages[{i}]") for i, value in enumerate(self.messages)
        ]
        return ChatRequest(
            messages=repair(messages),
            tools=self._tools(),
            sampling=self._sampling(),
            template_variables=self._template_variables(),
        )

    def _tools(self) -> tuple[Tool, ...]:
        tools = [Tool.from_openai(value, f"tools[{i}]") for i, value in enumerate(self.tools or ())]
        seen: set[str] = set()
        for i, tool in enumerate(tools):
            if tool.name in seen:
                raise MessageError(f"tools[{i}].function.name", f"{tool.name!r} is there twice")
            seen.add(tool.name)
        if self.tool_choice not in (None, "none", "auto"):
            raise RequestError(
                400,
                'tool_choice: only "auto" and "none" are supported; the model decides',
                param="tool_choice",
                code="unsupported_value",
            )
        return () if self.tool_choice == "none" else tuple(tools)

    def _sampling(self) -> Sampling:
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise RequestError(
                400,
                "max_tokens: differs from max_completion_tokens; say it once",
                param="max_tokens",
            )
        return Sampling(
            # 1 is what the API promises where nothing is said.
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=self.top_p,
            top_k=None if self.top_k in (None, -1, 0) else self.top_k,
            min_p=self.min_p,
            seed=self.seed,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=tuple(self.stop or ()),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )

    def _template_variables(self) -> dict[str, Any]:
        variables = self.chat_template_kwargs or {}
        for name in RESERVED & variables.keys():
            raise RequestError(
                400,
                f"chat_template_kwargs.{name}: is set by the server",
                param=f"chat_template_kwargs.{name}",
            )
        return variables


def read_request(body: bytes) -> CompletionRequest:
    """The request that a body holds.

    Raises:
        RequestError: 400 with the path of every field that does not fit.
    """
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}", code="invalid_json") from error
    if not isinstance(value, dict):
        raise RequestError(400, "the body must be a JSON object", code="invalid_json")
    try:
        request = CompletionRequest.model_validate(value)
    except pydantic.ValidationError as error:
        problems = [
            (_path(item["loc"]), _sentence(item))
            for item in error.errors(include_url=False, include_input=False)
        ]
        text = "; ".join(f"{path}: {sentence}" for path, sentence in problems[:9])
        raise RequestError(400, text, param=problems[0][0], code="invalid_value") from error
    if request.stream_options and not request.stream:
        raise RequestError(400, "stream_options: only together with stream", param="stream_options")
    return request


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")


def _sentence(item: pydantic_core.ErrorDetails) -> str:
    if item["type"] != "extra_forbidden":
        return item["msg"]
    name = str(item["loc"][-1])
    near = difflib.get_close_matches(name, CompletionRequest.model_fields, n=1, cutoff=0.75)
    return "unknown field" + (f"; did you mean {near[0]}?" if near else "")
