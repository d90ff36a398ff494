"""A card's report for people: what is wrong first, each with its line, and the count at the end.

Figures that nothing supports are put together by row: a card has dozens, and what would check them
is the same for a whole row. `--claimed` lists them one by one.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from formosa.card.checks.finding import Finding, Severity
from formosa.card.verify import Report
from formosa.cli.output import visible

ROWS = 40  # of claimed figures that are listed without --claimed
_NAMES: dict[Severity, str] = {
    "error": "errors",
    "warning": "warnings",
    "note": "notes",
    "claimed": "claimed: nothing here supports these, and nothing contradicts them",
}


def report_lines(path: Path, report: Report, *, claimed: bool = False) -> Iterator[str]:
    """The report, by severity, then by line."""
    for severity, title in _NAMES.items():
        findings = sorted(
            (f for f in report.findings if f.severity == severity), key=lambda f: f.line
        )
        if not findings:
            continue
        yield f"{title} ({len(findings)})"
        if severity == "claimed" and not claimed:
            yield from _rows(findings)
        else:
            for finding in findings:
                yield from _finding(finding)
        yield ""
    yield f"{path}: {verdict(report)}"


def verdict(report: Report) -> str:
    """`verified` is only said where every figure has a source."""
    if report.count("error"):
        word = "NOT verified"
    elif report.supported < report.claims:
        word = "nothing wrong, but not every figure has a source"
    else:
        word = "verified"
    kinds: tuple[Severity, ...] = ("error", "warning", "note")
    counts = ", ".join(_number(report.count(kind), kind) for kind in kinds)
    figures = _number(report.claims, "claim")
    return f"{word}: {counts}; {figures}, of which {report.supported} supported"


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  {_line(finding.line)}{finding.code} · {finding.where}"
    yield from _wrapped(finding.message)
    if finding.check:
        yield from _wrapped(f"to check: {finding.check}", fold=False)


def _rows(findings: Sequence[Finding]) -> Iterator[str]:
    """One entry a row of a table: what it is about, its figures, and what would check them."""
    rows = [list(group) for _, group in groupby(findings, key=lambda f: (f.line, _about(f)))]
    for row in rows[:ROWS]:
        first = row[0]
        yield f"  {_line(first.line)}{_about(first)}"
        yield from _wrapped("; ".join(_figure(finding) for finding in row))
        for check in dict.fromkeys(finding.check for finding in row if finding.check):
            yield from _wrapped(f"to check: {check}", fold=False)
    if len(rows) > ROWS:
        yield f"  … and {len(rows) - ROWS} more rows"


def _about(finding: Finding) -> str:
    """The place without its column: `table 1: model · box`."""
    return finding.where.rpartition(": ")[0] or finding.where


def _figure(finding: Finding) -> str:
    column = finding.where.rpartition(": ")[2]
    value = finding.message.removesuffix(" has no log.")
    return f"{column} {value}"


def _line(line: int) -> str:
    return f"line {line} · " if line else ""


def _wrapped(text: str, *, fold: bool = True) -> Iterator[str]:
    """Indented; a command stays on one line, so that it can be copied."""
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 110))
    text = visible(" ".join(text.split()))
    lines = textwrap.wrap(text, width - 6, break_on_hyphens=False) if fold else [text]
    for line in lines:
        yield f"      {line}"
