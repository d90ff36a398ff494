"""What all routes share of OpenAI's shapes: error objects, and bodies that are read strictly.

A field is honoured, or refused with its name: nothing that a client asks for is dropped in
silence. `chat.py` and `completions.py` hold the fields of their routes.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import pydantic
import pydantic_core

from formosa.errors import (
    BusyError,
    ContextError,
    FormosaError,
    MessageError,
    UnsupportedError,
    UserError,
)

PROBLEMS = 9  # that one answer names


class RequestError(Exception):
    """A request that is answered with an error object.

    Attributes:
        status: of the HTTP answer.
        param: the path of the field, as in `messages[0].role`.
        code: a word for programs, as in `model_not_found`.
        retry_after: seconds after which the same request may succeed.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


def stopping() -> RequestError:
    """What a request gets that the server has no more time for."""
    return RequestError(503, "the server is stopping", code="stopping", retry_after=5)


def refused(param: str, problem: str, code: str = "invalid_value") -> RequestError:
    """A 400 for one field."""
    return RequestError(400, f"{param}: {problem}", param=param, code=code)


def request_error(error: FormosaError) -> RequestError:
    """The HTTP answer that one of our errors means: 400 for the client's own, 5xx for engines."""
    text = f"{error.message} ({error.hint})" if error.hint else error.message
    match error:
        case ContextError():
            return RequestError(400, text, param="messages", code="context_length_exceeded")
        case MessageError():
            return RequestError(400, text, param=error.path or None, code="invalid_value")
        case UnsupportedError():
            return RequestError(400, text, param=error.parameter, code="unsupported_parameter")
        case BusyError():
            return RequestError(503, text, code="busy", retry_after=error.retry_after)
    return RequestError(400 if isinstance(error, UserError) else 500, text)


def json_bytes(value: Any) -> bytes:
    """JSON as UTF-8. A lone surrogate in a model's words becomes an escape, which can be sent."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


# -- bodies ----------------------------------------------------------------------------------


class Body(pydantic.BaseModel):
    """A JSON object with known fields and JSON's own types. Null is the same as left out."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


AnyBody = TypeVar("AnyBody", bound=Body)


def only(accepted: Sequence[Any], why: str) -> pydantic.BeforeValidator:
    """A validator for a field whose only accepted values change nothing."""

    def check(value: Any) -> None:
        if not any(value == item and type(value) is type(item) for item in (None, *accepted)):
            raise pydantic_core.PydanticCustomError("refused", "{why}", {"why": why})

    return pydantic.BeforeValidator(check)


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # padding against eavesdroppers of the network


Whole = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
Penalty = Annotated[float, pydantic.Field(ge=-2, le=2)]
Stop = Annotated[str, pydantic.Field(min_length=1, max_length=1000)]
TopLogprobs = Annotated[int, pydantic.Field(ge=0, le=20)]


class RequestBody(Body):
    """The fields that every route has."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # Change no answer.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None


class SamplingBody(RequestBody):
    """The fields that both kinds of completions have."""

    max_tokens: Whole | None = None
    temperature: Annotated[float, pydantic.Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, pydantic.Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, pydantic.Field(ge=0, le=1)] | None = None
    n: Annotated[int, pydantic.Field(ge=1, le=128)] | None = None
    seed: Annotated[int, pydantic.Field(ge=-(2**63), lt=2**63)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, pydantic.Field(gt=0, le=10)] | None = None
    logit_bias: dict[str, Annotated[float, pydantic.Field(ge=-100, le=100)]] | None = None
    stop: Annotated[
        Annotated[list[Stop], pydantic.Field(max_length=16)] | None,
        pydantic.BeforeValidator(_one_or_many),
    ] = None
    structured_outputs: Any = None
    skip_special_tokens: Annotated[
        None, only([False], "tags are always kept: only false is supported")
    ] = None

    @pydantic.field_validator("logit_bias")
    @classmethod
    def _token_ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        for key in value or ():
            if not (key.isascii() and key.isdigit() and len(key) < 10):
                raise pydantic_core.PydanticCustomError(
                    "token_id", "{key} is no token id", {"key": repr(key[:50])}
                )
        return value

    @property
    def wants_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    def sampling_fields(self) -> dict[str, Any]:
        """Arguments for `Sampling`, apart from the number of tokens, grammars and logprobs."""
        return {
            # 1 is what the API promises where nothing is said.
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": self.top_p,
            "top_k": None if self.top_k in (None, -1, 0) else self.top_k,
            "min_p": self.min_p,
            "seed": self.seed,
            "stop": tuple(self.stop or ()),
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "repetition_penalty": None if self.repetition_penalty == 1 else self.repetition_penalty,
            "logit_bias": {int(key): bias for key, bias in (self.logit_bias or {}).items() if bias},
        }


def seed_of(seed: int | None, index: int) -> int | None:
    """The seed of the n-th choice: different words for each, the same in every run."""
    if seed is None:
        return None
    following = seed + index
    return following if following < 2**63 else following - 2**64  # engines hold 64 bits


def read_body(kind: type[AnyBody], body: bytes) -> AnyBody:
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
        request = kind.model_validate(value)
    except pydantic.ValidationError as error:
        problems = [
            (_path(item["loc"]), _sentence(kind, item))
            for item in error.errors(include_url=False, include_input=False)
        ]
        text = "; ".join(f"{path}: {sentence}" for path, sentence in problems[:PROBLEMS])
        raise RequestError(400, text, param=problems[0][0], code="invalid_value") from error
    if isinstance(request, SamplingBody) and request.stream_options and not request.stream:
        raise refused("stream_options", "only together with stream")
    return request


def _path(location: tuple[int | str, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")[:200]


def _sentence(kind: type[Body], item: pydantic_core.ErrorDetails) -> str:
    if item["type"] != "extra_forbidden":
        return item["msg"]
    name = str(item["loc"][-1])
    near = difflib.get_close_matches(name[:100], kind.model_fields, n=1, cutoff=0.75)
    return "unknown field" + (f"; did you mean {near[0]}?" if near else "")
