"""Headers of GGUF files that lie on the hub, without their weights.

A header says the quantisation, the type and size of every tensor, the context and the template. It
has some 8 MB, nearly all of it the vocabulary. The files of a repository are mostly one model at
several levels: the vocabulary of the first is read, and jumped over in the others, which then cost
some 100 kB each. Where a jump does not lead to what must follow, that header is read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from formosa.card.sheet.local import wanted_lists
from formosa.card.sheet.values import File, clean
from formosa.engines.gguf import GgufFile, read_gguf_from
from formosa.errors import ModelError, UserError
from formosa.hub import RemoteFile, Wanted, explained

MOST_FILES = 32
MOST_BYTES = 64 << 20  # of all headers of a repository together
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_NO_MODEL = re.compile(r"mmproj|imatrix|lora|adapter", re.IGNORECASE)


class Headers(NamedTuple):
    """What was read, by the names of files, and what could not be."""

    found: Mapping[str, GgufFile]
    problems: tuple[str, ...]

    @property
    def main(self) -> GgufFile | None:
        """Of the model itself: the first file that is neither an adapter nor a later part."""
        own = [file for name, file in self.found.items() if not _NO_MODEL.search(name)]
        found = [file for file in own if "general.architecture" in file.metadata]
        models = [file for file in found if file.metadata.get("general.type") != "adapter"]
        return next(iter(models), None)

    @property
    def parameters(self) -> int | None:
        """Of the model: of its file, or of all parts of it."""
        name = next((name for name, file in self.found.items() if file is self.main), "")
        part = _PART.fullmatch(name)
        if not part:
            return self.main.parameters if self.main else None
        names = [f"{part[1]}-{n:05}-of-{part[3]}.gguf" for n in range(1, int(part[3]) + 1)]
        files = [self.found.get(name) for name in names]
        return sum(file.parameters for file in files if file) if all(files) else None


def read_headers(wanted: Wanted, files: Iterable[File]) -> Headers:
    """The headers of a repository's GGUF files, the smallest first, as far as the limits go.

    Args:
        wanted: the repository, at a commit.
        files: of it; those that are no GGUF files are passed over.
    """
    ggufs = sorted((f for f in files if f.name.endswith(".gguf") and f.bytes), key=_order)
    found: dict[str, GgufFile] = {}
    problems: list[str] = []
    left = MOST_BYTES
    for i, file in enumerate(ggufs):
        if i == MOST_FILES or left <= 0:
            problems.append(f"The headers of {len(ggufs) - i} more GGUF files were not read.")
            break
        remote = RemoteFile(wanted, file.name, file.bytes or 0, left)
        like = next(iter(found.values()), None)
        try:
            with explained(wanted):
                found[file.name] = _header(remote, like)
        except UserError as error:
            problems.append(clean(f"The header of {file.name} can't be read: {error.message}", 300))
        left -= remote.fetched
    return Headers(found, tuple(problems))


def _order(file: File) -> tuple[bool, int, str]:
    part = _PART.fullmatch(file.name)
    return bool(_NO_MODEL.search(file.name)), 0 if part else file.bytes or 0, file.name


def _header(remote: RemoteFile, like: GgufFile | None) -> GgufFile:
    try:
        found = _read(remote, (), like)
    except ModelError:
        if not like:
            raise
        found = _read(remote, (), None)
    lists = wanted_lists(found.metadata.get("general.architecture"))
    if any(name in found.lengths for name in lists):  # now it is known what they are called
        return _read(remote, lists, found)
    return found


def _read(remote: RemoteFile, lists: tuple[str, ...], like: GgufFile | None) -> GgufFile:
    remote.seek(0)
    return read_gguf_from(remote, remote.name, remote.size, lists, like)
