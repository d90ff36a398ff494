"""`formosa card`: write a model card from a run folder, check one, look at one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import click

from formosa.card.claims import read_claims
from formosa.card.markdown import read_document
from formosa.card.verify import Finding, Severity, verify_card
from formosa.card.write import CARD_NAME, write_card
from formosa.cli.card_show import diff, show
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
    """Write RUN/README.md from the files of a run folder.

    \b
        formosa card write runs/mini
    """
    text = write_card(run)
    claims = read_claims(read_document(text).comments)
    path = run / CARD_NAME
    count = len(claims.claims) if claims else 0
    out.data({"card": str(path), "claims": count}, f"{path}: {count} figures, each with its source")
    out.hint(f"formosa card verify {path}")


@card.command()
@click.argument("path", metavar="CARD", type=click.Path(path_type=Path))
@click.option(
    "--claimed", is_flag=True, help="List each unsupported figure, not only their number."
)
@command_output
@click.pass_context
def verify(context: click.Context, out: Output, path: Path, claimed: bool) -> None:
    """Check CARD against its own words and its files.

    Exit code 0 where nothing is wrong (figures that nothing supports are "claimed", not wrong),
    1 where something is. Works on any model card; one without claims has claimed figures only.

    \b
        formosa card verify runs/mini/README.md
        formosa card verify README.md --claimed
        formosa card verify README.md --json | jq '.findings[].code'
    """
    path = _card_file(path)
    found = verify_card(path)
    counts = Counter(finding.severity for finding in found)
    passed = not counts["error"]
    value = {
        "card": str(path),
        "passed": passed,
        "counts": {severity: counts[severity] for severity in SEVERITIES},
        "findings": [{k: printable(v) for k, v in f._asdict().items()} for f in found],
    }
    lines = [_line(f) for f in found if claimed or f.severity != "claimed"]
    lines.append(f"{path}: {_verdict(counts)}")
    out.data(value, "\n".join(lines))
    if counts["claimed"] and not claimed:
        out.hint(f"see the unsupported figures: formosa card verify {path} --claimed")
    if not passed:
        context.exit(1)


def _card_file(path: Path) -> Path:
    """The card itself; a run folder means its card."""
    if not path.is_dir():
        return path
    if not (path / CARD_NAME).exists():
        raise CardError(f"{path} has no {CARD_NAME}.", f"write it: formosa card write {path}")
    return path / CARD_NAME


def _verdict(counts: Counter[Severity]) -> str:
    """`verified` is only said where every figure has a source."""
    if counts["error"]:
        word = "NOT verified"
    else:
        word = (
            "nothing wrong, but not every figure has a source" if counts["claimed"] else "verified"
        )
    total = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES)
    return f"{word} ({total})"


def _line(finding: Finding) -> str:
    text = f"{finding.severity} {finding.code}: {finding.where}: {finding.message}"
    return printable(text)


def printable(text: str) -> str:
    """Text of a stranger's card without what would steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


card.add_command(show)
card.add_command(diff)
