"""The card as its checks see it: text, front matter with line numbers, tables, parts, own names.

Made once for all checks. Knows where things stand; judges nothing.

**What "own" means.** A card's model has up to three names: the hub id of its repository, the name
in its model-index, and that in its title. A row of a table is its own where it says so ("ours",
本模型) or names one of these.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from formosa.card.claims import Claims
from formosa.card.figures import Sources
from formosa.card.markdown import Document, Table
from formosa.card.parts import CodeBlock, Link, Parts, hub_model
from formosa.card.values import Card, node_of, split_card
from formosa.results.log import EvalLog

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

Place = tuple[str | int, ...]

_METRIC = ("model-index", "results", "metrics")

_OURS = re.compile(r"\(\s*ours?\s*\)|（ours?）|\bours\b|我們|本模型|this model", re.IGNORECASE)
_TITLE = re.compile(r"(?:model card (?:for|of)\s+)?([A-Za-z0-9][\w./-]*)", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_REPOSITORY = re.compile(r"\brepository\b|\brepo\b|儲存庫|模型庫", re.IGNORECASE)


@dataclass(frozen=True)
class Subject:
    """A card.

    Attributes:
        offset: lines of the file before the Markdown.
        ours: whether Formosa wrote it: it has claims, or tables that had them.
        results: of the model-index; () where it does not have the hub's shape.
        logs: from elsewhere (`--logs`), beside those that claims name.
    """

    path: Path
    text: str
    card: Card
    document: Document
    parts: Parts
    offset: int = 0
    claims: Claims = field(default_factory=lambda: Claims({}, ()))
    ours: bool = False
    results: tuple[EvalResult, ...] = ()
    logs: tuple[EvalLog, ...] = ()

    @cached_property
    def sources(self) -> Sources:
        return Sources(self.path.parent)

    @cached_property
    def _lines(self) -> Mapping[Place, int]:
        return dict(_node_lines(self.card.head)) if self.card.fields else {}

    def line_of(self, *place: str | int) -> int:
        """The line of a key or item of the front matter, or of the nearest thing around it."""
        for end in range(len(place), 0, -1):
            if place[:end] in self._lines:
                return self._lines[place[:end]]
        return 1 if self.card.head else 0

    @cached_property
    def result_places(self) -> tuple[Place, ...]:
        """Where each metric of `results` stands in the front matter, in their order."""
        places = [
            place
            for place in self._lines
            if len(place) == 6 and (place[0], place[2], place[4]) == _METRIC
        ]
        return tuple(places) if len(places) == len(self.results) else ()

    def result_line(self, index: int, *inside: str) -> int:
        """The line of a metric of `results`; with `inside`, of a key of its entry."""
        if not self.result_places:
            return self.line_of("model-index")
        place = self.result_places[index]
        return self.line_of(*place[:4], *inside) if inside else self.line_of(*place)

    def table_line(self, table: Table, row: int = -1) -> int:
        """The line of a table's heads, or of its row `row`."""
        return self.offset + table.line + (0 if row < 0 else row + 2)

    def table_title(self, table: Table) -> str:
        return f"table {table.name or self._table_numbers[table.line]}"

    @cached_property
    def _table_numbers(self) -> Mapping[int, int]:
        return {table.line: number for number, table in enumerate(self.document.tables, start=1)}

    @cached_property
    def links_by_line(self) -> Mapping[int, tuple[Link, ...]]:
        lines: dict[int, tuple[Link, ...]] = {}
        for link in self.parts.links:
            lines[link.line] = (*lines.get(link.line, ()), link)
        return lines

    @cached_property
    def index_names(self) -> tuple[str, ...]:
        """The names of models in the model-index."""
        index = self.card.fields.get("model-index")
        entries = index if isinstance(index, list) else []
        names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
        return tuple(name for name in names if isinstance(name, str) and name)

    @cached_property
    def title_name(self) -> tuple[str, int]:
        """The model's name in the first heading, with its line; ("", 0) where it has none."""
        for heading in self.parts.headings[:1]:
            plain = heading.text.strip("*_ ")
            match = _TITLE.match(plain)
            rest = plain[match.end() :].lstrip("*_ ") if match else "x"
            if match and looks_like_name(match[1]) and (not rest or rest[0] in "(（,-—–:：|"):
                return match[1].split("/")[-1], heading.line
        return "", 0

    @cached_property
    def repository(self) -> tuple[str, int]:
        """The hub id that a line "Repository" links to, with its line; ("", 0) without one."""
        lines = {n for n, text in self.parts.prose if len(text) < 2000 and _REPOSITORY.search(text)}
        for link in self.parts.links:
            if link.line in lines and hub_model(link.url)[0]:
                return hub_model(link.url)[0], link.line
        return "", 0

    @cached_property
    def own_rows(self) -> tuple[tuple[Table, int], ...]:
        """Rows of tables that are about the card's model: (table, number of the row from 0)."""
        return tuple(
            (table, i)
            for table in self.document.tables
            for i, row in enumerate(table.rows)
            if any(_OURS.search(cell[:300]) for cell in row[:2]) or self._is_named(row)
        )

    def _is_named(self, row: tuple[str, ...]) -> bool:
        names = {*self.index_names, self.title_name[0], self.repository[0]} - {""}
        return any(row_name(cell) in names or _last(row_name(cell)) in names for cell in row[:1])

    @cached_property
    def own_id(self) -> str:
        """organisation/name of the card's model; "" where the card does not say it."""
        votes: list[str] = [self.repository[0]] if self.repository[0] else []
        for table, i in self.own_rows:
            votes += [hub for cell in table.rows[i][:2] if (hub := cell_hub_id(cell))]
        known = {*self.index_names, self.title_name[0]} - {""}
        for vote in votes:
            if not known or _last(vote) in known:
                return vote
        return votes[0] if votes else ""

    @cached_property
    def own_name(self) -> str:
        """The name that most of the card's places agree on; "" where there is none."""
        named = [*self.index_names, self.title_name[0], _last(self.own_id)]
        names = [name for name in named if name]
        return max(names, key=names.count) if names else ""

    def blocks(self, *languages: str) -> Iterator[CodeBlock]:
        """Code blocks that say one of these languages."""
        return (block for block in self.parts.blocks if block.language in languages)


def looks_like_name(text: str) -> bool:
    """`Llama-3.2-3B-F1`, not `Introduction`."""
    return bool(re.search(r"\d", text)) and bool(re.search(r"[-_./]", text)) and len(text) <= 120


def row_name(cell: str) -> str:
    """The model that a first cell names, without link, marks and "(ours)"."""
    plain = _LINK.sub(r"\1", cell[:600])
    return _OURS.sub("", plain).strip("*_` 🌟⭐✨")


def cell_hub_id(cell: str) -> str:
    """The hub id that a cell links to, or "" ."""
    match = re.search(r"\]\(\s*<?([^()<>\s]+)", cell[:1000])
    return hub_model(match[1])[0] if match else ""


def _last(hub_id: str) -> str:
    return hub_id.split("/")[-1]


def same_name(a: str, b: str) -> bool:
    """Whether two names mean one model: case, organisation, and what marks a converted copy."""
    return _bare(a) == _bare(b)


_COPY = re.compile(r"[-_.](gguf|awq|gptq|fp8|int4|int8|mlx|4bit|8bit|q\d\w*)$", re.IGNORECASE)


def _bare(name: str) -> str:
    name = _last(name.strip()).split(":")[0]
    while match := _COPY.search(name):
        name = name[: match.start()]
    return name.lower()


def _node_lines(head: str) -> Iterator[tuple[Place, int]]:
    """Every key and item of the front matter, with its line in the file."""
    try:
        root = node_of(split_card(head)[1])
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    waiting: deque[tuple[Place, yaml.Node | None]] = deque([((), root)])
    while waiting:
        place, node = waiting.popleft()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(getattr(key, "value", "")))
                yield inner, key.start_mark.line + 2
                waiting.append((inner, value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                yield (*place, number), value.start_mark.line + 2
                waiting.append(((*place, number), value))


def cell_text(cell: str) -> str:
    """A cell for people: without links, at most 60 characters."""
    text = _LINK.sub(r"\1", cell[:400])
    return text if len(text) <= 60 else text[:59] + "…"


def row_text(row: tuple[str, ...], figure: Callable[[str], bool]) -> str:
    """What a row is about: its first cells up to the first that `figure` takes for a number."""
    words: list[str] = []
    for cell in row:
        if figure(cell) or len(words) == 3:
            break
        words.append(cell_text(cell))
    return " · ".join(words) or "a row"
