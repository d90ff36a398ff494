"""Command lines out of shell blocks: continued lines joined, comments and prompts left out.

Not a shell: quotes and backslashes as POSIX has them, `&&`, `;`, `|` and `&` between commands.
Here-documents, functions and loops are passed over, not understood.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 20_000  # characters of a command line that is read
MOST = 500  # command lines of one block

_PROMPT = re.compile(r"^\s*(\$|❯|>|PS>)\s+")
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_BEFORE = frozenset({"sudo", "nohup", "exec", "time", "env", "nice", "uv", "uvx", "run"})


class Command(NamedTuple):
    """A command with its words; `lines[i]` is the line of `words[i]` in the file."""

    words: tuple[str, ...]
    lines: tuple[int, ...]


def commands(text: str, first_line: int) -> Iterator[Command]:
    """The commands of a shell block; what can't be split is left out."""
    for joined in _joined(text, first_line):
        words: list[str] = []
        lines: list[int] = []
        for line, part in joined:
            for word in _words(part) or ():
                if word in ("&&", ";", "|", "||", "&"):
                    yield from _command(words, lines)
                    words, lines = [], []
                else:
                    words.append(word)
                    lines.append(line)
        yield from _command(words, lines)


def _command(words: list[str], lines: list[int]) -> Iterator[Command]:
    start = 0
    while start < len(words) and (
        words[start] in _BEFORE or _ASSIGNMENT.fullmatch(words[start][:500])
    ):
        start += 1
    if words[start:]:
        yield Command(tuple(words[start:]), tuple(lines[start:]))


def _joined(text: str, first_line: int) -> Iterator[list[tuple[int, str]]]:
    """Each command line as its physical lines, with their numbers."""
    parts: list[tuple[int, str]] = []
    ending, count = "", 0
    for number, line in enumerate(text.split("\n"), start=first_line):
        if ending:
            ending = "" if line.strip() == ending else ending
            continue
        if heredoc := _HEREDOC.search(line[:LONGEST]):
            ending = heredoc[1]
        line = _PROMPT.sub("", line) if not parts else line
        continued = line.rstrip().endswith("\\")
        parts.append((number, line.rstrip()[:-1] if continued else line))
        if not continued:
            count += 1
            if count > MOST:
                return
            yield parts
            parts = []
    if parts:
        yield parts


def _words(line: str) -> list[str] | None:
    if len(line) > LONGEST:
        return None
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        return list(lexer)
    except ValueError:
        return None


def quotes_error(text: str) -> str:
    """What is wrong with the quotes of a shell text, or "" ."""
    if len(text) > 10 * LONGEST or _HEREDOC.search(text):
        return ""
    plain = "\n".join(_PROMPT.sub("", line) for line in text.split("\n"))
    try:
        shlex.split(plain, comments=True)
    except ValueError as error:
        return str(error).lower()
    return ""
