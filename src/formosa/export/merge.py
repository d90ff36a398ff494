"""A LoRA adapter put into its base: safetensors in, safetensors out, a tensor at a time.

Each sum is made in float32 and rounded once to the base's own precision. Held at any time: one
matrix of the base in float32, and the part of the new weights that is not written yet (1 GB at
most). So a model of 3 billion weights needs about 4 GB, whatever its files are cut into.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from formosa.checkpoints import PROVENANCE, provenance
from formosa.errors import UserError
from formosa.export.lora import Adapter
from formosa.export.shards import PART, Shards, write_shards
from formosa.files import explain_os_error, sha256_file, write_json

Progress = Callable[[int, int], None]  # tensors done, tensors in all
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
              "tokenizer.model", "chat_template.jinja", "added_tokens.json")  # fmt: skip
_CONFIG = ("config.json", "generation_config.json")


def merge(
    base: Path,
    adapter: Path,
    target: Path,
    *,
    tokenizer: Path | None = None,
    part: int = PART,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write the merged checkpoint to `target`, whole or not at all.

    Args:
        base: a folder with config.json and safetensors, in one file or several.
        adapter: a folder that peft saved.
        target: the new folder; must not be there yet.
        tokenizer: the folder whose tokenizer and template the new one gets; by default the
            adapter's where it has them, else the base's.
        part: bytes of weights in one file.
        progress: called after every tensor.

    Raises:
        ModelError: a folder is not what it should be.
        UserError: a kind of adapter that can't be merged here, one that is for another base, the
            target is there, or the disk is full.
    """
    found, weights = Adapter(adapter), Shards(base)
    _check(found, weights, base)
    if target.exists():
        raise UserError(f"{target} is there already.", "name a new folder, or remove it")
    making = target.with_name(f".{target.name}.writing")
    shutil.rmtree(making, ignore_errors=True)
    words = tokenizer or (adapter if (adapter / "tokenizer.json").exists() else base)
    try:
        making.mkdir(parents=True)
        write_shards(making, _merged(found, weights, progress), part=part)
        for folder, names in ((base, _CONFIG), (words, _TOKENIZER)):
            for name in names:
                if (folder / name).exists():
                    shutil.copyfile(folder / name, making / name)
        about = {"sha256": sha256_file(next(adapter.glob("*.safetensors")))}
        write_json(making / PROVENANCE, {**provenance(base), "merged": about})
        making.rename(target)
    except OSError as error:
        raise explain_os_error(error, target) from error
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def _merged(found: Adapter, weights: Shards, progress: Progress) -> Iterator[tuple[str, Any]]:
    for done, name in enumerate(weights.shapes, start=1):
        tensor = weights.read(name)
        if name in found.whole:
            tensor = found.read(found.whole[name]).to(tensor.dtype)
        if name in found.rows:
            rows, numbers = found.rows[name]
            tensor = tensor.clone()
            tensor[numbers] = found.read(rows).to(tensor.dtype)
        if name in found.pairs:
            pair = found.pairs[name]
            total = tensor.float()
            total.addmm_(found.read(pair.b), found.read(pair.a), alpha=pair.scale)
            tensor = total.to(tensor.dtype)
        yield name, tensor
        progress(done, len(weights.shapes))


def _check(found: Adapter, weights: Shards, base: Path) -> None:
    """Every change has its place in the base, in the right size."""
    shapes = weights.shapes
    for name in (*found.pairs, *found.rows, *found.whole):
        if name not in shapes:
            raise UserError(
                f"{found.folder} changes {name}, which {base} does not have.",
                "name the base that the adapter was trained on",
            )
    for name, pair in found.pairs.items():
        wanted = (found.shape(pair.b)[0], found.shape(pair.a)[1])
        if shapes[name] != wanted:
            raise UserError(
                f"{found.folder} is for another base: {name} is {_size(shapes[name])} in {base}, "
                f"and {_size(wanted)} in the adapter.",
                "name the base that the adapter was trained on",
            )
    for name, (rows, numbers) in found.rows.items():
        if len(numbers) != found.shape(rows)[0] or max(numbers, default=0) >= shapes[name][0]:
            raise UserError(
                f"{found.folder} trained rows of {name} that {base} does not have: the vocabulary "
                "grew in training.",
                "its merged checkpoint lies beside the adapter, in the run's folder `checkpoint`",
            )
    for name, replacing in found.whole.items():
        if shapes[name] != found.shape(replacing):
            raise UserError(f"{found.folder} is for another base: {name} has another size there.")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
