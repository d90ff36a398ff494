"""One page as HTML: the shell around a page's own template, with its style and scripts inside.

A page loads nothing: style and scripts stand in it, and its policy names each by its sha256, so
nothing that a model or a card smuggled in can run. The same bytes are served and exported.

Knows templates, policies, languages. Knows no requests and nothing of what pages show.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from formosa import __version__
from formosa.web.site import Site
from formosa.web.words import Words

# Said by name where they would be seen wrongly: controls, marks that turn the direction, and halves
# of a surrogate pair, which no page can hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Rendered(NamedTuple):
    """A page, and the policy that its server must send with it."""

    html: str
    policy: str


def render(
    template: str,
    site: Site,
    *,
    title: str,
    words: Mapping[str, str],
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    **values: Any,
) -> Rendered:
    """A page of `templates/`.

    Args:
        template: its name, as in `evals.html.jinja`; it extends `layout.html.jinja`.
        site: where the page stands.
        title: what the browser's tab says; from data, so any text.
        words: English → zh-TW, what the page says; `_("…")` in the template.
        scripts: names in `static/`; they run after the shell's own, when the page is there.
        styles: names in `static/`; they come after the shell's own.
        values: for the template. Text is escaped and what is unseen in it is shown; there is no
            way around that but `Markup`.

    Raises:
        KeyError: a text has no translation.
    """
    style = "\n".join(_static(name) for name in ("base.css", *styles))
    programs = [_static(name) for name in ("base.js", *scripts)]
    policy = _policy(style, programs, served=site.served)
    html = (
        _environment()
        .get_template(template)
        .render(
            values,
            site=site,
            title=title,
            _=Words(site.lang, words),
            style=Markup(style),  # noqa: S704  # files of this package
            programs=[Markup(program) for program in programs],  # noqa: S704
            policy=policy,
            version=__version__,
        )
    )
    return Rendered(html, policy)


def shown(text: object) -> str:
    """Text of a model or a card, its control and direction marks in letters: `\\u202e`."""
    return _UNSEEN.sub(_name, str(text))


def link(url: str, text: object = None) -> Markup:
    """A link that is marked as leading elsewhere; what is no web address stays text."""
    words = escape(shown(url if text is None else text))
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return words
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return words
    return Markup(  # noqa: S704  # both parts are escaped
        f'<a class="external" href="{escape(url.strip())}" rel="noopener noreferrer nofollow" '
        f'target="_blank">{words}<span aria-hidden="true"> ↗</span></a>'
    )


def address(path: str, /, **query: object) -> str:
    """An address on this site; a list makes its name stand several times, None leaves it out."""
    pairs = [
        (name, one)
        for name, value in query.items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if one is not None and one != ""
    ]
    # Half of a surrogate pair, as a model may write it, has no place in an address.
    return f"{path}?{urlencode(pairs, errors='replace')}" if pairs else path


def pretty(value: object) -> str:
    """A JSON value for people; what is no JSON stands as Python would write it."""
    try:
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (TypeError, ValueError):
        return repr(value)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("formosa.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(link=link, pretty=pretty)
    made.globals.update(address=address)
    return made


def _finalized(value: object) -> object:
    """What is unseen in a text is shown; markup is ours, and what it holds was shown before."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _static(name: str) -> str:
    text = resources.files("formosa.web").joinpath("static", name).read_text(encoding="utf-8")
    # Nothing in them may end the element in which they stand, or the hash would be another one.
    assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE), name
    return text


def _policy(style: str, programs: Sequence[str], *, served: bool) -> str:
    own = "'self'" if served else "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {' '.join(dict.fromkeys(map(_hash, programs)))}",
            "img-src data: blob:",
            f"connect-src {own}",
            f"form-action {own}",
            "base-uri 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _name(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
