"""A card against its own words and its files: runs every check, in one order.

A card of ours is one with claims or with tables marked as ours. Every other card is foreign: its
figures are listed as claimed, and compared with one another and with logs where there are some.

The codes are in `checks/finding.py`, and explained in docs/cards.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from formosa.card.checks import claims as claim_checks
from formosa.card.checks.agreement import agreement
from formosa.card.checks.code_blocks import code_blocks
from formosa.card.checks.commands import Flags, command_lines, known_flags
from formosa.card.checks.finding import Finding, Severity, found
from formosa.card.checks.front_matter import front_matter
from formosa.card.checks.logs import logs as log_checks
from formosa.card.checks.model_index import model_index
from formosa.card.checks.names import names
from formosa.card.checks.subject import Subject
from formosa.card.checks.tool_results import tool_results
from formosa.card.checks.unclaimed import unclaimed
from formosa.card.checks.units import units
from formosa.card.claims import Claims, read_claims
from formosa.card.markdown import read_document
from formosa.card.parts import read_parts
from formosa.card.values import Card, parse_card, read_text, split_card
from formosa.errors import CardError, LogError
from formosa.results.log import EvalLog, read_log

__all__ = ["CHECKS", "Finding", "Report", "Severity", "check_card", "read_subject", "verify_card"]

Check = Callable[[Subject], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    front_matter,
    model_index,
    claim_checks.claims,
    agreement,
    log_checks,
    units,
    names,
    code_blocks,
    tool_results,
    command_lines,
    unclaimed,
)
"""In the order of a report. `command_lines` is called with the flags of the engines."""

MOST = 200  # findings of one code that are listed; claimed figures are never left out

_CLAIM_CODES = frozenset({"number-without-claim", "model-index-without-claim", "text-number"})


@dataclass(frozen=True)
class Report:
    """What the checks found.

    Attributes:
        claims: figures that the card claims, in tables and in the model-index.
        supported: those of them that follow from a log or another file.
    """

    findings: tuple[Finding, ...]
    claims: int
    supported: int

    def count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def verify_card(path: Path) -> list[Finding]:
    """Everything that is to be said about a card, in the order: front matter, files, figures.

    Raises:
        CardError: the card itself is missing, too large or no text.
    """
    return list(check_card(*read_subject(path)).findings)


def check_card(
    card: Subject, problems: Iterable[Finding] = (), flags: Callable[[str], Flags] = known_flags
) -> Report:
    """Run every check.

    Args:
        card: from `read_subject`.
        problems: what reading it already found.
        flags: what an engine knows, by its name.
    """
    made = [*problems]
    for check in CHECKS:
        made += _run(check, card, flags)
    supports = sum(finding.code == "log-supports" for finding in made)
    unsupported = sum(finding.code in _CLAIM_CODES for finding in made)
    own = len(card.claims.claims)
    return Report(
        tuple(_limited(made)),
        own + supports + unsupported,
        claim_checks.supported(card, made) + supports,
    )


def _run(check: Check, card: Subject, flags: Callable[[str], Flags]) -> list[Finding]:
    try:
        if check is command_lines:
            return list(command_lines(card, flags))
        return list(check(card))
    except RecursionError:
        # Deeply nested code: the parsers of Python and Jinja are recursive.
        message = "Something in the card is nested too deeply for this check."
        return [found("check-failed", 0, check.__name__, message)]


def _limited(findings: Iterable[Finding]) -> Iterator[Finding]:
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.code] += 1
        if seen[finding.code] <= MOST or finding.severity == "claimed":
            yield finding
        elif seen[finding.code] == MOST + 1:
            message = (
                f"There are more than {MOST} findings of {finding.code}; the rest is left out."
            )
            yield found("too-many", finding.line, finding.where, message)._replace(
                severity=finding.severity
            )


def read_subject(path: Path, logs: Path | None = None) -> tuple[Subject, list[Finding]]:
    """The card for its checks, and what was found while it was read.

    Args:
        path: of the card.
        logs: a folder with logs of its model, or one log.

    Raises:
        CardError: the card is missing, too large or no text; or there is nothing at `logs`.
    """
    text = read_text(path)
    head, _, body = split_card(text)
    problems: list[Finding] = []
    try:
        card = parse_card(text, path.name)
        if not card.fields:
            problems.append(found("front-matter", 1, path.name, "The card has no front matter."))
    except CardError as error:
        problems.append(found("front-matter", 1, path.name, error.message))
        card = Card({}, body)
    offset = _line_count(head)
    document = read_document(body)
    marked = any(table.name for table in document.tables)
    read, wrong = read_claims(document.comments, path.parent)
    problems += [found(code, 0, where, message) for code, where, message in wrong]
    if read is None and marked and not wrong:
        message = "The tables of this card had claims, and they are gone: write it again."
        problems.append(found("claims-missing", 0, path.name, message))
    try:
        results = card.results
    except CardError:
        results = ()  # `model_index` says it
    found_logs, more = read_logs(logs) if logs else ((), [])
    subject = Subject(
        path,
        text,
        card,
        document,
        read_parts(body, offset),
        offset,
        read or Claims({}, ()),
        marked or bool(wrong) or read is not None,
        results,
        found_logs,
    )
    return subject, problems + more


def _line_count(text: str) -> int:
    return text.replace("\r\n", "\n").replace("\r", "\n").count("\n")


def read_logs(path: Path) -> tuple[tuple[EvalLog, ...], list[Finding]]:
    """The logs at `path`, and what looked like one and could not be read.

    Raises:
        CardError: there is nothing there.
    """
    if not path.exists():
        raise CardError(f"{path} does not exist.", "name the folder with the logs: --logs logs")
    made, problems = [], []
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl"))
    for file in files[:10_000]:
        try:
            made.append(read_log(file))
        except LogError as error:
            problems.append(found("log-unreadable", 0, file.name, error.message))
        except (KeyError, TypeError, ValueError, OSError) as error:
            message = f"It is no log: {type(error).__name__} {error}."
            problems.append(found("log-unreadable", 0, file.name, message))
    return tuple(made), problems
