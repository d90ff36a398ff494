"""The model of `formosa chat` and `formosa serve` where none is named."""

from __future__ import annotations

import click

from formosa.models import default_model
from formosa.wheels import Say


def named_or_default(name: str | None, *, say: Say) -> str:
    """The name that was given, or our own model where this installation has it.

    Raises:
        UsageError: neither.
    """
    chosen = name or default_model()
    if not chosen:
        raise click.UsageError("Name a model, or a server with --base-url.")
    if not name:
        say(f"no model named: {chosen}")
    return chosen
