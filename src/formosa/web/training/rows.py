"""The rows of a run as its model learns them: every message, what is learnt of it, control tokens.

What is shown comes out of the code that a training runs (`train/samples.py`, `train/rendering.py`),
so text and mask can't drift from it. Only lengths in tokens, and what was split or dropped because
of them, need the base's tokenizer; they are in the report that the training leaves.

A file of a million rows is paged by its lines: where each begins, with source, kind and language,
is noted once for each version of the file. Those three stand at the front of a row that Formosa
wrote and are read there; other rows are parsed.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from formosa.chat.guard import spellings
from formosa.chat.message import json_text
from formosa.chat.template import FAMILIES, ChatTemplate, Family
from formosa.data.rows import Row
from formosa.errors import DataError, UserError
from formosa.files import explain_read_error
from formosa.train import samples
from formosa.train.rendering import Guard, Piece
from formosa.train.samples import Sample

PAGE = 5  # rows of a page
LONGEST = 20_000  # characters of a sample that are shown
_FRONT = re.compile(
    rb'\{"id": ?"(?:[^"\\]|\\.)*", ?"source": ?("(?:[^"\\]|\\.)*"), ?"kind": ?("(?:[^"\\]|\\.)*"),'
    rb' ?"language": ?("(?:[^"\\]|\\.)*")'
)

Label = tuple[str, str, str]  # source, kind, language


class Span(NamedTuple):
    """Some text, whether a model learns to write it, and whether it is a control token."""

    text: str
    learnt: bool
    control: bool = False


class Turn(NamedTuple):
    """A message as it stands in the text; the role is what the template wrote."""

    role: str
    spans: tuple[Span, ...]

    @property
    def learnt(self) -> bool:
        return any(span.learnt for span in self.spans)


class Shown(NamedTuple):
    """A row of a page.

    Attributes:
        line: of its file, from 1.
        samples: what is trained of it; one, or one for each turn that is learnt behind another
            history.
        characters: of all samples; `learnt`: those that a model learns to write.
        cut: characters that are left out here.
        problem: why a training would refuse it; "" if it would not.
    """

    line: int
    id: str
    label: Label
    samples: tuple[tuple[Turn, ...], ...] = ()
    tools: int = 0
    characters: int = 0
    learnt: int = 0
    cut: int = 0
    problem: str = ""


class Index(NamedTuple):
    """Where the lines of a file begin, and what they are.

    Attributes:
        places: the first byte of each line, and the end.
        labels: those of the file, in the order in which they come first.
        label: of each line, its number in `labels`.
    """

    places: Sequence[int]
    labels: tuple[Label, ...]
    label: Sequence[int]

    def __len__(self) -> int:
        return len(self.label)

    def counts(self) -> Mapping[Label, int]:
        return {self.labels[i]: count for i, count in Counter(self.label).items()}


class Rows(NamedTuple):
    """A page of rows.

    Attributes:
        matching: rows that the filter lets through; `number`: of the page, from 1, of `pages`.
        counts: by source, kind and language, how many rows of the whole file there are.
    """

    shown: tuple[Shown, ...]
    total: int
    matching: int
    number: int
    pages: int
    counts: Mapping[Literal["source", "kind", "language"], Mapping[str, int]]


def index_of(path: Path) -> Index:
    """The index of a file as it is now.

    Raises:
        UserError: it can't be read.
    """
    try:
        status = path.stat()
        return _index(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise explain_read_error(error, path) from error


@lru_cache(maxsize=8)
def _index(path: Path, changed: int, size: int) -> Index:
    places, label = array("q"), array("i")
    labels: dict[Label, int] = {}
    position = 0
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                places.append(position)
                label.append(labels.setdefault(_label(line), len(labels)))
            position += len(line)
    places.append(position)
    return Index(places, tuple(labels), label)


def _label(line: bytes) -> Label:
    if front := _FRONT.match(line[:4096]):
        found = [json.loads(part.decode("utf-8", "replace")) for part in front.groups()]
    else:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        value = value if isinstance(value, dict) else {}
        found = [value.get(key) for key in ("source", "kind", "language")]
    source, kind, language = (item if isinstance(item, str) else "" for item in found)
    return source, kind, language


def rows_page(
    path: Path,
    guard: Guard,
    *,
    number: int = 1,
    source: str = "",
    kind: str = "",
    thinking: Literal["keep", "drop"] = "keep",
    learn_all: bool = False,
    size: int = PAGE,
) -> Rows:
    """A page of the rows of a file.

    Args:
        path: prepared rows.
        guard: renders them, `guard_of`.
        number: of the page, from 1; one that is too large means the last.
        source: only rows of this source; "" means all.
        kind: likewise.
        thinking: of the recipe.
        learn_all: whether every word is learnt (continued pre-training).
        size: rows of a page.

    Raises:
        UserError: the file can't be read.
    """
    index = index_of(path)
    wanted = [
        i for i, at in enumerate(index.label) if _fits(index.labels[at], source, kind)
    ] if source or kind else range(len(index))  # fmt: skip
    pages = max(1, -(-len(wanted) // size))
    number = min(max(1, number), pages)
    chosen = wanted[(number - 1) * size : number * size]
    shown = tuple(
        _shown(path, i + 1, index.labels[index.label[i]], line, guard, thinking, learn_all)
        for i, line in _lines(path, index, chosen)
    )
    return Rows(shown, len(index), len(wanted), number, pages, _sums(index))


def _fits(label: Label, source: str, kind: str) -> bool:
    return source in ("", label[0]) and kind in ("", label[1])


def _sums(index: Index) -> dict[Literal["source", "kind", "language"], Mapping[str, int]]:
    sums: tuple[Counter[str], ...] = (Counter(), Counter(), Counter())
    for label, count in index.counts().items():
        for name, by_name in zip(label, sums, strict=True):
            by_name[name] += count
    source, kind, language = (dict(found.most_common()) for found in sums)
    return {"source": source, "kind": kind, "language": language}


def _lines(path: Path, index: Index, chosen: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for i in chosen:
                file.seek(index.places[i])
                yield i, file.readline()
    except OSError as error:
        raise explain_read_error(error, path) from error


def _shown(
    path: Path,
    line: int,
    label: Label,
    text: bytes,
    guard: Guard,
    thinking: Literal["keep", "drop"],
    learn_all: bool,
) -> Shown:
    row = None
    try:
        row = Row.from_json(json.loads(text), f"{path.name}:{line}", source=path.stem)
        made = [_turns(row, sample, guard, learn_all) for sample in _samples(row, thinking)]
    except UserError as error:  # what would end a training is a line of this page
        return Shown(line, row.id if row else "", label, problem=error.message)
    except (ValueError, RecursionError) as error:
        return Shown(line, "", label, problem=f"not JSON: {error}")
    spans = [span for turns in made for turn in turns for span in turn.spans]
    kept, cut = _cut(made)
    return Shown(
        line,
        row.id,
        label,
        kept,
        len(row.tools),
        sum(len(span.text) for span in spans),
        sum(len(span.text) for span in spans if span.learnt),
        cut,
    )


def _samples(row: Row, thinking: Literal["keep", "drop"]) -> list[Sample]:
    if row.text:
        return [Sample((), (), ())]
    whole = samples.whole(row.messages, row.tools)
    if not whole.learnt:
        raise DataError("It has nothing to learn: no assistant's turn.")
    if thinking == "drop":
        return samples.without_earlier_thinking(row.messages, row.tools)
    return [whole]


def _turns(row: Row, sample: Sample, guard: Guard, learn_all: bool) -> tuple[Turn, ...]:
    if row.text:
        return (Turn("text", (Span(row.text, True),)),)
    pieces = guard.pieces(sample)
    if learn_all:
        pieces = [Piece(piece.text, True) for piece in pieces]
    return turns_of(pieces, guard.template)


def turns_of(pieces: Iterable[Piece], template: ChatTemplate) -> tuple[Turn, ...]:
    """The pieces of a sample by message.

    A control token is one only where it stands whole in one piece: words that spell it are cut, in
    training as in serving, and stay words here.
    """
    family = next((f for f in FAMILIES.values() if f.open in template.control_tokens), None)
    pattern = spellings(template.control_tokens)
    turns: list[list[Span]] = [[]]
    for text, learnt in pieces:
        position = 0
        for match in pattern.finditer(text):
            if before := text[position : match.start()]:
                turns[-1].append(Span(before, learnt))
            if family and match[0] == family.open and turns[-1]:
                turns.append([])
            turns[-1].append(Span(match[0], learnt, True))
            position = match.end()
        if rest := text[position:]:
            turns[-1].append(Span(rest, learnt))
    found = [Turn(_role(spans, family), tuple(_joined(spans))) for spans in turns if spans]
    return tuple(found)


def _joined(spans: Sequence[Span]) -> Iterator[Span]:
    """Words beside each other of which the same is learnt, as one."""
    waiting: Span | None = None
    for span in spans:
        if waiting and not waiting.control and not span.control and waiting.learnt == span.learnt:
            waiting = Span(waiting.text + span.text, span.learnt)
            continue
        if waiting:
            yield waiting
        waiting = span
    if waiting:
        yield waiting


def _role(spans: Sequence[Span], family: Family | None) -> str:
    """What the template wrote between the turn's first token and its head; "" for other text."""
    if not family or not spans[0].control or spans[0].text != family.open:
        return ""
    role = spans[1].text[:80].partition("\n")[0].strip() if len(spans) > 1 else ""
    return {family.assistant: "assistant"}.get(role, role)


def _cut(made: Sequence[tuple[Turn, ...]]) -> tuple[tuple[tuple[Turn, ...], ...], int]:
    """The samples as far as `LONGEST` characters go, and how many were left out."""
    left, cut = LONGEST, 0
    kept: list[tuple[Turn, ...]] = []
    for turns in made:
        short: list[Turn] = []
        for turn in turns:
            spans: list[Span] = []
            for span in turn.spans:
                if left:
                    spans.append(span._replace(text=span.text[:left]))
                cut += max(0, len(span.text) - left)
                left = max(0, left - len(span.text))
            if spans:
                short.append(Turn(turn.role, tuple(spans)))
        if short:
            kept.append(tuple(short))
    return tuple(kept), cut


def guard_of(run: Path) -> tuple[Guard, bool]:
    """What a run's rows are written with, and whether its files say so.

    The template of the checkpoint that it left; while it trains, the family whose tokens stand in
    the row that its report shows; ChatML else.
    """
    source = _text(run / "checkpoint" / "chat_template.jinja")
    shown = _text(run / "train" / "tokens" / "meta.json")
    template, known = ChatTemplate.formosa(), False
    # Trainings write in our own formats only. A foreign template would be a stranger's program.
    for family in FAMILIES.values():
        own = ChatTemplate.formosa(family)
        if source == own.source or not source and json_text(family.open)[1:-1] in shown:
            template, known = own, True
            break
    return Guard(template, template.control_tokens), known


def _text(path: Path, longest: int = 4 << 20) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(longest)
    except OSError:
        return ""


def settings_of(recipe: Mapping[str, Any]) -> tuple[Literal["keep", "drop"], bool]:
    """`thinking`, and whether every word is learnt, from a recipe's `train:` part."""
    train = recipe.get("train")
    train = train if isinstance(train, dict) else {}
    return "drop" if train.get("thinking") == "drop" else "keep", train.get("objective") == "cpt"
