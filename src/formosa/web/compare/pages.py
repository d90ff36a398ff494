"""The comparison of logs of one task, or of whole runs: `/compare`, its CSV, and its export.

`/compare?log=A&log=B…` compares logs (`a=` and `b=` are the same), `/compare?run=A&run=B…` compares
runs task by task, or one run before and after its training; without either, one chooses. What
stands on the pages is `values.py`'s and `runs_values.py`'s; here are addresses and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.errors import LogError, UserError
from formosa.results.log import EvalLog
from formosa.web.app import places_of
from formosa.web.compare.pair import answer as answer_of
from formosa.web.compare.pair import changed
from formosa.web.compare.query import Query
from formosa.web.compare.runs import compare_runs, run_sides
from formosa.web.compare.runs_values import runs_values, task_addresses
from formosa.web.compare.sides import MOST, Comparison, Side
from formosa.web.compare.values import asked, values_of
from formosa.web.compare.words import COMPARE_WORDS
from formosa.web.guarded_csv import MIME, csv_text
from formosa.web.leaderboard.entries import entry
from formosa.web.page import Rendered, render
from formosa.web.read_logs import logs_in, read
from formosa.web.response import answer
from formosa.web.site import Site
from formosa.web.words import Lang, Words

STYLES = ("compare/compare.css",)
SCRIPTS = ("picture.js", "compare/compare.js")


def routes() -> list[Route]:
    return [Route("/compare", show), Route("/compare.csv", download)]


def export(paths: Sequence[Path], lang: Lang) -> str:
    """The comparison of these logs or run folders as one file.

    Raises:
        UserError: fewer than two logs, or logs and folders together.
        LogError: one of them is no log.
    """
    site = Site(lang)
    if all(path.is_dir() for path in paths):
        return runs_page(site, paths).html
    if any(path.is_dir() for path in paths):
        raise UserError("Logs and folders can't be compared.", "name logs only, or folders only")
    if not 2 <= len(paths) <= MOST:
        raise UserError(f"A comparison takes 2 to {MOST} logs.", "name the logs of one task")
    return page(site, [read(path) for path in paths]).html


def show(request: Request) -> Response:
    """GET /compare"""
    site = Site.of(request)
    places = places_of(request)
    runs = [places.find(text) for text in request.query_params.getlist("run")]
    if runs:
        return answer(request, runs_page(site, runs))
    paths = [places.find(text) for text in _logs(request)]
    if paths:
        logs = [read(path) for path in paths[:MOST]]
        return answer(request, page(site, logs, Query.read(request.query_params)))
    return answer(request, chooser(site, places.roots))


def download(request: Request) -> Response:
    """GET /compare.csv"""
    places = places_of(request)
    logs = [read(places.find(text)) for text in _logs(request)[:MOST]]
    if not logs:
        raise UserError("Nothing was named to be compared.", "begin at /compare")
    made, query, _ = asked(logs, Query.read(request.query_params))
    what = request.query_params.get("what", "differences")
    text = _changed_csv(made, query) if what == "changed" else _differences_csv(made)
    name = "changed" if what == "changed" else "differences"
    return Response(
        text.encode("utf-8", "replace"),
        headers={
            "Content-Type": MIME,
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def page(site: Site, logs: Sequence[EvalLog], query: Query | None = None) -> Rendered:
    """The page of these logs.

    Args:
        site: where it stands; alone in a file it holds more of the changed answers.
        logs: one at least.
        query: what is asked for beside them.
    """
    words = Words(site.lang, COMPARE_WORDS)
    values = values_of(site, words, logs, query or Query())
    title = f"{words('Comparison')} · {values['task']}"
    return _render("compare/logs.html.jinja", site, title, values)


def runs_page(site: Site, folders: Sequence[Path]) -> Rendered:
    """The page of these run folders."""
    words = Words(site.lang, COMPARE_WORDS)
    made = compare_runs(
        run_sides({folder: [read(path) for path in logs_in([folder])] for folder in folders})
    )
    values = {**runs_values(site, words, made), "addresses": task_addresses(made)}
    title = f"{words('Comparison of runs')} · {', '.join(folder.name for folder in folders)}"
    return _render("compare/runs.html.jinja", site, title, values)


def chooser(site: Site, roots: Sequence[Path]) -> Rendered:
    """What can be compared: logs by task, where two or more are of one, and run folders."""
    words = Words(site.lang, COMPARE_WORDS)
    tasks: dict[str, list[dict[str, Any]]] = {}
    folders: dict[Path, int] = {}
    for path in logs_in(roots):
        try:
            log = entry(path)
        except LogError:  # the leaderboard names it
            continue
        tasks.setdefault(log.task, []).append(
            {"path": str(path), "model": log.model, "answers": log.answers,
             "finished": log.finished}
        )  # fmt: skip
        home = path.parent.parent if path.parent.name == "logs" else path.parent
        folders[home] = folders.get(home, 0) + 1
    values = {
        "tasks": {name: rows for name, rows in sorted(tasks.items()) if len(rows) > 1},
        "folders": [(str(folder), n) for folder, n in sorted(folders.items()) if n > 1],
    }
    return _render("compare/choose.html.jinja", site, words("What to compare"), values)


def _render(template: str, site: Site, title: str, values: dict[str, Any]) -> Rendered:
    return render(
        template,
        site,
        title=title,
        words=COMPARE_WORDS,
        styles=STYLES,
        scripts=SCRIPTS,
        **values,
    )


def _logs(request: Request) -> list[str]:
    asked_for = request.query_params
    return [asked_for[name] for name in ("a", "b") if asked_for.get(name)] + [
        text for text in asked_for.getlist("log") if text
    ]


def _differences_csv(made: Comparison) -> str:
    heads = ["scorer", "reference", "model", "difference", "low", "high", "p", "p_holm",
             "family", "better", "worse", "questions", "verdict"]  # fmt: skip
    rows = [
        [scorer, made.reference.name, one.side.name, *paired.difference[:3], paired.difference.p,
         paired.p, paired.family, paired.difference.better, paired.difference.worse,
         paired.difference.questions, paired.verdict]
        for one in made.others
        for scorer, paired in one.paired.items()
    ]  # fmt: skip
    return csv_text(heads, rows)


def _changed_csv(made: Comparison, query: Query) -> str:
    other = made.side(query.other)
    heads = ["id", "repeat", "subject", "reference", "other", "reference_outcome", "other_outcome",
             "reference_answer", "other_answer"]  # fmt: skip
    return csv_text(heads, _changed_rows(made.reference, other, query) if other else ())


def _changed_rows(a: Side, b: Side, query: Query) -> Iterator[list[object]]:
    found = changed(a, b, query.scorer, was=query.was, now=query.now, subject=query.subject)
    for row in found:
        one = answer_of(a.log.samples[row.place_a], query.scorer)
        other = answer_of(b.log.samples[row.place_b], query.scorer)
        yield [row.id, row.repeat, row.subject, a.name, b.name, row.a, row.b, one.answer,
               other.answer]  # fmt: skip
