"""The parts of a Markdown text that a card's check reads: tables and HTML comments.

Follows GitHub's rules for tables, fenced code and comments, line by line, and nothing else of
Markdown. What stands inside a code block is never a table and never a comment: a card quotes what
a model said, and a model may say `<!-- formosa:claims`.

A cell is its source text, escapes included, so that comparing a cell is comparing what was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MARK = "formosa:table "

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_DELIMITER = re.compile(r":?-+:?")
NEWLINE = re.compile(r"\r\n|\r|\n")
_PIPE = re.compile(r"(?<!\\)\|")
_OTHER_BLOCK = re.compile(r" {0,3}(#{1,6}(\s|$)|>|`{3}|~{3}|<!--)")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it stands in the text.

    Attributes:
        name: what `<!-- formosa:table NAME -->` above it says; "" without such a line.
        line: of its heads, from 1, counted in the text that was read.
        rows: one tuple a row; it may be shorter or longer than `heads`.
    """

    name: str
    line: int
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Document:
    """What was found, in the order of the text. A comment is the text between its marks."""

    tables: tuple[Table, ...]
    comments: tuple[str, ...]


def read_document(text: str) -> Document:
    """The tables and comments of a Markdown text. Any text can be read; takes linear time."""
    lines = NEWLINE.split(text)  # not splitlines(): Markdown knows no other line ends
    tables: list[Table] = []
    comments: list[str] = []
    name = ""  # of the table that may follow
    i = 0
    while i < len(lines):
        if fence := opening_fence(lines[i]):
            i = after_fence(lines, i + 1, fence)
            name = ""
        elif lines[i].lstrip(" ").startswith("<!--"):
            comment, i = comment_at(lines, i)
            comments.append(comment)
            name = comment.strip()[len(MARK) :] if comment.strip().startswith(MARK) else ""
        elif _begins_table(lines, i):
            table, i = _table(lines, i, name)
            tables.append(table)
            name = ""
        else:
            if lines[i].strip():
                name = ""
            i += 1
    return Document(tuple(tables), tuple(comments))


def opening_fence(line: str) -> str:
    """The marks that open a code block; a backtick in the info text makes it inline code."""
    match = _FENCE.fullmatch(line)
    return match[1] if match and not (match[1][0] == "`" and "`" in match[2]) else ""


def after_fence(lines: list[str], i: int, fence: str) -> int:
    """The line after the code block whose text begins in line `i`. It may never end."""
    while i < len(lines):
        mark = lines[i].strip(" ")
        i += 1
        if len(mark) >= len(fence) and not mark.strip(fence[0]):
            break
    return i


def comment_at(lines: list[str], i: int) -> tuple[str, int]:
    """The comment that begins in line `i`, and the line after it. It may never end."""
    collected = [lines[i].split("<!--", 1)[1]]
    while "-->" not in collected[-1] and i + 1 < len(lines):
        i += 1
        collected.append(lines[i])
    collected[-1] = collected[-1].split("-->", 1)[0]
    return "\n".join(collected), i + 1


def _begins_table(lines: list[str], i: int) -> bool:
    if "|" not in lines[i] or i + 1 == len(lines) or "|" not in lines[i + 1]:
        return False
    marks = _cells(lines[i + 1])
    return len(_cells(lines[i])) == len(marks) and all(map(_DELIMITER.fullmatch, marks))


def _table(lines: list[str], i: int, name: str) -> tuple[Table, int]:
    first, rows = i, []
    i += 2
    while i < len(lines) and lines[i].strip() and not _OTHER_BLOCK.match(lines[i]):
        rows.append(_cells(lines[i]))
        i += 1
    return Table(name, first + 1, _cells(lines[first]), tuple(rows)), i


def _cells(line: str) -> tuple[str, ...]:
    line = line.strip()
    line = line[1:] if line.startswith("|") else line
    parts = _PIPE.split(line)
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()  # what follows the closing pipe
    return tuple(part.strip() for part in parts)


def draw_table(name: str, heads: list[str], rows: list[list[str]]) -> str:
    """The lines of a named table; the cells are Markdown already (`escaped` makes it of text)."""
    lines = [f"<!-- {MARK}{name} -->", "", _line(heads), _line(["---"] * len(heads))]
    return "\n".join([*lines, *map(_line, rows)]) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


_SPECIAL = re.compile(r"([\\`*\[\]|])")


def escaped(text: str) -> str:
    """Text as Markdown that shows it: one line, no markup, no HTML, no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _SPECIAL.sub(r"\\\1", line).replace("<", "&lt;")


def code_block(text: str, language: str = "") -> str:
    """Text as a code block that nothing inside it can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
