"""The second pass: which of the spooled rows are trained on, which are held out, and which go.

    duplicates → limits → held out → mixture → order

Decides by the spool's columns; rows themselves are read for the pile only. Every row that goes is
counted under one reason.
"""

from __future__ import annotations

import random
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from formosa.data.mixture import draw, shares, wanted
from formosa.data.rejects import Rejection, RejectPile
from formosa.data.report import Share
from formosa.data.spool import Spool
from formosa.wheels import Say

LIMIT, ASKED, NOT_DRAWN = "over the limit", "question is held out", "not in the mixture"
ROUNDS = 8  # passes over all rows in search of held-out ones, where most questions are alike


@dataclass
class Selection:
    """Rows of a spool on their way to the files.

    Args:
        spool: the rows.
        names: of the sources, by their numbers in the spool.
        pile: gets what goes.
        fixed: rows that are held out already: the generator's.
        generated: number of the generator among the sources; its rows are never moved.
    """

    spool: Spool
    names: Sequence[str]
    pile: RejectPile
    fixed: Set[int] = frozenset()
    generated: int | None = None
    heldout: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.taken = bytearray(b"\x01") * len(self.spool)
        self.heldout |= self.fixed

    def of(self, source: int) -> array[int]:
        """Rows of a source that are to be trained on."""
        sources, taken, heldout = self.spool.source, self.taken, self.heldout
        return array(
            "I",
            (
                i
                for i in range(len(taken))
                if taken[i] and sources[i] == source and i not in heldout
            ),
        )

    def drop(self, number: int, reason: str, detail: str) -> None:
        """A row goes."""
        self.taken[number] = 0
        source = self.names[self.spool.source[number]]
        if self.pile.room(source, reason):
            self.pile.add(
                source,
                Rejection(reason, detail),
                where=self.spool.where(number),
                row=self.spool.value(number),
            )
        else:
            self.pile.count(source, reason)

    def drop_duplicates(self, found: Iterable[tuple[int, str, int]]) -> None:
        """Args:
        found: (number, "duplicate" or "near duplicate", number of the row that stays).
        """
        for number, reason, kept in found:
            other = self.names[self.spool.source[kept]]
            # The row that stays is looked up only where somebody will read of it.
            source = self.names[self.spool.source[number]]
            detail = ""
            if self.pile.room(source, reason):
                row_id = self.spool.value(kept).get("id")
                detail = f"The same as {row_id} of {other} ({self.spool.where(kept)})."
            self.drop(number, reason, detail)

    def limit(self, source: int, most: int, seed: int) -> None:
        """Keep at most so many rows of a source, drawn with the seed."""
        numbers = self.of(source)
        if len(numbers) <= most:
            return
        name = self.names[source]
        drawn = draw(numbers, most, f"limit {name}", seed)
        for number in _without(numbers, drawn):
            self.drop(number, LIMIT, f"{most:,} rows were drawn from {len(numbers):,}.")

    def hold_out(self, parts: Mapping[int, int], seed: int, say: Say) -> None:
        """Hold so many rows of each source out. Rows with equal questions stay together, so that
        no question is in both splits.

        Args:
            parts: rows to hold out, by source.
            seed: chooses them.
            say: told where there are too few.
        """
        question = self.spool.question
        held = {question[i] for i in self.heldout}
        kept = {
            question[i]
            for i, source in enumerate(self.spool.source)
            if source == self.generated and i not in self.heldout
        }
        for source, count in parts.items():
            left = count
            numbers = self.of(source)
            random.Random(f"formosa heldout {seed} {self.names[source]}").shuffle(numbers)
            for batch in _batches(numbers, max(1024, 4 * count)):
                if not left:
                    break
                groups = self._groups({question[i] for i in batch} - kept - held)
                for number in batch:
                    group = groups.get(question[number], [])
                    if group and len(group) <= left and question[number] not in held:
                        held.add(question[number])
                        self.heldout.update(group)
                        left -= len(group)
            if left:
                name = self.names[source]
                say(f"{name}: {count - left:,} of {count:,} rows are held out; there are no more")
        for number in range(len(self.taken)):
            if self.taken[number] and number not in self.heldout and question[number] in held:
                self.drop(number, ASKED, "Its question is asked in heldout.jsonl.")

    def mix(
        self, weights: Mapping[int, float], rows: int | None, seed: int, *, repeat: bool, say: Say
    ) -> tuple[array[int], dict[str, Share]]:
        """The rows to train on, by the sources' weights; some of them more than once with
        `repeat`."""
        by_name = {self.names[source]: source for source in weights}
        numbers = {name: self.of(source) for name, source in by_name.items()}
        available = {name: len(part) for name, part in numbers.items()}
        named = {self.names[source]: weight for source, weight in weights.items()}
        counts = wanted(named, available, rows, repeat=repeat)
        if rows is None:
            decides = (max if repeat else min)(
                named, key=lambda name: available[name] / named[name]
            )
            say(
                f"the mixture has {sum(counts.values()):,} rows, as {decides} decides: "
                f"{available[decides]:,} rows for a weight of {named[decides]:g}"
            )
        chosen = array("I")
        taken: dict[str, Share] = {}
        for name, part in numbers.items():
            want = counts[name]
            got = draw(part, want if repeat else min(want, len(part)), f"mixture {name}", seed)
            taken[name] = Share(named[name], want, len(part), len(got))
            if len(got) < want:
                say(f"{name}: the mixture wants {want:,} rows, and there are {len(part):,}")
            elif want > len(part):
                say(f"{name}: {len(part):,} rows are repeated to {want:,}")
            for number in _without(part, got):
                self.drop(number, NOT_DRAWN, f"{want:,} of {len(part):,} rows were drawn.")
            chosen.extend(got)
        return chosen, taken

    def every(self) -> array[int]:
        """All rows that are to be trained on, each once."""
        taken, heldout = self.taken, self.heldout
        return array("I", (i for i in range(len(taken)) if taken[i] and i not in heldout))

    def _groups(self, wanted_questions: set[int]) -> dict[int, list[int]]:
        """All rows to be trained on that ask one of these questions."""
        groups: dict[int, list[int]] = defaultdict(list)
        question, taken, heldout = self.spool.question, self.taken, self.heldout
        for number in range(len(taken)):
            if question[number] in wanted_questions and taken[number] and number not in heldout:
                groups[question[number]].append(number)
        return groups


def heldout_parts(
    total: int, sizes: Mapping[str, float], rows: Mapping[str, int]
) -> dict[str, int]:
    """How many held-out rows come from which source.

    Args:
        total: of all sources.
        sizes: what their shares go by: rows or weights.
        rows: how many each has. No more than half of them are held out: a source is there to be
            learnt from.
    """
    sizes = {name: size for name, size in sizes.items() if size > 0 and rows[name]}
    parts = shares(total, sizes) if sizes else {}
    return {name: min(part, rows[name] // 2) for name, part in parts.items()}


def shuffled(numbers: array[int], seed: int) -> array[int]:
    """The order in which they are trained on."""
    random.Random(f"formosa order {seed}").shuffle(numbers)
    return numbers


def _without(numbers: Sequence[int], drawn: Sequence[int]) -> Iterator[int]:
    """The numbers that were not drawn; both ascend."""
    position = 0
    for number in numbers:
        while position < len(drawn) and drawn[position] < number:
            position += 1
        if position == len(drawn) or drawn[position] != number:
            yield number


def _batches(numbers: array[int], size: int) -> Iterator[array[int]]:
    for start in range(0, min(len(numbers), ROUNDS * size), size):
        yield numbers[start : start + size]
