"""`formosa data report` and `formosa data rejects`: what became of every row, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from formosa.cli.output import Output, command_output
from formosa.data.rejects import FILE as REJECTS
from formosa.data.rejects import Rejected, read_rejects
from formosa.data.report import SCHEMA
from formosa.errors import DataError
from formosa.files import read_json

BAR = 40  # characters of the longest bar of a histogram
SHOWN = 400  # characters of a text that are shown
_PLACE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("folder", type=_PLACE)
@command_output
def report(out: Output, folder: Path) -> None:
    """Show what came in, what went out, and why the rest did not.

    FOLDER is what `data prepare` wrote, or a run's folder.

    \b
        formosa data report /tmp/data
        formosa data report runs/mini
        formosa data report runs/mini --json
    """
    value = read_report(folder)
    if out.json_mode:
        out.data(value)
        return
    for title, rows in _tables(value):
        if rows:
            out.table(rows, title=f"\n{title}")
    out.text("\n" + "\n".join(_histogram(value["characters"])) + "\n")
    out.text("\n" + "\n".join(_facts(value)) + "\n")


@click.command()
@click.argument("folder", type=_PLACE)
@click.option("--reason", help="Only this reason, or those that begin so.")
@click.option("--source", help="Only rows of this source.")
@click.option("--rows", default=5, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--full", is_flag=True, help="Show long texts to their end.")
@command_output
def rejects(
    out: Output, folder: Path, reason: str | None, source: str | None, rows: int, full: bool
) -> None:
    """Look at rows that were refused, each with its reason.

    FOLDER is what `data prepare` wrote, or a run's folder. The pile keeps the first rows of each
    source and reason; how many is `rejects` in the recipe's `data:`.

    \b
        formosa data rejects /tmp/data --reason "near duplicate"
        formosa data rejects runs/mini --source glaive --rows 20
    """
    fitting = (
        item
        for item in read_rejects(find(folder, REJECTS))
        if (reason is None or item.reason.startswith(reason))
        and (source is None or item.source == source)
    )
    shown = list(islice(fitting, rows))
    values = [
        {
            "source": item.source,
            "where": item.where,
            "id": item.id,
            "reason": item.reason,
            "detail": item.detail,
            "row": item.row,
        }
        for item in shown
    ]
    texts = [_refused(item, None if full else SHOWN) for item in shown]
    out.data(values, "\n\n".join(texts) or "(nothing)")


def find(folder: Path, name: str) -> Path:
    """A file of a preparation, of which `folder` is the folder, the run, or the file itself.

    Raises:
        DataError: it isn't there.
    """
    if folder.is_file():
        return folder
    for path in (folder / name, folder / "data" / name):
        if path.is_file():
            return path
    raise DataError(
        f"{folder} holds no {name}, so no data was prepared there, or not to its end.",
        "prepare it: formosa data prepare RECIPE --out DIR",
    )


def read_report(folder: Path) -> dict[str, Any]:
    """The content of a report.json.

    Raises:
        DataError: there is none, or it is of another version.
    """
    path = find(folder, "report.json")
    value = read_json(path)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise DataError(
            f"{path} is no report of this version of Formosa.",
            "prepare the data again: formosa data prepare RECIPE --out DIR",
        )
    return value


def _tables(value: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    sources = value["sources"]
    yield (
        "sources",
        [
            {
                "source": item["name"],
                "licence": item["licence"],
                "format": item["format"] or "–",
                "rows in": item["rows_in"],
                "used": item["rows_out"],
                "held out": item["heldout"],
                "refused": sum(item["dropped"].values()),
            }
            for item in sources
        ],
    )
    yield (
        "refused",
        [
            {"source": item["name"], "reason": reason, "rows": count,
             "for example": item["examples"].get(reason, "")}
            for item in sources
            for reason, count in sorted(item["dropped"].items(), key=lambda entry: -entry[1])
        ],
    )  # fmt: skip
    yield (
        "changed by cleaning",
        [
            {"source": item["name"], "rule": rule, **counts}
            for item in sources
            for rule, counts in item["changed"].items()
        ],
    )
    mixture = value["mixture"] or {"sources": {}}
    yield "mixture", [{"source": name, **share} for name, share in mixture["sources"].items()]
    yield (
        "compared with benchmarks",
        [
            {
                "benchmark": item["benchmark"],
                "texts": item["texts"],
                "tools": item["tools"],
                "rows refused": item["rows"],
            }
            for item in value["contamination"]
        ],
    )
    yield "kinds", [{"kind": name, "rows": count} for name, count in value["kinds"].items()]


def _histogram(characters: Mapping[str, Any]) -> Iterator[str]:
    classes: Sequence[Mapping[str, int]] = characters["histogram"]
    most = max((item["rows"] for item in classes), default=0)
    yield f"characters of a row (longest {characters['longest']:,})"
    for item in classes:
        bar = "█" * max(1, round(BAR * item["rows"] / most))
        yield f"  up to {item['to']:>11,} {item['rows']:>9,} {bar}"


def _facts(value: Mapping[str, Any]) -> Iterator[str]:
    rows, purity = value["rows"], value["purity"]
    yield f"{rows['train']:,} rows to train, {rows['heldout']:,} held out, seed {value['seed']}"
    yield "languages: " + ", ".join(f"{name} {n:,}" for name, n in value["languages"].items())
    if purity["rows"]:
        yield (
            f"purity of {purity['rows']:,} rows: mean {purity['mean']:.4f}, lowest "
            f"{purity['min']:.4f}, pure {purity['pure']:.1%}"
        )
    for name, digest in value["sha256"].items():
        yield f"{name}.jsonl sha256 {digest}"
    yield "versions: " + ", ".join(f"{name} {text}" for name, text in value["versions"].items())


def _refused(item: Rejected, most: int | None) -> str:
    head = f"── {item.source} · {item.where} · {item.reason}\n{item.detail}"
    return "\n".join([head, *(f"  {line}" for line in _texts(item.row or {}, most))])


def _texts(row: Mapping[str, Any], most: int | None) -> Iterator[str]:
    """The words of a row, one turn a line; of what never became a row, its fields."""
    if not isinstance(row.get("messages"), list):
        for key, value in row.items():
            yield f"{key}: {_cut(str(value), most)}"
        return
    for message in row["messages"]:
        if not isinstance(message, Mapping):
            yield _cut(str(message), most)
            continue
        said = [str(message.get(key) or "") for key in ("reasoning_content", "content")]
        calls = [str(call.get("function", call)) for call in message.get("tool_calls") or ()]
        yield f"{message.get('role')}: {_cut(' '.join(filter(None, [*said, *calls])), most)}"


def _cut(text: str, most: int | None) -> str:
    text = " ".join(text.split())
    return text if most is None or len(text) <= most else f"{text[:most]} … ({len(text):,})"
