"""The evaluation pages behind addresses.

    GET /evals               all logs in a table
    GET /evals/log           a log: figures, subjects, the list of answers
    GET /evals/sample        an answer with its question and its repeats

Every list is a plain GET form, so all of it works without JavaScript.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.results.index import LogIndex
from formosa.results.log import OUTCOMES, Record
from formosa.web.app import places_of
from formosa.web.evals import listing
from formosa.web.evals.answers import Line, Repeat, gold_text, line, options_of, shown
from formosa.web.evals.export import export
from formosa.web.evals.figures import NAMES, facts, figures, subjects
from formosa.web.evals.find import PAGE, Query, answer_address, find, list_address
from formosa.web.evals.library import Library, Opened
from formosa.web.evals.reasons import sentence
from formosa.web.evals.words import WORDS
from formosa.web.overview import find as find_files
from formosa.web.page import Rendered, address, render
from formosa.web.places import OutsideError
from formosa.web.response import answer
from formosa.web.site import Site
from formosa.web.words import Lang, Words

WAIT = 0.8  # seconds that a list waits for the questions of its data set
SEARCH_WAIT = 10.0  # seconds that a search in them does, or the page of one
HASHED = 50_000_000  # bytes of a log, up to which its hash is worked out unasked
STYLES = ("charts.css", "evals/evals.css")

__all__ = ["export", "routes"]


def routes() -> list[Route]:
    """The pages, with one library for all of them."""
    library = Library()

    def show_list(request: Request) -> Response:
        return answer(request, list_page(request, library))

    def show_log(request: Request) -> Response:
        path, folders = _log_of(request)
        with library.open(path, folders) as opened:
            made = log_page(Site.of(request), opened, path, request.query_params)
        return answer(request, made)

    def show_sample(request: Request) -> Response:
        path, folders = _log_of(request)
        with library.open(path, folders) as opened:
            made = sample_page(Site.of(request), opened, path, request.query_params)
        return answer(request, made)

    return [
        Route("/evals", show_list),
        Route("/evals/log", show_log),
        Route("/evals/sample", show_sample),
    ]


def _log_of(request: Request) -> tuple[Path, tuple[Path, ...]]:
    places = places_of(request)
    return places.find(request.query_params.get("path", "")), places.roots


def list_page(request: Request, library: Library) -> Rendered:
    """All logs in the places."""
    said, places, site = request.query_params, places_of(request), Site.of(request)
    say = Words(site.lang, WORDS)
    found = find_files(places)
    paths = [*(path for run in found.runs for path in run.logs), *found.logs]
    if folder := said.get("in", ""):
        inside = places.find(folder)
        paths = [path for path in paths if inside in path.parents or inside == path]
    rows, problems = listing.rows(paths, library, places.roots, say)
    model, task, sort = (said.get(name, "") for name in ("model", "task", "sort"))
    chosen = listing.chosen(rows, model, task, sort)
    return render(
        "evals/list.html.jinja",
        site,
        title=say("All evaluations"),
        words=WORDS,
        styles=STYLES,
        names=NAMES,
        outcomes=OUTCOMES,
        zip=zip,
        rows=chosen,
        logs=sum(row.main for row in chosen),
        total=len(rows),
        problems=problems,
        more=found.more,
        folder=folder,
        models=sorted({row.model for row in rows}),
        tasks=sorted({row.task for row in rows}),
        model=model,
        task=task,
        sort=sort,
    )


def log_page(site: Site, opened: Opened, path: Path, said: Mapping[str, str]) -> Rendered:
    """A log.

    Args:
        site: where the page stands.
        opened: the log.
        path: as addresses name it.
        said: by the address; `part=figures` leaves the list out, for a page that follows a run.
    """
    index, say = opened.index, Words(site.lang, WORDS)
    query = Query.of(said, index.scorers)
    with_list = said.get("part") != "figures"
    order = said.get("subjects", "name")

    def address_of(**changes: str) -> str:
        kept = {
            "subjects": said.get("subjects", ""),
            **replace(query, page=1).values(index.scorers),
        }
        return address("/evals/log", **{"path": path, **kept, **changes})

    wait = SEARCH_WAIT if query.text else WAIT
    missing = opened.questions.missing(wait) if with_list and len(index) else None
    rows = find(opened, query) if with_list and len(index) else []
    pages = max(1, -(-len(rows) // PAGE))
    query = replace(query, page=min(query.page, pages))
    hashed = said.get("sha256") == "1" or index.version[1] <= HASHED
    return render(
        "evals/log.html.jinja",
        site,
        title=f"{index.start['task'].get('name')} · {index.start['model'].get('name')}",
        styles=STYLES,
        scripts=["evals/evals.js"],
        **shared(index),
        path=path,
        figures=opened.once(("figures", site.lang), lambda: figures(index, say)),
        state=index.state(),
        live=address("/evals/log", path=path, part="figures"),
        here=address_of(),
        address_of=address_of,
        hashed=hashed,
        facts=facts(index, opened.sha256() if hashed and with_list else None, say),
        subjects=opened.once(
            ("subjects", query.scorer, order, site.lang),
            lambda: subjects(index, query.scorer, order, say),
        )
        if len(index)
        else [],
        subject_order=order,
        query=query,
        missing=missing,
        found=len(rows),
        pages=pages,
        page_of=lambda page: list_address(path, query, index.scorers, page=page),
        lines=_lines(site.lang, opened, path, query, rows) if with_list and len(index) else None,
    )


def shared(index: LogIndex) -> dict[str, Any]:
    """What every page of a log needs."""
    return {
        "words": WORDS,
        "names": NAMES,
        "outcomes": OUTCOMES,
        "zip": zip,
        "task": index.start["task"].get("name"),
        "model": index.start["model"].get("name"),
        "answers": len(index),
        "planned": index.planned,
        "repeats": int(index.start["plan"]["repeats"]),
        "scorers": index.scorers,
    }


def _lines(lang: Lang, opened: Opened, path: Path, query: Query, rows: Sequence[int]) -> list[Line]:
    """The answers of one page of the list."""
    chosen = rows[(query.page - 1) * PAGE : query.page * PAGE]
    return [
        line(
            record,
            opened.questions.of(record),
            query.scorer,
            lang,
            answer_address(path, query, opened.index.scorers, record["id"], record["repeat"]),
        )
        for record in opened.index.records(chosen)
    ]


def sample_page(site: Site, opened: Opened, path: Path, said: Mapping[str, str]) -> Rendered:
    """An answer.

    Raises:
        OutsideError: the log has no such answer.
        LogError: its line is damaged.
    """
    index, say = opened.index, Words(site.lang, WORDS)
    query = Query.of(said, index.scorers)
    id, repeat = said.get("id", ""), said.get("repeat", "0")
    row = index.row(id, int(repeat)) if repeat.isdecimal() and len(repeat) < 10 else None
    if row is None:
        raise OutsideError(
            f"{path} has no answer to the question {id}, repeat {repeat}.",
            f"look for it in the list: formosa eval view {path}",
        )
    opened.questions.missing(SEARCH_WAIT)
    record = index.record(row)
    made = shown(record, opened.questions.of(record), query.scorer, site.lang)
    listed = find(opened, query)
    place = _place(listed, row)
    repeats = [_repeat(opened, path, query, other, row, site.lang) for other in index.rows_of(id)]

    def neighbour(step: int) -> str | None:
        at = None if place is None else place + step
        if at is None or not 0 <= at < len(listed):
            return None
        other = listed[at]
        return answer_address(path, query, index.scorers, index.id(other), index.repeat[other])

    page = 1 if place is None else place // PAGE + 1
    narrowed = [say(NAMES[name]) for name in OUTCOMES if name == query.outcome]
    narrowed += [say("not correct")] if query.outcome and not narrowed else []
    narrowed += [query.subject.strip()] if query.subject else []
    narrowed += [f"“{query.text}”"] if query.text else []
    return render(
        "evals/sample.html.jinja",
        site,
        title=f"{id} · {index.start['task'].get('name')}",
        styles=STYLES,
        scripts=["evals/evals.js"],
        **{**shared(index), "repeats": repeats},
        shown=made,
        options=options_of(repeats),
        before=neighbour(-1),
        after=neighbour(1),
        place=None if place is None else place + 1,
        total=len(listed),
        narrowed=", ".join(narrowed),
        back=list_address(path, query, index.scorers, page=page),
    )


def _place(rows: Sequence[int], row: int) -> int | None:
    try:
        return rows.index(row)
    except ValueError:
        return None


def _repeat(opened: Opened, path: Path, query: Query, other: int, row: int, lang: Lang) -> Repeat:
    record: Record = opened.index.record(other)
    score = record["scores"][query.scorer]
    question = opened.questions.of(record)
    seconds = record.get("seconds")
    return Repeat(
        record["repeat"],
        score["outcome"],
        str(score.get("answer") or ""),
        gold_text(record.get("gold")),
        sentence(str(score.get("why") or record.get("error") or ""), lang),
        answer_address(path, query, opened.index.scorers, record["id"], record["repeat"]),
        other == row,
        f"{seconds:.2f}" if isinstance(seconds, int | float) else "",
        () if isinstance(question, str) else question.options,
    )
