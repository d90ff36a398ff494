"""Probes of bad requests: each is the client's mistake, so each must be a 4xx that says what.

A 5xx is retried by every SDK; a 200 hides the mistake.
"""

from __future__ import annotations

import json
from typing import Any

from formosa.serve.conformance.exchange import Answer, Server
from formosa.serve.conformance.probe import TOOLS, Probe, Skipped, need, probe
from formosa.serve.conformance.report import Level

HELLO = {"role": "user", "content": "Hello"}
CUT_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city": "Tai'},
        }
    ],
}
Fields = dict[str, Any]

# name → (what is wrong, what replaces the fields of a good request, level)
BAD: dict[str, tuple[str, Fields, Level]] = {
    "messages_missing": ("no messages", {"messages": None}, "must"),
    "messages_text": ("messages that are a text", {"messages": "Hello"}, "must"),
    "messages_empty": ("an empty list of messages", {"messages": []}, "should"),
    "message_text": ("a message that is a text", {"messages": ["Hello"]}, "must"),
    "role_missing": ("a message without role", {"messages": [{"content": "Hello"}]}, "must"),
    "role_unknown": (
        "a role that does not exist",
        {"messages": [{"role": "wizard", "content": "Hello"}]},
        "should",
    ),
    "content_number": ("content that is a number", {"messages": [{**HELLO, "content": 7}]}, "must"),
    "max_tokens_negative": ("max_tokens -5", {"max_tokens": -5}, "should"),
    "max_tokens_text": ("max_tokens that is a word", {"max_tokens": "many"}, "must"),
    "temperature_text": ("temperature that is a word", {"temperature": "hot"}, "must"),
    "temperature_negative": ("temperature -1", {"temperature": -1}, "should"),
    "top_p_large": ("top_p 7", {"top_p": 7}, "should"),
    "n_zero": ("n 0", {"n": 0}, "should"),
    "stream_text": ("stream that is a word", {"stream": "perhaps"}, "should"),
    "stop_number": ("stop that is a number", {"stop": 5}, "must"),
    "tools_text": ("tools that are a text", {"tools": "all"}, "must"),
    "tool_unnamed": (
        "a tool without name",
        {"tools": [{"type": "function", "function": {"description": "?"}}]},
        "must",
    ),
    "tool_choice_unknown": (
        "tool_choice names a tool that is not there",
        {
            "tools": TOOLS,
            "tool_choice": {"type": "function", "function": {"name": "no_such_tool"}},
        },
        "must",
    ),
    "tool_choice_word": (
        "tool_choice that is no known word",
        {"tools": TOOLS, "tool_choice": "perhaps"},
        "should",
    ),
    "required_without_tools": (
        "tool_choice required, and no tools",
        {"tool_choice": "required"},
        "should",
    ),
    "response_format_unknown": (
        "a response_format of an unknown type",
        {"response_format": {"type": "poem"}},
        "should",
    ),
    "schema_broken": (
        "a JSON schema with a type that does not exist",
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "poem"}},
            }
        },
        "should",
    ),
    "result_without_call": (
        "a tool's result that answers no call",
        {"messages": [HELLO, {"role": "tool", "tool_call_id": "c9", "content": "?"}]},
        "policy",
    ),
    "history_cut_call": (
        "a call in the history whose arguments were cut off",
        {
            "messages": [
                HELLO,
                CUT_CALL,
                {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
            ],
            "tools": TOOLS,
        },
        "policy",
    ),
}


def refused(answer: Answer, level: Level) -> str:
    """That an answer is a 4xx with OpenAI's error object."""
    if level == "policy" and answer.status == 200:
        return "accepted"
    need(400 <= answer.status < 500, answer.short())
    message = answer.error.get("message")
    need(isinstance(message, str) and bool(message), f"no error.message: {answer.short()}")
    return f"{answer.status} {message}"


def _probe_of(name: str, what: str, fields: Fields, level: Level) -> Probe:
    def run(server: Server) -> str:
        return refused(server.ask(**fields), level)

    expected = "is no 5xx" if level == "policy" else "is a 4xx with an error object"
    return Probe(
        f"errors.{name}", f"{what}: {expected}", "SDKs retry a 5xx; a 200 hides the mistake",
        "must" if level == "policy" else level, run,
    )  # fmt: skip


def probes_of_bad_requests() -> list[Probe]:
    """One for each entry of `BAD`."""
    return [_probe_of(name, *entry) for name, entry in BAD.items()]


@probe("errors.not_json", "a body that is no JSON is a 4xx with an error object",
       "SDKs retry a 5xx")  # fmt: skip
def not_json(server: Server) -> str:
    return refused(server.post(b'{"messages": ['), "must")


@probe("errors.list", "a body that is a JSON list is a 4xx with an error object",
       "SDKs retry a 5xx")  # fmt: skip
def json_list(server: Server) -> str:
    return refused(server.post(json.dumps([server.body()]).encode()), "must")


@probe("errors.deep", "JSON nested ten thousand deep is a 4xx, and the server lives",
       "one request must not end everybody's")  # fmt: skip
def deep(server: Server) -> str:
    head = json.dumps(server.body())[:-1].encode()
    evidence = refused(
        server.post(head + b', "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"), "policy"
    )
    answer = server.ask(max_tokens=1)
    need(answer.status == 200, f"after it: {answer.short()}")
    return evidence


@probe("errors.key", "a wrong API key is a 401",
       "clients ask for a new key on 401 only")  # fmt: skip
def wrong_key(server: Server) -> str:
    if server.api_key is None:
        raise Skipped("no key was given to this check")
    answer = server.post(server.body(max_tokens=1), authorization="Bearer wrong-key")
    need(answer.status == 401, answer.short())
    return answer.short()


@probe("errors.context", "a prompt that is too long is a 400 that says so",
       "agents that shorten their history on this error; a 5xx is retried for ever")  # fmt: skip
def too_long(server: Server) -> str:
    words = "word " * (2 * (context_length(server) or 100_000))
    answer = server.ask(messages=[{"role": "user", "content": words}])
    need(answer.status != 200, f"{answer.status} for {len(words) // 5} words")
    need(answer.status in (400, 413, 422), answer.short())
    message = str(answer.error.get("message", ""))
    told = any(word in message.lower() for word in ("context", "token", "too long", "length"))
    need(told, f"the error does not say why: {answer.short()}")
    return f"{answer.status} {message}"


def context_length(server: Server) -> int | None:
    """Tokens, where the list of models says it (vLLM, Formosa)."""
    for item in server.get("/models").fields.get("data") or ():
        if isinstance(item, dict) and item.get("id") == server.model:
            length = item.get("max_model_len")
            return length if isinstance(length, int) else None
    return None
