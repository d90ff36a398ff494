"""`formosa train page`: the curves of trainings as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from formosa.cli.output import Output, command_output
from formosa.web.words import LANGS, Lang


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file; train/page.html of the run, or training.html for several.",
)
@click.option(
    "--lang", type=click.Choice(LANGS), default="en", show_default=True, help="That it speaks."
)
@command_output
def page(out: Output, runs: tuple[Path, ...], target: Path | None, lang: Lang) -> None:
    """Draw loss, rate, gradients, speed and measurements of RUNS, also of one that is running.

    \b
        formosa train page runs/mini
        formosa train page runs/mini runs/other --out compared.html

    The file needs no network. Run the command again to draw what is new; `formosa view` shows the
    same page and follows a training that runs.
    """
    from formosa.web.training.pages import write_page

    if target is None:
        alone = runs[0] / "train" / "page.html" if len(runs) == 1 and runs[0].is_dir() else None
        target = alone if alone and alone.parent.is_dir() else Path("training.html")
    write_page(runs, target, lang)
    out.data({"page": str(target)}, str(target))
