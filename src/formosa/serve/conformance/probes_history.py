"""Probes of conversations: what other clients and other servers put into a history."""

from __future__ import annotations

import json
from typing import Any

from formosa.serve.conformance.exchange import Server
from formosa.serve.conformance.probe import TOOLS, need, probe, said

ASKED = {"role": "user", "content": "Weather and time in Taipei?"}
RESULTS = {"c1": "26 degrees and cloudy", "c2": "10:24 in the morning"}
SAME = 0.02  # natural logarithm; batches and caches change the last digits
AGAIN = {"role": "user", "content": "Say it in one sentence."}


def _calls(**changes: Any) -> dict[str, Any]:
    def call(id: str, name: str, arguments: dict[str, str]) -> dict[str, Any]:
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": id, "type": "function", "function": function}

    calls = [
        call("c1", "get_weather", {"city": "Taipei", "unit": "celsius"}),
        call("c2", "get_time", {"zone": "Asia/Taipei"}),
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **changes}


def _result(id: str, **changes: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id, "content": RESULTS[id], **changes}


def _prompt_tokens(server: Server, messages: list[dict[str, Any]]) -> tuple[str, Any]:
    answer = server.ask(messages=messages, tools=TOOLS)
    message = said(answer)
    return message.content, (answer.fields.get("usage") or {}).get("prompt_tokens")


@probe("history.tools", "a conversation with two calls and their results is answered",
       "every agent: names of tools are missing in results, arguments are a text")  # fmt: skip
def with_tools(server: Server) -> str:
    content, tokens = _prompt_tokens(server, [ASKED, _calls(), _result("c1"), _result("c2")])
    return f"{tokens} tokens; {content[:60]!r}"


@probe("history.order", "results in another order than their calls mean the same",
       "clients answer parallel calls as they finish; the model reads them by their order",
       level="should")  # fmt: skip
def other_order(server: Server) -> str:
    order = [ASKED, _calls(), _result("c1"), _result("c2")]
    other = [ASKED, _calls(), _result("c2"), _result("c1")]
    right, swapped = (_prompt_tokens(server, messages) for messages in (order, other))
    need(right == swapped, f"{right[0]!r} became {swapped[0]!r}")
    # The same words may come from another prompt; the same probabilities hardly do.
    one, two = (_first_logprob(server, messages) for messages in (order, other))
    if one is not None and two is not None:
        need(abs(one - two) < SAME, f"the first token's logprob {one:.3f} became {two:.3f}")
    return f"{right[0][:60]!r}"


def _first_logprob(server: Server, messages: list[dict[str, Any]]) -> float | None:
    """Of the first token of the reply, where the server tells it."""
    answer = server.ask(messages=messages, max_tokens=1, logprobs=True, top_logprobs=1)
    entries = (answer.choices[0].get("logprobs") or {}).get("content") if answer.choices else None
    value = entries[0].get("logprob") if isinstance(entries, list) and entries else None
    return float(value) if isinstance(value, int | float) else None


@probe("history.arguments_object", "arguments that are an object are accepted or refused",
       "Ollama's clients send them so", level="should")  # fmt: skip
def arguments_object(server: Server) -> str:
    calls = _calls()
    for call in calls["tool_calls"]:
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    answer = server.ask(messages=[ASKED, calls, _result("c1"), _result("c2")], tools=TOOLS)
    need(answer.status < 500, answer.short())
    return "accepted" if answer.status == 200 else f"refused: {answer.short()}"


@probe("history.content_missing", "an assistant message with calls and no content key",
       "LangChain.js and the Vercel AI SDK leave it out")  # fmt: skip
def content_missing(server: Server) -> str:
    calls = _calls()
    del calls["content"]
    return _prompt_tokens(server, [ASKED, calls, _result("c1"), _result("c2")])[0][:60]


@probe("history.parts", "content as a list of text parts", "the OpenAI SDK's newer shape")
def parts(server: Server) -> str:
    split = [{"type": "text", "text": "Name three "}, {"type": "text", "text": "colours."}]
    return said(server.ask(messages=[{"role": "user", "content": split}])).content[:60]


@probe("history.result_parts", "a tool's result as a list of text parts",
       "MCP hosts pass results on as they are", level="should")  # fmt: skip
def result_parts(server: Server) -> str:
    result = _result("c1", content=[{"type": "text", "text": RESULTS["c1"]}])
    return _prompt_tokens(server, [ASKED, _calls(), result, _result("c2")])[0][:60]


@probe("history.system", "a system message is read", "everybody")
def system(server: Server) -> str:
    with_it = [{"role": "system", "content": "You are a pirate who answers in rhymes."}, AGAIN]
    _, longer = _prompt_tokens(server, with_it)
    _, shorter = _prompt_tokens(server, [{"role": "system", "content": "x"}, AGAIN])
    if None not in (longer, shorter):
        need(longer > shorter, f"{longer} tokens with it, {shorter} without")
    return f"{longer} tokens"


@probe("history.developer", "the role developer is accepted", "OpenAI's SDK for new models",
       level="should")  # fmt: skip
def developer(server: Server) -> str:
    messages = [{"role": "developer", "content": "Be short."}, AGAIN]
    return said(server.ask(messages=messages)).content[:60]


@probe("history.reasoning", "reasoning_content in the history is accepted",
       "agents hand the whole message back", level="should")  # fmt: skip
def reasoning(server: Server) -> str:
    before = {"role": "assistant", "content": "Red.", "reasoning_content": "A colour."}
    return said(server.ask(messages=[ASKED, before, AGAIN])).content[:60]


@probe("history.own_answer", "an answer of the server itself, handed back, is accepted",
       "messages.append(response.choices[0].message) is what every agent does")  # fmt: skip
def own_answer(server: Server) -> str:
    fields: dict[str, Any] = {"messages": [ASKED], "tools": TOOLS, "max_tokens": 60}
    answer = server.ask(**fields, tool_choice="required")
    if answer.status != 200:
        answer = server.ask(**fields)
    said(answer)
    message = answer.choices[0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "done"}
        for call in message.get("tool_calls") or ()
    ]
    again = server.ask(messages=[ASKED, message, *(results or [AGAIN])], tools=TOOLS)
    need(again.status == 200, again.short())
    return f"{len(results)} calls handed back"


@probe("history.surrogate", "half an emoji, as an escape in JSON, is answered or refused",
       "a text cut at a fixed length in JavaScript", level="should")  # fmt: skip
def surrogate(server: Server) -> str:
    body = json.dumps(server.body(max_tokens=2)).replace("colours", "\\ud83d")
    answer = server.post(body.encode())
    need(answer.status < 500, answer.short())
    return str(answer.status)
