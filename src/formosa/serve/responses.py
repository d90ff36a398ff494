"""The body of `POST /v1/responses`: the same conversation in OpenAI's newer words.

It is put into the words of chat completions, so everything is read in one place. Nothing is
stored: `previous_response_id` and `conversation` are refused, and a client sends the whole history.

Reference: https://platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from formosa.engines.protocol import ChatRequest, ModelInfo
from formosa.errors import FormosaError, MessageError, UnsupportedError
from formosa.serve.chat import ChatBody, Effort
from formosa.serve.protocol import (
    Body,
    RequestBody,
    RequestError,
    Whole,
    only,
    refused,
    request_error,
)

# Of our paths, and of those that clients of this route know.
_PATHS = (("messages", "input"), ("response_format.json_schema", "text.format"),
          ("response_format", "text.format"), ("reasoning_effort", "reasoning.effort"),
          ("max_tokens", "max_output_tokens"))  # fmt: skip


class Reasoning(Body):
    effort: Effort | None = None
    summary: Annotated[None, only(["auto"], "reasoning is sent whole")] = None


class Text(Body):
    format: dict[str, Any] | None = None
    verbosity: Annotated[None, only(["medium"], "the model was not trained for it")] = None


class ResponseBody(RequestBody):
    input: Any
    instructions: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: Whole | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None

    # Known, and only their neutral values can be honoured.
    previous_response_id: Annotated[None, only([], "nothing is stored: send the history")] = None
    conversation: Annotated[None, only([], "nothing is stored: send the history")] = None
    background: Annotated[None, only([False], "nothing is stored")] = None
    include: Annotated[None, only([[]], "there is nothing more to include")] = None
    prompt: Annotated[None, only([], "nothing is stored: send the text")] = None
    max_tool_calls: Annotated[None, only([], "there are no tools of the server's own")] = None
    top_logprobs: Annotated[None, only([0], "use /v1/chat/completions")] = None
    truncation: Annotated[None, only(["disabled"], "nothing is cut off in silence")] = None

    def request(self, info: ModelInfo) -> ChatRequest:
        """What the model is asked.

        Raises:
            RequestError: with the path of the field.
        """
        messages = _messages(self.input)
        if self.instructions:
            messages.insert(0, {"role": "system", "content": self.instructions})
        fields = {
            "messages": messages,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "response_format": _format(self.text.format if self.text else None),
            "reasoning_effort": self.reasoning.effort if self.reasoning else None,
        }
        try:
            chat = ChatBody.model_validate(fields)
            (request,) = chat.requests(info)
        except pydantic.ValidationError as error:
            item = error.errors(include_url=False, include_input=False)[0]
            raise refused(_ours(str(item["loc"][0])), item["msg"]) from error
        except (FormosaError, RequestError) as error:
            raise self.in_its_words(error) from error
        return request

    def in_its_words(self, error: FormosaError | RequestError) -> RequestError:
        """The same error, with the path of the client's own field. Of `input` there is no more than
        that: several of its items make one message."""
        format = {"type": "json_schema"} if self.text and self.text.format else None
        chat = ChatBody(messages=[None], response_format=format)
        if isinstance(error, MessageError | UnsupportedError):
            answer = chat.in_its_words(error)
        else:
            answer = request_error(error) if isinstance(error, FormosaError) else error
        param = answer.param and _ours(answer.param)
        text = str(answer)
        if param and param != "input":
            text = text.replace(answer.param or "", param, 1)
        return RequestError(answer.status, text, param=param, code=answer.code,
                            retry_after=answer.retry_after)  # fmt: skip


def _ours(path: str) -> str:
    for chat, own in _PATHS:
        if path.startswith(chat):
            return own if own == "input" else own + path.removeprefix(chat)
    return path


def _format(value: dict[str, Any] | None) -> Any:
    if value is None or value.get("type") != "json_schema":
        return value
    return {"type": "json_schema", "json_schema": {k: v for k, v in value.items() if k != "type"}}


def _messages(given: Any) -> list[Any]:
    """Messages of chat completions. What an assistant thought, said and called is one of them."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise refused("input", "must be text or a list of items")
    messages: list[dict[str, Any]] = []

    def assistant() -> dict[str, Any]:
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": "", "tool_calls": []})
        return messages[-1]

    for i, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind == "message" and item.get("role") == "assistant":
            past = assistant()
            content = item.get("content")
            parts = [content] if isinstance(content, str) else content
            if not isinstance(parts, list):
                raise refused(f"input[{i}].content", "must be text or a list of parts")
            past["content"] = [*past["content"], *parts]
        elif kind == "message":
            messages.append({"role": item.get("role"), "content": item.get("content")})
        elif kind == "reasoning":
            parts = item.get("content") or item.get("summary") or []
            if not isinstance(parts, list) or not all(_is_text(part) for part in parts):
                raise refused(f"input[{i}]", "its content must be a list of texts")
            past = assistant()
            past["reasoning"] = past.get("reasoning", "") + "".join(p["text"] for p in parts)
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            assistant()["tool_calls"].append({"id": item.get("call_id"), "function": function})
        elif kind == "function_call_output":
            id, output = item.get("call_id"), item.get("output")
            messages.append({"role": "tool", "tool_call_id": id, "content": output})
        else:
            raise refused(f"input[{i}].type", "is none that is understood here")
    return messages


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
