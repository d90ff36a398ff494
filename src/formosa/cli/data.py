"""`formosa data`: prepare rows as a recipe says, and look into a file.

The other commands of the group are in modules of their own: `data_synth.py`, `data_report.py`.
"""

from __future__ import annotations

from pathlib import Path

import click

from formosa.cli.data_inspect import inspect
from formosa.cli.data_report import rejects, report
from formosa.cli.data_synth import synth
from formosa.cli.data_teach import teach
from formosa.cli.output import Output, command_output
from formosa.data.config import load_data_config
from formosa.data.prepare import prepare as prepare_rows
from formosa.data.report import Report
from formosa.data.workers import usual_processes

BAR = 40  # characters of the longest bar of a histogram


@click.group(name="data")
def data() -> None:
    """Prepare, inspect and generate training rows.

    \b
        formosa data synth --rows 3 --language zh-TW
        formosa data prepare recipes/mini.yaml --out /tmp/data
        formosa data report /tmp/data
        formosa data inspect /tmp/data/train.jsonl
    """


@data.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder."
)
@click.option("--skip-bad", is_flag=True, help="Leave out and count bad rows of sources.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes that judge rows of large sources; as many as cores, up to 4, if not given. "
    "The bytes are the same.",
)
@command_output
def prepare(output: Output, recipe: Path, out: Path, skip_bad: bool, workers: int | None) -> None:
    """Write train.jsonl, heldout.jsonl, rejects.jsonl and report.json, as the `data:` part of
    RECIPE says.

    \b
        formosa data prepare recipes/mini.yaml --out /tmp/data
        formosa data prepare recipes/mini.yaml --out /tmp/data --skip-bad
        formosa data report /tmp/data

    Stopped, it leaves what was there before, and begins again the next time.
    """
    from formosa.run.benchmarks import benchmark_names, evals_in, load_benchmarks

    config = load_data_config(recipe)
    names = benchmark_names(config, evals_in(recipe))
    benchmarks = load_benchmarks(names, say=output.say)
    with output.progress() as bar:
        task = bar.add_task("rows", total=None)
        report = prepare_rows(
            config,
            out,
            root=recipe.parent,
            skip_bad=skip_bad,
            benchmarks=benchmarks,
            workers=workers or usual_processes(),
            say=output.say,
            progress=lambda done, total, what: bar.update(
                task, completed=done, total=total, description=f"rows {what}"
            ),
        )
    output.data(report.to_json(), _summary(report, out))


def _summary(report: Report, out: Path) -> str:
    rows = report.rows
    kinds = ", ".join(f"{name} {count}" for name, count in report.kinds.items())
    languages = ", ".join(f"{name} {count}" for name, count in report.languages.items())
    refused = sum(report.dropped.values())
    lines = [
        f"{out}: {rows['train']:,} to train, {rows['heldout']:,} held out, {refused:,} refused",
        kinds,
        languages,
        f"see formosa data report {out}" + (f", and formosa data rejects {out}" if refused else ""),
    ]
    return "\n".join(lines)


for _command in (inspect, report, rejects, synth, teach):
    data.add_command(_command)
