"""The whole suite against one server, in order: live probes first, then the scripted replies."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from formosa.errors import EngineError, UserError
from formosa.serve.conformance.exchange import Answer, Server, Streamed
from formosa.serve.conformance.probe import PROBES, Probe
from formosa.serve.conformance.probes_errors import probes_of_bad_requests
from formosa.serve.conformance.report import Report, Result
from formosa.serve.conformance.steering import Steering, Way, find_steering
from formosa.serve.conformance.vectors import Vector, judge, tools, unjudged, vectors

GROUPS = ("models", "answer", "stream", "tools", "format", "history", "errors", "leave", "vectors")
SAMPLE = next(vector for vector in vectors() if vector.id == "think")
# llama.cpp, for a token that holds a tag and more: no real vocabulary has one.
GRAMMAR_STACK = "Unexpected empty grammar stack"
AT_ONCE = 4  # scripted replies; a slow server is asked about all of them in reasonable time
NO_STEERING = (
    "the server's model can't be made to say given words: it ignores structured_outputs.choice, "
    "and it is not the parrot"
)


def all_probes() -> list[Probe]:
    """Every live probe, by group."""
    for name in ("answer", "tools", "history", "leave"):
        importlib.import_module(f"formosa.serve.conformance.probes_{name}")
    found = [*PROBES, *probes_of_bad_requests()]
    return sorted(found, key=lambda probe: GROUPS.index(probe.id.split(".")[0]))


def run_check(
    base_url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    only: Sequence[str] = (),
    by: Way | None = None,
    timeout: float = 300.0,
    patience: float = 2.0,
    transport: httpx2.BaseTransport | None = None,
    heard: Callable[[Result], None] | None = None,
) -> Report:
    """Run the suite.

    Args:
        base_url: as in `http://127.0.0.1:8000/v1`; `/v1` is added where there is no path.
        api_key: sent as a bearer token.
        model: the name in the requests; the first one that the server lists by default.
        only: groups (`tools`) or ids (`stream.usage`) to run; all by default.
        by: how the model is made to say the scripted replies; whatever works by default.
        timeout: seconds that the server may be silent.
        patience: seconds that a slot may take to answer after its clients left.
        transport: for tests without a network.
        heard: is told each result as it comes.

    Raises:
        UserError: no such group or id, not an address, or no model to ask.
        EngineError: nobody answers there.
    """
    server = Server(
        base_url, model or "", api_key, timeout=timeout, patience=patience, transport=transport
    )
    results: list[Result] = []

    def add(result: Result) -> None:
        results.append(result)
        if heard is not None:
            heard(result)

    chosen = _chosen(only)
    try:
        facts = _meet(server, model)
        for probe in all_probes():
            if chosen(probe.id):
                add(probe.result(server))
        steering: Steering | None = None
        wanted = [vector for vector in vectors() if chosen(f"vectors.{vector.id}")]
        if wanted:
            steering = find_steering(server, by)
            for result in _judged(server, steering, wanted):
                add(result)
    finally:
        server.close()
    return Report(server.base_url, server.model, steering.name if steering else "", results, facts)


def _chosen(only: Sequence[str]) -> Callable[[str], bool]:
    known = {probe.id for probe in all_probes()} | {f"vectors.{v.id}" for v in vectors()}
    for name in only:
        if name not in GROUPS and name not in known:
            raise UserError(f"No group or probe is called {name}.", f"groups: {', '.join(GROUPS)}")
    return lambda id: not only or id in only or id.split(".")[0] in only


def _meet(server: Server, model: str | None) -> dict[str, Any]:
    """Find out whom one is talking to."""
    try:
        answer = server.get("/models")
    except httpx2.HTTPError as error:
        raise EngineError(
            f"{server.base_url} does not answer: {type(error).__name__}.",
            "check the address and that the server runs",
        ) from error
    if answer.status in (401, 403):
        raise UserError(f"{server.base_url} asks for a key.", "add --api-key")
    data = [item for item in answer.fields.get("data") or () if isinstance(item, dict)]
    if model is None:
        if not data:
            raise UserError(f"{server.base_url} lists no models.", "name one with --model")
        server.model = str(data[0].get("id"))
    mine = next((item for item in data if item.get("id") == server.model), {})
    return {
        "owned_by": mine.get("owned_by"),
        "context": mine.get("max_model_len"),
        "date": time.strftime("%Y-%m-%d"),
    }


def _judged(
    server: Server, steering: Steering | None, wanted: Sequence[Vector]
) -> Iterable[Result]:
    if steering is None:
        yield from (unjudged(vector, NO_STEERING) for vector in wanted)
        return
    splits = separates_reasoning(server, steering)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(lambda v: reply_result(server, steering, v, splits=splits), wanted)


def reply_result(server: Server, steering: Steering, vector: Vector, *, splits: bool) -> Result:
    """What the server makes of one scripted reply. `splits` says whether it separates reasoning:
    if it does not, replies with thoughts are not judged."""
    if not splits and (vector.thinks or vector.opened or "<think>" in vector.text):
        return unjudged(vector, "the server does not separate reasoning")
    try:
        fields = steering.fields(vector)
        if isinstance(fields, str):
            return unjudged(vector, fields)
        whole = server.ask(**fields, tools=tools())
        usage = whole.fields.get("usage")
        tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
        if whole.status == 200 and not steering.was_said(vector, whole.said().finish, tokens):
            return unjudged(vector, "the server's own grammar kept the model from saying it")
        if whole.status == 500 and GRAMMAR_STACK in whole.text:
            return unjudged(vector, "the server's grammar can't read the parrot's long tokens")
        streamed = server.stream(**fields, tools=tools(), stream_options={"include_usage": True})
    except httpx2.HTTPError as error:
        broke = f"no answer: {type(error).__name__}"
        return judge(vector, Answer(0, broke), Streamed(error=broke))
    return judge(vector, whole, streamed)


def separates_reasoning(server: Server, steering: Steering) -> bool:
    """Whether thoughts come in a field of their own."""
    fields = steering.fields(SAMPLE)
    return isinstance(fields, dict) and bool(server.ask(**fields).said().reasoning)
