"""Files of a data set on the Hugging Face hub, at one commit.

A commit is 40 hexadecimal digits. A shorter one, a branch or a tag is resolved first, which asks
the hub; what was resolved is what a log records, so that "main" is never all it says. The files
stay in the hub's own cache: at a full commit, a second run needs no network.

Knows repositories and files. Knows nothing of what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from formosa.errors import DataError
from formosa.wheels import Say

_FULL = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,39}")


class Fetched(NamedTuple):
    """A folder with the files that were asked for, and the commit they are of."""

    folder: Path
    commit: str


def fetch(repo: str, patterns: Sequence[str], revision: str, say: Say | None = None) -> Fetched:
    """The files of the data set `repo` that fit one of `patterns`.

    Args:
        repo: as in `org/name`.
        patterns: as of `huggingface_hub.snapshot_download`.
        revision: a commit (at least 7 digits of it), a branch or a tag.
        say: told about a download.

    Raises:
        DataError: the hub cannot be reached or refuses, or there is no such revision or file.
    """
    import httpx2  # which is the client of huggingface_hub, too
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if say:
        say(f"fetching {repo} at {revision[:12]} from the hub")
    try:
        commit = revision if _FULL.fullmatch(revision) else _resolve(repo, revision)
        folder = Path(
            snapshot_download(
                repo, repo_type="dataset", revision=commit, allow_patterns=list(patterns)
            )
        )
    except LocalEntryNotFoundError as error:
        raise DataError(
            f"{repo} is not in the local hub cache, and the hub can't be reached.",
            "connect to the network, unset HF_HUB_OFFLINE, or give its files with --data-dir",
        ) from error
    except HfHubHTTPError as error:
        raise DataError(
            f"The hub refused the data set {repo} at {revision}: {type(error).__name__}.",
            "check the revision; a gated data set needs its terms accepted and HF_TOKEN set",
        ) from error
    except ValueError as error:
        raise DataError(f"{repo} at {revision} is no data set on the hub: {error}.") from error
    except (OSError, httpx2.HTTPError) as error:
        raise DataError(
            f"{repo} can't be fetched from the hub: {error}.",
            "check the network and the disk, or give its files with --data-dir",
        ) from error
    return Fetched(folder, commit)


def _resolve(repo: str, revision: str) -> str:
    """The full commit. The hub itself takes no shortened ones, so they are looked for in its list.

    Raises:
        DataError: none, or several, begin so.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    if _SHORT.fullmatch(revision):
        commits = {commit.commit_id for commit in api.list_repo_commits(repo, repo_type="dataset")}
        found = sorted(commit for commit in commits if commit.startswith(revision))
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{repo} has {len(found)} commits that begin with {revision}.")
        raise DataError(
            f"{repo} has no commit that begins with {revision}.", "give another with --revision"
        )
    commit = api.dataset_info(repo, revision=revision).sha
    if not commit:
        raise DataError(f"The hub names no commit for {repo} at {revision}.")
    return commit
