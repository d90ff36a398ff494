"""What became of the rows of a file: counted, with the longest and one row to look at.

Every row is counted once: kept, split or dropped, with the reason. It is written beside the ids
and into the summary of a training, so that nobody has to guess why there are fewer samples than
rows.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from formosa.train.rows import IGNORED, EncodedRow, Outcome

LONGEST = 10  # rows listed by length
SHOWN = 6_000  # characters, and ids, of the row that is kept to look at
SAID = 600  # characters of it that are said before a training


class Long(NamedTuple):
    """A row among the longest, and its tokens before anything was done about them."""

    tokens: int
    where: str


@dataclass
class RowsReport:
    """The counts of one encoding.

    Attributes:
        read: rows of the file.
        kept: rows that are trained whole; `split`: in parts; `dropped`: not at all, by reason.
        samples: sequences that came of them.
        tokens: of all samples; `trained`: those that are learnt.
        lost_turns: turns of the assistant that fit nowhere.
        guarded: rows that spell a control token as words.
        separated: rows whose turns became samples of their own, for the sake of equal ids.
        longest: the longest rows.
        shown: the first row as text, what is learnt between ⟦ and ⟧, and its ids.
    """

    read: int = 0
    kept: int = 0
    split: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    tokens: int = 0
    trained: int = 0
    lost_turns: int = 0
    guarded: int = 0
    separated: int = 0
    longest: list[Long] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)

    def add(self, outcome: Outcome, limit: int) -> None:
        """Count one row."""
        self.read += 1
        if outcome.dropped:
            self.dropped[outcome.dropped] += 1
        elif outcome.tokens > limit:
            self.split += 1
        else:
            self.kept += 1
        self.samples += len(outcome.rows)
        self.tokens += sum(len(row.ids) for row in outcome.rows)
        self.trained += sum(row.trained for row in outcome.rows)
        self.lost_turns += outcome.lost_turns
        self.guarded += outcome.guarded
        self.separated += outcome.separated
        heapq.heappush(self.longest, Long(outcome.tokens, outcome.where))
        if len(self.longest) > LONGEST:
            heapq.heappop(self.longest)

    def show(self, outcome: Outcome, tokenizer: Any) -> None:
        """Keep a row to look at, if there is none yet."""
        if not self.shown and outcome.rows:
            row = outcome.rows[0]
            text = marked_text(row, tokenizer)
            self.shown = {"where": outcome.where, "text": text[:SHOWN], "ids": row.ids[:SHOWN]}

    def excerpt(self) -> list[str]:
        """The row that is shown, around the first learnt words: the mask, seen with own eyes."""
        if not self.shown:
            return []
        text = str(self.shown["text"])
        start = max(0, text.find("⟦") - SAID // 2)
        end = start + SAID
        words = "…" * (start > 0) + text[start:end] + "…" * (end < len(text))
        return [f"{self.shown['where']}, what is learnt between ⟦ and ⟧:", words]

    def to_json(self) -> dict[str, Any]:
        value = {**vars(self), "dropped": dict(self.dropped)}
        value["longest"] = [[tokens, where] for tokens, where in sorted(self.longest, reverse=True)]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RowsReport:
        longest = [Long(tokens, where) for tokens, where in value["longest"]]
        return cls(**{**value, "dropped": Counter(value["dropped"]), "longest": longest})

    def lines(self) -> list[str]:
        """The report in sentences for people."""
        found = [
            f"{self.read:,} rows: {self.kept:,} whole, {self.split:,} split, "
            f"{self.dropped.total():,} dropped; {self.samples:,} samples, {self.tokens:,} tokens, "
            f"{self.trained:,} of them learnt"
        ]
        found += [f"dropped, {why}: {count:,}" for why, count in self.dropped.most_common()]
        if self.lost_turns:
            found.append(f"{self.lost_turns:,} turns of the assistant fit nowhere")
        if self.guarded:
            found.append(f"{self.guarded:,} rows spell a control token; it stays words")
        if self.separated:
            found.append(
                f"{self.separated:,} rows became a sample for each turn: a server would read their "
                "earlier answers with other ids than the model writes"
            )
        return found


def marked_text(row: EncodedRow, tokenizer: Any, marks: tuple[str, str] = ("⟦", "⟧")) -> str:
    """The row's text out of its very ids, what is learnt between the two marks."""
    parts: list[str] = []
    start = 0
    flags = [label != IGNORED for label in row.labels]
    for i in range(1, len(flags) + 1):
        if i == len(flags) or flags[i] != flags[start]:
            text = tokenizer.decode(row.ids[start:i], skip_special_tokens=False)
            parts.append(f"{marks[0]}{text}{marks[1]}" if flags[start] else text)
            start = i
    return "".join(parts)
