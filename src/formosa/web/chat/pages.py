"""The chat page of `formosa serve`: its routes, and what the page is given.

The page itself is `templates/chat/page.html.jinja` with the scripts below. It asks the API of the
very server that it comes from, so nothing here knows models. It holds no secrets and answers
without a key; what it asks for needs one where the server does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from formosa.errors import UserError
from formosa.serve.connection import answering
from formosa.serve.pages import Pages
from formosa.tools.registry import Registry
from formosa.tools.runner import Limits, Record
from formosa.web.chat.saved import read_body, read_conversation, saved_page
from formosa.web.chat.tools import refuse_other_origins, tool_routes
from formosa.web.chat.words import SPOKEN, WORDS
from formosa.web.page import Rendered, render
from formosa.web.response import answer
from formosa.web.site import Link, Site, language
from formosa.web.words import Lang, Words

SCRIPTS = (
    "chat/stream.js",  # what the server sends
    "chat/text.js",  # words as elements
    "chat/tree.js",  # the conversation and its branches
    "chat/settings.js",  # what is asked besides
    "chat/raw.js",  # raw text and tokens
    "chat/message.js",  # one turn
    "chat/tools.js",  # which tools, and running their calls
    "chat/code.js",  # curl, Python
    "chat/column.js",  # one model's conversation
    "chat/page.js",  # the page
)
LINKS = (Link("Chat", "/chat"),)


def chat_pages(
    registry: Registry | None = None,
    *,
    limits: Limits | None = None,
    record: Record | None = None,
    keyed: bool = False,
    around: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
) -> Pages:
    """What `formosa serve` mounts beside its API.

    Args:
        registry: the tools that the page may run.
        limits: of each round of calls.
        record: told of each call and its result.
        keyed: whether the server asks for a key; the page then asks its person.
        around: see `Pages`; it may fill the registry.
    """

    def show(request: Request) -> Response:
        return answer(request, chat_page(_site(request), keyed=keyed))

    async def saved(request: Request) -> Response:
        refuse_other_origins(request)
        lang = language(request)

        async def write(body: bytes) -> Response:
            html = saved_page(read_body(body), lang)
            # A file to be kept, and not a page of this origin: it is full of a model's words.
            headers = {
                "Content-Disposition": 'attachment; filename="chat.html"',
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "X-Content-Type-Options": "nosniff",
            }
            return HTMLResponse(html, headers=headers)

        return await answering(write)(request)

    routes = [
        Route("/", show, methods=["GET"]),
        Route("/chat", show, methods=["GET"]),
        Route("/chat/export", saved, methods=["POST"]),
        *tool_routes(registry if registry is not None else Registry(), limits, record),
    ]
    return Pages(routes, frozenset({"/", "/chat"}), around)


def chat_page(site: Site, *, keyed: bool = False) -> Rendered:
    """The page, without any conversation: that lives in the browser's tab."""
    words = Words(site.lang, SPOKEN)
    data = {"keyed": keyed, "words": {text: words(text) for text in SPOKEN}}
    return render(
        "chat/page.html.jinja",
        site,
        title=Words(site.lang, WORDS)("Chat"),
        words=WORDS,
        scripts=SCRIPTS,
        styles=("chat/page.css",),
        data=data,
    )


def export(paths: Sequence[Path], lang: Lang) -> str:
    """A conversation in a file, the chat page's or the terminal's, as one page that only shows it.

    Raises:
        UserError: it is not one file, or can't be read.
        DataError, MessageError: it holds no conversation.
    """
    if len(paths) != 1:
        raise UserError("A page shows one conversation.", "name one file for each page")
    return saved_page(read_conversation(paths[0]), lang)


def _site(request: Request) -> Site:
    lang = language(request)
    other: Lang = "en" if lang == "zh-TW" else "zh-TW"
    return Site(lang, LINKS, "/chat", f"/chat?{urlencode({'lang': other})}")
