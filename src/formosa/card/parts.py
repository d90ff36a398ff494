"""The parts of a card that checks read besides tables: headings, code blocks, links, prose.

Line by line, in linear time, and no more of Markdown than that: `markdown.py` says where code,
comments and tables begin. HTML is read for its links only and never shown. Lines longer than
`LONGEST` characters hold no links for us: no card has such, and only a trap would.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from formosa.card.markdown import NEWLINE, after_fence, comment_at, opening_fence

LONGEST = 20_000  # characters
MOST_LINKS = 5_000

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_INLINE_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(\s*<?([^()<>\s]+)")
_AROUND_IMAGE = re.compile(r"!\[([^\[\]]*)\]\([^()\s]*\)\]\(\s*<?([^()<>\s]+)")
_HREF = re.compile(r"<(a|img)\s[^<>]*?(?:href|src)\s*=\s*[\"']([^\"'<>]*)", re.IGNORECASE)
_BARE = re.compile(r"(?<![(<\"'=])https?://[^\s<>()\[\]\"'`{}|\\]+")


class CodeBlock(NamedTuple):
    """A fenced block: its language as written, its text, the line of its first line of text."""

    language: str
    text: str
    line: int


class Link(NamedTuple):
    """What a reader sees, and where it leads."""

    text: str
    url: str
    line: int


class Heading(NamedTuple):
    level: int
    text: str
    line: int


class Parts(NamedTuple):
    """In the order of the text; lines are those of the file, from 1.

    Attributes:
        prose: every line that is neither code nor comment, with its number; tables included.
    """

    blocks: tuple[CodeBlock, ...]
    links: tuple[Link, ...]
    headings: tuple[Heading, ...]
    prose: tuple[tuple[int, str], ...]


def read_parts(text: str, offset: int = 0) -> Parts:
    """The parts of a Markdown text; any text can be read.

    Args:
        text: Markdown, without front matter.
        offset: how many lines of the file stand before it.
    """
    lines = NEWLINE.split(text)
    blocks: list[CodeBlock] = []
    links: list[Link] = []
    headings: list[Heading] = []
    prose: list[tuple[int, str]] = []
    i = 0
    while i < len(lines):
        line, number = lines[i], i + 1 + offset
        if fence := opening_fence(line):
            end = after_fence(lines, i + 1, fence)
            language = (line.strip().lstrip(fence[0]).split() or [""])[0].strip("{}.").lower()
            closed = end - 1 > i and not lines[end - 1].strip(" ").strip(fence[0])
            inside = lines[i + 1 : end - 1 if closed else end]
            blocks.append(CodeBlock(language[:40], "\n".join(inside), number + 1))
            i = end
        elif line.lstrip(" ").startswith("<!--"):
            _, i = comment_at(lines, i)
        else:
            if match := _HEADING.fullmatch(line[:LONGEST]):
                words = match[2].strip().rstrip("#").rstrip()
                headings.append(Heading(len(match[1]), words, number))
            prose.append((number, line))
            if len(line) <= LONGEST and len(links) < MOST_LINKS:
                links += _links(line, number)
            i += 1
    return Parts(tuple(blocks), tuple(links), tuple(headings), tuple(prose))


def _links(line: str, number: int) -> list[Link]:
    found = []
    plain = _INLINE_CODE.sub(" ", line)
    if "](" in plain:
        found += [Link(m[2], m[3], number) for m in _LINK.finditer(plain)]
        found += [Link(m[1], m[2], number) for m in _AROUND_IMAGE.finditer(plain)]
    if "<" in plain:
        found += [Link("", m[2], number) for m in _HREF.finditer(plain)]
    if "://" in plain:
        found += [Link("", m[0].rstrip(".,;:。，"), number) for m in _BARE.finditer(plain)]
    return found


_HUB = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(.*)",
    re.DOTALL,
)
_NOT_MODELS = """
    datasets spaces papers docs blog collections organizations learn api settings join tasks posts
    chat models resolve
"""
_OTHER_PAGES = frozenset(_NOT_MODELS.split())


def hub_model(url: str) -> tuple[str, str]:
    """(organisation/name, the rest of the path) where `url` is a model's page; ("", "") else."""
    match = _HUB.fullmatch(url[:2000])
    if not match or match[1].split("/")[0] in _OTHER_PAGES:
        return "", ""
    return match[1].rstrip("."), match[2]
