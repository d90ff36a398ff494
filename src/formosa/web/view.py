"""All pages over files, as one app: what `formosa view` serves."""

from __future__ import annotations

from starlette.applications import Starlette

from formosa.web import overview
from formosa.web.app import create_pages
from formosa.web.card import pages as card
from formosa.web.compare import pages as compare
from formosa.web.evals import pages as evals
from formosa.web.leaderboard import pages as leaderboard
from formosa.web.places import Places
from formosa.web.sheet import pages as sheet
from formosa.web.site import Link
from formosa.web.training import pages as training

LINKS = (
    Link("Overview", "/"),
    Link("Evaluations", "/evals"),
    Link("Leaderboard", "/leaderboard"),
    Link("Comparison", "/compare"),
    Link("Training", "/training"),
)

PAGES = (overview, evals, leaderboard, compare, training, sheet, card)


def view_app(places: Places) -> Starlette:
    """The pages, over these places."""
    routes = [page for pages in PAGES for page in pages.routes()]
    return create_pages(places, routes, LINKS)
