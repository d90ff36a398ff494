"""`formosa export check`: does a GGUF file, or vLLM, say what the checkpoint says?

Joins rooms that don't know each other: a run's held-out rows are asked too, beside the fixed
conversations of `formosa.export.parity`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from formosa.cli.engine_options import vllm_options
from formosa.cli.export_where import checkpoint_of, run_of
from formosa.cli.output import Output, command_output
from formosa.errors import ModelError, ParityError
from formosa.files import read_json

if TYPE_CHECKING:
    from formosa.engines.vllm_command import VllmOptions
    from formosa.export.greedy import Conversation

HELDOUT = Path("data/heldout.jsonl")  # of a run
CONTEXT = 2048  # tokens; a check's conversations are short


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
@click.option(
    "--engine",
    type=click.Choice(["llama", "vllm"]),
    default="llama",
    show_default=True,
    help="llama.cpp with a GGUF file, or vLLM with the checkpoint itself.",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    help="Greedy tokens a reply.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="So many of the run's held-out questions are asked too.",
)
@vllm_options
@command_output
def check(
    out: Output,
    checkpoint: Path,
    file: Path | None,
    engine: str,
    tokens: int,
    rows: int,
    vllm: VllmOptions | None,
) -> None:
    """Compare a GGUF file with its CHECKPOINT (or a run): text, token ids, greedy words, and how
    far its probabilities are from the checkpoint's. Without FILE, the run's own.

    \b
        formosa export check runs/mini
        formosa export check runs/mini model-F16.gguf --rows 12 --tokens 48
        formosa export check runs/mini --engine vllm --rows 12 --tokens 48
        formosa export check runs/mini --engine vllm --dtype float32

    With --engine vllm, what vLLM says when it serves the checkpoint: it takes no FILE. A word that
    differs is a near tie where the checkpoint's own two best were almost equal; it is named.
    """
    source = checkpoint_of(checkpoint)
    asked = _heldout(run_of(checkpoint), rows)
    if engine == "vllm":
        if file is not None:
            raise click.UsageError("vLLM takes the checkpoint itself: leave FILE out.")
        check_vllm(out, source, vllm, tokens=tokens, more=asked)
    elif vllm is not None:
        raise click.UsageError("These options are vLLM's: add --engine vllm.")
    else:
        file = file or _own_file(run_of(checkpoint))
        check_file(out, source, file, tokens=tokens, more=asked)


def check_file(
    out: Output,
    checkpoint: Path,
    file: Path,
    *,
    tokens: int,
    more: Sequence[Conversation] = (),
) -> None:
    """Print the checks of a GGUF file.

    Raises:
        ParityError: one of them failed; all were printed.
    """
    from formosa.export.parity import check_parity_now

    require_whole(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "parity.json"
        try:
            check_parity_now(checkpoint, file, greedy_tokens=tokens, report=report, more=more)
        except ParityError as error:
            out.table(read_json(report)["checks"])
            raise ParityError(error.message) from error
        out.table(read_json(report)["checks"])


def check_vllm(
    out: Output,
    checkpoint: Path,
    options: VllmOptions | None,
    *,
    tokens: int,
    more: Sequence[Conversation] = (),
) -> None:
    """Print what vLLM, serving a checkpoint, says of it.

    Raises:
        ParityError: a check failed; all were printed.
    """
    from formosa.engines.vllm import VllmEngine
    from formosa.engines.vllm_command import VllmOptions
    from formosa.export.served import check_served, dtype_of

    require_whole(checkpoint)
    options = options or VllmOptions()
    dtype = dtype_of(checkpoint, options.dtype, options.quantization)
    longest = read_json(checkpoint / "config.json").get("max_position_embeddings") or CONTEXT
    context = min(CONTEXT, longest)
    engine = VllmEngine(checkpoint, context=context, slots=1, options=options, say=out.say)
    try:
        checks = asyncio.run(
            check_served(checkpoint, engine, dtype=dtype, greedy_tokens=tokens, more=more)
        )
    finally:
        asyncio.run(engine.aclose())
    out.table([made._asdict() for made in checks])
    who = f"{engine.info.details['version']}, {dtype}"
    failed = [f"{made.name}: {made.detail}" for made in checks if not made.passed]
    if failed:
        raise ParityError(f"{who}, differs from the checkpoint: {'; '.join(failed)}")
    out.say(f"checked with {who}")


def require_whole(checkpoint: Path) -> None:
    """Say at once what a folder lacks to be a checkpoint as training leaves it."""
    for pattern in ("config.json", "*.safetensors", "tokenizer.json", "chat_template.jinja"):
        if not any(checkpoint.glob(pattern)):
            raise ModelError(
                f"{checkpoint} is no whole checkpoint: it holds no {pattern}.",
                "name a run, or the folder `checkpoint` of one, as in runs/mini/checkpoint",
            )


def _own_file(run: Path | None) -> Path:
    """The GGUF file of a run, the one that is served."""
    if run is None:
        raise click.UsageError("Name the GGUF file, or say --engine vllm.")
    from formosa.models import gguf_file, resolve

    return gguf_file(resolve(str(run)))


def _heldout(run: Path | None, count: int) -> list[Conversation]:
    """The first of a run's held-out rows, each up to its first reply."""
    if not count:
        return []
    if run is None or not (run / HELDOUT).exists():
        raise ModelError(
            "--rows asks held-out rows, and there is no run that has some.",
            f"name a run's folder with {HELDOUT}, or leave --rows out",
        )
    from formosa.data.rows import read_rows

    found: list[Conversation] = []
    for row in read_rows(run / HELDOUT):
        roles = [message.role for message in row.messages]
        if "assistant" in roles:
            before = list(row.messages[: roles.index("assistant")])
            found.append((before, list(row.tools)))
        if len(found) == count:
            break
    return found
