"""The body of `POST /v1/chat/completions`, and what a chat model is asked because of it.

Reference: https://platform.openai.com/docs/api-reference/chat/create. Beyond it, as other servers
have them: `top_k`, `min_p`, `repetition_penalty`, `chat_template_kwargs`, `structured_outputs`;
and our own `formosa` (see `raw.py`).

`strict` of a tool is accepted. A call that is forced (`tool_choice` required, or one tool's name)
fits its schema, strict or not; where the model decides whether to call, its words are its own, and
are read by the parser.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import pydantic

from formosa.chat.message import Tool
from formosa.engines.protocol import ChatRequest, ModelInfo, Named, Sampling, ToolChoice
from formosa.errors import MessageError, UnsupportedError
from formosa.serve.history import read_messages
from formosa.serve.protocol import (
    RequestError,
    SamplingBody,
    TopLogprobs,
    Whole,
    only,
    refused,
    request_error,
    seed_of,
)
from formosa.serve.raw import FormosaFields
from formosa.serve.structured import Shape, read_shape

RESERVED = frozenset(
    {
        "self",
        "messages",
        "tools",
        "add_generation_prompt",
        "bos_token",
        "eos_token",
        "control_tokens",
    }
)  # template variables that a client can't set

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class ChatBody(SamplingBody):
    """`messages`, `tools`, `tool_choice` and the shape of the reply are read by our own types."""

    messages: Annotated[list[Any], pydantic.Field(min_length=1)]
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: Any = None
    max_completion_tokens: Whole | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    formosa: FormosaFields | None = None

    # Known, and only their neutral values can be honoured.
    modalities: Annotated[None, only([["text"]], 'only ["text"] is supported')] = None
    verbosity: Annotated[None, only(["medium"], "the model was not trained for it")] = None
    functions: Annotated[None, only([[]], "an old field: use tools")] = None
    function_call: Annotated[None, only([], "an old field: use tool_choice")] = None

    @property
    def wants_raw(self) -> bool:
        return bool(self.formosa and self.formosa.raw)

    def requests(self, info: ModelInfo, tag_tokens: Collection[str] = ()) -> list[ChatRequest]:
        """What the model is asked, once for each choice.

        Args:
            info: of the model.
            tag_tokens: tags that a grammar for its engine must name as tokens.

        Raises:
            RequestError, MessageError, UnsupportedError: with the path of the field.
        """
        messages = read_messages(self.messages)
        tools = self._tools()
        choice, tools = read_tool_choice(self.tool_choice, tools)
        shape = read_shape(self.response_format, self.structured_outputs, tag_tokens)
        forced = choice == "required" or isinstance(choice, Named)
        if forced and shape != Shape():
            field = "response_format" if self.structured_outputs is None else "structured_outputs"
            raise refused(field, "not together with a tool_choice that forces a call")
        variables = self._template_variables(info)
        return [
            ChatRequest(
                messages=messages,
                tools=tools,
                sampling=self._sampling(index, shape.grammar),
                template_variables=variables,
                tool_choice=choice,
                parallel=self.parallel_tool_calls is not False,
                json_schema=shape.json_schema,
            )
            for index in range(self.n or 1)
        ]

    def in_its_words(self, error: MessageError | UnsupportedError) -> RequestError:
        """What an engine or a grammar says of a request, with the path of the client's own field.

        Engines know schemas and grammars, and not which field they came from.
        """
        answer = request_error(error)
        path = answer.param or ""
        word = re.split(r"[.\[]", path, maxsplit=1)[0]
        rest = path.removeprefix(word)
        if word not in ("json_schema", "grammar"):
            return answer
        field = "structured_outputs"
        if self.structured_outputs is None:
            field = "response_format" + (".json_schema.schema" if word == "json_schema" else "")
        elif word == "json_schema":
            field += ".json"
        text = str(answer).removeprefix(path)
        return RequestError(
            answer.status, f"{field}{rest}{text}", param=field + rest, code=answer.code
        )

    def _tools(self) -> tuple[Tool, ...]:
        tools = [Tool.from_openai(value, f"tools[{i}]") for i, value in enumerate(self.tools or ())]
        seen: set[str] = set()
        for i, tool in enumerate(tools):
            if tool.name in seen:
                raise MessageError(f"tools[{i}].function.name", f"{tool.name!r} is there twice")
            seen.add(tool.name)
        return tuple(tools)

    def _sampling(self, index: int, grammar: str | None) -> Sampling:
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise refused("max_tokens", "differs from max_completion_tokens; say it once")
        if self.top_logprobs and not self.logprobs:
            raise refused("top_logprobs", "only together with logprobs")
        fields = self.sampling_fields()
        return Sampling(
            **{**fields, "seed": seed_of(self.seed, index)},
            max_tokens=self.max_completion_tokens or self.max_tokens,
            grammar=grammar,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )

    def _template_variables(self, info: ModelInfo) -> dict[str, Any]:
        variables = self.chat_template_kwargs or {}
        for name in RESERVED & variables.keys():
            raise refused(f"chat_template_kwargs.{name}", "is set by the server")
        if self.reasoning_effort is None:
            return variables
        return {**effort_variables(self.reasoning_effort, info), **variables}


def effort_variables(effort: Effort, info: ModelInfo) -> dict[str, Any]:
    """The variable by which a model's template is told how much to think.

    Where it only knows thinking or not (`enable_thinking`), anything but `none` is thinking.

    Raises:
        UnsupportedError: the template knows none.
    """
    match effort_variable(info):
        case "reasoning_effort":
            return {"reasoning_effort": effort}
        case "enable_thinking":
            return {"enable_thinking": effort != "none"}
    raise UnsupportedError(
        "reasoning_effort", f"the chat template of {info.name} has no variable for it"
    )


def effort_variable(info: ModelInfo) -> str | None:
    """The variable of the model's template that says how much to think, if there is one."""
    source = info.template.source if info.template else ""
    names = ("reasoning_effort", "enable_thinking")
    return next((name for name in names if re.search(rf"\b{name}\b", source)), None)


def read_tool_choice(value: Any, tools: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """The choice, and the tools that the model is shown.

    Raises:
        RequestError: it is none of the known forms, or can't be kept with these tools.
    """
    if isinstance(value, dict) and value.get("type") == "allowed_tools":
        value, tools = _allowed(value.get("allowed_tools", value), tools)
    if value in (None, "auto"):
        return "auto", tools
    if value == "none":
        return "none", ()
    if value == "required":
        if not tools:
            raise refused("tool_choice", "a call is required, but there are no tools")
        return "required", tools
    name = _tool_name(value)
    if name is None:
        raise refused(
            "tool_choice",
            'must be "none", "auto", "required" or {"type": "function", "function": {"name": …}}',
        )
    if name not in (tool.name for tool in tools):
        raise refused("tool_choice", f"no tool is called {name[:100]!r}")
    return Named(name), tools


def _allowed(value: Any, tools: tuple[Tool, ...]) -> tuple[str, tuple[Tool, ...]]:
    """OpenAI's `allowed_tools`: a mode, and some of the tools."""
    path = "tool_choice.allowed_tools"
    mode, listed = (value.get("mode"), value.get("tools")) if isinstance(value, dict) else (0, 0)
    if mode not in ("auto", "required") or not isinstance(listed, list):
        raise refused(path, 'must have "mode" (auto or required) and "tools" (a list)')
    names = {_tool_name(item) for item in listed}
    if unknown := names - {tool.name for tool in tools}:
        raise refused(f"{path}.tools", f"no tool is called {unknown.pop()!r:.100}")
    return str(mode), tuple(tool for tool in tools if tool.name in names)


def _tool_name(value: Any) -> str | None:
    if not isinstance(value, Mapping) or value.get("type", "function") != "function":
        return None
    function = value.get("function", value)
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None
