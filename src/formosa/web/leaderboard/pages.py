"""The leaderboard: `/leaderboard`, its CSV, and its export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.errors import LogError
from formosa.web.app import places_of
from formosa.web.guarded_csv import MIME, csv_text
from formosa.web.leaderboard.board import Board, boards
from formosa.web.leaderboard.claims import claims_of
from formosa.web.leaderboard.entries import Entry, entry
from formosa.web.leaderboard.values import CSV_HEADS, board_values, csv_rows
from formosa.web.leaderboard.words import LEADERBOARD_WORDS
from formosa.web.overview import find, is_card
from formosa.web.page import Rendered, render
from formosa.web.places import Places
from formosa.web.read_logs import logs_in
from formosa.web.response import answer
from formosa.web.site import Site
from formosa.web.words import Lang, Words


def routes() -> list[Route]:
    return [Route("/leaderboard", show), Route("/leaderboard.csv", download)]


def export(paths: Sequence[Path], lang: Lang) -> str:
    """The leaderboard of the logs and cards that these are or that lie in these, as one file."""
    return page(Site(lang), Places(paths)).html


def show(request: Request) -> Response:
    """GET /leaderboard"""
    return answer(request, page(Site.of(request), places_of(request)))


def download(request: Request) -> Response:
    """GET /leaderboard.csv"""
    made, _ = _boards(places_of(request))
    return Response(
        csv_text(CSV_HEADS, csv_rows(made)).encode("utf-8", "replace"),
        headers={
            "Content-Type": MIME,
            "Content-Disposition": 'attachment; filename="leaderboard.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def page(site: Site, places: Places) -> Rendered:
    """The page of all logs and cards below the places."""
    words = Words(site.lang, LEADERBOARD_WORDS)
    made, problems = _boards(places)
    values: dict[str, Any] = {
        "sections": board_values(site, words, made, claims_of(_cards(places))),
        "problems": [error.message for error in problems] if site.served else [],
    }
    return render(
        "leaderboard/board.html.jinja",
        site,
        title=words("Leaderboard"),
        words=LEADERBOARD_WORDS,
        styles=("compare/compare.css", "leaderboard/board.css"),
        scripts=("picture.js", "leaderboard/sort.js"),
        **values,
    )


def _boards(places: Places) -> tuple[list[Board], list[LogError]]:
    entries: list[Entry] = []
    problems = []
    for path in logs_in(places.roots):
        try:
            entries.append(entry(path))
        except LogError as error:
            problems.append(error)
    return boards(entries), problems


def _cards(places: Places) -> list[Path]:
    found = find(places)
    named = [path for path in places.roots if path.is_file() and is_card(path)]
    cards = [*named, *found.cards, *(run.card for run in found.runs if run.card)]
    return list(dict.fromkeys(cards))
