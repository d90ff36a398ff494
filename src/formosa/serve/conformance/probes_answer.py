"""Probes of answers and streams: their fields, their ends, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from formosa.serve.conformance.exchange import Server
from formosa.serve.conformance.probe import (
    Skipped,
    Told,
    heard,
    need,
    probe,
    said,
    unless_refused,
)

FINISHES = ("stop", "length", "tool_calls", "content_filter")
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


@probe("models.list", "GET /v1/models lists models with their ids",
       "every client that lets one choose a model")  # fmt: skip
def models_list(server: Server) -> str:
    answer = server.get("/models")
    need(answer.status == 200, answer.short())
    data = answer.fields.get("data")
    need(isinstance(data, list) and bool(data), answer.short())
    assert isinstance(data, list)
    ids = [item.get("id") for item in data if isinstance(item, dict)]
    need(all(isinstance(id, str) for id in ids), f"ids {ids}")
    need(server.model in ids, f"{server.model} is not in {ids}")
    return ", ".join(map(str, ids))


@probe("models.unknown", "an unknown model is a 404",
       "routers such as LiteLLM fall back on it; a typing error is answered by another model",
       level="should")  # fmt: skip
def models_unknown(server: Server) -> str:
    answer = server.ask(model="no-such-model-here", max_tokens=1)
    need(answer.status == 404, answer.short())
    need(bool(answer.error.get("message")), f"no error object: {answer.short()}")
    return answer.short()


@probe("answer.fields", "an answer has OpenAI's fields, each of its type",
       "typed SDKs (Go, Rust, Java) refuse the whole answer")  # fmt: skip
def answer_fields(server: Server) -> str:
    answer = server.ask()
    message = said(answer)
    value = answer.fields
    need(isinstance(value.get("id"), str) and bool(value["id"]), f"id {value.get('id')!r}")
    need(value.get("object") == "chat.completion", f"object {value.get('object')!r}")
    need(type(value.get("created")) is int, f"created {value.get('created')!r}")
    need(value.get("model") == server.model, f"model {value.get('model')!r}")
    choice = answer.choices[0]
    need(choice.get("index") == 0, f"index {choice.get('index')!r}")
    need(choice["message"].get("role") == "assistant", f"role {choice['message'].get('role')!r}")
    need(message.finish in FINISHES, f"finish_reason {message.finish!r}")
    return f"{message.content[:60]!r}, {message.finish}"


@probe("answer.usage", "usage counts prompt and completion, and adds up",
       "bills, budgets and agents that watch their context")  # fmt: skip
def answer_usage(server: Server) -> str:
    return _usage(server.ask().fields.get("usage"))


def _usage(usage: Any) -> str:
    need(isinstance(usage, dict), f"usage {usage!r}")
    prompt, completion, total = (usage.get(name) for name in USAGE)
    need(all(type(n) is int for n in (prompt, completion, total)), f"usage {usage}")
    need(prompt + completion == total, f"{prompt} + {completion} is not {total}")
    need(prompt > 0, "no prompt tokens")
    return f"{prompt} + {completion} = {total}"


@probe("answer.max_tokens", "max_tokens ends a reply with finish_reason length",
       "agents that go on after length; LengthFinishReasonError of the OpenAI SDK")  # fmt: skip
def answer_max_tokens(server: Server) -> str:
    answer = server.ask(max_tokens=2)
    message = said(answer)
    need(message.finish == "length", f"{message.finish!r} after {message.content!r}")
    usage = answer.fields.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    need(tokens in (None, 2), f"{tokens} tokens instead of 2")
    return f"{message.content!r}"


@probe("answer.max_completion_tokens", "max_completion_tokens does the same",
       "newer OpenAI SDKs and LangChain send only this one")  # fmt: skip
def answer_max_completion_tokens(server: Server) -> str:
    answer = server.ask(max_tokens=None, max_completion_tokens=2)
    message = said(answer)
    need(message.finish == "length", f"{message.finish!r} after {message.content[:60]!r}")
    return f"{message.content!r}"


@probe("answer.stop", "a stop string ends the reply before it",
       "ReAct agents and completions of code")  # fmt: skip
def answer_stop(server: Server) -> str:
    text = said(server.ask()).content
    middle = next(
        (i for i in range(3, len(text) - 3) if text[i : i + 3] not in text[: i + 2]), None
    )
    if middle is None:
        raise Skipped(f"the reply is too short: {text!r}")
    stop = text[middle : middle + 3]
    for form in (stop, [stop]):
        message = said(server.ask(stop=form))
        want = text[:middle]
        need(message.content.rstrip() == want.rstrip(), f"{message.content!r} with stop {form!r}")
        need(message.finish == "stop", f"finish_reason {message.finish!r}")
    return f"{stop!r} ended {text[:middle]!r}"


@probe("answer.greedy", "temperature 0 gives the same reply twice",
       "tests and evaluations", level="should")  # fmt: skip
def answer_greedy(server: Server) -> str:
    first, second = (said(server.ask()).content for _ in range(2))
    need(first == second, f"{first!r}, then {second!r}")
    return f"{first[:60]!r}"


@probe("answer.seed", "the same seed gives the same reply at temperature 1",
       "evaluations that must be repeatable", level="should")  # fmt: skip
def answer_seed(server: Server) -> str:
    texts = [said(server.ask(temperature=1, seed=seed)).content for seed in (7, 7, 8, 9, 10)]
    need(texts[0] == texts[1], f"{texts[0]!r}, then {texts[1]!r}")
    if len(set(texts)) == 1:
        raise Told("four seeds gave one reply: the model is sure, or sampling is off")
    return f"{texts[0][:40]!r}, other seeds {texts[2][:40]!r}"


@probe("answer.n", "n: 2 gives two choices, both counted",
       "self-consistency; a server that drops n must say so", level="should")  # fmt: skip
def answer_n(server: Server) -> str:
    answer = unless_refused(server.ask(n=2, temperature=1, seed=1), "n")
    said(answer)
    indexes = [choice.get("index") for choice in answer.choices]
    need(indexes == [0, 1], f"the choices have the indexes {indexes}")
    said_second = answer.said(1)
    need(not said_second.faults, "; ".join(said_second.faults))
    usage = answer.fields.get("usage", {})
    if all(answer.said(i).finish == "length" for i in (0, 1)):
        tokens = usage.get("completion_tokens")
        need(tokens == 48, f"usage counts {tokens} tokens for two replies of 24")
    return f"{len(answer.choices)} choices"


@probe("answer.logprobs", "logprobs name every token, and the likeliest beside it",
       "classifiers, perplexity, evaluation harnesses", level="should")  # fmt: skip
def answer_logprobs(server: Server) -> str:
    answer = unless_refused(server.ask(logprobs=True, top_logprobs=2), "logprobs")
    message = said(answer)
    value = answer.choices[0].get("logprobs")
    return _logprobs(value, message.content)


@probe("stream.logprobs", "a stream carries the same logprobs",
       "token by token viewers", level="should")  # fmt: skip
def stream_logprobs(server: Server) -> str:
    streamed = server.stream(logprobs=True, top_logprobs=2)
    if streamed.refused:
        unless_refused(streamed.refused, "logprobs in a stream")
    message = heard(streamed)
    entries: list[Any] = []
    for chunk in streamed.chunks:
        for choice in chunk.get("choices", ()):
            entries += (choice.get("logprobs") or {}).get("content") or []
    return _logprobs({"content": entries}, message.content)


def _logprobs(value: Any, text: str) -> str:
    entries = value.get("content") if isinstance(value, dict) else None
    need(isinstance(entries, list) and bool(entries), f"logprobs {value!r}")
    assert isinstance(entries, list)
    for entry in entries:
        need(isinstance(entry.get("token"), str), f"entry {entry}")
        number = entry.get("logprob")
        need(isinstance(number, int | float) and number <= 0.001, f"logprob {number!r}")
        top = entry.get("top_logprobs")
        need(isinstance(top, list) and 1 <= len(top) <= 2, f"top_logprobs {top!r}")
    joined = b"".join(bytes(e.get("bytes") or e["token"].encode()) for e in entries).decode(
        errors="replace"
    )
    need(text.strip() in joined, f"the tokens say {joined!r}, the content {text!r}")
    return f"{len(entries)} tokens"


@probe("stream.same", "at temperature 0 the joined stream is the whole reply",
       "whatever is tested without a stream and used with one")  # fmt: skip
def stream_same(server: Server) -> str:
    whole, joined = said(server.ask()), heard(server.stream())
    for name in ("content", "reasoning", "calls", "finish"):
        one, two = getattr(whole, name), getattr(joined, name)
        need(one == two, f"{name}: {one!r}, in the stream {two!r}")
    return f"{whole.content[:60]!r}, {whole.finish}"


@probe("stream.shape", "events of one id, the role first, one finish_reason, then [DONE]",
       "the SDKs' stream readers")  # fmt: skip
def stream_shape(server: Server) -> str:
    streamed = server.stream()
    heard(streamed)
    need(streamed.content_type.startswith("text/event-stream"), streamed.content_type)
    ids = {chunk.get("id") for chunk in streamed.chunks}
    need(len(ids) == 1 and None not in ids, f"ids {ids}")
    objects = {chunk.get("object") for chunk in streamed.chunks}
    need(objects == {"chat.completion.chunk"}, f"objects {objects}")
    need(streamed.deltas()[0].get("role") == "assistant", f"first delta {streamed.deltas()[0]}")
    need(len(streamed.finishes()) == 1, f"finish reasons {streamed.finishes()}")
    return f"{len(streamed.chunks)} chunks"


@probe("stream.usage", "include_usage: one last chunk with usage and no choices",
       "LangChain and LiteLLM count tokens from it")  # fmt: skip
def stream_usage(server: Server) -> str:
    streamed = server.stream(stream_options={"include_usage": True})
    heard(streamed)
    last: Mapping[str, Any] = streamed.chunks[-1]
    need(last.get("choices") == [], f"the last chunk has the choices {last.get('choices')}")
    numbers = _usage(last.get("usage"))
    whole = server.ask().fields.get("usage")
    for name in USAGE:
        one, two = (whole or {}).get(name), last["usage"].get(name)
        need(one == two, f"{name}: {two} in the stream, {one} in the whole reply")
    return numbers


@probe("stream.no_usage", "without include_usage no chunk has empty choices",
       "readers that take choices[0] of every chunk", level="should")  # fmt: skip
def stream_no_usage(server: Server) -> str:
    streamed = server.stream()
    heard(streamed)
    empty = [chunk for chunk in streamed.chunks if not chunk.get("choices")]
    need(not empty, f"{len(empty)} chunks without choices")
    return "none"


@probe("answer.unknown_parameter", "a parameter that nobody knows is refused or ignored",
       "a misspelt parameter that is ignored looks as if it worked", level="policy")  # fmt: skip
def unknown_parameter(server: Server) -> str:
    answer = server.ask(temprature=0.5)
    if answer.status == 200:
        raise Told("ignored")
    need(400 <= answer.status < 500, answer.short())
    return f"refused: {answer.short()}"
