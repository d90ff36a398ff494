"""Rows that say the same as an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from formosa.data.cleaning_config import DuplicateConfig
from formosa.data.rows import Row

VERSION = "0"
EXACT, NEAR = "duplicate", "near duplicate"


def compared_text(row: Row) -> str:
    """The words of a row that near duplicates share."""
    return row.question


class Duplicates:
    """Which rows say the same, found in two passes."""

    def __init__(self, folder: Path, config: DuplicateConfig) -> None:
        self._config = config
        self._rows: list[tuple[str, int]] = []

    def add(self, number: int, row: Row, *, near: bool = True) -> None:
        """Take a row in; numbers ascend."""
        self._rows.append((row.content_sha256(), number))

    def resolve(self, text_of: Callable[[int], str]) -> Iterable[tuple[int, str, int]]:
        """(number, EXACT or NEAR, number of the row that stays), by number."""
        first: dict[str, int] = {}
        for digest, number in self._rows:
            if first.setdefault(digest, number) != number:
                yield number, EXACT, first[digest]
