"""A printed figure, and where it comes from.

Every cell that Formosa writes into a table of a card, and every value in its model-index, has a
claim: the place, the text, the files it follows from, and the metric that makes the text out of
them (figures.py does). Knows how claims are written into a card and read again; opens no file.

**Where claims stand.** In the card itself, as one HTML comment at its end:

    <!-- formosa:claims
    {"schema": 1, "files": {"logs/trained-x.jsonl": "<sha256>"}, "claims": [
    {"table": "scores", "row": ["x", "ast", "trained"], "column": "…", "text": "41.0 [37.2, 44.9]",
     "files": ["logs/trained-x.jsonl"], "metric": "score", "scorer": "ast"},
    …
    ]}
    -->

Not in a `claims.json` beside it: a README is copied, mailed and uploaded alone, and a figure
without its claim is what this is against. Nor in the front matter: the hub refuses or drops what
it does not know, and 100 kB of YAML slows every reader of the card. A comment is shown nowhere,
survives the hub and every Markdown tool, and diffs line by line. `<` and `>` inside it are
written as JSON escapes, so no text can end it. The price: a card grows by some 200 bytes a figure.

**Why a cell is found by its row's first cells and its column's head**, not by numbers: tables can
be moved and prose rewritten without breaking a claim, and a row whose label was changed is missed.

Figures are compared as text: 41.0 is not 41.00, because a digit more is a claim more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from formosa.errors import CardError, UserError

MARK = "formosa:claims"
SCHEMA = 1
MODEL_INDEX = "model-index"  # as a claim's table: row = (dataset name, metric name)


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure.

    Attributes:
        table: the table's name, or MODEL_INDEX.
        row: the first cells of its row, enough to know it by.
        column: the head of its column.
        text: the cell, as Markdown.
        files: paths relative to the card's folder: one log, two logs (before, after), or JSON.
        metric: a name in METRICS, or "value": what stands in a JSON file at `pointer` (RFC 6901).
        scorer: the scorer of the log whose outcomes count.
    """

    table: str
    row: tuple[str, ...]
    column: str
    text: str
    files: tuple[str, ...]
    metric: str
    scorer: str = ""
    pointer: str = ""

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.table}: {' · '.join(self.row)}: {self.column}"


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims of a card, and the sha256 of every file they name."""

    files: Mapping[str, str]
    claims: tuple[Claim, ...]


def write_claims(claims: Claims) -> str:
    """The comment, one claim a line."""
    head = json.dumps({"schema": SCHEMA, "files": dict(claims.files)}, ensure_ascii=False)
    lines = ",\n".join(json.dumps(_claim_fields(c), ensure_ascii=False) for c in claims.claims)
    text = f'{head[:-1]}, "claims": [\n{lines}\n]}}'
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e")
    return f"<!-- {MARK}\n{safe}\n-->\n"


def _claim_fields(claim: Claim) -> dict[str, Any]:
    names = ("table", "row", "column", "text", "files", "metric", "scorer", "pointer")
    return {name: value for name in names if (value := getattr(claim, name)) not in ("", ())}


def read_claims(comments: Iterable[str]) -> Claims | None:
    """The claims among a card's comments; None where there are none.

    Raises:
        CardError: there are two blocks, or one can't be read.
    """
    blocks = [text for text in comments if text.strip().startswith(MARK)]
    if not blocks:
        return None
    if len(blocks) > 1:
        raise CardError(
            f"The card has {len(blocks)} blocks of claims.", "keep the one that belongs"
        )
    try:
        value = json.loads(blocks[0].strip()[len(MARK) :])
        if value["schema"] != SCHEMA:
            raise UserError(
                f"they have the schema {value['schema']!r}, this Formosa knows {SCHEMA}"
            )
        files = {_text(name): _text(digest) for name, digest in value["files"].items()}
        return Claims(files, tuple(_claim(entry, files) for entry in value["claims"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError) as error:
        raise CardError(
            f"The card's claims can't be read: {error}.", "write the card again"
        ) from error


def _claim(entry: Any, files: Mapping[str, str]) -> Claim:
    fields: dict[str, Any] = {
        key: _texts(value) if key in ("row", "files") else _text(value)
        for key, value in entry.items()
    }
    claim = Claim(**fields)
    if not claim.files or any(name not in files for name in claim.files):
        raise UserError(f"{claim.place} names no file with a sha256")
    return claim


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{value!r} should be text")
    value.encode()  # a lone surrogate, which JSON can write and nothing can print, is a ValueError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UserError(f"{value!r} should be a list")
    return tuple(_text(item) for item in value)
