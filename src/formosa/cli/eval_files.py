"""`formosa eval merge|score|export|redact`: new files from logs. Asks no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from formosa.cli.output import Output, command_output
from formosa.errors import UserError
from formosa.evals.registry import load_logged, load_task
from formosa.evals.score import plan_of, score_outputs
from formosa.evals.score import rescore as rescore_log
from formosa.results import report
from formosa.results.export import Questions, to_inspect, to_parquet
from formosa.results.log import EvalLog, read_log
from formosa.results.merge import merge as merge_logs
from formosa.results.redact import redact as redact_log

MISSING = 3  # exit code: made, but answers are missing

_FILE = click.Path(path_type=Path, dir_okay=False)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the benchmark's data are; fetched into the cache by default.",
)


@click.command()
@click.argument("merged", type=_FILE, metavar="MERGED")
@click.argument("shards", nargs=-1, required=True, type=_FILE, metavar="LOG...")
@command_output
def merge(out: Output, merged: Path, shards: tuple[Path, ...]) -> int:
    """Put the LOGs of shards together into MERGED

    \b
        formosa eval merge logs/f1-tmmluplus.jsonl logs/f1-tmmluplus-*of8.jsonl

    Missing shards are named, and the merged log is unfinished then (exit code 3): merge again when
    they are there, or ask what is missing with `formosa eval retry`. The LOGs stay.
    """
    log = merge_logs([read_log(path) for path in shards], merged, out.say)
    _show(out, log)
    if not log.finished:
        out.hint(f"formosa eval retry {merged}")
    return 0 if log.finished else MISSING


@click.command("score")
@click.argument("logs", nargs=-1, type=_FILE, metavar="[LOG]...")
@click.option("--task", "name", metavar="NAME", help="The task; that of the LOG by default.")
@click.option("--outputs", type=_FILE, help="Score ready outputs in this JSON-lines file instead.")
@click.option("--model", metavar="NAME", help="Who wrote the outputs.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, help="Of the outputs.")
@click.option("--limit", type=click.IntRange(min=1), help="Samples that the outputs answer.")
@click.option("--seed", type=int, default=0, help="With which the outputs were asked for.")
@click.option("--out", "target", type=_FILE, help="The new log; NAME-rescored.jsonl by default.")
@_DATA_DIR
@command_output
def rescore(
    out: Output,
    logs: tuple[Path, ...],
    name: str | None,
    outputs: Path | None,
    model: str | None,
    repeats: int,
    limit: int | None,
    seed: int,
    target: Path | None,
    data_dir: Path | None,
) -> int:
    """Score replies that are there: those of LOGs, or ready outputs

    \b
        formosa eval score logs/f1-mini-zh-tw.jsonl
        formosa eval score --outputs replies.jsonl --task mini-zh-tw --model f1 --out logs/f1.jsonl

    A row of outputs has `id`, `text` (or `message`, or `tool_calls`), and perhaps `repeat`. The old
    LOG stays as it is.
    """
    if bool(logs) == bool(outputs):
        raise click.UsageError("Name LOGs, or a file of --outputs.")
    if target is not None and len(logs) > 1:
        raise click.UsageError("--out is for one log.")
    made = []
    if outputs is not None:
        if not name or not model:
            raise click.UsageError("--outputs needs --task and --model.")
        task = load_task(name, data_dir=data_dir, say=out.say)
        path = target or outputs.with_name(f"{outputs.stem}-scored.jsonl")
        made.append(
            score_outputs(outputs, task, path, model=model, repeats=repeats, limit=limit, seed=seed)
        )
    for path in logs:
        log = read_log(path)
        if name:
            task = load_task(name, data_dir=data_dir, say=out.say)
        else:
            task = load_logged(log.start["task"], data_dir=data_dir, say=out.say)
        made.append(rescore_log(log, task, target or path.with_name(f"{path.stem}-rescored.jsonl")))
    for log in made:
        _show(out, log)
        if len(log.samples) < log.planned:
            out.say(f"{log.planned - len(log.samples)} of {log.planned} replies are missing")
    return 0 if all(log.finished for log in made) else MISSING


@click.command()
@click.argument("path", type=_FILE, metavar="LOG")
@click.option("--to", "form", type=click.Choice(["parquet", "inspect"]), required=True)
@click.option("--out", "target", type=_FILE, help="The new file; beside LOG by default.")
@click.option("--questions", is_flag=True, help="With the questions' texts (inspect only).")
@_DATA_DIR
@command_output
def export(
    out: Output,
    path: Path,
    form: str,
    target: Path | None,
    questions: bool,
    data_dir: Path | None,
) -> None:
    """Write LOG as a Parquet table, or for `inspect view`

    \b
        formosa eval export logs/f1-mini-zh-tw.jsonl --to parquet
        formosa eval export logs/f1-mini-zh-tw.jsonl --to inspect --questions
    """
    log = read_log(path)
    if not log.samples:
        raise UserError(f"{path} holds no answers yet.", "run the same command again")
    if form == "parquet":
        target = target or path.with_suffix(".parquet")
        to_parquet(log, target)
    else:
        target = target or path.with_suffix(".inspect.json")
        asked = _questions(out, log, data_dir) if questions else None
        to_inspect(log, target, asked)
    out.say(f"wrote {target}")


@click.command()
@click.argument("logs", nargs=-1, required=True, type=_FILE, metavar="LOG...")
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the new logs go, under the same names.",
)
@command_output
def redact(out: Output, logs: tuple[Path, ...], folder: Path) -> None:
    """Write LOGs without questions, replies and right answers, to be published

    \b
        formosa eval redact runs/mini/logs/*.jsonl --out published/logs

    What became of every answer stays, so all figures and comparisons can be made again from the new
    logs; nothing can be scored again. Each says the sha256 of its LOG: keep the LOGs.
    """
    names = [path.name for path in logs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"Two logs are called {twice}.", "redact them into two folders")
    for path in logs:
        made = redact_log(read_log(path), folder / path.name)
        out.say(
            f"{made.path}: {len(made.samples)} answers, {made.path.stat().st_size / 1e6:.2f} MB"
        )


def _questions(out: Output, log: EvalLog, data_dir: Path | None) -> Questions:
    """The messages of a question as it was asked."""
    task = load_logged(log.start["task"], data_dir=data_dir, say=out.say)
    plan = plan_of(log, task)
    samples = {sample.id: sample for sample in plan.samples}

    def asked(id: str, repeat: int) -> list[dict[str, Any]]:
        return [message.to_openai() for message in plan.one(samples[id], repeat).asked.messages]

    return asked


def _show(out: Output, log: EvalLog) -> None:
    if log.samples:
        out.data(report.figures(log)) if out.json_mode else out.table(report.score_rows(log))
    out.say(f"log: {log.path}")
