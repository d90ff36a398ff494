"""A card's text as lines for a page: what each is, its links, and which figures are backed.

The text stays the source that it is: no HTML is made of it, so nothing in it can run, and a finding
stands at the very line that it is about. Knows Markdown as far as the checks do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from formosa.card.checks.finding import Finding
from formosa.card.checks.subject import Subject, cell_text
from formosa.card.claims import MODEL_INDEX, Claim
from formosa.card.markdown import NEWLINE, Table, after_fence, comment_at, opening_fence

Kind = Literal["front", "heading", "table", "code", "comment", "text"]
State = Literal["backed", "claimed", "wrong"]

MOST = 5_000  # lines that are shown
LONGEST = 4_000  # characters of a line that are shown
FOLDED = 30  # lines of front matter from which on it is folded; comments are from three on
_URL = re.compile(r"https?://[^\s<>()\[\]\"'`{}|\\]+", re.IGNORECASE)
_ODD_LINK = re.compile(
    r"(?:\]\(\s*<?|\]:\s*<?|(?:href|src|action)\s*=\s*[\"']?)\s*"
    r"((?!https?:|mailto:)[a-z][a-z0-9+.\-]*:[^\s<>()\"']*)",
    re.IGNORECASE,
)
_PIPE = re.compile(r"(?<!\\)\|")
_VALUE = re.compile(r"\s*(?:-\s+)?value:\s*(\S.*?)\s*$")


class Mark(NamedTuple):
    """A figure in a line: from which character to which, and what is known of it.

    Attributes:
        why: for people; "" where the state says all.
        files: that it follows from, relative to the card's folder.
    """

    start: int
    end: int
    state: State
    why: str = ""
    files: tuple[str, ...] = ()


class Span(NamedTuple):
    """Some text of a line: a figure, a link to elsewhere, an address that is no link, or words."""

    text: str
    mark: Mark | None = None
    url: str = ""
    odd: bool = False


class Line(NamedTuple):
    """A line of the file, from 1.

    Attributes:
        level: of a heading; 0 of other lines.
        head: whether it holds the heads of a table, or the line below them.
        cut: characters that are left out.
    """

    number: int
    kind: Kind
    spans: tuple[Span, ...]
    level: int = 0
    head: bool = False
    cut: int = 0


class Block(NamedTuple):
    """Lines that belong together; a folded one is shown closed, unless a finding is about it."""

    kind: Kind
    lines: tuple[Line, ...]
    folded: bool = False


def blocks_of(
    card: Subject, findings: Sequence[Finding], most: int = MOST
) -> tuple[tuple[Block, ...], int]:
    """The card's text in blocks, and how many lines are left out at its end.

    Args:
        card: the card.
        findings: what the checks said of it; they decide which figures are wrong.
        most: lines that are shown.
    """
    texts = NEWLINE.split(card.text)
    if texts and not texts[-1]:
        texts.pop()  # after the last line's end
    kinds = _kinds(card, texts[:most])
    levels = {heading.line: heading.level for heading in card.parts.headings}
    heads = {card.table_line(t) + i for t in card.document.tables for i in (0, 1)}
    marks = figure_marks(card, findings, texts)
    lines = [
        Line(
            number,
            kinds[number],
            tuple(_spans(text[:LONGEST], marks.get(number, ()), kinds[number])),
            levels.get(number, 0) if kinds[number] == "heading" else 0,
            number in heads,
            max(0, len(text) - LONGEST),
        )
        for number, text in enumerate(texts[:most], start=1)
    ]
    about = {finding.line for finding in findings}
    return tuple(_blocks(lines, about)), max(0, len(texts) - most)


def _kinds(card: Subject, texts: list[str]) -> Mapping[int, Kind]:
    """What each line is, by its number."""
    kinds: dict[int, Kind] = dict.fromkeys(range(1, card.offset + 1), "front")
    body = texts[card.offset :]
    i = 0
    while i < len(body):
        number = i + 1 + card.offset
        if fence := opening_fence(body[i]):
            end = after_fence(body, i + 1, fence)
            kinds.update(dict.fromkeys(range(number, end + 1 + card.offset), "code"))
            i = end
        elif body[i].lstrip(" ").startswith("<!--"):
            _, end = comment_at(body, i)
            kinds.update(dict.fromkeys(range(number, end + 1 + card.offset), "comment"))
            i = end
        else:
            kinds[number] = "text"
            i += 1
    for heading in card.parts.headings:
        kinds[heading.line] = "heading"
    for table in card.document.tables:
        first = card.table_line(table)
        kinds.update(dict.fromkeys(range(first, first + 2 + len(table.rows)), "table"))
    return kinds


def _blocks(lines: Iterable[Line], about: set[int]) -> Iterator[Block]:
    waiting: list[Line] = []

    def block() -> Block:
        kind = waiting[0].kind
        long = len(waiting) > FOLDED if kind == "front" else len(waiting) > 2
        folded = kind in ("front", "comment") and long
        return Block(kind, tuple(waiting), folded and not any(x.number in about for x in waiting))

    for line in lines:
        if waiting and line.kind != waiting[-1].kind:
            yield block()
            waiting = []
        waiting.append(line)
    if waiting:
        yield block()


def _spans(text: str, marks: Sequence[Mark], kind: Kind) -> Iterator[Span]:
    """The line in spans, in order: figures first, then links; nothing overlaps."""
    found: list[tuple[int, int, Span]] = [
        (mark.start, mark.end, Span(text[mark.start : mark.end], mark))
        for mark in marks
        if mark.end <= len(text)
    ]
    if kind != "code":
        found += ((m.start(1), m.end(1), Span(m[1], odd=True)) for m in _ODD_LINK.finditer(text))
    for match in _URL.finditer(text):
        url = match[0].rstrip(".,;:。，、")
        found.append((match.start(), match.start() + len(url), Span(url, url=url)))
    position = 0
    for start, end, span in sorted(found, key=lambda item: item[:2]):
        if start < position:
            continue
        if start > position:
            yield Span(text[position:start])
        yield span
        position = end
    if position < len(text) or not text:
        yield Span(text[position:])


def figure_marks(
    card: Subject, findings: Sequence[Finding], texts: Sequence[str]
) -> Mapping[int, tuple[Mark, ...]]:
    """The figures of each line with what is known of them: of claims, then of the checks."""
    found: dict[int, dict[tuple[int, int], Mark]] = {}

    def add(line: int, place: tuple[int, int] | None, mark: State, why: str,
            files: tuple[str, ...] = ()) -> None:  # fmt: skip
        if place and place not in found.setdefault(line, {}):
            found[line][place] = Mark(*place, mark, why, files)

    wrong = {f.where: f.message for f in findings if f.severity == "error"}
    # Of errors that come by the hundred not all are listed: then nobody knows whose they are.
    unlisted = next((f.message for f in findings if f.code == "too-many"), "")
    for claim, line, place in _claimed_places(card, texts):
        why = wrong.get(claim.place) or next((wrong[f] for f in claim.files if f in wrong), "")
        if why:
            add(line, place, "wrong", why, claim.files)
        else:
            add(line, place, "claimed" if unlisted else "backed", unlisted, claim.files)
    states: dict[str, State] = {
        "log-supports": "backed",
        "log-differs": "wrong",
        "number-without-claim": "claimed",
        "model-index-without-claim": "claimed",
    }
    cells = _cells(card, texts)
    for finding in findings:
        state = states.get(finding.code)
        if not state or not 0 < finding.line <= len(texts):
            continue
        if finding.line in cells:
            head = finding.where.rpartition(": ")[2]
            for place in cells[finding.line].get(head, ()):
                add(finding.line, place, state, finding.message)
        elif finding.line <= card.offset:
            for line, place in _index_value(card, finding.line, texts):
                add(line, place, state, finding.message)
    return {
        line: tuple(sorted(places.values(), key=lambda mark: mark.start))
        for line, places in found.items()
    }


def cell_places(line: str) -> list[tuple[int, int]]:
    """Where the cells of a table's line stand, as `card/markdown.py` cuts them."""
    start, end = len(line) - len(line.lstrip()), len(line.rstrip())
    if line[start:end].startswith("|"):
        start += 1
    places = []
    for match in _PIPE.finditer(line, start, end):
        places.append((start, match.start()))
        start = match.end()
    if line[start:end].strip() or not places:
        places.append((start, end))
    return [_trimmed(line, *place) for place in places]


def _trimmed(line: str, start: int, end: int) -> tuple[int, int]:
    text = line[start:end]
    return start + len(text) - len(text.lstrip()), max(start, end - len(text) + len(text.rstrip()))


Cells = Mapping[int, Mapping[str, Sequence[tuple[int, int]]]]  # by line, by head as findings say it


def _cells(card: Subject, texts: Sequence[str]) -> Cells:
    found: dict[int, dict[str, list[tuple[int, int]]]] = {}
    for table in card.document.tables:
        for i in range(len(table.rows)):
            line = card.table_line(table, i)
            by_head = found.setdefault(line, {})
            for j, place in enumerate(cell_places(texts[line - 1])):
                head = table.heads[j] if j < len(table.heads) else f"cell {j + 1}"
                by_head.setdefault(cell_text(head), []).append(place)
    return found


def _claimed_places(
    card: Subject, texts: Sequence[str]
) -> Iterator[tuple[Claim, int, tuple[int, int]]]:
    """Each claim with the line and the place that show it."""
    by_table: dict[str, list[Table]] = {}
    for table in card.document.tables:
        by_table.setdefault(table.name, []).append(table)
    rows: dict[tuple[str, tuple[str, ...]], list[tuple[Table, int]]] = {}
    lengths = {(claim.table, len(claim.row)) for claim in card.claims.claims}
    for name, length in lengths:
        for table in by_table.get(name, ()):
            for i, row in enumerate(table.rows):
                rows.setdefault((name, row[:length]), []).append((table, i))
    for claim in card.claims.claims:
        if claim.table == MODEL_INDEX:
            for i, entry in enumerate(card.results):
                if (entry.dataset_name, entry.metric_name) == claim.row:
                    for line, place in _index_value(card, card.result_line(i), texts):
                        yield claim, line, place
            continue
        for table, i in rows.get((claim.table, claim.row), ()):
            line = card.table_line(table, i)
            for head, place in zip(table.heads, cell_places(texts[line - 1]), strict=False):
                if head == claim.column:
                    yield claim, line, place


def _index_value(
    card: Subject, line: int, texts: Sequence[str]
) -> Iterator[tuple[int, tuple[int, int]]]:
    """The value of the metric whose entry begins in a line of the front matter."""
    for number in range(line, min(line + 12, card.offset) + 1):
        text = texts[number - 1]
        if match := _VALUE.match(text[:LONGEST]):
            yield number, match.span(1)
            return
        if number > line and text.lstrip().startswith("- "):
            return  # the next metric
