"""Numbers of a sheet for people, in powers of ten."""

from __future__ import annotations


def size(bytes: int | None) -> str:
    """98.4 MB, 1.23 GB; a dash where it is not known."""
    if bytes is None:
        return "–"
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if bytes >= unit:
            return f"{bytes / unit:,.{2 if name == 'GB' else 1}f} {name}"
    return f"{bytes} B"


def parameters(number: int) -> str:
    """3.21 B, 134.5 M."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.{2 if name == 'B' else 1}f} {name}"
    return str(number)
