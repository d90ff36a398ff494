"""Where a page stands: its language, its address, the pages beside it, or alone in a file.

Knows requests. Knows nothing of what stands on a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from formosa.web.words import LANGS, Lang, preferred

COOKIE = "formosa-lang"


@dataclass(frozen=True)
class Link:
    """A page beside this one.

    Attributes:
        name: a key of the shell's words.
        href: its address, without a query.
    """

    name: str
    href: str


@dataclass(frozen=True)
class Site:
    """What the shell needs to know.

    Attributes:
        links: the pages beside this one; none where the page stands alone in a file, and then it
            must link to no other page.
        here: the address of this page, which its link is marked by.
        other: the address of this very page in the other language; "" in a file.
    """

    lang: Lang = "zh-TW"
    links: tuple[Link, ...] = ()
    here: str = ""
    other: str = ""

    @property
    def served(self) -> bool:
        return bool(self.links)

    @classmethod
    def of(cls, request: Request) -> Site:
        """The site as the app of this request has it (`app.state.links`)."""
        lang = language(request)
        other: Lang = "en" if lang == "zh-TW" else "zh-TW"
        query = [(name, value) for name, value in request.query_params.multi_items()]
        query = [(name, value) for name, value in query if name != "lang"]
        return cls(
            lang,
            tuple(request.app.state.links),
            request.url.path,
            f"{request.url.path}?{urlencode([*query, ('lang', other)])}",
        )


def language(request: Request) -> Lang:
    """What was asked for (`?lang=`), else chosen before, else what the browser prefers."""
    for asked in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        for lang in LANGS:
            if asked == lang:
                return lang
    return preferred(request.headers.get("accept-language", ""))
