"""The options that share a training among processes and machines, for `run` and `train`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from formosa.errors import UserError

if TYPE_CHECKING:
    from formosa.train.launch import Launch

_OPTIONS = (
    click.option(
        "--launch",
        "launcher",
        type=click.Choice(["accelerate"]),
        help="Train in several processes: one for each GPU.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(min=1),
        help="Over all machines; by default the GPUs of this machine times the machines.",
    ),
    click.option("--machines", type=click.IntRange(min=1), default=1, show_default=True),
    click.option(
        "--machine-rank",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Which of the machines this is, from 0.",
    ),
    click.option(
        "--main-address", default="", metavar="HOST:PORT", help="Of machine 0; the same on all."
    ),
    click.option(
        "--accelerate-config",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="A file of `accelerate config`, in place of the recipe's train.parallel.",
    ),
)
_NAMES = ("launcher", "processes", "machines", "machine_rank", "main_address", "accelerate_config")


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one argument, `launch: Launch | None`."""

    @functools.wraps(command)
    def with_launch(*arguments: Any, **values: Any) -> Any:
        given = {name: values.pop(name) for name in _NAMES}
        return command(*arguments, launch=launch_of(**given), **values)

    for option in reversed(_OPTIONS):
        with_launch = option(with_launch)
    return with_launch


def launch_of(
    *,
    launcher: str | None,
    processes: int | None,
    machines: int,
    machine_rank: int,
    main_address: str,
    accelerate_config: Path | None,
) -> Launch | None:
    """The launch that the options ask for; None without `--launch`.

    Raises:
        UserError: they contradict each other.
    """
    if launcher is None:
        if processes or machines > 1 or machine_rank or main_address or accelerate_config:
            raise UserError(
                "--processes, --machines and their like need --launch accelerate.",
                "add --launch accelerate",
            )
        return None
    from formosa.train.launch import Launch

    if processes is None:
        from formosa.train.hardware import detect

        processes = detect().devices * machines
    return Launch(processes, machines, machine_rank, main_address, accelerate_config)
