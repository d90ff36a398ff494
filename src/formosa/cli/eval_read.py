"""`formosa eval ls|tasks|view|compare`: what the logs say. Asks nothing and loads no model.

The figures are those of `formosa.results`.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import click

from formosa.cli.eval_several import figures, show_without_known_bad, view_several
from formosa.cli.output import Output, columns, command_output, visible
from formosa.errors import UserError
from formosa.evals.registry import TASKS
from formosa.results import report
from formosa.results.log import OUTCOMES, EvalLog, read_log
from formosa.results.metrics import outcomes, paired_difference

LONGEST = 600  # characters of a reply in `view`
UNREAD = 0.2  # share of replies, above which it is said that they could not be read


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
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="LOG...",
)
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
    out: Output,
    paths: tuple[Path, ...],
    scorer: str | None,
    outcome: str | None,
    shown: int,
    subjects: bool,
) -> None:
    """Show a log's scores and some of what went wrong

    \b
        formosa eval view logs/smollm2-135m-mini-zh-tw.jsonl
        formosa eval view logs/f1-bfcl-simple.jsonl --outcome unparsed --samples 10
        formosa eval view logs/f1-bfcl-*.jsonl

    With several logs of one model: no samples, but the figures over several tasks, such as BFCL's
    ast_mean. Where questions are known that nobody can get right, all figures stand there a second
    time without them. Intervals are clustered by question.
    """
    logs = [read_log(path) for path in paths]
    if len(logs) > 1:
        view_several(out, logs)
        return
    (log,) = logs
    scorer = scorer or log.scorers[0]
    if scorer not in log.scorers:
        raise UserError(f"{log.path} has no scorer {scorer}.", f"one of {', '.join(log.scorers)}")
    samples = list(itertools.islice(report.not_correct(log, scorer, outcome), shown))
    if out.json_mode:
        out.data({**figures(log), "samples": samples})
        return
    start = log.start
    state = "finished" if log.finished else "interrupted; run the same command again to continue"
    out.say(
        f"{start['task']['name']} v{start['task']['version']} · {start['model']['name']} · "
        f"{len(log.samples)} of {log.planned} answers · {state}"
    )
    if decoder := start["task"].get("decoder"):
        out.say(f"replies were read by: {decoder}")
    if not log.samples:
        return
    out.table(report.score_rows(log))
    show_without_known_bad(out, log)
    say_if_unread(out, log)
    _say_twinkle(out, log)
    out.table([report.effort_row(log)])
    if subjects:
        out.table(report.subject_rows(log, scorer), title=f"\n{scorer} by subject")
    for sample in samples:
        out.text("\n" + _sample_text(sample, scorer))
    counts = outcomes(log, scorer)._asdict()
    left = (counts[outcome] if outcome else sum(counts.values()) - counts["correct"]) - len(samples)
    if left:
        out.say(f"\n{left} more: --samples {left + len(samples)}")


def say_if_unread(out: Output, log: EvalLog) -> None:
    """Such a score says more about the reading, or the prompt, than about the model."""
    for name in log.scorers:
        counted = outcomes(log, name)
        if counted.unparsed > UNREAD * sum(counted):
            share = report.percent(counted.unparsed / sum(counted))
            reader = log.start["task"].get("decoder") or name
            out.say(f"{name}: {share} % of the replies could not be read ({reader})")
            out.hint(f"formosa eval view {log.path} --scorer {name} --outcome unparsed")


def _say_twinkle(out: Output, log: EvalLog) -> None:
    """What Twinkle Eval would have printed, where the log was asked its way."""
    from formosa.evals.twinkle import figures

    for name in log.scorers:
        if name.startswith("twinkle") and len(log.samples) == log.planned:
            out.say(f"{name}: {figures(log, name).card()} as the F1 cards print it")


@click.command()
@click.argument("a", type=click.Path(path_type=Path, dir_okay=False), metavar="A")
@click.argument("b", type=click.Path(path_type=Path, dir_okay=False), metavar="B")
@click.option(
    "--changed",
    "shown",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many changed questions to list, for each scorer.",
)
@command_output
def compare(out: Output, a: Path, b: Path, shown: int) -> None:
    """Compare two logs of one task, question by question: how much better is B than A?

    \b
        formosa eval compare logs/base-bfcl-simple.jsonl logs/trained-bfcl-simple.jsonl

    The p-value is the exact permutation test on questions (McNemar's test where each was asked
    once). Below the table: the questions whose outcome changed.
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
            name: {
                **difference._asdict(),
                "in_noise": difference.in_noise,
                "changed": report.changed(first, second, name),
            }
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
    for name, difference in made.items():
        if difference.in_noise:
            out.say(f"{name}: inside the noise; these questions can't tell the two models apart")
    for name in scorers:
        _show_changed(out, name, value["scorers"][name]["changed"], shown)
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


def _show_changed(out: Output, scorer: str, rows: list[dict[str, Any]], shown: int) -> None:
    if rows and shown:
        narrow = columns(rows[:shown], ["id", "repeat", "a", "b", "a answer", "b answer"])
        for row in narrow:
            for name in ("a answer", "b answer"):
                row[name] = visible(str(row[name] or "–"))[:30]
        out.table(narrow, title=f"\n{scorer}: changed")
    if len(rows) > shown:
        out.say(f"{len(rows) - shown} more changed: --changed {len(rows)}")


def _say_if_partial(out: Output, log: EvalLog) -> None:
    if not log.finished:
        out.say(f"{log.path} is interrupted: {len(log.samples)} of {log.planned} answers")
    if log.failures:
        out.say(f"{log.path}: {log.failures} samples failed and count as not correct")
