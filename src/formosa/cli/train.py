"""`formosa train`: fine-tune on prepared rows, or go on pre-training on documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from formosa.cli.launch_options import launch_options
from formosa.cli.output import Output, command_output
from formosa.cli.run import set_option, smoke_option, try_option
from formosa.cli.train_page import page
from formosa.cli.train_plan import plan

if TYPE_CHECKING:
    from formosa.train.launch import Launch


@click.group()
def train() -> None:
    """Train a model.

    \b
        formosa train plan recipes/mini.yaml --cpu
        formosa train sft recipes/mini.yaml
        formosa train page runs/mini
        formosa train sft recipes/f1-instruct.yaml --launch accelerate --processes 8
    """


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        launch_options,
        try_option,
        smoke_option,
        set_option,
        click.option(
            "--runs",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("runs"),
            show_default=True,
            help="Where run folders are.",
        ),
        click.argument("recipe", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@train.command()
@_options
@command_output
def sft(out: Output, **values: Any) -> None:
    """Supervised fine-tuning: a recipe's run up to the trained checkpoint.

    \b
        formosa train sft recipes/mini.yaml
        formosa train sft recipes/mini.yaml --smoke
        formosa train sft recipes/f1-instruct.yaml --launch accelerate --processes 8

    Stopped at any moment, the same command continues from the last checkpoint.
    """
    _train(out, "sft", **values)


@train.command()
@_options
@command_output
def cpt(out: Output, **values: Any) -> None:
    """Continued pre-training on documents: a recipe's run up to the trained checkpoint.

    \b
        formosa train cpt recipes/f1-base.yaml --launch accelerate --processes 8
        formosa train cpt recipes/f1-base.yaml --smoke --set base=FOLDER

    Stopped at any moment, the same command continues from the last checkpoint.
    """
    _train(out, "cpt", **values)


def _train(
    out: Output,
    objective: Literal["sft", "cpt"],
    *,
    recipe: Path,
    runs: Path,
    changes: tuple[str, ...],
    smoke: bool,
    try_first: bool,
    launch: Launch | None,
) -> None:
    from formosa.cli.run import drawn, join_training, read_recipe
    from formosa.errors import RecipeError
    from formosa.files import read_json
    from formosa.run.stages import run_recipe

    loaded = read_recipe(recipe, changes, smoke=smoke)
    found = loaded.train.objective
    if found != objective:
        raise RecipeError(
            f"{recipe} says train.objective: {found}.", f"formosa train {found} {recipe}"
        )
    folder = runs / loaded.name
    if launch and launch.machine_rank:
        join_training(out, loaded, folder, launch)
        return
    with drawn(out) as report:
        run_recipe(
            loaded,
            folder,
            report,
            recipe_folder=recipe.resolve().parent,
            last="train",
            launch=launch,
            try_first=try_first,
        )
    out.data(read_json(folder / "train" / "summary.json"))


for _command in (plan, page):
    train.add_command(_command)
