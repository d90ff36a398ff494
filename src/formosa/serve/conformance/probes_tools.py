"""Probes of what is forced: tool calls and JSON, by grammar and not by hope."""

from __future__ import annotations

from typing import Any

from formosa.serve.conformance.exchange import Said, Server
from formosa.serve.conformance.probe import (
    TOOLS,
    check_call,
    check_fits,
    heard,
    need,
    probe,
    said,
    unless_refused,
)
from formosa.serve.conformance.vectors import is_object

ROOM = 200  # tokens; enough for a call of these tools, whatever the model
NAMED = {"type": "function", "function": {"name": "get_time"}}
WEATHER_ASKED = [{"role": "user", "content": "What is the weather in Taipei, in celsius?"}]
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "sure": {"type": "boolean"},
    },
    "required": ["colour", "count", "sure"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "paint", "strict": True, "schema": SCHEMA}}


def _forced(server: Server, choice: Any, **fields: Any) -> Said:
    asked = {"messages": WEATHER_ASKED, "tools": TOOLS, "max_tokens": ROOM, **fields}
    return said(server.ask(tool_choice=choice, **asked))


@probe("tools.required", "tool_choice required: a call that fits its schema",
       "agents that route by a forced call")  # fmt: skip
def required(server: Server) -> str:
    return check_call(_forced(server, "required"))


@probe("tools.required_stream", "the same in a stream",
       "the OpenAI SDK puts deltas together by index, id and name")  # fmt: skip
def required_stream(server: Server) -> str:
    streamed = server.stream(
        messages=WEATHER_ASKED, tools=TOOLS, tool_choice="required", max_tokens=ROOM
    )
    return check_call(heard(streamed))


@probe("tools.required_same", "a forced call is the same, streamed or not",
       "whatever is tested without a stream and used with one")  # fmt: skip
def required_same(server: Server) -> str:
    fields = {"messages": WEATHER_ASKED, "tools": TOOLS, "max_tokens": ROOM}
    whole = said(server.ask(tool_choice="required", **fields))
    joined = heard(server.stream(tool_choice="required", **fields))
    for name in ("content", "finish"):
        one, two = getattr(whole, name), getattr(joined, name)
        need(one == two, f"{name}: {one!r}, in the stream {two!r}")
    one, two = ([(c.name, c.arguments) for c in m.calls] for m in (whole, joined))
    need(one == two, f"calls {one}, in the stream {two}")
    return f"{len(whole.calls)} calls"


@probe("tools.required_finish", "a forced call ends with finish_reason tool_calls",
       "agent loops that run tools only then", level="should")  # fmt: skip
def required_finish(server: Server) -> str:
    message = _forced(server, "required")
    need(bool(message.calls), "no call")
    need(message.finish in ("tool_calls", "length"), f"finish_reason {message.finish!r}")
    return str(message.finish)


@probe("tools.named", "tool_choice names a tool: that tool, and it fits its schema",
       "structured extraction with LangChain")  # fmt: skip
def named(server: Server) -> str:
    return check_call(_forced(server, NAMED), "get_time")


@probe("tools.named_stream", "the same in a stream", "structured extraction, streamed")
def named_stream(server: Server) -> str:
    streamed = server.stream(
        messages=WEATHER_ASKED, tools=TOOLS, tool_choice=NAMED, max_tokens=ROOM
    )
    return check_call(heard(streamed), "get_time")


@probe("tools.named_cut", "a forced call that max_tokens cuts is no call, and ends with length",
       "half an argument string can't be run")  # fmt: skip
def named_cut(server: Server) -> str:
    message = _forced(server, NAMED, max_tokens=5)
    need(message.finish == "length", f"finish_reason {message.finish!r}")
    bad = [call.arguments for call in message.calls if not is_object(call.arguments)]
    need(not bad, f"a call with the arguments {bad[:1]}")
    return f"{message.content!r}, length"


@probe("tools.none", "tool_choice none: no call", "a last round that must be words")
def none(server: Server) -> str:
    message = _forced(server, "none", max_tokens=60)
    need(not message.calls, f"called {[call.name for call in message.calls]}")
    need(message.finish != "tool_calls", "finish_reason tool_calls")
    return f"{message.content[:60]!r}"


@probe("tools.one", "parallel_tool_calls false: one call at most",
       "clients that can run one tool at a time", level="should")  # fmt: skip
def one(server: Server) -> str:
    message = _forced(server, "required", parallel_tool_calls=False)
    need(len(message.calls) == 1, f"{len(message.calls)} calls")
    return check_call(message)


@probe("tools.description_null", "a tool without description or parameters is accepted",
       "MCP servers send them", level="should")  # fmt: skip
def bare_tool(server: Server) -> str:
    for extra in ({}, {"description": None}):
        tool = {"type": "function", "function": {"name": "ping", **extra}}
        answer = server.ask(tools=[tool])
        need(answer.status == 200, f"{extra}: {answer.short()}")
    return "accepted"


@probe("tools.schema_refs", "a tool schema with $defs and anyOf is accepted, and forced",
       "pydantic writes such schemas", level="should")  # fmt: skip
def schema_refs(server: Server) -> str:
    schema = {
        "type": "object",
        "properties": {"place": {"$ref": "#/$defs/Place"}},
        "required": ["place"],
        "additionalProperties": False,
        "$defs": {
            "Place": {"anyOf": [{"enum": ["Taipei", "Tainan"]}, {"type": "integer", "maximum": 9}]}
        },
    }
    tool = {"type": "function", "function": {"name": "go", "parameters": schema}}
    message = said(server.ask(tools=[tool], tool_choice="required", max_tokens=ROOM))
    need(bool(message.calls), "no call")
    check_fits(message.calls[0].arguments, schema)
    return message.calls[0].arguments


@probe("format.json_schema", "response_format json_schema: JSON that fits",
       "every use of structured output")  # fmt: skip
def json_schema(server: Server) -> str:
    message = said(server.ask(response_format=FORMAT, max_tokens=ROOM))
    check_fits(message.content, SCHEMA)
    return message.content


@probe("format.json_schema_stream", "the same in a stream", "structured output, streamed")
def json_schema_stream(server: Server) -> str:
    message = heard(server.stream(response_format=FORMAT, max_tokens=ROOM))
    check_fits(message.content, SCHEMA)
    return message.content


@probe("format.json_object", "response_format json_object: the start of a JSON object",
       "older clients", level="should")  # fmt: skip
def json_object(server: Server) -> str:
    answer = server.ask(response_format={"type": "json_object"}, max_tokens=60)
    message = said(unless_refused(answer, "json_object"))
    need(message.content.lstrip().startswith("{"), f"{message.content[:60]!r}")
    if message.finish == "stop":
        check_fits(message.content, {"type": "object"})
    return f"{message.content[:60]!r}, {message.finish}"
