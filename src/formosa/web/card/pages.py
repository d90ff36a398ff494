"""The card's page: what `formosa card verify` finds, beside the text that it is about.

Findings and lines lead to each other. Nothing of the card is run or asked here; the page says which
commands do that. Engines are not started for their flags: the list that comes with Formosa is used.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, get_args

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from formosa.card.checks.finding import CODES, Finding, Severity
from formosa.card.checks.subject import Subject
from formosa.card.verify import Report, check_card, read_subject
from formosa.errors import CardError, UserError
from formosa.web.app import places_of
from formosa.web.card.codes import CODES_ZH
from formosa.web.card.differences import difference_page
from formosa.web.card.lines import blocks_of
from formosa.web.card.words import CARD
from formosa.web.page import Rendered, address, render
from formosa.web.response import answer
from formosa.web.site import Site
from formosa.web.words import Lang, Words

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MEANINGS: Mapping[Severity, str] = {
    "error": "it is wrong, or what it rests on is missing",
    "warning": "it will mislead a reader, a program or the hub",
    "note": "worth knowing; nothing has to be done",
    "claimed": "nothing here supports it, and nothing contradicts it",
}
MOST = 1_000  # findings that are listed


class Item(NamedTuple):
    """A finding of the list, or the unsupported figures of one row of a table.

    Attributes:
        number: from 1, in the order of the list.
        about: what its code means, in the page's language.
    """

    number: int
    severity: Severity
    code: str
    about: str
    where: str
    messages: tuple[str, ...]
    line: int
    checks: tuple[str, ...]


class Source(NamedTuple):
    """A file that figures follow from."""

    name: str
    sha256: str
    figures: int
    problem: str
    url: str


def routes() -> list[BaseRoute]:
    """`/card`: of one card its check, of two their difference."""
    return [Route("/card", _page)]


def export(paths: Sequence[Path], lang: Lang = "en") -> str:
    """The check of one card, or the difference between two, as one file.

    Raises:
        UserError: neither one nor two cards, or one can't be read.
    """
    cards = [card_file(path) for path in paths]
    if len(cards) == 2:
        return difference_page(Site(lang), *cards).html
    if len(cards) != 1:
        raise UserError("This page is of one card, or of two.", "name one README.md, or two")
    return check_page(Site(lang), *read_subject(cards[0])).html


def card_file(path: Path) -> Path:
    """The card itself; a folder means its README.md.

    Raises:
        CardError: the folder has none.
    """
    if not path.is_dir():
        return path
    if not (path / "README.md").is_file():
        raise CardError(f"{path} has no README.md.", f"write it: formosa card write {path}")
    return path / "README.md"


def _page(request: Request) -> Response:
    site, places = Site.of(request), places_of(request)
    query = request.query_params
    named = query.get("path", "")
    if not named:
        raise UserError("No card is named.", "choose one on the overview, or /card?path=README.md")
    path = card_file(places.find(named))
    if other := query.get("other", "").strip():
        second = card_file(places.find(other))
        return answer(request, difference_page(site, path, second, named=named))
    logs = query.get("logs", "").strip()
    subject, problems = read_subject(path, places.find(logs) if logs else None)
    return answer(request, check_page(site, subject, problems, named=named, logs=logs))


def check_page(
    site: Site,
    subject: Subject,
    problems: Sequence[Finding] = (),
    *,
    named: str = "",
    logs: str = "",
) -> Rendered:
    """The page of a card.

    Args:
        site: where it stands.
        subject: from `read_subject`.
        problems: what reading it found.
        named: how the address names it.
        logs: which ones it was held against.
    """
    words = Words(site.lang, CARD)
    report = check_card(subject, problems)
    items = list(_items(report, words))[:MOST]
    blocks, left = blocks_of(subject, report.findings)
    last = max((line.number for block in blocks for line in block.lines), default=0)
    margin: dict[int, list[Item]] = {}
    for item in items:
        margin.setdefault(item.line, []).append(item)
    folder = subject.path.parent
    links = {
        name: address("/evals/log", path=str(folder / name))
        for name in subject.claims.files
        if site.served and name.endswith(".jsonl") and _lies_in(folder, name)
    }
    name = subject.own_name or subject.path.name
    return render(
        "card/page.html.jinja",
        site,
        title=words("Check of {name}", name=name),
        words=CARD,
        scripts=("card/page.js",),
        styles=("card/page.css",),
        subject=subject,
        report=report,
        verdict=verdict(report),
        items=items,
        all_items=len(report.findings),
        severities=[(kind, report.count(kind), MEANINGS[kind]) for kind in SEVERITIES],
        codes=sorted({item.code for item in items}),
        blocks=blocks,
        left=left,
        last=last,
        margin=margin,
        links=links,
        sources=list(_sources(subject, report, links)),
        commands=_commands(subject, words),
        named=named,
        logs=logs,
        signs=SIGNS,
        tags=TAGS,
    )


SIGNS: Mapping[str, str] = {
    "error": "✗", "warning": "▲", "note": "ℹ", "claimed": "○", "wrong": "✗", "backed": "✓",
}  # fmt: skip
TAGS: Mapping[str, str] = {
    "error": "bad", "warning": "warn", "note": "", "claimed": "odd", "wrong": "bad",
    "backed": "good",
}  # fmt: skip


def verdict(report: Report) -> tuple[str, str]:
    """The report in a sentence that the words know, and the class of its notice."""
    if report.count("error"):
        return "Not verified: something is wrong.", "bad"
    if report.supported < report.claims:
        return "Nothing is wrong, but not every figure has a source.", ""
    return "Nothing is wrong, and every figure has a source.", "good"


def _items(report: Report, words: Words) -> Iterator[Item]:
    """By severity, then by line; unsupported figures of one row together."""
    ordered = sorted(report.findings, key=lambda f: (SEVERITIES.index(f.severity), f.line))
    for number, (_, group) in enumerate(groupby(ordered, key=_together), start=1):
        found = list(group)
        first = found[0]
        about = CODES[first.code][1] if words.lang == "en" else CODES_ZH[first.code]
        where, messages = first.where, tuple(f.message for f in found)
        if len(found) > 1:
            where = first.where.rpartition(": ")[0]
            messages = tuple(
                f"{f.where.rpartition(': ')[2]}: {f.message.removesuffix(' has no log.')}"
                for f in found
            )
        checks = tuple(dict.fromkeys(f.check for f in found if f.check))
        yield Item(number, first.severity, first.code, about, where, messages, first.line, checks)


def _together(finding: Finding) -> tuple[Any, ...]:
    if finding.code != "number-without-claim":
        return (finding,)
    return finding.code, finding.line, finding.where.rpartition(": ")[0]


def _sources(subject: Subject, report: Report, links: Mapping[str, str]) -> Iterator[Source]:
    wrong = {f.where: f.message for f in report.findings if f.severity == "error"}
    for name, digest in list(subject.claims.files.items())[:MOST]:
        figures = sum(name in claim.files for claim in subject.claims.claims)
        yield Source(name, digest, figures, wrong.get(name, ""), links.get(name, ""))


def _lies_in(folder: Path, name: str) -> bool:
    try:
        path = (folder / name).resolve(strict=True)
        return folder.resolve() in path.parents
    except (OSError, ValueError, RuntimeError):
        return False


def _commands(subject: Subject, words: Words) -> list[tuple[str, str]]:
    """What to type for the checks that a page must not do, each with what it does."""
    path = shlex.quote(str(subject.path))
    found = []
    if any(subject.blocks("python", "py", "python3")):
        found.append((f"formosa card verify {path} --run-code",
                      words("run the walk-through; read it first")))  # fmt: skip
    if not subject.ours:
        found.append((f"formosa card verify {path} --logs logs",
                      words("hold the figures against logs")))  # fmt: skip
        found.append((f"formosa card verify {path} --rerun --limit 40 --model MODEL",
                      words("ask the claimed benchmarks again")))  # fmt: skip
    return found
