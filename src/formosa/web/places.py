"""Which files the pages may look at: those named when the server began, and what lies in them.

An address on a page names a file as the person did; whatever leaves the named places, by `..` or by
a link, is not found. Knows paths. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from formosa.errors import UserError


class OutsideError(UserError):
    """An address names a file that is not there, or is not for these pages."""


class Places:
    """The folders and files that were named.

    Args:
        roots: as the person wrote them; relative ones belong to the working folder.

    Raises:
        UserError: one of them does not exist.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        for root in roots:
            if not root.exists():
                raise UserError(f"{root} does not exist.", f"look what is there: ls {root.parent}")
        self.roots = tuple(roots)
        self._real = [root.resolve() for root in roots]

    def find(self, text: str) -> Path:
        """The file or folder that an address names.

        Raises:
            OutsideError: it does not exist, or does not lie in the named places.
        """
        path = Path(text)
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            real = None
        if real is None or not any(real == root or root in real.parents for root in self._real):
            raise OutsideError(
                f"{text} is not among the files of these pages.",
                "name its folder when you start them: formosa view FOLDER",
            )
        return path
