"""Which code made a result: our version and, in a source checkout, its git revision.

Knows the folder this package was imported from. A package that is installed somewhere inside
another project's repository does not report that project's revision.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from formosa import __version__


@functools.cache
def code() -> dict[str, str | None]:
    """`{"version": "0.1.0", "git": "1952918…"}`; git is None where this is no checkout.

    A working tree with changes is marked: `1952918…-dirty`.
    """
    return {"version": __version__, "git": _git(Path(__file__).parent.parent)}


def _git(package: Path) -> str | None:
    root = package.parent.parent
    if package.parent.name != "src" or not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        # `--exclude *`: the revision itself, not a tag near it.
        made = subprocess.run(  # noqa: S603
            [*command, "--exclude", "*"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return made.stdout.strip() or None
