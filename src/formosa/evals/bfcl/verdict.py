"""What the AST rules say about the calls of one reply, and what a defect of the data is."""

from __future__ import annotations

import reprlib
from typing import Any, NamedTuple

DATA_ERROR = "data_error"


class Verdict(NamedTuple):
    """Whether the calls are right.

    Attributes:
        kind: the error type, spelled as the reference spells it (`value_error:string`); "" when
            the calls are right, `data_error` where the reference would have crashed on its data.
        detail: one sentence for people; "" when the calls are right.
    """

    ok: bool
    kind: str = ""
    detail: str = ""


ACCEPTED = Verdict(True)


def wrong(kind: str, detail: str) -> Verdict:
    return Verdict(False, kind, detail)


class DataDefectError(Exception):
    """A function doc or an accepted answer is not what the rules need. Never the model's fault."""


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def show(value: Any) -> str:
    """A value in Python's spelling, cut where it is long or deep (a model may write anything)."""
    if type(value) is str and len(value) < 60:
        return repr(value)  # reprlib takes ten times as long, and most details are never read
    return _SHORT.repr(value)


def show_data(value: Any) -> str:
    """The same for what stands in the data, which is never deep: much faster, and as short."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
