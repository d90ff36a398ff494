"""What can be wrong with a row, as errors: a sentence, and a short reason that is counted.

`RowError` is raised by what reads a part of a row and knows its path; the reader makes a
`FormatError` of it, which says where the row is.
"""

from __future__ import annotations

from formosa.errors import DataError, MessageError

BAD_CALL = "bad tool call"
BAD_TOOL = "bad tool"
DROPPED = "field would be dropped"
EMPTY = "empty"
NOT_LEARNT = "reply not to be learnt"
NO_ANSWER = "no answer"
NO_CALL = "no call"
THOUGHTS = "unclear thoughts"
UNKNOWN_SPEAKER = "unknown speaker"
UNKNOWN_TOOL = "unknown tool"


class RowError(MessageError):
    """A part of a row does not fit; `reason` is the short name it is counted under."""

    def __init__(self, path: str, problem: str, reason: str) -> None:
        super().__init__(path, problem)
        self.reason = reason


class FormatError(DataError):
    """A row that a format can't read; `reason` is the short name it is counted under."""

    def __init__(self, message: str, hint: str = "", *, reason: str = "no row") -> None:
        super().__init__(message, hint)  # so that it can travel between processes
        self.reason = reason

    @classmethod
    def at(cls, where: str, problem: str, *, reason: str, hint: str = "") -> FormatError:
        """The error for what stands at `where` (`rows.jsonl:7`)."""
        return cls(f"{where}: {problem}." if where else f"{problem}.", hint, reason=reason)
