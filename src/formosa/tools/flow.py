"""The four-step tool flow, against any OpenAI-compatible server, with the official client.

    1. ask one question that needs two tools
    2. read the calls: one for each tool, in parallel
    3. run them by name, answer them by id
    4. the model answers from the results

The flow is the one on the card of Llama-3.2-3B-F1-Instruct (section Tool Calling), with one
difference: the card's own code pairs functions and calls by position, and so answers the weather
call with the search result when the model calls in another order. Here the name of a call chooses
the function, and its id the place of the result.

A weak model is a finding, not an error: each step says whether it passed, and what was seen. The
tools are canned; nothing is looked up anywhere.
"""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from formosa.chat.message import ToolCall
from formosa.chat.schema import describe
from formosa.errors import EngineError, MessageError, UserError
from formosa.tools.address import is_loopback
from formosa.tools.demonstration import QUESTION, REGISTRY
from formosa.tools.runner import ToolResult, run_calls

if TYPE_CHECKING:
    import openai

STEPS = (
    "two calls",
    "arguments fit the schemas",
    "results answered by id",
    "final answer uses the results",
)
# A figure that only the result of a tool holds, and how else an answer may write it.
FACTS = {"get_weather": ("26", "二十六", "79", "七十九"), "search": ("32", "三十二")}


class Step(NamedTuple):
    name: str
    passed: bool
    detail: str


def run_flow(
    base_url: str,
    *,
    api_key: str = "none",
    model: str | None = None,
    max_tokens: int = 512,
    timeout: float = 600.0,
) -> dict[str, Any]:
    """Do the four steps and report them.

    Args:
        base_url: of the server, with `/v1`.
        api_key: sent with every request; a server on loopback needs none.
        model: its name on the server; the first one served when left out.
        max_tokens: of each of the two replies.
        timeout: seconds for each request.

    Returns:
        The value of `tool-flow.json`: `passed`, and `steps` with `name`, `passed` and `detail`.

    Raises:
        UserError: the client is not installed, or the server can't be used at all: nobody answers,
            the key is refused, there is no such model.
        EngineError: the server did not answer in time, or speaks something else.
    """
    try:
        import openai
    except ImportError as error:
        raise UserError(
            "The tool flow is done with the official `openai` client, which is not installed.",
            "pip install openai",
        ) from error
    started = time.perf_counter()
    # A proxy of the environment must not get what is said to this machine itself.
    http = openai.DefaultHttpxClient(trust_env=not is_loopback(base_url))
    with openai.OpenAI(
        base_url=base_url, api_key=api_key, timeout=timeout, max_retries=0, http_client=http
    ) as client:
        try:
            served = model or _first_model(client)
            flow = _Flow(client, served, max_tokens)
            flow.run()
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise UserError(f"{base_url} refuses the API key.", "pass its --api-key") from error
        except openai.NotFoundError as error:
            raise UserError(
                f"{base_url} has no such model or path: {_words(error.message)}",
                "the address ends in /v1; its /models lists what it serves",
            ) from error
        except openai.APITimeoutError as error:
            raise EngineError(f"{base_url} gave no reply within {timeout:g} seconds.") from error
        except openai.APIConnectionError as error:
            raise UserError(
                f"Nobody answers at {base_url}: {error}", "start a server with `formosa serve`"
            ) from error
        except openai.APIError as error:
            raise EngineError(f"{base_url}: {_words(error.message)}") from error
        except (AttributeError, TypeError, ValueError) as error:
            # The client hands a web page or other JSON through; the fields are missing.
            raise EngineError(f"{base_url} does not speak the OpenAI API: {error}") from error
    steps = flow.steps()
    return {
        "schema": 1,
        "served": served,
        "client": f"openai {openai.__version__}",
        "messages": flow.messages,
        "tools": flow.tools,
        "passed": all(step.passed for step in steps),
        "steps": [step._asdict() for step in steps],
        "seconds": round(time.perf_counter() - started, 3),
    }


class _Flow:
    """One run of the flow: what was said so far, and what is to be reported of it."""

    def __init__(self, client: openai.OpenAI, model: str, max_tokens: int) -> None:
        # Any: the client's own types for these dictionaries say nothing that helps here.
        self.messages: list[Any] = [{"role": "user", "content": QUESTION}]
        self.tools: list[Any] = [item.to_openai() for item in REGISTRY.tools]
        self._client, self._model, self._max_tokens = client, model, max_tokens
        self._calls: tuple[ToolCall, ...] = ()
        self._results: tuple[ToolResult, ...] = ()
        self._trouble = ["", ""]  # what the server said instead of the first and the second reply

    def run(self) -> None:
        self._ask(0)
        self._calls = _calls(self.messages[-1])
        if not self._calls:
            return  # what it said is its final answer
        self._results = asyncio.run(run_calls(self._calls, REGISTRY))
        for result in self._results:
            self.messages.append(
                {"role": "tool", "tool_call_id": result.id, "content": result.content}
            )
        self._ask(1)

    def steps(self) -> list[Step]:
        checks = (self._two_calls, self._arguments, self._answered, self._final)
        found = []
        for name, check in zip(STEPS, checks, strict=True):
            problem, seen = check()
            found.append(Step(name, not problem, problem or seen))
        return found

    def _ask(self, turn: int) -> None:
        import openai

        try:
            completion = self._client.chat.completions.create(
                model=self._model,
                messages=self.messages,
                tools=self.tools,
                tool_choice="auto",
                temperature=0.0,
                max_tokens=self._max_tokens,
            )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            self._trouble[turn] = f"the server refused the request: {_words(error.message)}"
        except openai.InternalServerError as error:
            # Some servers fail like this when the model's text does not fit its format.
            self._trouble[turn] = f"the server failed: {_words(error.message)}"
        else:
            if completion.choices:
                self.messages.append(_as_message(completion.choices[0].message))
            else:
                self._trouble[turn] = "the server sent no choice"

    # Each check returns what is wrong ("" for nothing), and what was seen.

    def _two_calls(self) -> tuple[str, str]:
        seen = ", ".join(f"{call.name}({call.arguments})" for call in self._calls)
        if not self._calls:
            return self._trouble[0] or f"no call; it said: {_said(self.messages[-1])}", seen
        if Counter(call.name for call in self._calls) != Counter(
            item.tool.name for item in REGISTRY
        ):
            return f"wanted one call of each tool, got: {seen}", seen
        return "", seen

    def _arguments(self) -> tuple[str, str]:
        problems = []
        for call in self._calls:
            item = REGISTRY.get(call.name)
            if item is None:
                problems.append(f"there is no tool {call.name!r}")
                continue
            try:
                item.read(call.arguments)
            except MessageError as error:
                problems.append(f"{describe(item.tool)}: {error}")
        if not self._calls:
            problems.append("there was no call")
        return "; ".join(problems), f"{len(self._calls)} of {len(self._calls)}"

    def _answered(self) -> tuple[str, str]:
        if not self._calls:
            return "there was no call", ""
        ids = [call.id for call in self._calls]
        if not all(ids) or len(set(ids)) < len(ids):
            return f"the server's ids do not tell the calls apart: {ids}", ""
        if self._trouble[1]:
            return self._trouble[1], ""
        return "", ", ".join(f"{result.id} → {result.name}" for result in self._results)

    def _final(self) -> tuple[str, str]:
        last = self.messages[-1]
        if trouble := next(filter(None, self._trouble), ""):
            return trouble, ""
        if not self._results:
            return f"no result to use; it said: {_said(last)}", ""
        if again := _calls(last):
            return f"called {', '.join(call.name for call in again)} again, no answer", ""
        text = unicodedata.normalize("NFKC", last["content"])
        missing = [name for name, figures in FACTS.items() if not _mentions(text, figures)]
        if missing:
            return f"nothing from {' and '.join(missing)} in: {_said(last)}", ""
        return "", _said(last)


def _mentions(text: str, figures: Sequence[str]) -> bool:
    """Whether one of the figures stands in the text as a whole number: 26 is not in 126."""
    return any(re.search(rf"(?<![\d.]){figure}(?!\d)", text) for figure in figures)


def _first_model(client: openai.OpenAI) -> str:
    models = client.models.list().data
    if not models:
        raise UserError("The server lists no model.", "name one")
    return models[0].id


def _as_message(message: Any) -> dict[str, Any]:
    """The fields of a reply that belong into the conversation, whatever else a server adds."""
    fields = message.model_dump()
    value: dict[str, Any] = {"role": "assistant", "content": fields.get("content") or ""}
    calls = fields.get("tool_calls") or []
    if calls:
        value["tool_calls"] = [
            {
                "id": call.get("id") or "",
                "type": "function",
                "function": {
                    "name": (call.get("function") or {}).get("name") or "",
                    "arguments": (call.get("function") or {}).get("arguments") or "{}",
                },
            }
            for call in calls
        ]
    return value


def _calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
        for call in message.get("tool_calls", ())
    )


def _said(message: dict[str, Any]) -> str:
    return _words(message["content"]) or "nothing"


def _words(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}…"
