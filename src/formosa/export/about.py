"""Where a file comes from, as values of its header.

`general.*` is llama.cpp's own vocabulary (licence, languages, base model, tags), which hubs and
other programs read. `formosa.*` is ours: hashes that lead back to the recipe and the data, and the
git revision of the recipe's folder where there is one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from formosa import __version__

Value = str | int | Sequence[str]
LANGUAGES = ("zh", "en")  # of the rows; the hub's code for Chinese, and "zh-TW" is a tag
TAGS = ("text-generation", "tool-calling", "zh-TW")


def described(
    *,
    base: Mapping[str, str],
    recipe_sha256: str = "",
    data_sha256: str = "",
    revision: str = "",
    languages: Sequence[str] = LANGUAGES,
) -> dict[str, Value]:
    """Header values by GGUF key; what is not known is left out.

    Args:
        base: of the base model: `name`, `licence`, `hub_id` and `revision`, as a run's model.json
            has them.
        recipe_sha256: of what in the recipe decides the weights.
        data_sha256: of the rows that were trained on.
        revision: of the code and the recipe, as `git_revision` says it.
        languages: the hub's codes.
    """
    hub_id = base.get("hub_id") or ""
    organisation, _, name = hub_id.rpartition("/")
    known: dict[str, Value] = {
        "general.license": base.get("licence") or "",
        "general.languages": list(languages),
        "general.tags": list(TAGS),
        "general.base_model.0.name": name or base.get("name") or "",
        "general.base_model.0.organization": organisation,
        "general.base_model.0.version": base.get("revision") or "",
        "general.base_model.0.repo_url": f"https://huggingface.co/{hub_id}" if hub_id else "",
        "formosa.version": __version__,
        "formosa.recipe.sha256": recipe_sha256,
        "formosa.recipe.revision": revision,
        "formosa.data.sha256": data_sha256,
    }
    found = {key: value for key, value in known.items() if value}
    if "general.base_model.0.name" in found:
        found["general.base_model.count"] = 1
    return found


def git_revision(folder: Path) -> str:
    """The commit of the repository that `folder` is in, with `+changes` where files differ from
    it; "" without a repository or without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return ""
    return commit + ("+changes" if _git(folder, "status", "--porcelain", "--", ".") else "")


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *words],  # noqa: S607
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
