"""Files of a data set on the Hugging Face hub, at one commit.

A commit is 40 hexadecimal digits. A shorter one, a branch or a tag is resolved first, which asks
the hub; what was resolved is what a log records, so that "main" is never all it says. The files
stay in the hub's own cache: at a full commit, a second run needs no network.

What is in them is the business of each task.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from formosa.hub import Wanted, download, explained, find_commit
from formosa.wheels import Say


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
    instead = "give its files with --data-dir"
    wanted = Wanted(repo, revision, "dataset", instead)
    if say:
        say(f"fetching {repo} at {revision[:12]} from the hub")
    with explained(wanted):
        commit = find_commit(wanted)
        return Fetched(download(Wanted(repo, commit, "dataset", instead), patterns), commit)
