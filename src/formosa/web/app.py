"""The pages behind addresses: `formosa view`.

Reads files only, and only below its places; every route is a GET. A page of another origin can't
read them: the Host header must name this machine, and no page may stand in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from formosa.errors import FormosaError, UserError
from formosa.serve.run import LOOPBACK_NAMES
from formosa.web.page import render
from formosa.web.places import OutsideError, Places
from formosa.web.response import answer
from formosa.web.site import Link, Site
from formosa.web.words import Words

WORDS = {
    "This page can't be shown": "無法顯示這一頁",
    "There is no such page": "沒有這一頁",
    "To try next:": "接下來可以試試：",
    "Back to the overview": "回到總覽",
}


def create_pages(places: Places, routes: Sequence[BaseRoute], links: Sequence[Link]) -> Starlette:
    """An app with these pages.

    Args:
        places: which files they may look at; `request.app.state.places`.
        routes: of all pages.
        links: what stands on top of every page.
    """
    app = Starlette(
        routes=list(routes),
        middleware=[
            Middleware(
                TrustedHostMiddleware, allowed_hosts=list(LOOPBACK_NAMES), www_redirect=False
            )
        ],
        exception_handlers={FormosaError: show_problem, HTTPException: show_http_problem},
    )
    app.state.places = places
    app.state.links = tuple(links)
    return app


def places_of(request: Request) -> Places:
    """The places of the app that got this request."""
    found: Places = request.app.state.places
    return found


async def show_problem(request: Request, error: Exception) -> Response:
    """One of our errors: its sentence, and what to try."""
    assert isinstance(error, FormosaError)
    status = 500
    if isinstance(error, UserError):
        status = 404 if isinstance(error, OutsideError) else 400
    return _problem(request, "This page can't be shown", error.message, error.hint, status)


async def show_http_problem(request: Request, error: Exception) -> Response:
    """No such address, or not this way."""
    assert isinstance(error, HTTPException)
    return _problem(request, "There is no such page", request.url.path, "", error.status_code)


def _problem(request: Request, heading: str, message: str, hint: str, status: int) -> Response:
    site = Site.of(request)
    words = Words(site.lang, WORDS)
    page = render(
        "problem.html.jinja",
        site,
        title=words(heading),
        words=WORDS,
        heading=words(heading),
        message=message,
        hint=hint,
    )
    return answer(request, page, status)
