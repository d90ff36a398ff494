"""Data sets of the Hugging Face hub, at one commit.

A branch or a tag is resolved to its commit of 40 digits first, and that is what a report says. The
files stay in the hub's own cache. The list of a commit's files is kept beside ours, so a second
reading at a full commit asks the hub nothing. Without a network the cache serves what it has: a
branch is then what it was when it was last seen.

Knows repositories, commits and files. What is in the files is the business of `local`, and which of
them are a split that of `splits`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from formosa.data.sources.config import SourceConfig
from formosa.data.sources.local import DataFile, FileSource
from formosa.data.sources.named import resolve
from formosa.data.sources.splits import choose, front_matter, licence_of
from formosa.errors import DataError, UserError
from formosa.files import read_json, write_json
from formosa.hub import (
    FULL,
    REPO,
    SHORT,
    Wanted,
    api,
    cached,
    endpoint,
    find_commit,
    reach,
    unreachable,
)
from formosa.wheels import Say, cache_folder

CARD = "README.md"
_REVISION = re.compile(r"\w[\w./-]*")


def open_hub(config: SourceConfig, say: Say | None = None) -> FileSource:
    """The files of a data set's split, fetched where the cache lacks them.

    Raises:
        DataError: no such set, revision, configuration or split; it is gated; the hub can't be
            reached and the cache does not have it; or nobody says under which licence it is.
    """
    config = resolve(config, say)
    repo = config.hub
    if not REPO.fullmatch(repo):
        from formosa.data.sources.named import NAMED

        raise DataError(
            f"{repo!r} is no data set on the hub, and none that is known by a short name.",
            f"write it as org/name, or as one of {', '.join(NAMED)}",
        )
    if not _REVISION.fullmatch(config.revision) or ".." in config.revision:
        raise DataError(f"{config.revision!r} is no revision.", "give a commit, a tag or a branch")
    with _explained(repo, config.revision):
        commit = _commit(repo, config.revision)
        sizes = _listing(repo, commit)
        card = _card(repo, commit, sizes)
        front = front_matter(card)
        licence = _licence(config, front, say)
        try:
            names = choose(
                sizes, front, config=config.config, split=config.split, files=config.files
            )
        except DataError as error:
            raise DataError(f"{repo}: {error.message}", error.hint) from error
        paths = _fetch(repo, commit, names, sizes, say)
    files = [DataFile(path, f"{repo}/{name}") for name, path in paths.items()]
    folder = _folder(next(iter(paths.items())))
    about = {
        "hub": repo,
        "revision": commit,
        "asked_revision": config.revision,
        **({"config": config.config} if config.config else {}),
        **({"split": config.split} if not config.files else {}),
        "card_licence": licence_of(front),
    }
    return FileSource(config, files, folder, licence, about)


def _commit(repo: str, revision: str) -> str:
    """The full commit; without a network, the one that the cache has for the name."""
    if FULL.fullmatch(revision):
        return revision
    reference = _cached(repo) / "refs" / revision
    try:
        commit = find_commit(Wanted(repo, revision, "dataset"))
    except unreachable():
        if SHORT.fullmatch(revision):
            there = [path.name for path in (_cached(repo) / "snapshots").glob(f"{revision}*")]
            if len(there) == 1:
                return there[0]
        if not reference.is_file():
            raise
        return reference.read_text(encoding="utf-8").strip()
    if not SHORT.fullmatch(revision):
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, encoding="utf-8")  # as the hub's own library does
    return commit


def _listing(repo: str, commit: str) -> dict[str, int]:
    """Every file of a commit and its bytes; of the cache's files only, where the hub is away."""
    kept = cache_folder() / "hub" / repo.replace("/", "--") / f"{commit}.json"
    if kept.is_file():
        try:
            return {str(name): int(size) for name, size in read_json(kept).items()}
        except (UserError, AttributeError, TypeError, ValueError):
            kept.unlink(missing_ok=True)  # damaged: asked again
    try:
        from huggingface_hub.hf_api import RepoFile

        reach()
        tree = api().list_repo_tree(repo, recursive=True, revision=commit, repo_type="dataset")
        files = (item for item in tree if isinstance(item, RepoFile))
        found = {item.path: int(item.size) for item in files if _is_inside(item.path)}
    except unreachable():
        snapshot = _cached(repo) / "snapshots" / commit
        if not snapshot.is_dir():
            raise
        paths = (path for path in sorted(snapshot.rglob("*")) if path.is_file())
        return {path.relative_to(snapshot).as_posix(): path.stat().st_size for path in paths}
    write_json(kept, found)
    return found


def _is_inside(name: str) -> bool:
    """Whether a name stays in its folder. Git has no others; a server might."""
    return not name.startswith("/") and ".." not in name.split("/")


def _card(repo: str, commit: str, sizes: Mapping[str, int]) -> str:
    if CARD not in sizes:
        return ""
    path = _fetch(repo, commit, [CARD], sizes, None)[CARD]
    return path.read_text(encoding="utf-8", errors="replace")


def _licence(config: SourceConfig, front: Mapping[str, Any], say: Say | None) -> str:
    """The recipe's licence, else the card's."""
    of_card = licence_of(front)
    if not config.licence:
        if not of_card:
            raise DataError(
                f"The card of {config.hub} names no licence.",
                "find out, and give it with the recipe's key licence",
            )
        return of_card
    if say and of_card and of_card.lower() != config.licence.lower():
        say(
            f"{config.hub}: its card says {of_card}; the recipe's licence, {config.licence}, "
            "is what is reported"
        )
    return config.licence


def _fetch(
    repo: str, commit: str, names: Sequence[str], sizes: Mapping[str, int], say: Say | None
) -> dict[str, Path]:
    """Where the files are, downloading those that the cache lacks."""
    there = _in_cache(repo, commit, names)
    missing = [name for name in names if name not in there]
    if missing:
        from huggingface_hub import snapshot_download

        if say:
            size = sum(sizes.get(name, 0) for name in missing) / 1e6
            say(f"fetching {len(missing)} files ({size:,.1f} MB) of {repo} at {commit[:12]}")
        snapshot_download(
            repo,
            repo_type="dataset",
            revision=commit,
            allow_patterns=[glob.escape(name) for name in missing],
            endpoint=endpoint(),
        )
        there = _in_cache(repo, commit, names)
    lost = [name for name in names if name not in there]
    if lost:
        raise DataError(
            f"{repo} at {commit[:12]} is not whole in the cache: {lost[0]} is missing.",
            f"hf download {repo} --repo-type dataset --revision {commit}",
        )
    return {name: there[name] for name in names}


def _in_cache(repo: str, commit: str, names: Sequence[str]) -> dict[str, Path]:
    snapshot = _cached(repo) / "snapshots" / commit
    return {name: snapshot / name for name in names if (snapshot / name).is_file()}


def _cached(repo: str) -> Path:
    """The folder of the data set in the hub's cache."""
    return cached(Wanted(repo, kind="dataset"))


def _folder(first: tuple[str, Path]) -> Path:
    name, path = first
    return path.parents[name.count("/")]


@contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Errors of the hub as sentences with the command to try."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{endpoint()}/datasets/{repo}"
    try:
        yield
    except GatedRepoError as error:
        raise DataError(
            f"The data set {repo} is gated: its terms have to be accepted first.",
            f"accept them at {page}, then sign in: hf auth login",
        ) from error
    except RevisionNotFoundError as error:
        raise DataError(
            f"The data set {repo} has no revision {revision}.", f"see {page}/commits/main"
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(
            f"There is no data set {repo} on the hub, or it is private.",
            "check the name; for a private one sign in: hf auth login",
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, httpx2.TransportError) as error:
        raise DataError(
            f"{repo} at {revision} is not in the local cache, and the hub can't be reached.",
            "connect to the network and unset HF_HUB_OFFLINE; or on a machine that has one: "
            f"hf download {repo} --repo-type dataset --revision {revision}",
        ) from error
    except HfHubHTTPError as error:
        raise DataError(
            f"The hub refused {repo} at {revision}: {type(error).__name__}.",
            f"look at {page}, or sign in: hf auth login",
        ) from error
    except ValueError as error:
        raise DataError(f"{repo} at {revision} can't be read: {error}.") from error
    except OSError as error:
        raise DataError(f"{repo} can't be fetched: {error}.", "check the disk") from error
