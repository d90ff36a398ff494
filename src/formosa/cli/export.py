"""`formosa export`: merge, write GGUF, quantise, and check that it says the same.

Knows options and words for people, and where a run keeps its parts. Several levels at once, with
scores of tasks, are in `export_levels.py`; checks are in `export_check.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import click

from formosa.cli.export_check import check, check_file, require_whole
from formosa.cli.export_importance import calibration_texts, importance_option
from formosa.cli.export_levels import levels
from formosa.cli.export_where import checkpoint_of, described_run, run_of
from formosa.cli.output import Output, command_output
from formosa.errors import ModelError
from formosa.export.config import Quantisation

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)
_EXISTING = click.Path(path_type=Path, dir_okay=False, exists=True)
_LEVELS = click.Choice(get_args(Quantisation))
ADAPTER = "adapter"  # of a run's checkpoint


@click.group()
def export() -> None:
    """Write a checkpoint as GGUF, and prove that it says the same.

    \b
        formosa export gguf runs/mini model-Q4_K_M.gguf --level Q4_K_M
        formosa export levels runs/mini --level F16 --level Q4_K_M --evaluate mini-zh-tw
        formosa export quantize model-F16.gguf model-Q5_K_M.gguf --level Q5_K_M
        formosa export merge smollm2-135m runs/mini/checkpoint/adapter merged
        formosa export adapter runs/mini mini-lora.gguf
        formosa export check runs/mini --engine vllm
    """


export.add_command(levels)
export.add_command(check)


@export.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("file", type=_FILE)
@click.option(
    "--level",
    "--quantisation",
    "quantisation",
    type=_LEVELS,
    default="Q8_0",
    show_default=True,
    help="How the matrices are stored.",
)
@click.option("--name", help="The model's name inside the file; the file's name by default.")
@importance_option
@command_output
def gguf(
    out: Output,
    checkpoint: Path,
    file: Path,
    quantisation: Quantisation,
    name: str | None,
    calibration: Path | None,
) -> None:
    """Write CHECKPOINT (or a run's folder) as the GGUF file FILE, then run `export check`.

    \b
        formosa export gguf runs/mini model-Q8_0.gguf
        formosa export gguf merged model-Q4_K_M.gguf --level Q4_K_M --name "My model"
        formosa export gguf merged model-Q4_K_M.gguf --level Q4_K_M --importance rows.jsonl
    """
    from formosa.export.gguf import write_gguf
    from formosa.export.importance import importance
    from formosa.export.reference import Reference

    metadata = described_run(run_of(checkpoint))
    checkpoint = checkpoint_of(checkpoint)
    require_whole(checkpoint)
    texts = calibration_texts(calibration, checkpoint)
    with _progress(out) as progress:
        noted = importance(Reference(checkpoint), texts, progress=progress) if texts else None
        write_gguf(
            checkpoint,
            file,
            quantisation,
            name=name or file.stem,
            metadata=metadata,
            importance=noted,
            progress=progress,
        )
    check_file(out, checkpoint, file, tokens=24)


@export.command()
@click.argument("source", type=_EXISTING, metavar="IN.gguf")
@click.argument("target", type=_FILE, metavar="OUT.gguf")
@click.option("--level", type=_LEVELS, required=True, help="How the matrices are stored.")
@click.option("--twice", is_flag=True, help="Go on from a file that has few bits already.")
@command_output
def quantize(out: Output, source: Path, target: Path, level: Quantisation, *, twice: bool) -> None:
    """Write a GGUF file at another level.

    \b
        formosa export quantize model-F16.gguf model-Q4_K_M.gguf --level Q4_K_M
    """
    from formosa.export.requantise import quantise_gguf

    with _progress(out) as progress:
        quantise_gguf(source, target, level, twice=twice, progress=progress)
    before, after = (path.stat().st_size for path in (source, target))
    out.data(
        {"file": str(target), "level": level, "bytes": after, "before": before},
        f"{target}: {after / 1e6:.1f} MB, {after / before:.0%} of {source.name}",
    )


@export.command()
@click.argument("parts", nargs=-1, required=True, metavar="RUN | BASE ADAPTER")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT")
@command_output
def merge(out: Output, parts: tuple[str, ...], target: Path) -> None:
    """Put a LoRA adapter into its base: a new checkpoint OUT, in safetensors.

    \b
        formosa export merge runs/mini merged
        formosa export merge smollm2-135m runs/mini/checkpoint/adapter merged
        formosa export merge path/to/base path/to/adapter merged

    Sums are made in float32, one matrix at a time, and rounded to the base's precision.
    """
    from formosa.export.merge import merge as merged

    base, adapter, tokenizer = _base_and_adapter(out, parts)
    with _progress(out) as progress:
        merged(base, adapter, target, tokenizer=tokenizer, progress=progress)
    out.data({"checkpoint": str(target)}, f"merged: {target}")
    out.hint(f"formosa export gguf {target} model-Q8_0.gguf")


@export.command()
@click.argument("parts", nargs=-1, required=True, metavar="RUN | BASE ADAPTER")
@click.argument("file", type=_FILE, metavar="OUT.gguf")
@click.option("--name", help="The adapter's name inside the file; the file's name by default.")
@click.option(
    "--level",
    type=click.Choice(["F32", "F16"]),
    default="F32",
    show_default=True,
    help="How its numbers are stored; F16 is half as large.",
)
@command_output
def adapter(
    out: Output, parts: tuple[str, ...], file: Path, name: str | None, level: Literal["F32", "F16"]
) -> None:
    """Write a LoRA adapter as a GGUF file, for llama.cpp to add to its base while it runs.

    \b
        formosa export adapter runs/mini mini-lora.gguf --level F16
        formosa export adapter smollm2-135m runs/mini/checkpoint/adapter mini-lora.gguf
        formosa chat smollm2-135m+mini-lora.gguf
    """
    from formosa.export.adapter import write_adapter

    base, found, _ = _base_and_adapter(out, parts)
    metadata = described_run(run_of(Path(parts[0]))) if len(parts) == 1 else {}
    beside = found.parent / "chat_template.jinja"  # of the checkpoint whose adapter it is
    template = beside.read_text(encoding="utf-8") if beside.exists() else ""
    with _progress(out) as progress:
        write_adapter(
            base,
            found,
            file,
            name=name or file.stem,
            level=level,
            template=template,
            metadata=metadata,
            progress=progress,
        )
    size = file.stat().st_size
    out.data({"file": str(file), "bytes": size}, f"{file}: {size / 1e6:.1f} MB")


def _base_and_adapter(out: Output, parts: tuple[str, ...]) -> tuple[Path, Path, Path | None]:
    """The base's folder, the adapter's, and the tokenizer's where it is neither's."""
    from formosa.checkpoints import checkpoint_folder
    from formosa.models import resolve

    if len(parts) > 2:
        raise click.UsageError("Name a run, or a base and an adapter, and what to write.")
    if len(parts) == 2:
        base, adapter = parts[0], Path(parts[1])
        return checkpoint_folder(resolve(base, say=out.say), say=out.say), adapter, None
    run = run_of(Path(parts[0]))
    if run is None:
        raise ModelError(
            f"{parts[0]} is no run: it holds no recipe.yaml.",
            "name the base and the adapter: formosa export merge BASE ADAPTER OUT",
        )
    from formosa.run.recipe import load_recipe

    checkpoint = run / "checkpoint"
    if not (checkpoint / ADAPTER).is_dir():
        raise ModelError(
            f"{run} trained no adapter.", f"its checkpoint is whole already: {checkpoint}"
        )
    base_model = resolve(load_recipe(run / "recipe.yaml").base, say=out.say)
    return checkpoint_folder(base_model, say=out.say), checkpoint / ADAPTER, checkpoint


@contextmanager
def _progress(out: Output) -> Iterator[Callable[[int, int], None]]:
    with out.progress() as bars:
        task = bars.add_task("tensors", total=None)

        def tell(done: int, of: int) -> None:
            bars.update(task, completed=done, total=of)

        yield tell
