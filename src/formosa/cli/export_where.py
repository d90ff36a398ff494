"""Where a run keeps what is exported, and what it knows of itself.

Every command of `formosa export` takes a run's folder or a checkpoint: the first also gives the
file its licence, base and hashes.
"""

from __future__ import annotations

from pathlib import Path

from formosa.export.about import Value, described
from formosa.files import read_json, sha256_json

RECIPE, CHECKPOINT = "recipe.yaml", "checkpoint"
_DECIDES = {"base", "data", "train", "export"}  # the bytes of the weights


def run_of(folder: Path) -> Path | None:
    """The run that a folder is, or whose checkpoint it is; None for neither."""
    if (folder / RECIPE).exists():
        return folder
    if folder.name == CHECKPOINT and (folder.parent / RECIPE).exists():
        return folder.parent
    return None


def checkpoint_of(folder: Path) -> Path:
    """A run's checkpoint, or the folder itself."""
    if (folder / RECIPE).exists() and (folder / CHECKPOINT).is_dir():
        return folder / CHECKPOINT
    return folder


def described_run(run: Path | None) -> dict[str, Value]:
    """What a file's header says of the run that made it; nothing without one.

    Raises:
        UserError: its recipe can't be read.
    """
    if run is None:
        return {}
    from formosa.run.recipe import load_recipe

    recipe = load_recipe(run / RECIPE)
    base = run / "model.json"
    return described(
        base=read_json(base) if base.exists() else {"name": recipe.base},
        recipe_sha256=sha256_json(recipe.model_dump(mode="json", include=_DECIDES)),
        data_sha256=_data_sha256(run),
    )


def _data_sha256(run: Path) -> str:
    from formosa.run.state import State

    return State(run).outputs("data").get("data/train.jsonl", "")
