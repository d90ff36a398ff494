"""A card's text as plain values: title, first paragraph, first image, headings, tables.

Nothing here is HTML, and none is passed on: markup is taken out, cells and links are texts. Links
are kept only if they lead to http or https. Every step takes linear time, and long lines are cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from formosa.card.markdown import read_document
from formosa.card.sheet.values import MOST, Prose, clean

LONGEST_LINE = 20_000  # characters
_LINES = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.+)")
_OTHER = re.compile(r" {0,3}([-*+]\s|\d+[.)]\s|>|\||-{3,}|={3,}|\*{3,}\s*$)")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_TO = r"\(((?:[^()\s]|\([^()\s]*\))*)\)"  # an address may hold a pair of parentheses
_IMAGE = re.compile(r"!\[[^\[\]]*\]" + _TO)
_LINK = re.compile(r"\[([^\[\]]*)\]" + _TO)
_LINKS_ONLY = re.compile(r"(?:[\s|·•:,&]|&nbsp;|\[[^\[\]]*\]" + _TO + r")+")
_SOURCE = re.compile(r"<img\s[^<>]*?src\s*=\s*[\"']?(https?://[^\"'<>\s]+)", re.IGNORECASE)
_MARKDOWN_IMAGE = re.compile(r"!\[[^\[\]]*\]\((https?://[^()\s]+)\)")


def read_prose(body: str) -> Prose:
    """The values of a Markdown text without its front matter; any text can be read."""
    tables: list[Mapping[str, Any]] = [
        {
            "name": clean(t.name),
            "heads": _cells(t.heads),
            "rows": [_cells(r) for r in t.rows[:MOST]],
        }
        for t in read_document(body).tables[:MOST]
    ]
    lines = _without_code(_COMMENT.sub("", body))
    text = "\n".join(lines)
    tables += [t for t in html_tables(text) if t["rows"]]
    headings = [plain(m[2].rstrip("# ")) for line in lines if (m := _HEADING.fullmatch(line))]
    image = min(
        (m for m in (_SOURCE.search(text), _MARKDOWN_IMAGE.search(text)) if m),
        key=lambda match: match.start(),
        default=None,
    )
    words = [line[:LONGEST_LINE] for line in _TAG.sub("", text).split("\n")]
    return Prose(
        title=headings[0] if headings else "",
        summary=_summary(words),
        image=clean(image[1]) if image else "",
        links=_quick_links(words),
        sections=tuple(headings[:MOST]),
        tables=tuple(tables[:MOST]),
    )


def _without_code(text: str) -> list[str]:
    lines, fence = [], ""
    for line in _LINES.split(text):
        match = _FENCE.match(line)
        if match and not fence:
            fence = match[1]
        elif match and line.strip().startswith(fence):
            fence = ""
        elif not fence:
            lines.append(line[:LONGEST_LINE])
    return lines


def plain(text: str) -> str:
    """Markdown of one paragraph without its links, images and HTML; emphasis stays as written."""
    text = _IMAGE.sub("", text)
    text = _LINK.sub(r"\1", text)
    return clean(" ".join(_TAG.sub("", text).split()))


def _summary(lines: list[str]) -> str:
    """The first paragraph of words: no heading, list, table, quotation, or line of badges."""
    paragraph: list[str] = []
    for line in [*lines, ""]:
        words = plain(line)
        ends = not words or _HEADING.match(line) or _OTHER.match(line)
        if not ends and not (_LINKS_ONLY.fullmatch(line) and not paragraph):
            paragraph.append(words)
        elif paragraph:
            break
    return clean(" ".join(paragraph))


def _quick_links(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """Links of lines that are nothing but links, as in `[Paper](…) | [Demo](…)`, below the title
    and above the first section."""
    found = []
    for line in lines:
        if (heading := _HEADING.fullmatch(line)) and len(heading[1]) > 1:
            break
        if "](" in line and "![" not in line and _LINKS_ONLY.fullmatch(line):
            found += [(plain(m[1]), clean(m[2])) for m in _LINK.finditer(line)]
    return tuple(
        (text, url) for text, url in found[:MOST] if url.startswith(("https://", "http://"))
    )


def _cells(cells: tuple[str, ...]) -> list[str]:
    return [plain(cell) for cell in cells[:MOST]]


def html_tables(text: str) -> list[Mapping[str, Any]]:
    """Tables written in HTML, cell by cell as text."""
    if "<table" not in text.lower():
        return []
    reader = _Tables()
    reader.feed(text)
    return [_named(rows) for rows in reader.tables[:MOST] if rows]


def _named(rows: list[list[str]]) -> Mapping[str, Any]:
    return {"name": "", "heads": rows[0], "rows": rows[1:], "html": True}


class _Tables(HTMLParser):
    """Collects cells. A table inside a cell ends the outer one's row: no card needs that."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self._close_cell()
            self._inside = True
            self.tables.append([])
        elif self._inside and tag == "tr":
            self._close_cell()
            self.tables[-1].append([])
        elif self._inside and tag in ("td", "th") and self.tables[-1]:
            self._close_cell()
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._close_cell()
        if tag == "table":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._cell is not None and len(self._cell) < MOST:
            self._cell.append(data)

    def _close_cell(self) -> None:
        if self._cell is not None:
            row = self.tables[-1][-1]
            if len(row) < MOST:
                row.append(clean(" ".join("".join(self._cell).split())))
            self._cell = None
