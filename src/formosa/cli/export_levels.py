"""`formosa export levels`: one checkpoint at several levels, as a table and a plot.

Joins the room that writes files with the one that asks benchmarks: scores for each level are the
same task, the same samples and greedy replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from formosa.cli.export_check import require_whole
from formosa.cli.export_importance import calibration_texts, importance_option
from formosa.cli.export_where import checkpoint_of, described_run, run_of
from formosa.cli.output import Output, command_output
from formosa.export.config import Quantisation

_USUAL: tuple[Quantisation, ...] = ("F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--level",
    "wanted",
    type=click.Choice(get_args(Quantisation)),
    multiple=True,
    help=f"Once for each; {', '.join(_USUAL)} if left out. The first one is the one to serve.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go; by default the folder `levels` beside the checkpoint.",
)
@click.option("--name", help="The model's name inside the files; the folder's by default.")
@importance_option
@click.option("--evaluate", "tasks", multiple=True, metavar="TASK", help="Ask it at every level.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask only so many samples of a task.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True)
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=24,
    show_default=True,
    help="Greedy tokens a prompt of the check.",
)
@command_output
def levels(
    out: Output,
    checkpoint: Path,
    wanted: tuple[Quantisation, ...],
    folder: Path | None,
    name: str | None,
    calibration: Path | None,
    tasks: tuple[str, ...],
    limit: int | None,
    max_tokens: int,
    tokens: int,
) -> None:
    """Write CHECKPOINT (or a run) at several levels, check each, and compare them: size, speed,
    and what is lost.

    \b
        formosa export levels runs/mini
        formosa export levels runs/mini --level F16 --level Q4_K_M --evaluate mini-zh-tw
        formosa export levels runs/mini --importance runs/mini/data/train.jsonl
        formosa export levels merged --out merged-gguf --evaluate bfcl-simple --limit 40

    Leaves model-LEVEL.gguf, parity-LEVEL.json, levels.json and levels.svg. Nats are the divergence
    of the file's probabilities from the checkpoint's on a fixed text; tok/s, one token at a time on
    this machine.
    """
    from formosa.export.levels import PLOT, export_levels, shown, with_scores, write_levels

    run, source = run_of(checkpoint), checkpoint_of(checkpoint)
    require_whole(source)
    target = folder or source.parent / "levels"  # a run's own files stay as they are
    with out.progress() as bars:
        task = bars.add_task("tensors", total=None)
        rows = export_levels(
            source,
            target,
            tuple(dict.fromkeys(wanted or _USUAL)),
            name=name or (run or source).resolve().name,
            metadata=described_run(run),
            calibration=calibration_texts(calibration, source),
            greedy_tokens=tokens,
            say=out.say,
            progress=lambda done, of: bars.update(task, completed=done, total=of),
        )
    if tasks:
        files = {row.level: target / row.file for row in rows}
        scores = {
            level: _scores(out, path, tasks, limit, max_tokens) for level, path in files.items()
        }
        rows = with_scores(rows, scores)
    write_levels(target, rows)
    out.data([row._asdict() for row in rows]) if out.json_mode else out.table(shown(rows))
    out.say(f"plot: {target / PLOT}")


def _scores(
    out: Output, path: Path, tasks: Sequence[str], limit: int | None, max_tokens: int
) -> dict[str, dict[str, Any]]:
    """What one file reaches, by task: its first scorer's share with the interval."""
    from formosa.engines.llama import LlamaEngine
    from formosa.engines.protocol import Sampling
    from formosa.engines.templated import TemplatedChat
    from formosa.evals.registry import load_task
    from formosa.evals.run import run_task
    from formosa.files import sha256_file
    from formosa.results.metrics import score

    engine = LlamaEngine(path, context=4096, slots=1, sha256=sha256_file(path))
    found = {}
    try:
        for name in dict.fromkeys(tasks):
            task = load_task(name, say=out.say)
            log_path = path.parent / "logs" / f"{path.stem}-{name.replace('/', '-')}.jsonl"
            out.say(f"{path.name}: asking {name}")
            log = asyncio.run(
                run_task(
                    task,
                    TemplatedChat(engine),
                    log_path,
                    limit=limit,
                    sampling=Sampling(max_tokens=max_tokens),
                    concurrency=1,
                    retry=True,
                )
            )
            made = score(log, log.scorers[0])
            found[name] = {
                "value": made.value,
                "low": made.low,
                "high": made.high,
                "samples": made.questions,
                "log": str(log_path.relative_to(path.parent)),
            }
    finally:
        asyncio.run(engine.aclose())
    return found
