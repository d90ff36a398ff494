"""Tables as CSV that a spreadsheet can open without running what a model wrote.

Spreadsheets take a cell that begins with = + - @ for a formula, and some run programs for one. Such
a cell gets an apostrophe before it, unless it is a plain number. UTF-8 with a mark, since Excel
guesses otherwise; lines end as RFC 4180 says.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

MIME = "text/csv; charset=utf-8"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def csv_text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The table as text.

    Args:
        heads: of the columns.
        rows: cells; None is empty, floats stand in full.
    """
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\r\n")
    writer.writerow([guarded(head) for head in heads])
    for row in rows:
        writer.writerow([guarded(cell) for cell in row])
    return "\ufeff" + made.getvalue()


def guarded(cell: object) -> str:
    """A cell's text that no spreadsheet takes for a formula."""
    # A lone surrogate, which a model may write, is no UTF-8; a NUL ends a file for some readers.
    text = "" if cell is None else str(cell)
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")
    if text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
