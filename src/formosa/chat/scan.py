"""Find where the JSON of a call ends, while it arrives.

A scan knows strings, escapes and braces, and nothing of what the JSON says: `calls.py` reads it.
Each character is looked at once. What is kept is the text of the call, since a call that turns out
malformed comes back as it was.

Where a string contains `</tool_call>`, the tag belongs to the string, unless the end of the reply
or the start of the next call follows: then the string was never closed. A call that turns out
malformed ends at the first such tag, and reading goes on behind it.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from formosa.chat.tags import CALL, END_CALL, SPACE, partial_tag

WINDOW = 512  # characters after a closing tag in a string that may show the start of a call

_OUTSIDE = re.compile(r"[\"'{}\[\]]|</?tool_call>")
_INSIDE = {quote: re.compile(rf"\\.|{quote}|</tool_call>", re.DOTALL) for quote in ("'", '"')}
# A quoted key right after a call's start. In a JSON string the quote would end the string, and what
# follows the string could not be a letter: so here the next call begins, and the string is broken.
_NEXT_CALL = re.compile(r'<tool_call>[\s\[{]*[\[{]\s*"\w')
_SPACE = re.compile(rf"\s{{0,{SPACE}}}")
_AFTER = re.compile(rf"([\s,}}\]]{{0,{SPACE}}})(</tool_call>|[{{\[])")
_AFTER_SPACE = re.compile(rf"[\s,}}\]]{{0,{SPACE + 1}}}")


class Scan(NamedTuple):
    """How far a scan came in the pending text, and what it found there."""

    outcome: Literal["more", "value", "broken"]
    end: int
    problem: str = ""


class CallScan:
    """The scan of one call, from its opening tag to the end of its JSON value.

    Attributes:
        opening: the tag, and the white space before it.
        length: how many characters of the call were taken out of the pending text.
    """

    def __init__(self, opening: str) -> None:
        self.opening = opening
        self.length = 0
        self._taken: list[str] = []
        self._scanned = 0  # how much of the pending text was scanned and not taken
        self._quote = ""  # of the string that the scan is in
        self._depth = 0
        self._candidate = -1  # where the first closing tag inside a string ended

    def scan(self, pending: str, final: bool) -> Scan:
        """Read on. With the outcome `more`, the text up to `end` was taken and is not needed again.

        `final`: nothing follows what is pending.
        """
        while True:
            pattern = _INSIDE[self._quote] if self._quote else _OUTSIDE
            match = pattern.search(pending, self._scanned)
            if match is None:
                return self._exhausted(pending, final)
            token, end = match.group(), match.end()
            if self._quote:
                if token == self._quote:
                    self._quote = ""
                elif token == END_CALL:
                    broken = _string_is_broken(pending, end, final)
                    if broken is None:
                        return self._take(pending, match.start())
                    if self._candidate < 0:
                        self._candidate = self.length + end
                    if broken:
                        return Scan("broken", end, "a string is not closed")
            elif token in "\"'":
                self._quote = token
            elif token in "{[":
                self._depth += 1
            elif token in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    return Scan("value", end)
            elif token == END_CALL:
                return Scan("broken", end, "a brace is not closed")
            else:  # the next call begins inside this one
                return Scan("broken", match.start(), "a brace is not closed")
            self._scanned = end

    def text(self, pending: str, end: int) -> str:
        """The call's own text, up to `end` of what is pending."""
        return "".join(self._taken) + pending[:end]

    def first_end(self, text: str) -> int:
        """Where a malformed call ends in its own text: at the first closing tag inside a string, or
        where another call begins, whichever is first."""
        stop = len(text) if self._candidate < 0 else self._candidate
        next_call = _NEXT_CALL.search(text, 0, stop)
        return next_call.start() if next_call else stop

    def _exhausted(self, pending: str, final: bool) -> Scan:
        if final:
            return Scan("broken", len(pending), "the reply ended inside the call")
        keep = partial_tag(pending, (CALL, END_CALL))
        if self._quote and pending.endswith("\\"):
            # An escape may be cut in two; an even run of backslashes was matched in pairs.
            keep = min(keep, len(pending) - 1)
        return self._take(pending, max(keep, self._scanned))

    def _take(self, pending: str, end: int) -> Scan:
        self._taken.append(pending[:end])
        self.length += end
        self._scanned = 0
        return Scan("more", end)


def after_value(pending: str, final: bool) -> tuple[Literal["more", "tag", "value", "none"], int]:
    """What follows the JSON value of a call, and where: its closing tag (which ends there), another
    value between the same tags (which begins there), or neither: then the tag was forgotten."""
    match = _AFTER.match(pending)
    if match is None:
        space = _AFTER_SPACE.match(pending)
        assert space is not None
        may_come = space.end() <= SPACE and END_CALL.startswith(pending[space.end() :])
        return ("more" if may_come and not final else "none"), 0
    if match[2] == END_CALL:
        return "tag", match.end()
    return ("none" if set(match[1]) & {"}", "]"} else "value"), match.start(2)


def _string_is_broken(pending: str, position: int, final: bool) -> bool | None:
    """Whether the closing tag that ends at `position`, inside a string, ends the call; None if that
    is open still."""
    space = _SPACE.match(pending, position)
    assert space is not None
    rest = pending[space.end() : space.end() + WINDOW]
    if not rest:
        return True if final else None
    if not rest.startswith(CALL[: len(rest)]):
        return False
    if len(rest) < WINDOW and not final:
        return None
    return _NEXT_CALL.match(rest) is not None
