"""The chat page of `formosa serve`: its routes, and what the page is given.

The page itself is `templates/chat.html.jinja` with the scripts below. It asks the API of the very
server that it comes from, so nothing here knows models. It holds no secrets and answers without a
key; what it asks for needs one where the server does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from formosa.serve.connection import answering
from formosa.serve.pages import Pages
from formosa.tools.registry import Registry
from formosa.tools.runner import Limits, Record
from formosa.web.chat_saved import export, read_body
from formosa.web.chat_tools import refuse_other_origins, tool_routes
from formosa.web.chat_words import SPOKEN, WORDS
from formosa.web.page import Rendered, render
from formosa.web.site import Link, Site, answer, language
from formosa.web.words import Lang, Words

SCRIPTS = (
    "chat_stream.js",  # what the server sends
    "chat_text.js",  # words as elements
    "chat_tree.js",  # the conversation and its branches
    "chat_settings.js",  # what is asked besides
    "chat_raw.js",  # raw text and tokens
    "chat_message.js",  # one turn
    "chat_tools.js",  # which tools, and running their calls
    "chat_code.js",  # curl, Python
    "chat_column.js",  # one model's conversation
    "chat.js",  # the page
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
            html = export(read_body(body), lang)
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
        "chat.html.jinja",
        site,
        title=Words(site.lang, WORDS)("Chat"),
        words=WORDS,
        scripts=SCRIPTS,
        styles=("chat.css",),
        data=data,
    )


def _site(request: Request) -> Site:
    lang = language(request)
    other: Lang = "en" if lang == "zh-TW" else "zh-TW"
    return Site(lang, LINKS, "/chat", f"/chat?{urlencode({'lang': other})}")
