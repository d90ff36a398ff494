"""`formosa train plan`: what a recipe needs of which hardware, before anything loads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from formosa.cli.output import Output, command_output
from formosa.cli.run import read_recipe, set_option

if TYPE_CHECKING:
    from formosa.run.recipe import Recipe
    from formosa.train.plan import Setup

_BYTES_A_TOKEN = 3.2  # of prepared JSONL: measured on zh-TW and English tool calls, ± a third


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--gpu", help="Which GPU, such as h200; by default the one that is here.")
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@click.option("--cpu", is_flag=True, help="Plan for this machine's processor.")
@click.option("--price-per-hour", type=click.FloatRange(min=0), help="Of one GPU, any currency.")
@click.option("--tokens", type=click.IntRange(min=1), help="Of one pass over the data.")
@click.option("--scored", type=click.FloatRange(0, 1), help="Share of the tokens with a label.")
@click.option("--shape", help="Plan as for this model; for a base that is not here yet.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are: prepared data tell the tokens.",
)
@set_option
@command_output
def plan(
    out: Output,
    recipe: Path,
    gpu: str | None,
    gpus: int,
    cpu: bool,
    price_per_hour: float | None,
    tokens: int | None,
    scored: float | None,
    shape: str | None,
    runs: Path,
    changes: tuple[str, ...],
) -> None:
    """Memory by part, whether it fits, FLOPs, steps, time and cost. Loads nothing.

    \b
        formosa train plan recipes/mini.yaml --cpu
        formosa train plan recipes/f1-base.yaml --gpu h200 --gpus 8 --price-per-hour 3 \\
            --tokens 20000000000
    """
    from formosa.train.plan import make_plan
    from formosa.train.shapes import shape_of

    loaded = read_recipe(recipe, changes, smoke=False)
    setup = _setup(gpu, gpus, cpu=cpu, price=price_per_hour)
    known = _data(loaded, runs / loaded.name)
    made = make_plan(
        shape_of(shape or loaded.base),
        loaded.train,
        setup,
        tokens=tokens or known["tokens"],
        rows=None if tokens else known["rows"],
        scored=scored if scored is not None else known["scored"],
    )
    made["data"] = "given" if tokens else known["from"]
    if out.json_mode:
        out.data(made)
        return
    _show(out, made, setup)


def _setup(name: str | None, count: int, *, cpu: bool, price: float | None) -> Setup:
    from formosa.errors import UserError
    from formosa.processor import usable_cores
    from formosa.train.plan import CPU_CORE, GPUS, Setup, gpu_here

    if cpu and name:
        raise UserError("--cpu and --gpu contradict each other.", "leave one of them out")
    if cpu:
        return Setup(CPU_CORE, count, price, cores=usable_cores())
    if name is None:
        found = gpu_here()
        if found is None:
            return Setup(CPU_CORE, count, price, cores=usable_cores())
        return Setup(found, count, price)
    if name.lower() not in GPUS:
        raise UserError(f"The GPU {name} is not known here.", f"known are {', '.join(GPUS)}")
    return Setup(GPUS[name.lower()], count, price)


def _data(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What is known of the tokens: from encoded rows, from prepared rows, or nothing."""
    from formosa.errors import UserError
    from formosa.files import read_json

    store = folder / "train" / "tokens" / "meta.json"
    rows = folder / "data" / "train.jsonl"
    try:
        if store.exists():
            report = read_json(store)["report"]
            tokens, trained = int(report["tokens"]), int(report["trained"])
            sequences, origin = int(report["samples"]), str(store)
            if recipe.train.share_prefix:
                from formosa.train.batches import Groups
                from formosa.train.tokens import TokenStore

                groups = Groups(TokenStore(store.parent), recipe.train)
                tokens, sequences = groups.tokens, groups.sequences
                origin += ", beginnings shared"
            return {"tokens": tokens, "rows": sequences, "scored": trained / tokens,
                    "from": origin}  # fmt: skip
    except (UserError, OSError, KeyError, TypeError, ValueError, ZeroDivisionError):
        pass  # another version's, or half written: the rows themselves can be asked
    scored = 1.0 if recipe.train.objective == "cpt" else 0.3
    if rows.exists():
        with rows.open("rb") as file:
            count = sum(1 for _ in file)
        tokens = round(rows.stat().st_size / _BYTES_A_TOKEN)
        origin = f"{rows}, estimated"
        if recipe.train.share_prefix:
            origin += ", as if no beginning were shared"
        return {"tokens": tokens, "rows": count, "scored": scored, "from": origin}
    return {"tokens": None, "rows": None, "scored": scored, "from": "unknown"}


def _show(out: Output, plan: dict[str, Any], setup: Setup) -> None:
    from formosa.train.plan import GIB, table

    where = f"{plan['devices']} × {plan['device']}"
    if not setup.device.gpu:
        where = f"{setup.cores} cores"
    room = f", {plan['device_memory'] / GIB:.0f} GiB each" if plan["device_memory"] else ""
    out.say(
        f"{plan['model']}: {plan['parameters'] / 1e6:,.1f} M parameters, "
        f"{plan['trained'] / 1e6:,.1f} M trained; on {where}{room}"
    )
    out.table(table(plan), title="\nmemory; the recipe's strategy first")
    for line in plan["advice"]:
        out.say(f"  to make it fit: {line}")
    out.say(f"\n{plan['flops_per_token'] / 1e9:,.2f} GFLOP a token")
    run = plan["run"]
    if run is None:
        out.say(
            "tokens unknown: prepare the data (formosa run RECIPE --until data) or say --tokens N"
        )
        return
    low, high = run["utilisation"]
    out.table(
        [
            {"what": "tokens of one pass", "value": f"{run['tokens_a_pass']:,}"},
            {"what": "steps", "value": f"{run['steps']:,}"},
            {"what": "tokens in all steps", "value": f"{run['tokens']:,}"},
            {"what": "tokens a second", "value": _range(run["tokens_per_second"], "{:,.0f}")},
            {"what": "hours", "value": _range([s / 3600 for s in run["seconds"]], "{:,.2f}")},
            *(
                [{"what": "cost", "value": _range(run["cost"], "{:,.2f}")}]
                if run["cost"] is not None
                else []
            ),
        ],
        title=f"\ntime, if {low:.0%} to {high:.0%} of the peak are reached (assumed); "
        f"tokens: {plan['data']}",
    )


def _range(values: list[float], form: str) -> str:
    return f"{form.format(values[0])} to {form.format(values[1])}"
