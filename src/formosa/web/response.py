"""A page as the answer to a request, with the headers that keep it alone with itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse

from formosa.web.page import Rendered
from formosa.web.site import COOKIE
from formosa.web.words import LANGS

YEAR = 365 * 24 * 3600  # seconds


def answer(request: Request, rendered: Rendered, status: int = 200) -> HTMLResponse:
    """The page with its headers; a language that was asked for is kept."""
    made = HTMLResponse(rendered.html, status, headers=headers(rendered))
    if request.query_params.get("lang") in LANGS:
        made.set_cookie(
            COOKIE, request.query_params["lang"], max_age=YEAR, httponly=True, samesite="strict"
        )
    return made


def headers(rendered: Rendered) -> dict[str, str]:
    """Those of every page: its policy, no frame around it, no trace of it elsewhere."""
    return {
        "Content-Security-Policy": f"{rendered.policy}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
