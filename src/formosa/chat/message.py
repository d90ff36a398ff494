"""Messages, tools and tool calls as pure values, from the training row to the model card.

Arguments and schemas are kept as *JSON text*, not as Python objects: the text is what the model
wrote or will be trained to write, so key order, number spelling and escapes survive, and a typed
column can never merge one tool's keys into another's.

`from_openai` and `to_openai` convert the shapes of the Chat Completions API (content parts,
`reasoning_content` and `reasoning`, arguments as a string or as an object).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn, cast, get_args

from formosa.errors import MessageError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)

NO_PARAMETERS = '{"type": "object", "properties": {}}'


def json_text(value: Any) -> str:
    """JSON as models are trained to write it: `", "` and `": "`, no ASCII escapes."""
    return json.dumps(value, ensure_ascii=False)


def read_object(text: str, path: str) -> dict[str, Any]:
    """The JSON object that `text` holds. NaN and infinity, which Python reads, are not JSON.

    Raises:
        MessageError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:  # also for an integer of more digits than Python reads
        raise MessageError(path, f"not JSON: {error}") from error
    except RecursionError as error:
        raise MessageError(path, "nested too deeply") from error
    if not isinstance(value, dict):
        raise MessageError(path, f"must be a JSON object, not {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: the tool's name and its arguments, the text of one JSON object."""

    name: str
    arguments: str = "{}"
    id: str = ""

    @classmethod
    def of(cls, name: str, arguments: Mapping[str, Any], id: str = "") -> ToolCall:
        return cls(name, json_text(dict(arguments)), id)

    def values(self) -> dict[str, Any]:
        """The arguments as Python values.

        Raises:
            MessageError: the text is not one JSON object.
        """
        return read_object(self.arguments, f"arguments of {self.name}")

    def same(self, other: ToolCall) -> bool:
        """Whether both name the same tool with equal arguments, whatever their spelling and id.

        JSON types count: `1`, `1.0` and `true` are three different values.
        """
        if self.name != other.name:
            return False
        try:
            return bool(_typed(self.values()) == _typed(other.values()))
        except (MessageError, RecursionError):
            return False


def _typed(value: Any) -> Any:
    """A value that compares with JSON's types: True is not 1, and 1 is not 1.0."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return (type(value).__name__, value)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call; `parameters` is the text of a JSON schema."""

    name: str
    description: str = ""
    parameters: str = NO_PARAMETERS

    @classmethod
    def of(cls, name: str, description: str, parameters: Mapping[str, Any]) -> Tool:
        return cls(name, description, json_text(dict(parameters)))

    @classmethod
    def from_openai(cls, value: Any, path: str = "tools[0]") -> Tool:
        """A tool from `{"type": "function", "function": {...}}` or from the bare function object.

        Raises:
            MessageError: with the path of the field that does not fit.
        """
        outer = _mapping(value, path)
        if "function" in outer:
            if outer.get("type", "function") != "function":
                raise MessageError(f"{path}.type", "only function tools are known")
            path = f"{path}.function"
            function = _mapping(outer["function"], path)
        else:
            function = outer
        _refuse_unknown(function, {"name", "description", "parameters", "strict", "type"}, path)
        name = _text(function.get("name"), f"{path}.name")
        if not name:
            raise MessageError(f"{path}.name", "a tool needs a name")
        description = function.get("description") or ""
        parameters = function.get("parameters")
        if isinstance(parameters, str):
            read_object(parameters, f"{path}.parameters")
            text = parameters
        elif parameters:
            text = json_text(_mapping(parameters, f"{path}.parameters"))
        else:
            text = NO_PARAMETERS
        return cls(name, _text(description, f"{path}.description"), text)

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the parameters as Python values."""
        return read_object(self.parameters, f"parameters of {self.name}")

    def to_openai(self) -> dict[str, Any]:
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.schema(),
            },
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. Which fields may be filled depends on the role:

    `reasoning` and `tool_calls` belong to the assistant, `tool_call_id` and `name` to a tool's
    result. `check()` says what does not fit.
    """

    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""

    def check(self, path: str = "message") -> None:
        """Refuse a message that no template can hold.

        Raises:
            MessageError: with the path of the field.
        """
        if self.role not in ROLES:
            raise MessageError(f"{path}.role", f"must be one of {', '.join(ROLES)}: {self.role!r}")
        if self.role != "assistant":
            for field in ("reasoning", "tool_calls"):
                if getattr(self, field):
                    raise MessageError(f"{path}.{field}", f"a {self.role} message cannot have it")
        if self.role != "tool" and self.tool_call_id:
            raise MessageError(f"{path}.tool_call_id", f"a {self.role} message cannot have it")
        for i, call in enumerate(self.tool_calls):
            if not call.name:
                raise MessageError(f"{path}.tool_calls[{i}].name", "a call needs a name")
            read_object(call.arguments, f"{path}.tool_calls[{i}].arguments")

    @classmethod
    def from_openai(cls, value: Any, path: str = "messages[0]") -> Message:
        """A message from the Chat Completions shape.

        A field that would be dropped is an error; fields that are null or empty are not.

        Raises:
            MessageError: with the path of the field that does not fit.
        """
        fields = _mapping(value, path)
        known = {"role", "content", "reasoning", "reasoning_content", "tool_calls",
                 "tool_call_id", "name"}  # fmt: skip
        _refuse_unknown(fields, known, path)
        role = fields.get("role")
        if role == "developer":  # OpenAI's newer name of the system role
            role = "system"
        if role not in ROLES:
            raise MessageError(f"{path}.role", f"must be one of {', '.join(ROLES)}, not {role!r}")
        calls = fields.get("tool_calls") or []
        if not isinstance(calls, Sequence) or isinstance(calls, str):
            raise MessageError(f"{path}.tool_calls", "must be a list")
        message = cls(
            role=cast(Role, role),
            content=_content(fields.get("content"), f"{path}.content"),
            reasoning=_text(
                fields.get("reasoning") or fields.get("reasoning_content") or "",
                f"{path}.reasoning",
            ),
            tool_calls=tuple(
                _call_from_openai(call, f"{path}.tool_calls[{i}]") for i, call in enumerate(calls)
            ),
            tool_call_id=_text(fields.get("tool_call_id") or "", f"{path}.tool_call_id"),
            name=_text(fields.get("name") or "", f"{path}.name"),
        )
        message.check(path)
        return message

    def to_openai(self) -> dict[str, Any]:
        """The Chat Completions shape; `from_openai` of it is this message again."""
        value: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.reasoning:
            value["reasoning_content"] = self.reasoning
        if self.tool_calls:
            value["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id:
            value["tool_call_id"] = self.tool_call_id
        if self.name:
            value["name"] = self.name
        return value


def with_call_ids(calls: Sequence[ToolCall], start: int = 0) -> tuple[ToolCall, ...]:
    """The calls with ids `call_0`, `call_1`, … where they have none."""
    return tuple(
        call if call.id else replace(call, id=f"call_{start + i}") for i, call in enumerate(calls)
    )


def _call_from_openai(value: Any, path: str) -> ToolCall:
    fields = _mapping(value, path)
    _refuse_unknown(fields, {"id", "type", "function", "index"}, path)
    function = _mapping(fields.get("function"), f"{path}.function")
    _refuse_unknown(function, {"name", "arguments"}, f"{path}.function")
    arguments = function.get("arguments")
    if arguments is None or arguments == "":
        text = "{}"  # what several servers send for a tool without parameters
    elif isinstance(arguments, str):
        text = arguments
    else:
        text = json_text(_mapping(arguments, f"{path}.function.arguments"))
    return ToolCall(
        name=_text(function.get("name"), f"{path}.function.name"),
        arguments=text,
        id=_text(fields.get("id") or "", f"{path}.id"),
    )


def _content(value: Any, path: str) -> str:
    """Text from a string, null, or a list of text parts."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        raise MessageError(path, f"must be text or a list of parts, not {type(value).__name__}")
    texts = []
    for i, part in enumerate(value):
        if isinstance(part, str):
            texts.append(part)
            continue
        fields = _mapping(part, f"{path}[{i}]")
        if fields.get("type", "text") not in ("text", "input_text", "output_text"):
            raise MessageError(
                f"{path}[{i}].type", f"only text is understood, not {fields['type']!r}"
            )
        texts.append(_text(fields.get("text"), f"{path}[{i}].text"))
    return "".join(texts)


def _mapping(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise MessageError(path, f"must be an object, not {type(value).__name__}")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise MessageError(path, f"must be text, not {type(value).__name__}")
    return value


def _refuse_unknown(fields: Mapping[str, Any], known: set[str], path: str) -> None:
    for key, value in fields.items():
        if key not in known and value not in (None, "", [], {}):
            raise MessageError(f"{path}.{key}", "unknown field; it would be dropped")
