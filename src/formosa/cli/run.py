"""`formosa run`: a recipe from data to model card, and the table that says what it gave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import Progress, TaskID

from formosa.cli.launch_options import launch_options
from formosa.cli.output import Output, command_output

if TYPE_CHECKING:
    from formosa.run.recipe import Recipe
    from formosa.train.launch import Launch

STAGES = ("model", "data", "train", "export", "serve", "eval", "card")

set_option = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value than the recipe's, such as train.lora.rank=8; may be given often.",
)
smoke_option = click.option(
    "--smoke",
    is_flag=True,
    help="A trial in its own run folder: few rows, two steps, few questions.",
)


try_option = click.option(
    "--try-first",
    is_flag=True,
    help="Before the training: its longest sequences, a measurement and a checkpoint, once.",
)


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are made.",
)
@click.option("--plan", is_flag=True, help="Check the recipe, print it with every default, stop.")
@click.option("--until", type=click.Choice(STAGES), help="Stop after this stage.")
@set_option
@smoke_option
@try_option
@launch_options
@command_output
def run(
    out: Output,
    recipe: Path,
    runs: Path,
    plan: bool,
    until: str | None,
    changes: tuple[str, ...],
    smoke: bool,
    try_first: bool,
    launch: Launch | None,
) -> None:
    """Do everything a recipe says: data, training, GGUF, serving, evaluation, model card.

    \b
        formosa run recipes/mini.yaml
        formosa run recipes/mini.yaml --plan
        formosa run recipes/mini.yaml --smoke --set train.learning_rate=1e-4
        formosa run recipes/f1-instruct.yaml --launch accelerate --processes 8

    Stop it at any moment: the same command continues. A stage whose inputs did not change is
    skipped.
    """
    from formosa.run.recipe import dump_recipe

    loaded = read_recipe(recipe, changes, smoke=smoke)
    if plan:
        out.data(loaded.model_dump(mode="json"), dump_recipe(loaded))
        return
    from formosa.run.stages import run_recipe
    from formosa.run.summary import outcome_table, score_table, summarise

    folder = runs / loaded.name
    if launch and launch.machine_rank:
        join_training(out, loaded, folder, launch)
        return
    with drawn(out) as report:
        state = run_recipe(
            loaded,
            folder,
            report,
            recipe_folder=recipe.resolve().parent,
            last=until or STAGES[-1],
            launch=launch,
            try_first=try_first,
        )
    if until and until != STAGES[-1]:
        out.say(f"\nstopped after {until}; the rest:\n  formosa run {recipe}")
        return
    summary = summarise(folder, state)
    if out.json_mode:
        out.data(summary)
        return
    scores = summary["scores"]
    out.table(score_table(scores), title="\npercent correct (95 % interval), base and trained")
    out.table(outcome_table(scores), title="\nwhat became of every answer")
    out.table(
        [{"stage": name, "seconds": seconds} for name, seconds in summary["seconds"].items()],
        title="\ntime",
    )
    out.say("")
    for what, path in summary["files"].items():
        out.say(f"{what:<11}{path}")
    out.say(f"\nnext:\n  formosa chat {folder}\n  formosa serve {folder}")


def read_recipe(path: Path, changes: tuple[str, ...], *, smoke: bool) -> Recipe:
    """The recipe with the command's changes."""
    from formosa.run import recipe

    loaded = recipe.load_recipe(path, changes)
    return recipe.smoke(loaded) if smoke else loaded


def join_training(out: Output, recipe: Recipe, folder: Path, how: Launch) -> None:
    """On another machine than the first: take part in its training, and nothing else."""
    from formosa.train.launch import launch, wait_for_first_machine

    minutes = recipe.train.parallel.timeout_minutes
    wait_for_first_machine(how, minutes, say=out.say)
    launch(how, folder / "train" / "job.json", say=out.say, progress=_silent)
    out.say("this machine's part is done; the first machine goes on alone")


def _silent(*_: Any) -> None:
    """Progress is the first machine's to show."""


class DrawnReport:
    """Draws a run on a terminal; elsewhere it writes a line at every quarter of a stage."""

    def __init__(self, out: Output, bars: Progress) -> None:
        self._out, self._bars = out, bars
        self._task: TaskID | None = None
        self._stage = ""
        self._written = ("", 0)  # what a line was last written about, and which quarter

    def stage(self, name: str, what: str) -> None:
        self._stage = name
        self._out.say(f"▶ {name}: {what}")

    def skipped(self, name: str) -> None:
        self._out.say(f"✓ {name}: nothing changed, skipped")

    def finished(self, name: str, seconds: float) -> None:
        self._end_bar()
        self._out.say(f"✓ {name}: {seconds:.0f} s")

    def say(self, line: str) -> None:
        self._out.say(f"  {line}")

    def progress(self, done: int, total: int, text: str = "") -> None:
        if self._bars.disable:
            what = text.rstrip("0123456789.[] ")  # without the figure that changes at every step
            quarter = (what, done * 4 // max(total, 1))
            if quarter[1] and quarter != self._written:
                self._out.say(f"  {done} of {total} {text}".rstrip())
            self._written = quarter
            return
        if self._task is None:
            self._task = self._bars.add_task(self._stage)
        self._bars.update(
            self._task, completed=done, total=total, description=f"  {text or self._stage}"
        )
        if done >= total:
            self._end_bar()

    def _end_bar(self) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None


@contextmanager
def drawn(out: Output) -> Iterator[DrawnReport]:
    """A report that draws on the terminal of `out` while the block runs."""
    with out.progress() as bars:
        yield DrawnReport(out, bars)
