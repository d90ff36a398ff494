"""The sheet's page: `formosa card show` in the browser, and as one file.

Shows what `read_sheet` finds of a run folder, a checkpoint, a GGUF file or a card. Nothing is asked
of the hub. A sheet is kept as long as the files below its path are the same, since the digests of
large files take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from formosa.card.hub import is_hub_id
from formosa.card.sheet import Sheet, read_sheet
from formosa.card.sheet.measured import with_logs
from formosa.card.sheet.units import parameters, size
from formosa.card.sheet.values import Architecture, Memory
from formosa.errors import UserError
from formosa.files import explain_read_error
from formosa.web.app import places_of
from formosa.web.charts import figure
from formosa.web.page import Rendered, pretty, render
from formosa.web.response import answer
from formosa.web.sheet.words import SHEET
from formosa.web.site import Site
from formosa.web.words import Lang, Words

SHOWN = 200  # rows of a table
MOST_FILES = 5_000  # whose times and sizes say whether a folder is the same
HUB = "https://huggingface.co"
_KINDS = {
    "run": "a run",
    "checkpoint": "a checkpoint",
    "gguf": "a GGUF file",
    "card": "a card",
    "hub": "on the hub",
    "built-in": "a built-in model",
}
_FEATURES = {
    "tools": "tools",
    "parallel_calls": "parallel calls",
    "system": "system message",
    "reasoning": "reasoning",
    "thinking_switch": "a switch for thinking",
}


class Named(NamedTuple):
    """A name, its page on the hub where it can have one, and a word beside it."""

    name: str
    url: str = ""
    note: str = ""


class Need(NamedTuple):
    """A line of the table of memory; texts for people."""

    name: str
    file: str
    weights: str
    totals: tuple[str, ...]


def routes() -> list[BaseRoute]:
    """`/sheet`."""
    return [Route("/sheet", _page)]


def export(paths: Sequence[Path], lang: Lang = "en") -> str:
    """The sheet of one model as one file.

    Raises:
        UserError: it is not one model, is damaged, or can't be read.
    """
    if len(paths) != 1:
        raise UserError("A sheet is of one model.", "name one run, GGUF file or card")
    return sheet_page(Site(lang), read_cached(paths[0])).html


def read_cached(path: Path) -> Sheet:
    """The sheet of what lies at a path.

    Raises:
        UserError: nothing has this name, or it is damaged.
    """
    try:
        return _read(str(path), _version(path))
    except OSError as error:
        raise explain_read_error(error, path) from error


@lru_cache(maxsize=16)
def _read(path: str, version: tuple[Any, ...]) -> Sheet:
    # Absolute: nothing that lies here is to be taken for a name of the hub or of a built-in model.
    sheet = read_sheet(str(Path(path).absolute()))
    return replace(sheet, place=path)  # as the person named it: a file is sent to others


def _version(path: Path) -> tuple[Any, ...]:
    """Times and sizes of the files that a sheet may read."""
    files = [path]
    if path.is_dir():
        for below in (path, *(path / name for name in ("gguf", "checkpoint", "logs"))):
            files += sorted(below.glob("*"))[:MOST_FILES]
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((file.name, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _page(request: Request) -> Response:
    named = request.query_params.get("path", "")
    if not named:
        raise UserError("No model is named.", "choose one on the overview, or /sheet?path=FOLDER")
    places = places_of(request)
    path = places.find(named)
    sheet = read_cached(path)
    logs = request.query_params.get("logs", "").strip()
    if logs:
        sheet = with_logs(sheet, places.find(logs))
    beside = Beside(named, _card_of(path), (path / "train" / "log.jsonl").is_file())
    return answer(request, sheet_page(Site.of(request), sheet, beside=beside, logs=logs))


class Beside(NamedTuple):
    """What else there is of the model on this site."""

    path: str = ""
    card: str = ""
    training: bool = False


def _card_of(path: Path) -> str:
    if path.is_dir():
        card = path / "README.md"
        return str(card) if card.is_file() else ""
    return str(path) if path.suffix.lower() in (".md", ".markdown") else ""


def sheet_page(
    site: Site, sheet: Sheet, *, beside: Beside | None = None, logs: str = ""
) -> Rendered:
    """The page of a sheet.

    Args:
        site: where it stands.
        sheet: of any model.
        beside: pages of the same model.
        logs: which ones its results were held against.
    """
    words = Words(site.lang, SHEET)
    contexts = sorted({tokens for entry in sheet.memory for tokens in entry.cache})
    return render(
        "sheet/page.html.jinja",
        site,
        title=words("Sheet of {name}", name=_unmarked(sheet.name)),
        words=SHEET,
        styles=("sheet/page.css",),
        sheet=sheet,
        kind=_KINDS[sheet.source],
        summary=_unmarked(sheet.prose.summary),
        facts=list(_facts(sheet)),
        network=list(_network(sheet.architecture, words)),
        features=_FEATURES,
        contexts=[words("with {n} tokens", n=figure(tokens)) for tokens in contexts],
        memory=[_need(entry, contexts, words) for entry in sheet.memory[:SHOWN]],
        fields=_shown_fields(sheet.fields),
        metadata=_shown_fields(sheet.metadata),
        beside=beside or Beside(),
        logs=logs,
        most=SHOWN,
        figure=figure,
        size=size,
        is_relation=lambda text: text in SHEET,
    )


def _unmarked(text: str) -> str:
    """Words of a card without the marks of bold type, which a page would show as they are."""
    return re.sub(r"(\*\*|__)(?=\S)(.{1,300}?)(?<=\S)\1", r"\2", text)


def _facts(sheet: Sheet) -> Iterator[tuple[str, list[Named]]]:
    """What is known of its origin, by heads that the words know."""
    licence = [Named(sheet.licence, sheet.licence_link, sheet.licence_name)]
    yield "Licence", licence if sheet.licence or sheet.licence_name else []
    more = (
        ("Languages", [Named(text) for text in sheet.languages]),
        ("Base models", [Named(b.id, _on_hub(b.id), b.relation) for b in sheet.bases]),
        ("Data sets", [Named(text, _on_hub(text, "datasets/")) for text in sheet.datasets]),
        ("Tags", [Named(text) for text in sheet.tags]),
        ("Library", [Named(sheet.library)] if sheet.library else []),
        ("Task", [Named(sheet.pipeline)] if sheet.pipeline else []),
        ("Revision", [Named(sheet.revision)] if sheet.revision else []),
    )
    yield from ((name, values) for name, values in more if values)


def _on_hub(name: str, kind: str = "") -> str:
    return f"{HUB}/{kind}{name}" if is_hub_id(name) else ""


def _network(shape: Architecture, words: Words) -> Iterator[tuple[str, str]]:
    layers = ""
    if shape.layers and shape.hidden:
        layers = words(
            "{layers} layers of {hidden}", layers=figure(shape.layers), hidden=figure(shape.hidden)
        )
    heads = figure(shape.heads) if shape.heads else ""
    if shape.heads and shape.kv_heads and set(shape.kv_heads) != {shape.heads}:
        kv = "/".join(map(str, sorted(set(shape.kv_heads))))
        heads = words("{heads}, {kv} for keys and values", heads=heads, kv=kv)
    context = words("{n} tokens", n=figure(shape.context)) if shape.context else ""
    window = words("{n} tokens in most layers", n=figure(shape.window)) if shape.window else ""
    pairs = (
        ("Architecture", shape.name),
        ("Parameters", parameters(shape.parameters) if shape.parameters else ""),
        ("Quantisation", shape.quantisation),
        ("Context", context),
        ("Looks back", window),
        ("Layers", layers),
        ("Attention heads", heads),
        ("Vocabulary", figure(shape.vocabulary) if shape.vocabulary else ""),
    )
    return ((name, text) for name, text in pairs if text)


def _need(entry: Memory, contexts: Sequence[int], words: Words) -> Need:
    about = words("about") + " " if entry.estimated else ""
    totals = (
        about + size(entry.weights + entry.cache[tokens]) if tokens in entry.cache else "–"
        for tokens in contexts
    )
    return Need(entry.quantisation, entry.file, about + size(entry.weights), tuple(totals))


def _shown_fields(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields as text; the model-index has a table of its own."""
    return [
        (key, value if isinstance(value, str) else pretty(value))
        for key, value in list(fields.items())[:SHOWN]
        if key != "model-index"
    ]
