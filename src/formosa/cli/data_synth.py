"""`formosa data synth`: rows of our own generator, printed."""

from __future__ import annotations

import click

from formosa.chat.message import json_text
from formosa.cli.output import Output, command_output
from formosa.data.rows import LANGUAGES
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.generate import generate
from formosa.data.synth.stage import CHINESE_DOCS


@click.command()
@click.option("--rows", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the dice.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only this kind of conversation.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Only this language.")
@click.option("--heldout", is_flag=True, help="Tools and wordings that training never sees.")
@click.option(
    "--thinking",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the rows that are followed by a twin with reasoning.",
)
@click.option(
    "--max-tools",
    type=click.IntRange(2, 12),
    default=6,
    show_default=True,
    help="Most tools that are offered in a row.",
)
@click.option(
    "--manuals",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the rows whose tools are documented at length, in sentences.",
)
@click.option(
    "--chinese-docs",
    type=click.FloatRange(0, 1),
    default=CHINESE_DOCS,
    show_default=True,
    help="Share of the zh-TW rows whose tools are documented in Chinese; the others' in English.",
)
@click.option(
    "--questions",
    type=click.IntRange(1, 50),
    default=1,
    show_default=True,
    help="Rows about the same tools.",
)
@command_output
def synth(
    out: Output,
    rows: int,
    seed: int,
    kind: str | None,
    language: str | None,
    heldout: bool,
    thinking: float,
    max_tools: int,
    manuals: float,
    chinese_docs: float,
    questions: int,
) -> None:
    """Generate tool-calling conversations and print them as JSONL.

    \b
        formosa data synth --rows 3 --kind parallel_multiple --language zh-TW
        formosa data synth --rows 500 --seed 7 --thinking 0.3 > rows.jsonl
    """
    made = generate(
        rows,
        seed,
        kinds={kind: 1.0} if kind else None,
        languages={language: 1.0} if language else None,
        held_out=heldout,
        thinking=thinking,
        max_tools=max_tools,
        manuals=manuals,
        chinese_docs=chinese_docs,
        questions=questions,
    )
    values = [row.to_json() for row in made]
    out.data(values, "\n".join(map(json_text, values)))
    if len(values) < rows:
        out.say(f"only {len(values)} different questions of that kind can be asked")
