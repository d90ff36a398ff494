"""`sgd`: Schema-Guided Dialogue, task dialogues with service calls; `schema.json` lies beside them.

Every intent of the dialogue's services is a tool. A SYSTEM turn that called a service becomes the
call, its results, and then the words. Dialogue acts, slots and states describe the same words again
and are left out. All values are texts, as in the source; a slot with a list of values is an enum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall, json_text
from formosa.data.formats.draft import Draft, Format, Row, Setting
from formosa.data.formats.fields import id_of, list_of, mapping_of, refuse_others, text_of
from formosa.data.formats.problems import UNKNOWN_TOOL, RowError
from formosa.errors import DataError, MessageError

FILE = "schema.json"
Services = Mapping[str, Mapping[str, Tool]]  # service → intent → tool


def read_schema(setting: Setting) -> Services:
    """The intents of every service as tools.

    Raises:
        DataError: there is no such file beside the dialogues, or it holds something else.
    """
    from formosa.data.sources.array import read_json

    path = setting.folder / FILE if setting.folder else None
    if path is None or not path.is_file():
        raise DataError(
            f"The format sgd needs {FILE} beside the dialogues{f': {path}' if path else ''}.",
            "copy the one of the same split (train, dev or test)",
        )
    services: dict[str, dict[str, Tool]] = {}
    for where, value in read_json(path, path.name):
        if isinstance(value, DataError):
            raise value
        try:
            name = text_of(value.get("service_name"), "service_name")
            if not name:
                raise MessageError("service_name", "is missing")
            services[name] = _tools(value)
        except MessageError as error:
            raise DataError(f"{where}: {error.message}.") from error
    return services


def _tools(service: Mapping[str, Any]) -> dict[str, Tool]:
    slots = {}
    for i, item in enumerate(list_of(service.get("slots"), "slots")):
        fields = mapping_of(item, f"slots[{i}]")
        slots[text_of(fields.get("name"), f"slots[{i}].name")] = fields
    tools = {}
    for i, item in enumerate(list_of(service.get("intents"), "intents")):
        intent = mapping_of(item, f"intents[{i}]")
        required = list_of(intent.get("required_slots"), "required_slots")
        optional = mapping_of(intent.get("optional_slots") or {}, "optional_slots")
        properties = {}
        for name in (*required, *optional):
            if name not in slots:
                raise MessageError(f"intents[{i}]", f"the slot {name!r} is not described")
            properties[name] = _schema(slots[name], optional.get(name))
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        name = text_of(intent.get("name"), f"intents[{i}].name")
        described = text_of(intent.get("description"), f"intents[{i}].description")
        tools[name] = Tool(name, described, json_text(schema))
    return tools


def _schema(slot: Mapping[str, Any], default: Any) -> dict[str, Any]:
    schema = {"type": "string", "description": text_of(slot.get("description"), "description")}
    values = list_of(slot.get("possible_values"), "possible_values")
    result: dict[str, Any] = dict(schema)
    if slot.get("is_categorical") and values:
        more = [default] if default is not None and default not in values else []
        result["enum"] = [*values, *more]
    if default is not None:
        result["default"] = default
    return result


def _convert(value: Row, services: Services) -> Draft:
    offered: list[Tool] = []
    names: dict[tuple[str, str], str] = {}
    for service in list_of(value["services"], "services"):
        if not isinstance(service, str) or service not in services:
            raise RowError("services", f"{service!r} is not in {FILE}", "unknown service")
        for intent, tool in services[service].items():
            taken = any(other.name == intent for other in offered)
            names[service, intent] = f"{service}_{intent}" if taken else intent
            offered.append(Tool(names[service, intent], tool.description, tool.parameters))
    messages: list[Message] = []
    for i, item in enumerate(list_of(value["turns"], "turns")):
        turn = mapping_of(item, f"turns[{i}]")
        refuse_others(turn, {"frames", "speaker", "utterance"}, f"turns[{i}]")
        words = text_of(turn.get("utterance"), f"turns[{i}].utterance")
        if turn.get("speaker") == "USER":
            messages.append(Message("user", words))
            continue
        if turn.get("speaker") != "SYSTEM":
            raise MessageError(f"turns[{i}].speaker", "must be USER or SYSTEM")
        calls, results = _calls(turn, names, f"turns[{i}]")
        if calls:
            messages.append(Message("assistant", tool_calls=tuple(calls)))
            messages += [Message("tool", text) for text in results]
        messages.append(Message("assistant", words))
    return Draft(messages=tuple(messages), tools=tuple(offered), id=id_of(value.get("dialogue_id")))


def _calls(
    turn: Mapping[str, Any], names: Mapping[tuple[str, str], str], path: str
) -> tuple[list[ToolCall], list[str]]:
    calls, results = [], []
    for i, item in enumerate(list_of(turn.get("frames"), f"{path}.frames")):
        frame = mapping_of(item, f"{path}.frames[{i}]")
        if not frame.get("service_call"):
            continue
        call = mapping_of(frame["service_call"], f"{path}.frames[{i}].service_call")
        key = (str(frame.get("service")), text_of(call.get("method"), "method"))
        if key not in names:
            raise RowError(
                f"{path}.frames[{i}]", f"{' '.join(key)} is no intent of {FILE}", UNKNOWN_TOOL
            )
        arguments = mapping_of(call.get("parameters") or {}, f"{path}.parameters")
        calls.append(ToolCall(names[key], json_text(dict(arguments))))
        results.append(json_text(list_of(frame.get("service_results"), "service_results")))
    return calls, results


def _fits(value: Row) -> bool:
    return isinstance(value.get("services"), list) and isinstance(value.get("turns"), list)


FORMAT = Format(
    name="sgd",
    about=f"Schema-Guided Dialogue, with the services of {FILE} as tools",
    fields=frozenset({"dialogue_id", "services", "turns"}),
    fits=_fits,
    convert=_convert,
    prepare=read_schema,
)
