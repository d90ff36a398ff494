"""A log with its questions as one HTML file: figures, and every answer folded behind one line.

Filter and search are a little script over what stands there; without it everything is listed. Of a
long log not all fits: those that are not correct come first, and what is left out is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from formosa.errors import UserError
from formosa.results.log import OUTCOMES
from formosa.web.evals.answers import Line, Shown, line, shown
from formosa.web.evals.figures import NAMES, facts, figures, subjects
from formosa.web.evals.find import Query
from formosa.web.evals.library import Library
from formosa.web.evals.words import WORDS
from formosa.web.page import render
from formosa.web.site import Site
from formosa.web.words import Lang, Words

MOST = 2000  # answers in a file; some 3 kB each
WAIT = 120.0  # seconds for the questions of a large data set


def export(paths: Sequence[Path], lang: Lang, most: int = MOST) -> str:
    """The page of a log as HTML that needs nothing else.

    Args:
        paths: one log.
        lang: of the page.
        most: how many answers it holds at most.

    Raises:
        UserError: there are several paths.
        LogError: the path is no log.
    """
    if len(paths) != 1:
        raise UserError("An evaluation's file holds one log.", "name one log")
    (path,) = paths
    say, site = Words(lang, WORDS), Site(lang)
    with Library().open(path, (path.parent,)) as opened:
        index = opened.index
        missing = opened.questions.missing(WAIT) if len(index) else None
        scorer = index.scorers[0] if index.scorers else ""
        right = OUTCOMES.index("correct")
        rows = sorted(range(len(index)), key=lambda row: index.outcome[scorer][row] == right)
        kept = sorted(rows[:most]) if len(rows) <= most else rows[:most]
        entries: list[tuple[Line, Shown]] = []
        for record in index.records(kept):
            question = opened.questions.of(record)
            entries.append(
                (line(record, question, scorer, lang, ""), shown(record, question, scorer, lang))
            )
        return render(
            "evals/export.html.jinja",
            site,
            title=f"{index.start['task'].get('name')} · {index.start['model'].get('name')}",
            words=WORDS,
            styles=["charts.css", "evals/evals.css"],
            scripts=["evals/export.js"],
            names=NAMES,
            outcomes=OUTCOMES,
            zip=zip,
            task=index.start["task"].get("name"),
            model=index.start["model"].get("name"),
            answers=len(index),
            planned=index.planned,
            repeats=int(index.start["plan"]["repeats"]),
            scorers=index.scorers,
            path=path,
            figures=figures(index, say),
            state=index.state() if index.end is not None else "interrupted",
            live="",
            address_of=None,
            hashed=True,
            facts=facts(index, opened.sha256(), say),
            subjects=subjects(index, scorer, "name", say) if len(index) else [],
            subject_order="name",
            query=Query(scorer),
            missing=missing,
            lines=[],
            entries=entries,
            left_out=len(rows) - len(kept),
        ).html
