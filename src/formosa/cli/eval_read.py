"""`formosa eval ls|tasks|view|compare`: what the logs say. Asks nothing and loads no model.

The figures are those of `formosa.results`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from formosa.cli.output import Output, columns, command_output, visible
from formosa.errors import UserError
from formosa.evals.registry import TASKS
from formosa.results import report
from formosa.results.log import OUTCOMES, EvalLog, read_log
from formosa.results.metrics import paired_difference

LONGEST = 600  # characters of a reply in `view`


@click.command("ls")
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path("logs")
)
@command_output
def list_logs(out: Output, folder: Path) -> None:
    """List the logs below FOLDER

    \b
        formosa eval ls logs
        formosa eval ls runs --json
    """
    rows, problems = report.log_rows(folder)
    if out.json_mode:
        out.data(rows)
    else:  # the model and the task stand in the log's name, as a rule
        shown = columns(rows, ["log", "% correct", "answers", "failed", "state"])
        for row in shown:
            row["log"] = str(Path(row["log"]).relative_to(folder))
        out.table(shown)
    for problem in problems:
        out.say(problem.message)


@click.command("tasks")
@command_output
def list_tasks(out: Output) -> None:
    """List the tasks there are

    \b
        formosa eval tasks
    """
    out.table([{"task": name, "what": line} for name, line in TASKS.items()])


@click.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="LOG")
@click.option("--scorer", help="Whose misses to show; the task's main scorer by default.")
@click.option("--outcome", type=click.Choice(OUTCOMES), help="Show samples that ended so.")
@click.option(
    "--samples",
    "shown",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many samples to show.",
)
@click.option("--subjects", is_flag=True, help="Show a score for every subject, too.")
@command_output
def view(
    out: Output, path: Path, scorer: str | None, outcome: str | None, shown: int, subjects: bool
) -> None:
    """Show a log's scores and some of what went wrong

    \b
        formosa eval view logs/smollm2-135m-mini-zh-tw.jsonl
        formosa eval view logs/f1-bfcl-simple.jsonl --outcome unparsed --samples 10
    """
    log = read_log(path)
    scorer = scorer or log.scorers[0]
    if scorer not in log.scorers:
        raise UserError(f"{path} has no scorer {scorer}.", f"one of {', '.join(log.scorers)}")
    samples = list(report.not_correct(log, scorer, outcome))
    if out.json_mode:
        out.data({**report.figures(log), "samples": samples[:shown]})
        return
    start = log.start
    state = "finished" if log.finished else "interrupted; run the same command again to continue"
    out.say(
        f"{start['task']['name']} v{start['task']['version']} · {start['model']['name']} · "
        f"{len(log.samples)} of {log.planned} answers · {state}"
    )
    if not log.samples:
        return
    out.table(report.score_rows(log))
    if subjects:
        out.table(report.subject_rows(log, scorer), title=f"\n{scorer} by subject")
    for sample in samples[:shown]:
        out.text("\n" + _sample_text(sample, scorer))
    if len(samples) > shown:
        out.say(f"\n{len(samples) - shown} more: --samples {len(samples)}")


@click.command()
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False), metavar="A")
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False), metavar="B")
@command_output
def compare(out: Output, a: Path, b: Path) -> None:
    """Compare two logs of one task, question by question: how much better is B than A?

    \b
        formosa eval compare logs/base-bfcl-simple.jsonl logs/trained-bfcl-simple.jsonl

    The p-value is the exact sign test on questions (McNemar's test where each was asked once).
    """
    first, second = read_log(a), read_log(b)
    scorers = [name for name in first.scorers if name in second.scorers]
    if not scorers:
        raise UserError(f"{a} and {b} have no scorer in common.")
    made = {name: paired_difference(first, second, name) for name in scorers}
    value = {
        "a": str(a),
        "b": str(b),
        "task": first.start["task"]["name"],
        "scorers": {
            name: {**difference._asdict(), "changed": report.changed(first, second, name)}
            for name, difference in made.items()
        },
    }
    if out.json_mode:
        out.data(value)
        return
    out.say(
        f"{value['task']}: {second.start['model']['name']} minus {first.start['model']['name']}"
    )
    out.table(
        [
            {
                "scorer": name,
                "B − A, points (95 %)": report.points(difference),
                "questions": difference.questions,
                "B better": difference.better,
                "A better": difference.worse,
                "p": f"{difference.p:.3g}",
            }
            for name, difference in made.items()
        ]
    )
    for log in (first, second):
        _say_if_partial(out, log)


def _sample_text(sample: dict[str, Any], scorer: str) -> str:
    made = sample["scores"][scorer]
    reply = sample.get("reply") or {}
    message = reply.get("message") or {}
    text = reply.get("text") or json.dumps(message, ensure_ascii=False) if message else ""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + " […] " + text[-LONGEST // 2 :]
    lines = [
        f"{sample['id']} · repeat {sample['repeat']} · {made['outcome']}: {made['why']}",
        f"  right:  {json.dumps(sample['gold'], ensure_ascii=False)}",
        f"  answer: {made['answer'] if made['answer'] is not None else '–'}",
        *(f"  | {line}" for line in text.splitlines()),
    ]
    return visible("\n".join(lines)) + "\n"


def _say_if_partial(out: Output, log: EvalLog) -> None:
    if not log.finished:
        out.say(f"{log.path} is interrupted: {len(log.samples)} of {log.planned} answers")
    if log.failed():
        out.say(f"{log.path}: {len(log.failed())} samples failed and count as not correct")
