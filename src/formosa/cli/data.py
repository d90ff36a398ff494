"""`formosa data`: prepare rows as a recipe says, generate some, look into a file."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from formosa.chat.message import json_text
from formosa.chat.template import ChatTemplate
from formosa.cli.output import Output, command_output
from formosa.data.config import load_data_config
from formosa.data.prepare import Report
from formosa.data.prepare import prepare as prepare_rows
from formosa.data.rows import LANGUAGES, Row, read_rows
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.generate import generate

BAR = 40  # characters of the longest bar of a histogram


@click.group(name="data")
def data() -> None:
    """Prepare, inspect and generate training rows.

    \b
        formosa data synth --rows 3 --language zh-TW
        formosa data prepare recipes/mini.yaml --out /tmp/data
        formosa data inspect /tmp/data/train.jsonl
    """


@data.command()
@click.argument("recipe", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder."
)
@click.option("--skip-bad", is_flag=True, help="Drop and count bad rows of files.")
@command_output
def prepare(output: Output, recipe: Path, out: Path, skip_bad: bool) -> None:
    """Write train.jsonl, heldout.jsonl and report.json, as the `data:` part of RECIPE says.

    \b
        formosa data prepare recipes/mini.yaml --out /tmp/data
        formosa data prepare recipes/mini.yaml --out /tmp/data --skip-bad
    """
    config = load_data_config(recipe)
    with output.progress() as bar:
        task = bar.add_task("generating", total=None)
        report = prepare_rows(
            config,
            out,
            root=recipe.parent,
            skip_bad=skip_bad,
            say=output.say,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    output.data(report.to_json(), _summary(report, out))


def _summary(report: Report, out: Path) -> str:
    rows = report.rows
    kinds = ", ".join(f"{name} {count}" for name, count in report.kinds.items())
    languages = ", ".join(f"{name} {count}" for name, count in report.languages.items())
    return f"{out}: {rows['train']} to train, {rows['heldout']} held out\n{kinds}\n{languages}"


@data.command()
@click.option("--rows", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the dice.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only this kind of conversation.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Only this language.")
@click.option("--heldout", is_flag=True, help="Tools and wordings that training never sees.")
@command_output
def synth(
    out: Output, rows: int, seed: int, kind: str | None, language: str | None, heldout: bool
) -> None:
    """Generate tool-calling conversations and print them as JSONL.

    \b
        formosa data synth --rows 3 --kind parallel_multiple --language zh-TW
        formosa data synth --rows 500 --seed 7 > rows.jsonl
    """
    made = generate(
        rows,
        seed,
        kinds={kind: 1.0} if kind else None,
        languages={language: 1.0} if language else None,
        held_out=heldout,
    )
    values = [row.to_json() for row in made]
    out.data(values, "\n".join(map(json_text, values)))
    if len(values) < rows:
        out.say(f"only {len(values)} different questions of that kind can be asked")


@data.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0), help="How many.")
@click.option("--kind", help="Show only rows of this kind.")
@command_output
def inspect(out: Output, file: Path, rows: int, kind: str | None) -> None:
    """Show rows as the text that is trained on, and count a whole file.

    What the model learns to write is marked; the rest is what it reads. Lengths are in
    characters.

    \b
        formosa data inspect runs/mini/data/train.jsonl
        formosa data inspect rows.jsonl --kind missing --rows 5
    """
    template = ChatTemplate.formosa()
    shown: list[Row] = []
    kinds: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    lengths: list[int] = []
    for row in read_rows(file):
        kinds[row.kind or "other"] += 1
        languages[row.language] += 1
        lengths.append(len(template.render(row.messages, row.tools).text))
        if len(shown) < rows and kind in (None, row.kind):
            shown.append(row)
    value = {
        "rows": len(lengths),
        "kinds": dict(kinds.most_common()),
        "languages": dict(languages.most_common()),
        "characters": {"total": sum(lengths), "longest": max(lengths, default=0)},
    }
    if out.json_mode:
        out.data(value)
        return
    parts = [_marked(row, template) for row in shown]
    parts += _counts("kind", kinds) + _counts("language", languages) + _histogram(lengths)
    out.data(value, "\n".join(parts))


def _marked(row: Row, template: ChatTemplate) -> str:
    """The rendered row; what is trained on is green, or between ⟦ ⟧ where there is no colour."""
    rendered = template.render(row.messages, row.tools)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    parts = [f"── {row.id} · {row.kind or 'other'} · {row.language}\n"]
    position = 0
    for start, end in rendered.spans:
        learnt = rendered.text[start:end]
        parts.append(rendered.text[position:start])
        parts.append(click.style(learnt, fg="green") if colour else f"⟦{learnt}⟧")
        position = end
    return "".join([*parts, rendered.text[position:]])


def _counts(title: str, counts: Counter[str]) -> list[str]:
    width = max(map(len, counts), default=0)
    return [title, *(f"  {name:<{width}} {count:>6}" for name, count in counts.most_common())]


def _histogram(lengths: Sequence[int], steps: int = 10) -> list[str]:
    """How many rows are how long, in `steps` equal classes of characters."""
    if not lengths:
        return ["no rows"]
    size = max(1, -(-max(lengths) // steps))
    classes = Counter((length - 1) // size for length in lengths)
    most = max(classes.values())
    lines = ["characters of a row"]
    for number in range(max(classes) + 1):
        count = classes[number]
        bar = "█" * round(BAR * count / most)
        lines.append(f"  {number * size + 1:>6} to {(number + 1) * size:>6} {count:>6} {bar}")
    return lines
