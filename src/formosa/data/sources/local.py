"""Files, folders and patterns of files on this machine, in sorted order."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from formosa.data.sources.array import read_json
from formosa.data.sources.config import WILD, SourceConfig
from formosa.data.sources.lines import read_lines
from formosa.data.sources.parquet import read_parquet
from formosa.data.sources.record import Record
from formosa.errors import DataError
from formosa.files import sha256_file

READERS: dict[str, Callable[[Path, str], Iterator[Record]]] = {
    ".jsonl": read_lines,
    ".ndjson": read_lines,
    ".json": read_json,
}
SUFFIXES = (*(kind + packed for kind in READERS for packed in ("", ".gz", ".zst")), ".parquet")


class DataFile(NamedTuple):
    """A file, and its name as people know it."""

    path: Path
    name: str


def is_data(name: str) -> bool:
    """Whether a file of this name is one of those that are read."""
    return name.lower().endswith(SUFFIXES)


class FileSource:
    """Rows of some files. Also what a data set of the hub becomes once its files are here."""

    def __init__(
        self,
        config: SourceConfig,
        files: Sequence[DataFile],
        folder: Path,
        licence: str,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.config = config
        self.files = tuple(files)
        self.folder = folder
        self.licence = licence
        self._about = about or {}
        self._dropped: Counter[str] = Counter()

    def records(self) -> Generator[Record, None, None]:
        """Every record of every file, streamed. Closing it closes the file.

        Raises:
            DataError: a file can't be read at all, or not further.
        """
        self._dropped.clear()  # counts are of the latest reading
        for file in self.files:
            yield from self._read(file)

    def _read(self, file: DataFile) -> Iterator[Record]:
        lower = file.path.name.lower()
        if lower.endswith(".parquet"):
            drop = self.config.arrow_nulls == "drop"
            return read_parquet(file.path, file.name, drop=drop, dropped=self._dropped)
        for suffix, reader in READERS.items():
            if lower.removesuffix(".gz").removesuffix(".zst").endswith(suffix):
                return reader(file.path, file.name)
        raise DataError(f"{file.path} is none of {', '.join(SUFFIXES)}.")

    def about(self) -> dict[str, Any]:
        """Files with bytes and sha256, licence, what the hub said, and null keys dropped so far."""
        files = [
            {
                "name": file.name,
                "bytes": file.path.stat().st_size,
                "sha256": sha256_file(file.path),
            }
            for file in self.files
        ]
        found: dict[str, Any] = {**self._about, "licence": self.licence, "files": files}
        if self._dropped:
            found["arrow_nulls_dropped"] = dict(sorted(self._dropped.items()))
        return found


def open_local(config: SourceConfig, root: Path) -> FileSource:
    """The files that `config.path` means, below `root` where it is relative.

    Raises:
        DataError: there is none, or one that is not read.
    """
    if config.path is None:
        raise AssertionError("a local source has a path")
    path = root / config.path
    folder = path
    if path.is_dir():
        found = [item for item in sorted(path.rglob("*")) if not _hidden(item, path)]
    elif _is_pattern(str(config.path)) and not path.exists():
        while _is_pattern(str(folder.relative_to(root) if folder.is_relative_to(root) else folder)):
            folder = folder.parent
        found = sorted(folder.glob(path.relative_to(folder).as_posix()))
    else:
        found, folder = [path], path.parent
        if not path.exists():
            raise DataError(
                f"{path} does not exist.",
                "paths in a recipe are relative to the folder of the recipe",
            )
    found = [item for item in found if item.is_file()]
    if config.files:
        found = [
            item for item in found if matches(item.relative_to(folder).as_posix(), config.files)
        ]
    elif folder == path or _is_pattern(str(config.path)):
        found = [item for item in found if is_data(item.name)]
    if not found:
        wanted = f" like {', '.join(config.files)}" if config.files else ""
        raise DataError(
            f"{path} holds no data file{wanted}.", f"what is read ends in {', '.join(SUFFIXES)}"
        )
    for item in found:
        if not is_data(item.name):
            raise DataError(f"{item} is none of {', '.join(SUFFIXES)}.")
    files = [DataFile(item, _name(item, root)) for item in found]
    return FileSource(config, files, folder, config.licence)


def _is_pattern(path: str) -> bool:
    return any(sign in path for sign in WILD)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path fits one of the patterns; a pattern without a folder fits the file's name."""
    return any(
        fnmatch.fnmatchcase(name, pattern)
        or ("/" not in pattern and fnmatch.fnmatchcase(name.rpartition("/")[2], pattern))
        for pattern in patterns
    )


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _name(path: Path, root: Path) -> str:
    """The file as the recipe would write it."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
