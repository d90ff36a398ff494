"""Rows that a benchmark asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from formosa.data.cleaning_config import DecontaminationConfig
from formosa.data.rejects import Rejection
from formosa.data.rows import Row

VERSION = "0"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What must not be trained on."""

    name: str
    texts: Sequence[str] = ()
    tools: Sequence[tuple[str, str]] = ()
    private: bool = False


class BenchmarkIndex:
    """All benchmarks, made ready for look-ups."""

    def __init__(
        self, benchmarks: Sequence[Benchmark], config: DecontaminationConfig | None = None
    ) -> None:
        self.benchmarks = benchmarks

    def judge(self, row: Row) -> Rejection | None:
        """Why the row must not be trained on; None where it may."""
        return None
