"""What differs between two cards, or between two GGUF files.

Cards: front matter field by field, results, cells of tables, sections. GGUF files: metadata, the
chat template line by line, and tensors by shape, type and the sha256 of their bytes. Nothing is
loaded as a model; tensors are read in pieces.

Cards are compared by what they say: line ends, the order of fields and the spelling of YAML don't
count. A table's row is known by its first cells, so a row that moved is the same row.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.card.markdown import Table, read_document
from formosa.card.sheet.prose import plain
from formosa.card.sheet.values import clean, cleaned
from formosa.card.values import Card, read_card
from formosa.engines.gguf import GgufFile, Tensor, read_gguf
from formosa.errors import CardError
from formosa.files import CHUNK, explain_read_error

TEMPLATE = "tokenizer.chat_template"
MOST_LINES = 4_000  # of a template that is compared line by line: the time grows with their square
_HEADING = re.compile(r" {0,3}(#{1,6}[ \t]+.+?)[ \t#]*")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


class Difference(NamedTuple):
    """One place, and what stands there on either side; None where there is no such place.

    Attributes:
        part: `front matter`, `result`, `table`, `section`, `metadata`, `template` or `tensor`.
    """

    part: str
    where: str
    a: Any
    b: Any


# -- cards --------------------------------------------------------------------------------------


def card_differences(a: Path, b: Path) -> list[Difference]:
    """What differs between two cards.

    Raises:
        CardError: one of them can't be read.
    """
    first, second = read_card(a), read_card(b)
    one, two = read_document(first.body), read_document(second.body)
    return [
        *_fields(first.fields, second.fields),
        *_by_key("result", _results(first), _results(second)),
        *_tables(one.tables, two.tables),
        *_by_key("section", _sections(first.body), _sections(second.body), _said),
    ]


def _fields(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    drop = "model-index"
    yield from _by_key(
        "front matter",
        {str(k): v for k, v in a.items() if k != drop},
        {str(k): v for k, v in b.items() if k != drop},
    )


def _by_key(
    part: str, a: Mapping[str, Any], b: Mapping[str, Any], said: Any = cleaned
) -> Iterator[Difference]:
    """Keys in the order of `a`, then those that only `b` has."""
    for key in [*a, *(key for key in b if key not in a)]:
        left, right = a.get(key), b.get(key)
        if key not in a or key not in b or left != right or type(left) is not type(right):
            yield Difference(
                part,
                clean(key, 300),
                said(left) if key in a else None,
                said(right) if key in b else None,
            )


def _results(card: Card) -> dict[str, Any]:
    """Values of the model-index by data set and metric; one that can't be read is one value."""
    try:
        found: dict[str, Any] = {}
        for result in card.results:
            names = (
                *(result.dataset_name or result.dataset_type, result.dataset_config),
                *(result.dataset_split, result.metric_name or result.metric_type),
            )
            key = " · ".join(str(name) for name in names if name)
            at = f" at {result.dataset_revision}" if result.dataset_revision else ""
            found[_free(key, found)] = f"{result.metric_value}{at}"
        return found
    except CardError as error:
        return {"model-index": error.message}


def _free(key: str, taken: Mapping[str, Any]) -> str:
    """The key, numbered where it is taken."""
    free, number = key, 1
    while free in taken:
        number += 1
        free = f"{key} ({number})"
    return free


def _tables(a: Sequence[Table], b: Sequence[Table]) -> Iterator[Difference]:
    one, two = _named(a), _named(b)
    for name in [*one, *(name for name in two if name not in one)]:
        if name not in one or name not in two:
            here, there = (_about(found.get(name)) for found in (one, two))
            yield Difference("table", clean(name, 300), here, there)
            continue
        left, right = one[name], two[name]
        length = _key_length(left, right)
        rows, others = _rows(left, length), _rows(right, length)
        for label in [*rows, *(label for label in others if label not in rows)]:
            where, x, y = f"{name}: {label}", rows.get(label), others.get(label)
            if x is None or y is None:
                sides = (None if row is None else " | ".join(row.values()) for row in (x, y))
                yield Difference("table", clean(where, 300), *sides)
            else:
                yield from _by_key(
                    "table",
                    {f"{where}: {head}": cell for head, cell in x.items()},
                    {f"{where}: {head}": cell for head, cell in y.items()},
                )


def _named(tables: Sequence[Table]) -> dict[str, Table]:
    """By name; those without one by their first head, which moves less than a number does."""
    found: dict[str, Table] = {}
    for table in tables:
        heads = table.heads
        found[_free(table.name or plain(" | ".join(heads[:2])) or "table", found)] = table
    return found


def _about(table: Table | None) -> str | None:
    return f"{len(table.rows)} rows of {len(table.heads)} cells" if table else None


def _key_length(a: Table, b: Table) -> int:
    """How many first cells it takes to tell the rows of both tables apart; at most four."""
    for length in range(1, 4):
        if all(len({r[:length] for r in t.rows}) == len(t.rows) for t in (a, b)):
            return length
    return 4


def _rows(table: Table, length: int) -> dict[str, dict[str, str]]:
    """The cells of each row after its first `length`, by their heads."""
    found: dict[str, dict[str, str]] = {}
    for row in table.rows:
        cells: dict[str, str] = {}
        for i, cell in enumerate(row[length:], start=length):
            head = table.heads[i] if i < len(table.heads) else f"column {i + 1}"
            cells[_free(plain(head), cells)] = plain(cell)
        found[_free(" · ".join(map(plain, row[:length])), found)] = cells
    return found


def _sections(body: str) -> dict[str, str]:
    """The text of each section by its heading, without white space at line ends; tables are left
    to `_tables`."""
    found: dict[str, list[str]] = {"(before the first heading)": []}
    name, fence = next(iter(found)), ""
    for line in body.splitlines():
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and line.strip().startswith(fence):
            fence = ""
        heading = _HEADING.fullmatch(line) if not fence else None
        if heading:
            name = _free(heading[1], found)
            found[name] = []
        elif fence or "|" not in line:
            found[name].append(line.rstrip())
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def _said(text: str) -> str:
    """A section is too long to show: how much it is, and its digest."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"{len(text.splitlines())} lines, sha256 {digest[:12]}"


# -- GGUF files ---------------------------------------------------------------------------------


class _Every(Collection[str]):
    """All lists of the metadata are read."""

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def gguf_differences(a: Path, b: Path) -> list[Difference]:
    """What differs between two GGUF files.

    Raises:
        ModelError: one of them can't be read, is damaged or cut off.
    """
    one, two = read_gguf(a, _Every()), read_gguf(b, _Every())
    left, right = dict(one.metadata), dict(two.metadata)
    templates = left.pop(TEMPLATE, None), right.pop(TEMPLATE, None)
    found = [_first_difference(d, left, right) for d in _by_key("metadata", left, right, _short)]
    if templates[0] != templates[1]:
        found.append(Difference("template", TEMPLATE, *map(_digest, templates)))
    return [*found, *_tensors(a, one, b, two)]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return _digest(value) if isinstance(value, str) and len(value) > 200 else cleaned(value)


def _digest(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    digest = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
    return f"{len(value)} characters, sha256 {digest[:12]}"


def _first_difference(found: Difference, a: Mapping[str, Any], b: Mapping[str, Any]) -> Difference:
    """Two lists of one length: where they begin to differ."""
    left, right = a.get(found.where), b.get(found.where)
    if not (isinstance(left, list) and isinstance(right, list)):
        return found
    pairs = enumerate(zip(left, right, strict=False))
    place = next((i for i, (x, y) in pairs if x != y), None)
    if place is None:
        return found
    words = [
        f"{_short(side)}, [{place}] is {clean(repr(side[place]), 80)}" for side in (left, right)
    ]
    return found._replace(a=words[0], b=words[1])


def _tensors(a: Path, one: GgufFile, b: Path, two: GgufFile) -> Iterator[Difference]:
    left = {tensor.name: tensor for tensor in one.tensors}
    right = {tensor.name: tensor for tensor in two.tensors}
    for name in [*left, *(name for name in right if name not in left)]:
        x, y = left.get(name), right.get(name)
        if x is None or y is None or (x.shape, x.kind) != (y.shape, y.kind):
            yield Difference("tensor", clean(name), _kind(x), _kind(y))
        else:
            digests = _sha256(a, x), _sha256(b, y)
            if digests[0] != digests[1]:
                words = [f"{_kind(x)}, sha256 {digest[:12]}" for digest in digests]
                yield Difference("tensor", clean(name), *words)


def _kind(tensor: Tensor | None) -> str | None:
    return f"{tensor.kind} {'×'.join(map(str, tensor.shape))}" if tensor else None


def _sha256(path: Path, tensor: Tensor) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            file.seek(tensor.start)
            left = tensor.bytes
            while left and (chunk := file.read(min(CHUNK, left))):
                digest.update(chunk)
                left -= len(chunk)
    except OSError as error:
        raise explain_read_error(error, path) from error
    return digest.hexdigest()


def template_lines(a: Path, b: Path) -> list[str]:
    """The chat templates of two GGUF files as a unified diff; [] where they are equal.

    Raises:
        ModelError: one of them can't be read.
    """
    texts = [read_gguf(path).metadata.get(TEMPLATE, "") for path in (a, b)]
    lines = [text.splitlines() if isinstance(text, str) else [] for text in texts]
    if texts[0] == texts[1]:
        return []
    if max(map(len, lines)) > MOST_LINES:
        return [
            f"the templates have {len(lines[0])} and {len(lines[1])} lines, too many to compare"
        ]
    found = difflib.unified_diff(lines[0], lines[1], f"{a.name}", f"{b.name}", lineterm="")
    return [clean(line, 2_000) for line in found]
