"""Stop texts that end an answer, and nothing else: no thought, no call.

An engine looks for a stop text in all that it writes. There a line break or a brace would end a
call in its middle, and a blank line the thoughts before the answer. So where calls or thoughts may
come, a client's stop texts are looked for here, in the content that the parser hands on, and the
engine is stopped by leaving it. A stop text that spells a tag (`</think>`) means the raw text:
those stay with the engine.

What is held back is the beginning of a stop text, never more than the longest one.

A small model that has made its calls sometimes makes the last one again, and again, to the limit.
Where calls are held (`TemplatedChat`) the first repetition is the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from formosa.chat.message import Message, ToolCall
from formosa.chat.reply import Delta, Event
from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK

_TAGS = (CALL, END_CALL, THINK, END_THINK)


def spells_tag(stop: str) -> bool:
    return any(tag in stop for tag in _TAGS)


class HandedOn:
    """What of a reply reaches the client, event by event.

    Args:
        stops: texts that end the answer.
        one_call: the first call is the last thing that is handed on.
        once: a call that repeats an earlier one to the letter ends the reply, and is left out.

    Attributes:
        stop: the stop text that came, if one did.
        repeated: whether such a call came.
        calls: those that were handed on.
    """

    def __init__(
        self, stops: Sequence[str] = (), *, one_call: bool = False, once: bool = False
    ) -> None:
        self._stops = stops
        self._one_call = one_call
        self._once = once
        self._held = ""  # of the content: it may be the beginning of a stop text
        self._parts: dict[str, list[str]] = {"reasoning": [], "content": []}
        self.calls: list[ToolCall] = []
        self.stop: str | None = None
        self.repeated = False

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Those that are handed on."""
        out: list[Event] = []
        for event in events:
            if self.ended or (self._one_call and self.calls):
                break
            if self._once and isinstance(event, ToolCall) and self._has(event):
                self.repeated = True
                break
            if isinstance(event, Delta) and event.kind == "content" and not event.broken:
                out += self._content(event.text)
                continue
            out += self.flush()  # a stop text in two halves is none
            if isinstance(event, Delta):
                self._parts[event.kind].append(event.text)
            else:
                self.calls.append(event)
            out.append(event)
        return out

    @property
    def ended(self) -> bool:
        """Whether a stop text or a repetition ended the reply: nothing more is wanted."""
        return self.stop is not None or self.repeated

    def flush(self) -> list[Event]:
        """What was held back was no stop text."""
        held, self._held = self._held, ""
        return self._said(held) if self.stop is None else []

    def message(self) -> Message:
        """All of it, as one message."""
        return Message(
            "assistant",
            content="".join(self._parts["content"]),
            reasoning="".join(self._parts["reasoning"]),
            tool_calls=tuple(self.calls),
        )

    def _has(self, call: ToolCall) -> bool:
        return any((c.name, c.arguments) == (call.name, call.arguments) for c in self.calls)

    def _content(self, text: str) -> list[Event]:
        text = self._held + text
        found = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            # The first one; of those that begin at the same place, the one that ends first.
            place, self.stop = min(found, key=lambda item: (item[0] + len(item[1]), item[0]))
            self._held = ""
            return self._said(text[:place])
        keep = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return self._said(text[: len(text) - keep])

    def _said(self, text: str) -> list[Event]:
        if not text:
            return []
        self._parts["content"].append(text)
        return [Delta("content", text)]


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` are the beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
