"""Verdicts, and the report that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["must", "should", "policy"]
Verdict = Literal["pass", "fail", "note", "skip"]


@dataclass(frozen=True)
class Result:
    """What one probe or one scripted reply showed.

    Attributes:
        id: as in `stream.usage` or `vectors.call-cjk`.
        what: what is expected.
        why: who breaks otherwise.
        level: `must` fails the run; `policy` is only told.
        evidence: short, what the server did.
        checks: for a scripted reply, each thing that was judged.
    """

    id: str
    what: str
    why: str
    level: Level
    verdict: Verdict
    evidence: str = ""
    checks: Mapping[str, bool] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return self.id.split(".")[0]


@dataclass(frozen=True)
class Report:
    """All results for one server."""

    url: str
    model: str
    steering: str  # how its model was made to say the scripted replies; "" if it could not be
    results: Sequence[Result]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def conforms(self) -> bool:
        """Whether nothing failed that must hold."""
        return not any(r.verdict == "fail" and r.level == "must" for r in self.results)

    def counts(self, group: str | None = None, level: Level | None = None) -> Counter[str]:
        """Results by verdict."""
        return Counter(
            result.verdict
            for result in self.results
            if group in (None, result.group) and level in (None, result.level)
        )

    def groups(self) -> list[dict[str, Any]]:
        """One row for each group of results, in the order in which they ran."""
        names = dict.fromkeys(result.group for result in self.results)
        rows = []
        for name in names:
            counts = self.counts(name)
            verdicts: tuple[Verdict, ...] = ("pass", "fail", "note", "skip")
            row: dict[str, Any] = {verdict: counts[verdict] for verdict in verdicts}
            rows.append({"group": name, **row})
        return rows

    def checks(self) -> dict[str, tuple[int, int]]:
        """Of the scripted replies that were said: check → (right, judged)."""
        right: Counter[str] = Counter()
        judged: Counter[str] = Counter()
        for result in self.results:
            right.update(name for name, fine in result.checks.items() if fine)
            judged.update(result.checks.keys())
        return {name: (right[name], judged[name]) for name in judged}

    def to_json(self) -> dict[str, Any]:
        return {
            "url": self.url,
            "model": self.model,
            "conforms": self.conforms,
            "steering": self.steering,
            "facts": dict(self.facts),
            "counts": dict(self.counts()),
            "results": [
                {
                    "id": result.id,
                    "verdict": result.verdict,
                    "level": result.level,
                    "what": result.what,
                    "why": result.why,
                    "evidence": result.evidence,
                    **({"checks": dict(result.checks)} if result.checks else {}),
                }
                for result in self.results
            ],
        }
