"""From an entry of a recipe to rows that can be read."""

from __future__ import annotations

from pathlib import Path

from formosa.data.sources.config import SourceConfig
from formosa.data.sources.hub import open_hub
from formosa.data.sources.local import FileSource, open_local
from formosa.wheels import Say


def open_source(
    config: SourceConfig, root: Path | None = None, say: Say | None = None
) -> FileSource:
    """Find the files of a source, or fetch them from the hub.

    Args:
        config: the source.
        root: where relative paths begin; the current folder if not given.
        say: told about downloads, licences that differ and what is left out.

    Raises:
        DataError: no such file or data set, or it can't be had.
    """
    if config.path is not None:
        return open_local(config, root or Path())
    return open_hub(config, say)
