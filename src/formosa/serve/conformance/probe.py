"""What a live probe is, and what probes share.

A probe is a function of a server. It returns a sentence of evidence where all is well, and raises
`Broken`, `Told` or `Skipped` otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import jsonschema

from formosa.serve.conformance.exchange import Answer, Said, Server, Streamed, shortened
from formosa.serve.conformance.report import Level, Result, Verdict
from formosa.serve.conformance.vectors import is_object

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time in a zone",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string", "enum": ["UTC", "Asia/Taipei"]}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}
TOOLS = [WEATHER, TIME]
PARAMETERS: dict[str, dict[str, Any]] = {
    "get_weather": WEATHER["function"]["parameters"],  # type: ignore[index]
    "get_time": TIME["function"]["parameters"],  # type: ignore[index]
}


class Outcome(Exception):  # noqa: N818 - a skipped probe is no error
    """Ends a probe with a verdict."""

    verdict: Verdict = "fail"


class Broken(Outcome):
    """What must hold does not."""


class Told(Outcome):
    """Worth telling, and no failure."""

    verdict = "note"


class Skipped(Outcome):
    """Can't be judged on this server."""

    verdict = "skip"


@dataclass(frozen=True)
class Probe:
    """One thing that is asked of a server."""

    id: str
    what: str
    why: str
    level: Level
    run: Callable[[Server], str]

    def result(self, server: Server) -> Result:
        """Never raises for what a server does."""
        verdict: Verdict = "pass"
        try:
            evidence = self.run(server)
        except Outcome as outcome:
            verdict, evidence = outcome.verdict, str(outcome)
        except httpx2.HTTPError as error:
            verdict, evidence = "fail", f"no answer: {type(error).__name__} {error}"
        return Result(self.id, self.what, self.why, self.level, verdict, shortened(evidence))


PROBES: list[Probe] = []


def probe(
    id: str, what: str, why: str, *, level: Level = "must"
) -> Callable[[Callable[[Server], str]], Callable[[Server], str]]:
    """Put a function on the list of probes."""

    def add(function: Callable[[Server], str]) -> Callable[[Server], str]:
        PROBES.append(Probe(id, what, why, level, function))
        return function

    return add


def need(fine: bool, evidence: str) -> None:
    """
    Raises:
        Broken: it is not fine.
    """
    if not fine:
        raise Broken(evidence)


def said(answer: Answer) -> Said:
    """The first choice of a good answer.

    Raises:
        Broken: it is none.
    """
    need(answer.status == 200, answer.short())
    message = answer.said()
    need(not message.faults, f"{'; '.join(message.faults)}: {answer.short()}")
    return message


def heard(streamed: Streamed) -> Said:
    """The first choice of a good stream.

    Raises:
        Broken: it is none.
    """
    broke = streamed.broke()
    need(not broke, f"the stream broke: {broke}")
    message = streamed.said()
    need(not message.faults, "; ".join(message.faults))
    return message


def unless_refused(answer: Answer, parameter: str) -> Answer:
    """The answer, where the server knows the parameter.

    Raises:
        Skipped: it refuses it with a 4xx, which is honest.
    """
    if 400 <= answer.status < 500:
        raise Skipped(f"{parameter} is refused: {answer.short()}")
    return answer


def check_call(message: Said, name: str | None = None) -> str:
    """That a forced call is there and fits its schema.

    Raises:
        Broken: it is not, or does not.
    """
    need(bool(message.calls), f"no call; content {message.content[:80]!r}, {message.finish}")
    for call in message.calls:
        need(name in (None, call.name), f"{call.name} instead of {name}")
        need(call.name in PARAMETERS, f"a call of {call.name!r}, which is no tool")
        need(is_object(call.arguments), f"arguments {call.arguments!r}")
        check_fits(call.arguments, PARAMETERS[call.name])
    return "; ".join(f"{call.name}({call.arguments})" for call in message.calls)


def check_fits(text: str, schema: dict[str, Any]) -> None:
    """That a text is JSON and fits a schema.

    Raises:
        Broken: it does not.
    """
    try:
        jsonschema.validate(json.loads(text), schema)
    except ValueError:
        raise Broken(f"not JSON: {text[:120]!r}") from None
    except jsonschema.ValidationError as error:
        raise Broken(f"{text[:120]!r}: {error.message}") from None
