"""`formosa data inspect`: rows as a model is trained on them, and what a whole file comes to.

Without a model, lengths are characters and the text is our template's. With one, everything comes
out of the code that a training runs: its tokenizer's ids, the same checks, the same cuts.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from formosa.chat.template import ChatTemplate
from formosa.cli.output import Output, command_output, visible
from formosa.data.rows import Row, scan_rows
from formosa.errors import DataError
from formosa.train.rows import (
    CHUNK,
    IGNORED,
    Conversation,
    Document,
    EncodedRow,
    RowEncoder,
    RowSettings,
)

BAR = 40  # characters of the longest bar of a histogram
CLASSES = 10  # of a histogram
LISTED = 20  # rows listed that don't go in whole


class Part(NamedTuple):
    """Some text of a row, and whether a model learns to write it."""

    text: str
    learnt: bool


@dataclass
class Looked:
    """One row, and what becomes of it."""

    row: Row
    where: str
    length: int  # tokens, or characters without a model
    trained: int  # of what is trained: fewer where it is dropped, more where history is repeated
    learnt: int
    count: int = 1  # samples that come of it
    fate: str = "whole"  # whole, split, dropped or refused
    why: str = ""
    samples: list[list[Part]] = field(default_factory=list)  # of rows that are shown

    def about(self) -> dict[str, Any]:
        return {
            "id": self.row.id,
            "where": self.where,
            "length": self.length,
            "fate": self.fate,
            "why": self.why,
            "samples": self.count,
        }


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--model", help="A base model: lengths in its tokens, and what training does.")
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0), help="How many.")
@click.option("--kind", help="Only rows of this kind.")
@click.option("--source", help="Only rows of this source.")
@click.option(
    "--max-tokens", default=1024, show_default=True, type=click.IntRange(16), help="Longest row."
)
@click.option(
    "--overlong",
    type=click.Choice(["drop", "split"]),
    default="drop",
    show_default=True,
    help="What is done about longer ones.",
)
@click.option(
    "--thinking",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="Reasoning of earlier turns.",
)
@command_output
def inspect(
    out: Output,
    file: Path,
    model: str | None,
    rows: int,
    kind: str | None,
    source: str | None,
    max_tokens: int,
    overlong: Literal["drop", "split"],
    thinking: Literal["keep", "drop"],
) -> None:
    """Show rows as the text that is trained on, and count a whole file.

    What the model learns to write is marked: green, or between ⟦ and ⟧. The rest is what it
    reads. With a model, rows that would be split or dropped are listed with the reason.

    \b
        formosa data inspect runs/mini/data/train.jsonl
        formosa data inspect rows.jsonl --kind missing --rows 5
        formosa data inspect rows.jsonl --model smollm2-135m --max-tokens 720
    """
    wanted = (
        (where, row)
        for where, row in _read(file)
        if kind in (None, row.kind) and source in (None, row.source)
    )
    looked: Iterator[Looked]
    if model is None:
        looked = (_in_characters(where, row) for where, row in wanted)
    else:
        first = next(wanted, None)
        objective: Literal["sft", "cpt"] = "cpt" if first and first[1].text else "sft"
        settings = RowSettings(objective, max_tokens, overlong, thinking)
        every = itertools.chain([first] if first else [], wanted)
        looked = _in_tokens(every, _encoder(model, settings, out), rows)
    found = _Count(rows, unit="characters" if model is None else "tokens")
    for each in looked:
        found.add(each)
    out.data(found.to_json(), None if out.json_mode else "\n".join(found.lines()))


def _read(file: Path) -> Iterator[tuple[str, Row]]:
    for where, item in scan_rows(file):
        if isinstance(item, DataError):
            raise item
        yield where, item


def _in_characters(where: str, row: Row) -> Looked:
    if row.text:
        size = len(row.text)
        return Looked(row, where, size, size, size, samples=[[Part(row.text, True)]])
    rendered = ChatTemplate.formosa().render(row.messages, row.tools)
    parts: list[Part] = []
    position = 0
    for start, end in rendered.spans:
        parts += [Part(rendered.text[position:start], False), Part(rendered.text[start:end], True)]
        position = end
    parts.append(Part(rendered.text[position:], False))
    learnt = sum(end - start for start, end in rendered.spans)
    size = len(rendered.text)
    return Looked(row, where, size, size, learnt, samples=[parts])


def _encoder(model: str, settings: RowSettings, out: Output) -> RowEncoder:
    """The encoder that a training of this base would use."""
    from formosa.checkpoints import checkpoint_folder, load_tokenizer
    from formosa.models import resolve
    from formosa.train.run import require_training
    from formosa.train.special_tokens import prepare_tokenizer

    require_training()
    folder = checkpoint_folder(resolve(model, say=out.say), say=out.say)
    tokenizer = load_tokenizer(folder, own_format=False)
    prepared = prepare_tokenizer(tokenizer, objective=settings.objective)
    return RowEncoder(tokenizer, prepared.template, settings)


def _in_tokens(
    rows: Iterable[tuple[str, Row]], encoder: RowEncoder, shown: int
) -> Iterator[Looked]:
    """Every row as training sees it, the first ones as text. One that training would refuse is no
    end: it is listed."""
    waiting = iter(rows)
    while chunk := list(itertools.islice(waiting, CHUNK)):
        try:
            yield from _encoded(chunk, encoder, shown)
        except DataError:  # one of them; which one is learnt by asking each
            for pair in chunk:
                try:
                    yield from _encoded([pair], encoder, shown)
                except DataError as error:
                    yield Looked(pair[1], pair[0], 0, 0, 0, 0, "refused", error.message)
        shown = max(0, shown - len(chunk))


def _encoded(chunk: Sequence[tuple[str, Row]], encoder: RowEncoder, shown: int) -> list[Looked]:
    outcomes = encoder.encode(
        Document(where, row.text) if row.text else Conversation(where, row.messages, row.tools)
        for where, row in chunk
    )
    found: list[Looked] = []
    for (where, row), outcome in zip(chunk, outcomes, strict=True):
        trained = sum(len(each.ids) for each in outcome.rows)
        learnt = sum(each.trained for each in outcome.rows)
        looked = Looked(row, where, outcome.tokens, trained, learnt, len(outcome.rows))
        if len(found) < shown:
            looked.samples = [_parts(each, encoder.tokenizer) for each in outcome.rows]
        over = f"{outcome.tokens} tokens, longer than {encoder.settings.max_tokens}"
        if outcome.dropped:
            looked.fate, looked.why = "dropped", over
        elif outcome.tokens > encoder.settings.max_tokens:
            looked.fate, looked.why = "split", over
        if outcome.lost_turns:
            looked.why = f"{over}; {outcome.lost_turns} turns of the assistant fit nowhere"
        found.append(looked)
    return found


def _parts(row: EncodedRow, tokenizer: Any) -> list[Part]:
    """The text of the very ids, where learning begins and ends."""
    parts = []
    for learnt, run in itertools.groupby(range(len(row.ids)), lambda i: row.labels[i] != IGNORED):
        ids = [row.ids[i] for i in run]
        parts.append(Part(tokenizer.decode(ids, skip_special_tokens=False), learnt))
    return parts


class _Count:
    """What a file comes to, and the rows that are shown."""

    def __init__(self, rows: int, unit: str) -> None:
        self.unit, self._rows = unit, rows
        self.shown: list[Looked] = []
        self.listed: list[Looked] = []
        self.lengths: list[int] = []
        self.trained = self.learnt = self.samples = 0
        self.fates: Counter[str] = Counter()
        self.counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("kind", "language", "source")
        }

    def add(self, looked: Looked) -> None:
        row = looked.row
        self.counts["kind"][row.kind or "other"] += 1
        self.counts["language"][row.language] += 1
        self.counts["source"][row.source] += 1
        self.lengths.append(looked.length)
        self.trained += looked.trained
        self.learnt += looked.learnt
        self.samples += looked.count
        self.fates[looked.fate] += 1
        if len(self.shown) < self._rows:
            self.shown.append(looked)
        if looked.fate != "whole" and len(self.listed) < LISTED:
            self.listed.append(looked)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": len(self.lengths),
            "kinds": dict(self.counts["kind"].most_common()),
            "languages": dict(self.counts["language"].most_common()),
            "sources": dict(self.counts["source"].most_common()),
            self.unit: {
                "total": sum(self.lengths),
                "longest": max(self.lengths, default=0),
                "trained": self.trained,
                "learnt": self.learnt,
                "histogram": [
                    {"from": low, "to": high, "rows": rows}
                    for low, high, rows in _histogram(self.lengths)
                ],
            },
            "samples": self.samples,
            "fates": dict(self.fates),
            "not_whole": [looked.about() for looked in self.listed],
            "shown": [
                {
                    **looked.about(),
                    "parts": [[part._asdict() for part in parts] for parts in looked.samples],
                }
                for looked in self.shown
            ],
        }

    def lines(self) -> list[str]:
        found = [line for looked in self.shown for line in _shown(looked)]
        if not self.lengths:
            return [*found, "no rows"]
        for name, counts in self.counts.items():
            found += _counted(name, counts)
        found.append(f"{self.unit} of a row")
        classes = _histogram(self.lengths)
        most = max(rows for _, _, rows in classes)
        for low, high, rows in classes:
            found.append(f"  {low:>6} to {high:>6} {rows:>6} {'█' * round(BAR * rows / most)}")
        if self.unit == "tokens":
            fates = ("whole", "split", "dropped", "refused")
            found.append(", ".join(f"{self.fates[fate]:,} {fate}" for fate in fates))
        found.append(
            f"{self.samples:,} samples, {self.trained:,} {self.unit}, {self.learnt:,} of them "
            f"learnt ({self.learnt / max(self.trained, 1):.0%})"
        )
        for looked in self.listed:
            found.append(visible(f"  {looked.where} {looked.fate}: {looked.why}"))
        more = len(self.lengths) - self.fates["whole"] - len(self.listed)
        return [*found, f"  and {more:,} more"] if more else found


def _shown(looked: Looked) -> list[str]:
    row = looked.row
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    head = f"── {row.id} · {row.kind or 'other'} · {row.language}"
    lines = []
    for number, parts in enumerate(looked.samples, 1):
        of = f" · sample {number} of {len(looked.samples)}" if len(looked.samples) > 1 else ""
        lines.append(visible(head + of))
        # A stranger's words: shown so that they steer no terminal.
        texts = ((visible(part.text), part.learnt) for part in parts)
        lines.append(
            "".join(
                text if not learnt else click.style(text, fg="green") if colour else f"⟦{text}⟧"
                for text, learnt in texts
            )
        )
    return lines or [visible(f"{head} · {looked.fate}: {looked.why}")]


def _counted(title: str, counts: Counter[str]) -> list[str]:
    width = max(map(len, counts), default=0)
    return [
        title,
        *(visible(f"  {name:<{width}} {count:>6}") for name, count in counts.most_common()),
    ]


def _histogram(lengths: Sequence[int]) -> list[tuple[int, int, int]]:
    """How many rows are how long, in equal classes of a round size: from, to, rows."""
    least = max(1, -(-max(lengths, default=0) // CLASSES))
    power = 10 ** (len(str(least)) - 1)
    size = next(step * power for step in (1, 2, 5, 10) if step * power >= least)
    classes = Counter(max(length - 1, 0) // size for length in lengths)
    numbers = range(min(classes, default=0), max(classes, default=-1) + 1)
    return [(n * size + 1, (n + 1) * size, classes[n]) for n in numbers]
