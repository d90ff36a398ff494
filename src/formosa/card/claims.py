"""A printed figure, and where it comes from.

Every cell that Formosa writes into a table of a card, and every value in its model-index, has a
claim: the place, the text, the files it follows from, and the metric that makes the text out of
them (figures.py does). Knows how claims are written into a file and read again.

**Where claims stand.** In `card-claims.json` beside the card, which holds each table once, whatever
the number of languages that show it:

    {"schema": 1,
     "files": {"logs/trained-x.jsonl": "<sha256>"},
     "model-index": [{"row": ["x", "ast"], "text": "41.0", "metric": "accuracy", …}],
     "tables": {"choice": {"languages": ["zh", "en"], "keys": 2,
      "heads": [["模型", "Model"], ["判讀", "Scorer"], …],
      "rows": [[["訓練後", "trained"], "box",
                {"text": "41.0 [37.2, 44.9]", "metric": "runs", "scorer": "box", "files": […]}],
               …]}}}

A text that differs by language is a list with one for each. The card itself holds one line, which
ties the two: `<!-- formosa:claims card-claims.json sha256:… -->`. So a claims file of another run,
or one that was changed, is found.

Not in the card: a claim takes more room than its figure, and people read a README.md as it is,
too. Not in the front matter: the hub refuses or drops what it does not know. The price: a card that
is copied without the file can't be checked; but then its logs are missing as well.

**Why a cell is found by its row's first cells and its column's head**, not by numbers: tables can
be moved and prose rewritten without breaking a claim, and a row whose label was changed is missed.

Figures are compared as text: 41.0 is not 41.00, because a digit more is a claim more.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from formosa.errors import CardError, UserError
from formosa.files import sha256_text

CLAIMS_FILE = "card-claims.json"
MARK = "formosa:claims"
SCHEMA = 1
MODEL_INDEX = "model-index"  # as a claim's table: row = (dataset name, metric name)
MAX_BYTES = 64 << 20  # of the file; a run of a hundred tasks has one of 1 MB

Language = Literal["zh", "en", "both"]

_MARK = re.compile(rf"{MARK} {re.escape(CLAIMS_FILE)} sha256:([0-9a-f]{{64}})")


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure, where one language shows it.

    Attributes:
        table: the table's name, or MODEL_INDEX.
        row: the first cells of its row, enough to know it by.
        column: the head of its column.
        text: the cell, as Markdown.
        files: paths relative to the card's folder: one log, two logs (before, after), or JSON.
        metric: a name in METRICS, or "value": what stands in a JSON file at `pointer` (RFC 6901).
        scorer: the scorer of the log whose outcomes count.
        language: in which words are said that are no figures.
    """

    table: str
    row: tuple[str, ...]
    column: str
    text: str
    files: tuple[str, ...]
    metric: str
    scorer: str = ""
    pointer: str = ""
    language: Language = "zh"

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.table}: {' · '.join(self.row)}: {self.column}"


@dataclass(frozen=True, slots=True)
class Claims:
    """All claims of a card, and the sha256 of every file they name."""

    files: Mapping[str, str]
    claims: tuple[Claim, ...]


class Ask(NamedTuple):
    """From where a figure follows: see Claim for the fields."""

    metric: str
    files: tuple[str, ...]
    scorer: str = ""
    pointer: str = ""

    def at(
        self, table: str, row: tuple[str, ...], column: str, text: str, language: Language = "zh"
    ) -> Claim:
        return Claim(
            table, row, column, text, self.files, self.metric, self.scorer, self.pointer, language
        )


Texts = tuple[str, ...]  # one for each language of the table


class Cell(NamedTuple):
    """A cell of a table: its texts, and where they follow from if it is no label."""

    texts: Texts
    ask: Ask | None = None


@dataclass(slots=True)
class ClaimedTable:
    """A table as every language shows it; rows are known by their first `keys` cells."""

    name: str
    languages: tuple[Language, ...]
    keys: int
    heads: list[Texts]
    rows: list[list[Cell]]

    def claims(self) -> Iterator[Claim]:
        """The claim of each figure, in each language."""
        for place, language in enumerate(self.languages):
            name = table_name(self.name, language)
            drawn = [[cell.texts[place] for cell in row] for row in self.rows]
            seen = Counter(tuple(row[: self.keys]) for row in drawn)
            for cells, texts in zip(self.rows, drawn, strict=True):
                key = tuple(texts[: self.keys])
                row = key if seen[key] == 1 else tuple(texts)
                for cell, head, text in zip(cells, self.heads, texts, strict=True):
                    if cell.ask:
                        yield cell.ask.at(name, row, head[place], text, language)


def table_name(name: str, language: Language) -> str:
    """As it stands above a table: `scores`, and `scores-en` for the English one."""
    return f"{name}-en" if language == "en" else name


# -- writing --------------------------------------------------------------------------------------


def claims_text(
    files: Mapping[str, str], index: Sequence[Claim], tables: Iterable[ClaimedTable]
) -> str:
    """The claims file, one figure of the model-index or one row a line."""
    entries = [{"row": claim.row, "text": claim.text, **_ask_fields(claim)} for claim in index]
    parts = [
        f'{{"schema": {SCHEMA}',
        f'"files": {_listed(files.items(), "{}", _pair)}',
        f'"{MODEL_INDEX}": {_listed(entries, "[]", _json)}',
        f'"tables": {_listed(tables, "{}", _table_text)}}}\n',
    ]
    return ",\n".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pair(pair: tuple[str, str]) -> str:
    return f"{_json(pair[0])}: {_json(pair[1])}"


def _listed(items: Iterable[Any], around: str, text: Any) -> str:
    return f"{around[0]}\n" + ",\n".join(map(text, items)) + f"\n{around[1]}"


def _table_text(table: ClaimedTable) -> str:
    fields = {"languages": table.languages, "keys": table.keys, "heads": [*map(_said, table.heads)]}
    rows = _listed(([*map(_cell_fields, row)] for row in table.rows), "[]", _json)
    return f'{_json(table.name)}: {_json(fields)[:-1]}, "rows": {rows}}}'


def _cell_fields(cell: Cell) -> Any:
    said = _said(cell.texts)
    return {"text": said, **_ask_fields(cell.ask)} if cell.ask else said


def _said(texts: Texts) -> str | Texts:
    return texts[0] if len(set(texts)) == 1 else texts


def _ask_fields(ask: Ask | Claim) -> dict[str, Any]:
    names = ("metric", "scorer", "pointer", "files")
    return {name: value for name in names if (value := getattr(ask, name)) not in ("", ())}


def claims_mark(text: str) -> str:
    """The line of a card that names its claims file."""
    return f"<!-- {MARK} {CLAIMS_FILE} sha256:{sha256_text(text)} -->\n"


# -- reading --------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Why claims can't be read or trusted; `code` as `card verify` has it."""

    code: str
    where: str
    message: str


def read_claims(comments: Iterable[str], folder: Path) -> tuple[Claims | None, tuple[Problem, ...]]:
    """The claims of a card in `folder`, and what is wrong with them. (None, ()) for a foreign card.

    A file that was changed since the card was written is a problem, and is read all the same: so
    each figure can still be compared.
    """
    marks = [text.strip() for text in comments if text.strip().startswith(MARK)]
    if not marks:
        return None, ()
    match = _MARK.fullmatch(marks[0])
    if len(marks) > 1 or not match:
        message = "The line of the card that names its claims can't be read, or there are two."
        return None, (Problem("claims-unreadable", CLAIMS_FILE, message),)
    path = folder / CLAIMS_FILE
    try:
        # Links are followed, as into the cache of the hub; a pipe would be waited for.
        if not path.is_file():
            message = "The claims of this card's figures are not beside it."
            return None, (Problem("claims-missing", CLAIMS_FILE, message),)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise CardError(f"{CLAIMS_FILE} has more than {MAX_BYTES >> 20} MiB.")
        text = data.decode("utf-8")
        claims = parse_claims(text)
    except (OSError, ValueError, CardError) as error:
        message = error.message if isinstance(error, CardError) else f"It can't be read: {error}."
        return None, (Problem("claims-unreadable", CLAIMS_FILE, message),)
    digest = sha256_text(text)
    if digest == match[1]:
        return claims, ()
    message = f"It has sha256 {digest[:12]}…, the card has {match[1][:12]}…."
    return claims, (Problem("sha256-differs", CLAIMS_FILE, message),)


def parse_claims(text: str) -> Claims:
    """The claims of a claims file, each in each language that shows it.

    Raises:
        CardError: it has another shape.
    """
    try:
        value = json.loads(text)
        if value["schema"] != SCHEMA:
            raise UserError(
                f"they have the schema {value['schema']!r}, this Formosa knows {SCHEMA}"
            )
        files = {_text(name): _text(digest) for name, digest in value["files"].items()}
        made = [_index_claim(entry) for entry in value[MODEL_INDEX]]
        for name, entry in value["tables"].items():
            made += _table(name, entry).claims()
        for claim in made:
            if not claim.files or any(name not in files for name in claim.files):
                raise UserError(f"{claim.place} names no file with a sha256")
        return Claims(files, tuple(made))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UserError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise CardError(
            f"The card's claims can't be read: {said}.", "write the card again"
        ) from error


def _index_claim(entry: dict[str, Any]) -> Claim:
    left = dict(entry)
    row, text = _several(left.pop("row")), _text(left.pop("text"))
    return _ask(left).at(MODEL_INDEX, row, "value", text)


def _table(name: str, entry: dict[str, Any]) -> ClaimedTable:
    languages = tuple(entry["languages"])
    if not languages or not set(languages) <= set(get_args(Language)):
        raise UserError(f"{languages} are no languages of a card")
    count, keys = len(languages), entry["keys"]
    if not isinstance(keys, int) or keys < 1:
        raise UserError(f"{keys!r} is no number of cells")
    heads = [_texts(head, count) for head in entry["heads"]]
    rows = [[_cell(cell, count) for cell in row] for row in entry["rows"]]
    return ClaimedTable(_text(name), languages, keys, heads, rows)


def _cell(value: Any, count: int) -> Cell:
    if not isinstance(value, dict):
        return Cell(_texts(value, count))
    left = dict(value)
    return Cell(_texts(left.pop("text"), count), _ask(left))


def _ask(left: dict[str, Any]) -> Ask:
    files, metric = _several(left.pop("files")), _text(left.pop("metric"))
    return Ask(metric, files, **{key: _text(value) for key, value in left.items()})


def _texts(value: Any, count: int) -> Texts:
    texts = _several(value) if isinstance(value, list) else (_text(value),) * count
    if len(texts) != count:
        raise UserError(f"{value!r} should be {count} texts")
    return texts


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{value!r} should be text")
    value.encode()  # a lone surrogate, which JSON can write and nothing can print, is a ValueError
    return value


def _several(value: Any) -> Texts:
    if not isinstance(value, list):
        raise UserError(f"{value!r} should be a list")
    return tuple(map(_text, value))
