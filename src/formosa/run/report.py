"""How a run tells a person what goes on: stages, remarks, progress."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Gets everything a run has to say. The command line draws it; tests collect it."""

    def stage(self, name: str, what: str) -> None:
        """A stage begins."""

    def skipped(self, name: str) -> None:
        """A stage is complete already."""

    def finished(self, name: str, seconds: float) -> None:
        """A stage is done."""

    def say(self, line: str) -> None:
        """A remark."""

    def progress(self, done: int, total: int, text: str = "") -> None:
        """The running stage has done so much."""


class Silent:
    """Says nothing."""

    def stage(self, name: str, what: str) -> None: ...

    def skipped(self, name: str) -> None: ...

    def finished(self, name: str, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...

    def progress(self, done: int, total: int, text: str = "") -> None: ...
