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
