"""report.json: every row that came in, and what became of it.

For every source `rows_in = rows_out + all of dropped`. What comes out is counted once, in training
or held out; a mixture that repeats rows says so in `repeated`, and `rows` are the lines written:
`sum(rows) = sum(rows_out) + sum(repeated)`.

Histograms have classes of the steps 1, 2, 5: `{"to": 200, "rows": 7}` are rows of 101 to 200
characters.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

SCHEMA = 2
BENCHMARK = "benchmark: "
"""Begins the reason of a row that a benchmark asks; its name follows."""

STEPS = tuple(step * 10**power for power in range(1, 9) for step in (1, 2, 5))


@dataclass(slots=True)
class Purity:
    """Purity of the rows that have one, of 1; see `formosa.zh.purity`.

    Attributes:
        rows: how many have one.
        pure: share of them in which nothing was found.
    """

    rows: int = 0
    mean: float = 0.0
    min: float = 0.0
    pure: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Purity:
        """Of the purities of rows; NaN is none."""
        gauge = PurityGauge()
        for value in values:
            gauge.add(value)
        return gauge.purity()


class PurityGauge:
    """Adds purities up, one by one."""

    def __init__(self) -> None:
        self._rows = self._pure = 0
        self._total = 0.0
        self._lowest = math.inf

    def add(self, value: float) -> None:
        if math.isnan(value):
            return
        self._rows += 1
        self._pure += value >= 1
        self._total += value
        self._lowest = min(self._lowest, value)

    def purity(self) -> Purity:
        rows = self._rows
        if not rows:
            return Purity()
        mean, pure = self._total / rows, self._pure / rows
        return Purity(rows, round(mean, 6), round(self._lowest, 6), round(pure, 6))


@dataclass(slots=True)
class SourceReport:
    """What came in from one source and what became of it.

    Attributes:
        format: how its rows are written; "" for the generator.
        rows_out: rows that are used, each counted once.
        heldout: those of them that are held out.
        repeated: copies beyond the first that a mixture made.
        dropped: rows that are not used, by reason.
        examples: the id of the first row of each reason, or its place where it had no id.
        changed: by rule of cleaning, rows and characters changed.
        about: where it is from: revision, licence, files with their sha256.
        purity: of the rows that are used.
    """

    name: str
    licence: str
    format: str = ""
    rows_in: int = 0
    rows_out: int = 0
    heldout: int = 0
    repeated: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    changed: dict[str, dict[str, int]] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    purity: Purity = field(default_factory=Purity)

    def change(self, counts: Mapping[str, int]) -> None:
        """Count one row that cleaning changed: characters by rule."""
        for rule, characters in counts.items():
            entry = self.changed.setdefault(rule, {"rows": 0, "characters": 0})
            entry["rows"] += 1
            entry["characters"] += characters

    def sentence(self) -> str:
        """For people: `mine: 9 rows in, 7 out (2 duplicate)`."""
        lost = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.dropped.items()))
        return f"{self.name}: {self.rows_in:,} rows in, {self.rows_out:,} out" + (
            f" ({lost})" if lost else ""
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A source in a mixture: its weight, the rows wanted of it, those it had, those it gave."""

    weight: float
    wanted: int
    available: int
    got: int


@dataclass(frozen=True, slots=True)
class Report:
    """The content of report.json.

    Attributes:
        rows: lines of train.jsonl and heldout.jsonl.
        dropped: rows that are not used, by reason, over all sources.
        duplicates: those of them that say the same as another row.
        contamination: for each benchmark asked about: its texts and tools, and the rows left out.
        characters: of the rows that are used, `total`, `longest` and the `histogram`.
        mixture: `rows`, `repeat` and the `sources`' shares; None where every row is used.
        versions: of the rules that decided.
    """

    sources: list[SourceReport]
    kinds: dict[str, int]
    languages: dict[str, int]
    rows: dict[str, int]
    sha256: dict[str, str]
    seed: int
    dropped: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    contamination: list[dict[str, Any]] = field(default_factory=list)
    characters: dict[str, Any] = field(default_factory=dict)
    purity: Purity = field(default_factory=Purity)
    mixture: dict[str, Any] | None = None
    versions: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def lengths(values: Iterable[int]) -> dict[str, Any]:
    """Total, longest and histogram of lengths in characters."""
    total = longest = 0
    classes: Counter[int] = Counter()
    for value in values:
        total += value
        longest = max(longest, value)
        classes[bisect_left(STEPS, value)] += 1
    steps = [*STEPS, longest]
    return {
        "total": total,
        "longest": longest,
        "histogram": [{"to": steps[i], "rows": classes[i]} for i in sorted(classes)],
    }


def totals(sources: Iterable[SourceReport]) -> dict[str, int]:
    """Rows that are not used, by reason, over all sources; the most frequent first."""
    counts: Counter[str] = Counter()
    for source in sources:
        counts.update(source.dropped)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
