"""`formosa train`: fine-tune on prepared rows."""

from __future__ import annotations

from pathlib import Path

import click

from formosa.cli.output import Output, command_output


@click.group()
def train() -> None:
    """Fine-tune a model.

    \b
        formosa train sft recipes/mini.yaml
    """


@train.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are.",
)
@command_output
def sft(out: Output, recipe: Path, runs: Path) -> None:
    """Supervised fine-tuning: a recipe's run up to the trained checkpoint.

    \b
        formosa train sft recipes/mini.yaml

    Stopped at any moment, the same command continues from the last checkpoint.
    """
    from formosa.cli.run import drawn
    from formosa.files import read_json
    from formosa.run.recipe import load_recipe
    from formosa.run.stages import run_recipe

    loaded = load_recipe(recipe)
    folder = runs / loaded.name
    with drawn(out) as report:
        run_recipe(loaded, folder, report, recipe_folder=recipe.resolve().parent, last="train")
    out.data(read_json(folder / "train" / "summary.json"))
