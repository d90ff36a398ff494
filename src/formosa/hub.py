"""The Hugging Face hub: which commit a name means, what is downloaded, and what its errors mean.

A commit is 40 hexadecimal digits, and it is what a log, a report or a sheet records. A branch, a
tag or the first digits of a commit are looked up. All traffic goes through huggingface_hub, which
honours HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE.

The hub's library repeats a listing that fails five times, which takes 23 seconds where there is no
network, and nothing in its interface says otherwise. So the first question is always one that it
asks once: it fails at once, or after `TIMEOUT`.

Knows repositories, revisions and files. Knows nothing of what is in them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from formosa.errors import DataError, ModelError, UserError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT = 10.0  # seconds for one question; the library's own default here is for ever
FIRST_PIECE, LARGEST_PIECE = 64 << 10, 2 << 20  # bytes that are asked for at once
MOST_FETCHED = 32 << 20  # bytes of one file; the largest headers of models have some 12 MB
REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*")
FULL = re.compile(r"[0-9a-f]{40}")
SHORT = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repository at a revision, and what to advise where it can't be had.

    Attributes:
        repo: as in `org/name`.
        revision: a commit (at least 7 digits of it), a branch or a tag; "" for the main branch.
        kind: decides the class of the error, too: ModelError or DataError.
        instead: what one can do without the hub, as in "give its files with --data-dir".
    """

    repo: str
    revision: str = ""
    kind: Literal["model", "dataset"] = "model"
    instead: str = "name a local folder or .gguf file"

    def error(self, message: str, hint: str = "") -> UserError:
        """An error of the class that fits."""
        return (ModelError if self.kind == "model" else DataError)(message, hint)


def endpoint() -> str:
    """The hub's address; read when it is needed, so that a test can have its own."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def api() -> HfApi:
    """The library's client, at the address that is set now."""
    import huggingface_hub

    return huggingface_hub.HfApi(endpoint=endpoint())


def find_commit(wanted: Wanted) -> str:
    """The full commit that the revision means. Asks the hub, unless it is one already.

    Raises:
        UserError: there is no such commit, or several begin so.
        Exception: those of huggingface_hub and its client; see `explained`.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    revision = wanted.revision or "main"
    if FULL.fullmatch(revision):
        return revision
    shortened = SHORT.fullmatch(revision) is not None
    client = api()
    ask = client.dataset_info if wanted.kind == "dataset" else client.model_info
    try:
        commit = ask(wanted.repo, revision=revision, timeout=TIMEOUT).sha
    except RevisionNotFoundError:
        if not shortened:
            raise
        commit = None
    if shortened and not (commit and commit.startswith(revision)):
        return _lengthened(client, wanted)  # the hub itself takes no shortened ones
    if not commit:
        raise wanted.error(f"The hub names no commit for {wanted.repo} at {revision}.")
    return str(commit)


def _lengthened(client: HfApi, wanted: Wanted) -> str:
    """The one commit that begins so."""
    items = client.list_repo_commits(wanted.repo, repo_type=wanted.kind)
    found = sorted({item.commit_id for item in items if item.commit_id.startswith(wanted.revision)})
    if len(found) == 1:
        return str(found[0])
    count = f"{len(found)} commits that begin" if found else "no commit that begins"
    raise wanted.error(
        f"{wanted.repo} has {count} with {wanted.revision}.", "give the commit in full"
    )


def reach() -> None:
    """Ask the hub once whether it is there, before a question that the library repeats.

    Raises:
        Exception: one of `unreachable()`.
    """
    from huggingface_hub import get_session

    get_session().head(endpoint(), timeout=TIMEOUT)


def _is_away() -> bool:
    """Whether only the cache can serve. Left to itself, the library finds out 23 seconds later."""
    try:
        reach()
    except unreachable():
        return True
    return False


def download(wanted: Wanted, patterns: Sequence[str]) -> Path:
    """The folder with the repository's files that fit one of `patterns`, in the hub's own cache.

    Raises:
        Exception: those of huggingface_hub and its client; see `explained`.
    """
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            wanted.repo,
            repo_type=wanted.kind,
            revision=wanted.revision or None,
            allow_patterns=list(patterns),
            local_files_only=_is_away(),
        )
    )


def download_file(wanted: Wanted, name: str) -> Path:
    """One file of the repository; errors as in `download`."""
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(wanted.repo, name, repo_type=wanted.kind, revision=wanted.revision or None)
    )


class RemoteFile(io.RawIOBase):
    """A file of a repository, read where it lies in pieces (HTTP ranges), never whole.

    Pieces grow while they are read one after the other, and are small again after a jump.

    Attributes:
        size: bytes of the file, as the hub says.
        fetched: bytes that came so far.
    """

    def __init__(self, wanted: Wanted, name: str, size: int, most: int = MOST_FETCHED) -> None:
        """Args:
        wanted: the repository at a commit.
        name: of the file.
        size: of the file, in bytes.
        most: bytes to be fetched before it gives up.
        """
        from huggingface_hub import hf_hub_url

        super().__init__()
        self.name, self.size, self.fetched = name, size, 0
        self._url = hf_hub_url(
            wanted.repo, name, repo_type=wanted.kind, revision=wanted.revision or None
        )
        self._most, self._at, self._piece = most, 0, FIRST_PIECE
        self._begin, self._held = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(begin + offset, 0)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as asked for; fewer only at the end of the file.

        Raises:
            OSError: the server sends no parts of files, or more than `most` bytes are needed.
            Exception: those of huggingface_hub and its client; see `explained`.
        """
        left = max(self.size - self._at, 0)
        wanted = left if size < 0 else min(size, left)
        place = self._at - self._begin
        if wanted and not 0 <= place <= len(self._held) - wanted:
            self._fetch(wanted, follows=0 < place <= len(self._held))
            place = 0
        self._at += wanted
        return self._held[place : place + wanted]

    def _fetch(self, wanted: int, *, follows: bool) -> None:
        """Hold the bytes from here on, at least so many."""
        self._piece = min(2 * self._piece, LARGEST_PIECE) if follows else FIRST_PIECE
        length = min(max(wanted, self._piece), self.size - self._at)
        if self.fetched + length > self._most:
            length = max(wanted, self._most - self.fetched)
        if self.fetched + length > self._most:
            raise OSError(f"more than {self._most >> 20} MiB of it would have to be fetched")
        self._held = self._part(length)
        self._begin = self._at
        self.fetched += length

    def _part(self, length: int) -> bytes:
        from huggingface_hub import get_session
        from huggingface_hub.utils import (  # type: ignore[attr-defined]
            build_hf_headers,
            hf_raise_for_status,
        )

        headers = {
            **build_hf_headers(),
            "Range": f"bytes={self._at}-{self._at + length - 1}",
            "Accept-Encoding": "identity",
        }
        found = bytearray()
        with get_session().stream(
            "GET", self._url, headers=headers, timeout=TIMEOUT, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            said = response.headers.get("Content-Range", "")
            if response.status_code != 206 or not said.startswith(f"bytes {self._at}-"):
                raise OSError("the server does not send parts of files")
            for piece in response.iter_raw():
                found += piece
                if len(found) > length:
                    break
        if len(found) != length:
            raise OSError(f"{length} bytes were asked for, and {len(found)} came")
        return bytes(found)


def cached(wanted: Wanted) -> Path:
    """The folder of the repository in the hub's cache; it may not be there."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{wanted.kind}s--{wanted.repo.replace('/', '--')}"


def commit_of(path: Path) -> str:
    """The commit that a path in the hub's cache belongs to (…/snapshots/COMMIT/…)."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else ""


def unreachable() -> tuple[type[Exception], ...]:
    """What says that there is no way to the hub, and not that the hub says no."""
    import httpx2  # which is the client of huggingface_hub, too
    from huggingface_hub.errors import OfflineModeIsEnabled

    return (OfflineModeIsEnabled, httpx2.TransportError)


@contextmanager
def explained(wanted: Wanted) -> Iterator[None]:
    """Errors of the hub as sentences with what to try. Of a refusal only its kind is said, nothing
    that a server wrote.

    Raises:
        UserError: ModelError or DataError, by the kind of repository.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    repo, a_model = wanted.repo, wanted.kind == "model"
    named = repo if a_model else f"the data set {repo} at {wanted.revision or 'main'}"
    try:
        yield
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise wanted.error(
            f"{repo} is not in the local hub cache, and the hub can't be reached.",
            f"connect to the network, unset HF_HUB_OFFLINE, or {wanted.instead}",
        ) from error
    except HfHubHTTPError as error:
        gated = "model needs its licence" if a_model else "data set needs its terms"
        raise wanted.error(
            f"The hub refused {named}: {type(error).__name__}.",
            f"check the name and the revision; a gated {gated} accepted and HF_TOKEN set",
        ) from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
    ) as error:  # no name of the hub's, or no answer of it
        what = "model" if a_model else "data set"
        raise wanted.error(
            f"{repo} at {wanted.revision or 'main'} is no {what} on the hub: {error}.",
            "write the name as org/name, and the revision as a commit, a tag or a branch",
        ) from error
    except (OSError, httpx2.HTTPError) as error:
        raise wanted.error(
            f"{repo} can't be fetched from the hub: {error}.",
            f"check the network and the disk, or {wanted.instead}",
        ) from error
