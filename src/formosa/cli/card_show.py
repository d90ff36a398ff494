"""`formosa card show` and `formosa card diff`: a model at a glance, and two of them side by side.

Knows how a sheet looks on a terminal. Sizes are in powers of ten everywhere: 1 GB is 10^9 bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from formosa.card.sheet.units import parameters, size
from formosa.card.sheet.values import File, Memory, Result, Sheet, TemplateFeatures
from formosa.cli.output import Output, command_output, visible
from formosa.errors import UserError

if TYPE_CHECKING:
    from formosa.card.differences import Difference

SHOWN = 12  # rows of a table; `--json` has all


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "--logs",
    type=click.Path(path_type=Path),
    help="A log, or a folder of logs, of your own: which results they reproduce.",
)
@command_output
def show(out: Output, model: str, logs: Path | None) -> None:
    """The sheet of MODEL: licence, origin, results, files, sizes, template and memory.

    MODEL is a run folder, a checkpoint, a GGUF file, a card, a built-in name or a hub id. Of the
    hub only the card and settings are fetched, no weights.

    \b
        formosa card show runs/mini
        formosa card show model-Q8_0.gguf
        formosa card show README.md
        formosa card show twinkle-ai/Llama-3.2-3B-F1-Instruct
        formosa card show hf:org/name@v1.0 --json | jq .memory
        formosa card show README.md --logs logs   # after verify --rerun, or eval run

    Beside each result stands whether it is only claimed, or traced: computed again from a log
    with the sha256 that the card names. With --logs also whether your own logs reproduce it, or
    differ. `formosa card verify` checks the whole card.
    """
    from formosa.card.sheet import read_sheet
    from formosa.card.sheet.measured import with_logs
    from formosa.card.sheet.registry import to_json

    sheet = read_sheet(model, out.say)
    if logs:
        sheet = with_logs(sheet, logs)
    out.data(to_json(sheet), None if out.json_mode else _drawn(sheet))


@click.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@command_output
@click.pass_context
def diff(context: click.Context, out: Output, a: Path, b: Path) -> None:
    """What differs between two cards, or between two GGUF files.

    \b
        formosa card diff old/README.md new/README.md
        formosa card diff runs/one runs/two                 # the cards of two runs
        formosa card diff model-F16.gguf model-Q8_0.gguf
        formosa card diff a.gguf b.gguf --json | jq '.differences[].where'

    Of cards: fields, results, cells of tables, sections. Of GGUF files: metadata, the chat
    template, and tensors by shape, type and bytes. As with `diff`, the exit code is 0 where they
    are equal and 1 where they differ; after an error it is 1 too, with nothing on standard output.
    """
    from formosa.card.differences import card_differences, gguf_differences, template_lines

    a, b = _card_of(a), _card_of(b)
    files = [path.suffix.lower() == ".gguf" for path in (a, b)]
    if files[0] != files[1]:
        raise UserError("A card and a GGUF file can't be compared.", "name two of the same kind")
    found = gguf_differences(a, b) if files[0] else card_differences(a, b)
    lines = template_lines(a, b) if any(d.part == "template" for d in found) else []
    value = {
        "a": str(a),
        "b": str(b),
        "equal": not found,
        "differences": [difference._asdict() for difference in found],
        "template": lines,
    }
    out.data(value, None if out.json_mode else _drawn_differences(found, lines))
    if found:
        context.exit(1)


def _card_of(path: Path) -> Path:
    """A folder means its card."""
    return path / "README.md" if path.is_dir() else path


def _drawn_differences(found: Sequence[Difference], lines: Sequence[str]) -> Table | str:
    if not found:
        return "equal"
    page = Table.grid()
    page.add_column(overflow="fold")
    tensors = [d for d in found if d.part == "tensor"]
    shown = [d for d in found if d.part != "tensor"] + tensors[:SHOWN]
    rows = [[d.part, d.where, _side(d.a), _side(d.b)] for d in shown]
    if len(tensors) > SHOWN:
        rows.append(["tensor", f"and {len(tensors) - SHOWN} more; all with --json", "", ""])
    page.add_row(_table(("part", "where", "A", "B"), rows, right=set()))
    if lines:
        page.add_row("")
        page.add_row(_text("\n".join(lines)))
    page.add_row("")
    page.add_row(_text(f"{len(found)} differences"))
    return page


def _side(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _drawn(sheet: Sheet) -> Table:
    """Everything under each other, in one grid."""
    page = Table.grid()
    page.add_column(overflow="fold")
    revision = f" at {sheet.revision[:12]}" if sheet.revision else ""
    page.add_row(_text(sheet.name, "bold"))
    page.add_row(_text(f"{sheet.source}: {sheet.place}{revision}", "dim"))
    if sheet.prose.summary:
        page.add_row("")
        page.add_row(_text(_short(sheet.prose.summary, 400)))
    page.add_row("")
    page.add_row(_facts(sheet))
    for title, table in _tables(sheet):
        page.add_row("")
        page.add_row(_text(title, "bold"))
        page.add_row(table)
    if sheet.problems:
        page.add_row("")
        page.add_row(_text("Not known", "bold"))
        for problem in sheet.problems:
            page.add_row(_text(f"  {problem}"))
    return page


def _facts(sheet: Sheet) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(overflow="fold")
    licence = sheet.licence or "none named"
    if sheet.licence_name:
        licence += f" ({sheet.licence_name})"
    bases = (f"{base.id} ({base.relation})" if base.relation else base.id for base in sheet.bases)
    rows = [
        ("licence", licence),
        ("languages", ", ".join(sheet.languages)),
        ("base models", ", ".join(bases)),
        ("data sets", ", ".join(sheet.datasets)),
        ("tags", _short(", ".join(sheet.tags), 300)),
        ("library", sheet.library),
        ("architecture", _architecture(sheet)),
        ("template", _template(sheet.template) if sheet.template else ""),
        ("on the hub", _hub(sheet)),
    ]
    for name, value in rows:
        if value:
            grid.add_row(_text(name, "dim"), _text(value))
    return grid


def _architecture(sheet: Sheet) -> str:
    shape = sheet.architecture
    heads = f"{shape.heads} heads" if shape.heads else ""
    if shape.heads and shape.kv_heads and set(shape.kv_heads) != {shape.heads}:
        heads += f" ({'/'.join(map(str, sorted(set(shape.kv_heads))))} for keys and values)"
    parts = (
        shape.name,
        f"{parameters(shape.parameters)} parameters" if shape.parameters else "",
        shape.quantisation,
        f"context {shape.context:,}" if shape.context else "",
        f"{shape.layers} layers of {shape.hidden}" if shape.layers and shape.hidden else "",
        heads,
        f"vocabulary {shape.vocabulary:,}" if shape.vocabulary else "",
    )
    return ", ".join(part for part in parts if part)


def _template(template: TemplateFeatures) -> str:
    if template.problem:
        return f"{template.where}: can't be tried: {template.problem}"
    words = {
        "tools": template.tools,
        "parallel calls": template.parallel_calls,
        "system message": template.system,
        "reasoning": template.reasoning,
        "a switch for thinking": template.thinking_switch,
    }
    yes = ", ".join(word for word, has in words.items() if has) or "nothing of what was tried"
    no = ", ".join(word for word, has in words.items() if not has)
    own = "Formosa's own: " if template.ours else ""
    return f"{own}{yes}" + (f"; without {no}" if no else "")


def _hub(sheet: Sheet) -> str:
    hub = sheet.hub
    if not hub:
        return ""
    gated = "gated" if hub.get("gated") else ""
    private = "private" if hub.get("private") else ""
    changed = f"changed {hub['lastModified'][:10]}" if hub.get("lastModified") else ""
    counts = [f"{hub[key]:,} {key}" for key in ("downloads", "likes") if hub.get(key) is not None]
    return ", ".join(part for part in (*counts, changed, gated, private) if part)


def _tables(sheet: Sheet) -> Iterable[tuple[str, Table]]:
    if sheet.results:
        yield _title("Results", sheet.results), _results(sheet.results)
    if sheet.prose.tables:
        rows = [
            [table["name"] or str(i), str(len(table["rows"])), " | ".join(table["heads"])]
            for i, table in enumerate(sheet.prose.tables[:SHOWN], start=1)
        ]
        yield (
            _title("Tables in the text", sheet.prose.tables),
            _table(("table", "rows", "columns"), rows, right={1}),
        )
    if sheet.files:
        rows = [
            [file.name, size(file.bytes), _quantisation(file), file.sha256[:16] or "–"]
            for file in sheet.files[:SHOWN]
        ]
        yield (
            _title("Files", sheet.files),
            _table(("file", "size", "quantisation", "sha256"), rows, right={1}),
        )
    if sheet.memory:
        yield "Memory to run, one conversation: weights and cache", _memory(sheet.memory[:SHOWN])
    if sheet.derivatives:
        rows = [
            [item.id, item.relation, _count(item.downloads), _count(item.likes)]
            for item in sheet.derivatives[:SHOWN]
        ]
        yield (
            _title("Made from it", sheet.derivatives),
            _table(("model", "relation", "downloads", "likes"), rows, right={2, 3}),
        )


def _quantisation(file: File) -> str:
    if file.named:
        return f"{file.quantisation} by its name"
    return f"{file.quantisation}, {file.bits:.2f} bits" if file.bits else file.quantisation


def _title(words: str, rows: Sequence[Any]) -> str:
    return words if len(rows) <= SHOWN else f"{words} ({SHOWN} of {len(rows)}; all with --json)"


def _results(results: Sequence[Result]) -> Table:
    rows = []
    for result in results[:SHOWN]:
        metric = result.metric_name or result.metric
        state = f"{result.state}: {result.because}"
        if result.says_verified:
            state += "; its entry says verified, which is not checked here"
        data = result.dataset_name or result.dataset
        rows.append([data, metric, str(result.value), state])
    return _table(("data set", "metric", "value", "state"), rows, right={2})


def _memory(entries: Sequence[Memory]) -> Table:
    contexts = sorted({tokens for entry in entries for tokens in entry.cache})
    heads = ["quantisation", "weights", *(f"with {tokens:,} tokens" for tokens in contexts)]
    rows = []
    for entry in entries:
        about = "about " if entry.estimated else ""
        totals = [
            size(entry.weights + entry.cache[t]) if t in entry.cache else "–" for t in contexts
        ]
        rows.append([entry.quantisation, about + size(entry.weights), *totals])
    return _table(heads, rows, right=set(range(1, len(heads))))


def _with_cache(entry: Memory, tokens: int) -> str:
    return size(entry.weights + entry.cache[tokens]) if tokens in entry.cache else "–"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: set[int]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for i, head in enumerate(heads):
        drawn.add_column(
            Text(visible(head)), justify="right" if i in right else "left", overflow="fold"
        )
    for row in rows:
        drawn.add_row(*(_text(_short(cell, 200)) for cell in row))
    return drawn


def _text(words: str, style: str = "") -> Text:
    return Text(visible(words), style=style)


def _short(words: str, longest: int) -> str:
    return words if len(words) <= longest else words[: longest - 1] + "…"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
