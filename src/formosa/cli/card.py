"""`formosa card`: write a model card from a run folder, check one, look at one."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from formosa.card.claims import CLAIMS_FILE, parse_claims
from formosa.card.installed import installed_flags
from formosa.card.verify import Severity, check_card, read_subject
from formosa.card.write import CARD_NAME, write_card
from formosa.cli.card_report import report_lines
from formosa.cli.card_show import diff, show
from formosa.cli.eval_who import Who, model_options
from formosa.cli.output import Output, command_output
from formosa.errors import CardError

SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@click.group()
def card() -> None:
    """Write and verify a model card.

    \b
        formosa card write runs/mini              # runs/mini/README.md, from the run's own files
        formosa card verify runs/mini/README.md   # every figure again, from its log
        formosa card show runs/mini               # a model at a glance; a GGUF file, a hub id, too
        formosa card diff a.gguf b.gguf           # what differs between two files, or two cards
    """


@card.command()
@click.argument("run", type=click.Path(path_type=Path))
@command_output
def write(out: Output, run: Path) -> None:
    """Write RUN/README.md from the files of a run folder, and card-claims.json beside it, which
    says where each figure is from.

    \b
        formosa card write runs/mini
    """
    write_card(run)
    path = run / CARD_NAME
    count = len(parse_claims((run / CLAIMS_FILE).read_text(encoding="utf-8")).claims)
    value = {"card": str(path), "claims": count, "claims_file": str(run / CLAIMS_FILE)}
    out.data(value, f"{path}: {count} figures, each with its source in {CLAIMS_FILE}")
    out.hint(f"formosa card verify {path}")


@card.command()
@click.argument("path", metavar="CARD", type=click.Path(path_type=Path))
@click.option("--claimed", is_flag=True, help="List each unsupported figure, not only its row.")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    help="A log, or a folder of logs, to check the figures against.",
)
@click.option(
    "--run-code",
    is_flag=True,
    help="Run the card's tool-calling walk-through against a scripted server.",
)
@click.option("--rerun", is_flag=True, help="Ask the claimed benchmarks again.")
@click.option(
    "--limit", type=click.IntRange(min=1), help="For --rerun: ask only so many questions of each."
)
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    help="For --rerun: cut replies there, where the card's protocol allows more.",
)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("logs"),
    show_default=True,
    help="For --rerun: the folder of its logs.",
)
@click.option(
    "--data-dir",
    "data_dirs",
    multiple=True,
    metavar="[TASK=]FOLDER",
    help="For --rerun: where the data of a task are (all those whose names begin so); fetched by "
    "default. May be repeated.",
)
@model_options
@command_output
def verify(
    out: Output,
    who: Who,
    path: Path,
    claimed: bool,
    logs: Path | None,
    run_code: bool,
    rerun: bool,
    limit: int | None,
    max_tokens: int | None,
    folder: Path,
    data_dirs: tuple[str, ...],
) -> int:
    """Check CARD against its own words and its files

    Works on any model card. Exit code 0 where nothing is wrong (figures that nothing supports are
    "claimed", not wrong), 1 where something is. docs/cards.md explains every code.

    \b
        formosa card verify runs/mini/README.md
        formosa card verify README.md --claimed
        formosa card verify README.md --run-code
        formosa card verify README.md --logs logs
        formosa card verify README.md --json | jq '.findings[].code'
        formosa card verify README.md --rerun --limit 40 --base-url http://127.0.0.1:8000/v1
        formosa card verify runs/mini/README.md --rerun --model runs/mini
        formosa card verify formosa-mini          # the card of our own model, which is built in

    --run-code runs a stranger's Python: in a process of its own with limits, without network but
    the scripted server, without your environment; still, read the code first.
    """
    if rerun and not who.model and not who.base_url:
        raise click.UsageError("Name a model with --model, or a server with --base-url.")
    path = _card_file(path)
    subject, problems = read_subject(path, logs)
    if run_code:
        from formosa.cli.card_code import run_code as run_walkthrough

        problems += run_walkthrough(subject)
    if rerun:
        from formosa.cli.card_rerun import rerun as ask_again

        problems += ask_again(
            out,
            subject,
            who,
            folder=folder,
            limit=limit,
            max_tokens=max_tokens,
            data=_folders(data_dirs),
        )
    report = check_card(subject, problems, installed_flags)
    value = {
        "card": str(path),
        "model": printable(subject.own_id or subject.own_name),
        "passed": not report.count("error"),
        "counts": {severity: report.count(severity) for severity in SEVERITIES},
        "claims": {"total": report.claims, "supported": report.supported},
        "findings": [
            {k: printable(v) if isinstance(v, str) else v for k, v in f._asdict().items()}
            for f in report.findings
        ],
    }
    lines = report_lines(path, report, claimed=claimed)
    out.data(value, "\n".join(map(printable, lines)))
    if report.count("claimed") and not claimed:
        out.hint(f"see the unsupported figures one by one: formosa card verify {path} --claimed")
    return 1 if report.count("error") else 0


def _folders(given: tuple[str, ...]) -> dict[str, Path]:
    """Folders by the first letters of the tasks whose data they hold; "" for all tasks."""
    folders = {}
    for text in given:
        task, equals, folder = text.partition("=")
        named = bool(equals) and not Path(text).exists()
        folders[task if named else ""] = Path(folder if named else text)
    return folders


def _card_file(path: Path) -> Path:
    """The card itself; a run folder means its card, and so does the name of a model of ours."""
    if not path.exists():
        from formosa.models import ADAPTERS

        path = ADAPTERS[str(path)].folder if str(path) in ADAPTERS else path
    if not path.is_dir():
        return path
    if not (path / CARD_NAME).exists():
        raise CardError(f"{path} has no {CARD_NAME}.", f"write it: formosa card write {path}")
    return path / CARD_NAME


def printable(text: str) -> str:
    """Text of a stranger's card without what would steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


card.add_command(show)
card.add_command(diff)
