"""Every probe passes on a server that does all that is asked, and fails where one thing is wrong.

The good server is our gateway with a model that obeys; the broken ones are the same server behind
a wire that changes its answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from formosa.serve.conformance import probes_leave
from formosa.serve.conformance.check import all_probes, run_check
from formosa.serve.conformance.probe import Probe
from formosa.serve.conformance.report import Report, Result
from formosa.serve.run import serving
from perfect_server import Distorting, Distortion, Perfect, events, sse

LIVE = ["models", "answer", "stream", "tools", "format", "history", "errors", "leave"]
KEY = "a-key"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"perfect": Perfect()}, api_key=KEY) as address:
        yield address


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes_leave, "STAY", 0.05)


def ask(url: str, *only: str, transport: httpx2.BaseTransport | None = None) -> Report:
    return run_check(
        url, api_key=KEY, model="perfect", only=only, timeout=20, patience=20, transport=transport
    )


@pytest.fixture(scope="module")
def good(url: str) -> dict[str, Result]:
    patched = pytest.MonkeyPatch()
    patched.setattr(probes_leave, "STAY", 0.05)
    report = ask(url, *LIVE)
    patched.undo()
    return {result.id: result for result in report.results}


@pytest.mark.parametrize("probe", all_probes(), ids=lambda probe: probe.id)
def test_a_server_that_does_what_is_asked_passes(good: dict[str, Result], probe: Probe) -> None:
    result = good[probe.id]
    assert result.verdict == "pass", result.evidence
    assert result.what
    assert result.why


# -- one thing wrong -----------------------------------------------------------------------------


def whole(change: Callable[[dict[str, Any]], object]) -> Distortion:
    """Change an answer that is one object."""

    def distort(asked: dict[str, Any], status: int, text: str) -> tuple[int, str]:
        if status != 200 or asked.get("stream") or "chat" not in asked["path"]:
            return status, text
        value = json.loads(text)
        change(value)
        return status, json.dumps(value)

    return distort


def message(change: Callable[[dict[str, Any]], object]) -> Distortion:
    return whole(lambda value: change(value["choices"][0]["message"]))


def streamed(change: Callable[[list[dict[str, Any]]], object], *, done: bool = True) -> Distortion:
    """Change the chunks of a stream."""

    def distort(asked: dict[str, Any], status: int, text: str) -> tuple[int, str]:
        if status != 200 or not asked.get("stream"):
            return status, text
        chunks = events(text)
        change(chunks)
        return status, sse(chunks, done=done)

    return distort


def answered(status: int, body: str = '{"error": {"message": "no"}}') -> Distortion:
    """Every request gets this."""
    return lambda asked, _status, _text: (status, body)


def where(wanted: Callable[[dict[str, Any]], object], status: int = 500) -> Distortion:
    """Requests of one kind get another status."""

    def distort(asked: dict[str, Any], real: int, text: str) -> tuple[int, str]:
        return (status, '{"error": {"message": "no"}}') if wanted(asked) else (real, text)

    return distort


def as_it_is(asked: dict[str, Any], status: int, text: str) -> tuple[int, str]:
    return status, text


def counting() -> Callable[[], int]:
    seen = iter(range(1_000_000))
    return lambda: next(seen)


def other_each_time() -> Distortion:
    number = counting()
    return message(lambda m: m.update(content=f"reply {number()}"))


def spoil_arguments(value: dict[str, Any]) -> None:
    for call in value.get("tool_calls") or ():
        call["function"]["arguments"] = '{"zone": "Mars"}'


def spoil_argument_deltas(chunks: list[dict[str, Any]]) -> None:
    for chunk in chunks:
        for choice in chunk["choices"]:
            spoil_arguments(choice["delta"])


def call_again(value: dict[str, Any]) -> None:
    if value.get("tool_calls"):
        value["tool_calls"].append({**value["tool_calls"][0], "id": "another"})


def call_anyway(value: dict[str, Any]) -> None:
    function = {"name": "get_time", "arguments": "{}"}
    value["tool_calls"] = [{"id": "c", "type": "function", "function": function}]


def last_content(value: dict[str, Any], role: str = "tool") -> Any:
    return [m.get("content") for m in value.get("messages", ()) if m.get("role") == role]


def choices(change: Callable[[dict[str, Any]], object]) -> Distortion:
    return whole(lambda value: [change(choice) for choice in value["choices"]])


def has_calls(asked: dict[str, Any], change: Callable[[dict[str, Any]], bool]) -> bool:
    found = [m for m in asked.get("messages", ()) if isinstance(m, dict) and "tool_calls" in m]
    return bool(found) and change(found[0])


BROKEN: dict[str, Distortion] = {
    "models.list": lambda asked, s, t: (s, '{"data": []}' if "models" in asked["path"] else t),
    "models.unknown": where(lambda asked: asked.get("model") == "no-such-model-here", 200),
    "answer.fields": whole(lambda value: value.pop("created")),
    "answer.usage": whole(lambda value: value["usage"].update(total_tokens=1)),
    "answer.max_tokens": choices(lambda choice: choice.update(finish_reason="stop")),
    "answer.max_completion_tokens": choices(lambda choice: choice.update(finish_reason="stop")),
    "answer.stop": message(lambda m: m.update(content=f"{m['content']} Red and green.")),
    "answer.greedy": other_each_time(),
    "answer.seed": other_each_time(),
    "answer.n": whole(lambda value: value.update(choices=value["choices"][:1])),
    "answer.logprobs": choices(lambda choice: choice.update(logprobs=None)),
    "stream.logprobs": streamed(
        lambda chunks: [c.pop("logprobs", 0) for chunk in chunks for c in chunk["choices"]]
    ),
    "stream.same": streamed(lambda chunks: chunks.pop(2)),
    "stream.shape": streamed(lambda chunks: chunks[3].update(id="another")),
    "stream.usage": streamed(lambda chunks: chunks.pop()),
    "stream.no_usage": streamed(lambda chunks: chunks.append({**chunks[0], "choices": []})),
    "tools.required": message(lambda m: m.pop("tool_calls", 0)),
    "tools.required_stream": streamed(spoil_argument_deltas),
    "tools.required_same": streamed(spoil_argument_deltas),
    "tools.required_finish": choices(lambda choice: choice.update(finish_reason="stop")),
    "tools.named": message(spoil_arguments),
    "tools.named_stream": streamed(spoil_argument_deltas),
    "tools.named_cut": message(
        lambda m: m.update(
            tool_calls=[
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "get_time", "arguments": '{"zo'},
                }
            ]
        )
    ),  # fmt: skip
    "tools.none": message(call_anyway),
    "tools.one": message(call_again),
    "tools.description_null": where(lambda asked: "ping" in str(asked.get("tools"))),
    "tools.schema_refs": message(spoil_arguments),
    "format.json_schema": message(lambda m: m.update(content='{"colour": "mauve"}')),
    "format.json_schema_stream": streamed(lambda chunks: chunks.pop(1)),
    "format.json_object": message(lambda m: m.update(content="Sure!")),
    "history.tools": where(lambda asked: last_content(asked)),
    "history.order": lambda asked, s, t: (
        s,
        t.replace("Red", "Blue") if "10:24" in str(last_content(asked)[:1]) else t,
    ),  # fmt: skip
    "history.arguments_object": where(
        lambda asked: has_calls(
            asked, lambda m: isinstance(m["tool_calls"][0]["function"]["arguments"], dict)
        )
    ),
    "history.content_missing": where(
        lambda asked: has_calls(asked, lambda m: "content" not in m), 400
    ),
    "history.parts": where(
        lambda asked: any(isinstance(part, list) for part in last_content(asked, "user")), 400
    ),
    "history.result_parts": where(
        lambda asked: any(isinstance(part, list) for part in last_content(asked)), 400
    ),
    "history.system": whole(lambda value: value["usage"].update(prompt_tokens=5)),
    "history.developer": where(lambda asked: last_content(asked, "developer"), 400),
    "history.reasoning": where(lambda asked: "reasoning_content" in str(asked), 400),
    "history.own_answer": where(lambda asked: last_content(asked) == ["done"]),
    "history.surrogate": where(lambda asked: "\\ud83d" in repr(asked.get("messages"))),
    "errors.key": lambda asked, s, t: (200 if s == 401 else s, t),
    "errors.deep": where(lambda asked: asked.get("max_tokens") == 1),
    "errors.context": lambda asked, s, t: (s, '{"error": {"message": "no"}}' if s == 400 else t),
}


@pytest.mark.parametrize("probe", all_probes(), ids=lambda probe: probe.id)
def test_a_server_with_one_thing_wrong_fails(url: str, probe: Probe) -> None:
    if probe.id.startswith("leave.") or probe.level == "policy":
        pytest.skip("see below")
    bad = answered(500) if probe.id.startswith("errors.") else None
    distortion = BROKEN.get(probe.id, bad)
    assert distortion is not None, f"{probe.id} needs a server that breaks it"
    (result,) = ask(url, probe.id, transport=Distorting(distortion)).results
    assert result.verdict == "fail"
    assert result.evidence


@pytest.mark.parametrize("id", ["leave.whole", "leave.stream"])
def test_a_slot_that_is_not_freed_fails(url: str, id: str) -> None:
    left: list[bool] = []

    class Stuck(Distorting):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if b"one thousand" in request.content:
                left.append(True)
                raise httpx2.ReadTimeout("nothing came")
            if left:
                raise httpx2.ReadTimeout("the slot is taken")
            return super().handle_request(request)

    (result,) = ask(url, id, transport=Stuck(as_it_is)).results
    assert result.verdict == "fail"
    assert "clients left" in result.evidence


def test_replies_that_end_before_anybody_leaves_prove_nothing(url: str) -> None:
    class Quick(Distorting):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if b"one thousand" in request.content:
                return httpx2.Response(200, text="{}")
            return super().handle_request(request)

    (result,) = ask(url, "leave.whole", transport=Quick(as_it_is)).results
    assert result.verdict == "skip"


def test_an_ignored_parameter_is_told_and_is_no_failure(url: str) -> None:
    ignored = where(lambda asked: "temprature" in asked, 200)
    report = ask(url, "answer.unknown_parameter", transport=Distorting(ignored))
    assert [result.verdict for result in report.results] == ["note"]
    assert report.conforms


@pytest.mark.parametrize(
    ("id", "parameter"),
    [("answer.n", "n"), ("answer.logprobs", "logprobs"), ("format.json_object", "response_format")],
)
def test_a_parameter_that_is_refused_is_skipped(url: str, id: str, parameter: str) -> None:
    """Honest: the client knows."""
    refusing = Distorting(where(lambda asked: parameter in asked, 400))
    assert [result.verdict for result in ask(url, id, transport=refusing).results] == ["skip"]


def test_an_error_in_the_middle_of_a_stream_is_seen(url: str) -> None:
    broken = Distorting(
        streamed(lambda chunks: chunks.append({"error": {"message": "gone"}}), done=False)
    )
    (result,) = ask(url, "stream.same", transport=broken).results
    assert "the stream broke: after" in result.evidence
    assert "gone" in result.evidence


def test_a_stream_without_its_end_is_seen(url: str) -> None:
    (result,) = ask(
        url, "stream.same", transport=Distorting(streamed(lambda chunks: None, done=False))
    ).results
    assert "without [DONE]" in result.evidence


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda call: call.pop("index"), "without index"),
        (lambda call: call.pop("id"), "without id"),
        (lambda call: call["function"].update(arguments={}), "no text"),
        (lambda call: call.update(index=4), "indexes [4]"),
    ],
)
def test_deltas_that_an_sdk_can_t_join_are_seen(
    url: str, change: Callable[[dict[str, Any]], object], fault: str
) -> None:
    def spoil(chunks: list[dict[str, Any]]) -> None:
        for chunk in chunks:
            for choice in chunk["choices"]:
                for call in choice["delta"].get("tool_calls", ()):
                    change(call)

    (result,) = ask(url, "tools.required_stream", transport=Distorting(streamed(spoil))).results
    assert result.verdict == "fail"
    assert fault in result.evidence
