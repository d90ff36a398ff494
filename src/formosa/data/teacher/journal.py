"""Every answer of the teacher on the disk, before the next question: what was paid for is kept.

    start     the teacher, and what requests depend on
    reply     of one seed and step: the message as it came, why it ended, its tokens
    results   of one seed: what its calls gave back
    done      of one seed: its row, or the reason why there is none

One writer at a time. A process killed at any moment leaves whole records: an answer that was
recorded is never asked for again, and a seed that is done is not looked at again. A journal of
other requests is refused. The key of the endpoint is nowhere in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.data.teacher.cost import Tokens
from formosa.engines.protocol import ChatReply
from formosa.errors import DataError, MessageError
from formosa.files import Closing, JsonLines, alone, read_jsonl

FORMAT = 1
NAME = "journal.jsonl"


@dataclass(frozen=True, slots=True)
class Said:
    """One answer: what it says, and whether it was cut off by its limit."""

    message: Message
    cut: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed: a row, and where it is not used, why."""

    row: Row | None
    rejection: Rejection | None = None


class Journal(Closing):
    """An open journal, as far as it got.

    Args:
        folder: it lies there, with a lock file.
        start: what requests depend on, and who is asked.

    Attributes:
        done: by id of the seed.
        tokens: of all answers, those of earlier runs too.

    Raises:
        DataError: it is of other requests, damaged, or somebody else is writing it.
        UserError: it can't be written.
    """

    def __init__(self, folder: Path, start: Mapping[str, Any]) -> None:
        self.path = folder / NAME
        self.done: dict[str, Outcome] = {}
        self.tokens = Tokens()
        self._said: dict[str, dict[str, Said]] = {}
        self._results: dict[str, list[str]] = {}
        busy = DataError(
            f"Somebody else is writing {self.path}.", "wait for it, or choose another folder"
        )
        with ExitStack() as stack:
            stack.enter_context(alone(folder / ".journal.lock", busy))
            self._lines = stack.enter_context(JsonLines(self.path))
            if not self._read(start):
                self._lines.append({"type": "start", "format": FORMAT, **start})
            self._held = stack.pop_all()

    def _read(self, start: Mapping[str, Any]) -> bool:
        """Whether there was anything to read."""
        begun = False
        for number, record in read_jsonl(self.path):
            try:
                if not begun:
                    self._check_start(record, start)
                else:
                    self._take(record)
            except (KeyError, TypeError, ValueError, AttributeError, MessageError) as error:
                raise DataError(
                    f"{self.path}:{number} is no record of a teacher: {error!r}.",
                    "choose another folder",
                ) from error
            begun = True
        return begun

    def _check_start(self, record: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        there = {"format": FORMAT, **start}
        for key in sorted(there.keys() | record.keys() - {"type"}):
            if record.get(key) != there.get(key):
                raise DataError(
                    f"{self.path} holds answers to other requests: {key} was "
                    f"{_short(record.get(key))}, and is {_short(there.get(key))}.",
                    "choose another folder, or ask as before",
                )

    def _take(self, record: Mapping[str, Any]) -> None:
        seed = record["seed"]
        match record["type"]:
            case "reply":
                said = Said(_message(record["message"]), record["finish"] == "length")
                self._said.setdefault(seed, {})[record["step"]] = said
                usage = record["usage"]
                self.tokens.add(*(usage or (None, None)))
            case "results":
                self._results[seed] = list(record["results"])
            case "done":
                refused = record["rejection"]
                outcome = Outcome(
                    _row(record["row"]) if record["row"] else None,
                    Rejection(*refused) if refused else None,
                )
                self._finish(seed, outcome)
            case kind:
                raise ValueError(f"unknown type {kind}")

    def said(self, seed: str, step: str) -> Said | None:
        """The answer to a step, where there was one."""
        return self._said.get(seed, {}).get(step)

    def add_reply(self, seed: str, step: str, reply: ChatReply) -> Said:
        usage = (reply.usage.prompt, reply.usage.completion) if reply.usage else None
        self._lines.append(
            {
                "type": "reply",
                "seed": seed,
                "step": step,
                "message": reply.message.to_openai(),
                "finish": reply.finish,
                "usage": usage,
            }
        )
        self.tokens.add(*(usage or (None, None)))
        said = Said(reply.message, reply.finish == "length")
        self._said.setdefault(seed, {})[step] = said
        return said

    def results(self, seed: str) -> list[str] | None:
        return self._results.get(seed)

    def add_results(self, seed: str, results: Sequence[str]) -> None:
        self._lines.append({"type": "results", "seed": seed, "results": list(results)})
        self._results[seed] = list(results)

    def add_outcome(self, seed: str, outcome: Outcome) -> None:
        refused = outcome.rejection
        self._lines.append(
            {
                "type": "done",
                "seed": seed,
                "row": outcome.row.to_json() if outcome.row else None,
                "rejection": [refused.reason, refused.detail] if refused else None,
            }
        )
        self._finish(seed, outcome)

    def _finish(self, seed: str, outcome: Outcome) -> None:
        self.done[seed] = outcome
        self._said.pop(seed, None)  # a done seed is not looked at again
        self._results.pop(seed, None)

    def close(self) -> None:
        self._held.close()


def _row(value: Mapping[str, Any]) -> Row:
    return Row.of(
        map(_message, value["messages"]),
        (Tool.from_openai(tool) for tool in value["tools"]),
        **{key: value[key] for key in ("id", "source", "kind", "language")},
    )


def _message(value: Mapping[str, Any]) -> Message:
    """A message as we wrote it. Its calls need not be what `Message.from_openai` takes: a refused
    row may hold anything that a teacher writes."""
    return Message(
        value["role"],
        content=value["content"],
        reasoning=value.get("reasoning_content", ""),
        tool_calls=tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], call["id"])
            for call in value.get("tool_calls", ())
        ),
        tool_call_id=value.get("tool_call_id", ""),
        name=value.get("name", ""),
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
