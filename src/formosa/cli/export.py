"""`formosa export`: write GGUF, and check that it says the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import get_args

import click

from formosa.cli.output import Output, command_output
from formosa.errors import ModelError, ParityError
from formosa.export.config import Quantisation
from formosa.files import read_json

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def export() -> None:
    """Write a checkpoint as GGUF, and prove that it says the same.

    \b
        formosa export gguf runs/mini/checkpoint model-F16.gguf --quantisation F16
        formosa export check runs/mini/checkpoint model-F16.gguf
    """


@export.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("file", type=_FILE)
@click.option(
    "--quantisation",
    type=click.Choice(get_args(Quantisation)),
    default="Q8_0",
    show_default=True,
    help="How the matrices are stored.",
)
@click.option("--name", help="The model's name inside the file; the file's name by default.")
@command_output
def gguf(
    out: Output, checkpoint: Path, file: Path, quantisation: Quantisation, name: str | None
) -> None:
    """Write CHECKPOINT as the GGUF file FILE, then run `export check`."""
    from formosa.export.gguf import write_gguf

    _require_whole(checkpoint)
    with out.progress() as bars:
        task = bars.add_task("tensors", total=None)
        write_gguf(
            checkpoint,
            file,
            quantisation,
            name=name or file.stem,
            progress=lambda done, of: bars.update(task, completed=done, total=of),
        )
    _check(out, checkpoint, file, tokens=24)


@export.command()
@click.argument("checkpoint", type=_FOLDER)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    help="Greedy tokens a prompt.",
)
@command_output
def check(out: Output, checkpoint: Path, file: Path, tokens: int) -> None:
    """Compare the GGUF file FILE with its CHECKPOINT: text, token ids, greedy words."""
    _check(out, checkpoint, file, tokens=tokens)


def _check(out: Output, checkpoint: Path, file: Path, *, tokens: int) -> None:
    from formosa.export.parity import check_parity_now

    _require_whole(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "parity.json"
        try:
            check_parity_now(checkpoint, file, greedy_tokens=tokens, report=report)
        except ParityError as error:
            out.table(read_json(report)["checks"])
            raise ParityError(error.message) from error
        out.table(read_json(report)["checks"])


def _require_whole(checkpoint: Path) -> None:
    """Say at once what a folder lacks to be a checkpoint as training leaves it."""
    for pattern in ("config.json", "*.safetensors", "tokenizer.json", "chat_template.jinja"):
        if not any(checkpoint.glob(pattern)):
            raise ModelError(
                f"{checkpoint} is no whole checkpoint: it holds no {pattern}.",
                "name the folder `checkpoint` of a run, as in runs/mini/checkpoint",
            )
