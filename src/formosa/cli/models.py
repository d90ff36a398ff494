"""`formosa models`: find and fetch models."""

from __future__ import annotations

from typing import Any

import click

from formosa.cli.output import Output, command_output


@click.group()
def models() -> None:
    """Find and fetch models.

    \b
        formosa models ls
        formosa models pull smollm2-135m
        formosa models show runs/mini
    """


@models.command("ls")
@command_output
def list_models(out: Output) -> None:
    """List the built-in models, and which of them are here."""
    from formosa.models import ADAPTERS, BUILTIN, is_cached

    rows = [
        {
            "name": model.name,
            "MB": model.megabytes,
            "here": "yes" if is_cached(model.name) else "no",
            "licence": model.licence,
            "what": model.about,
        }
        for model in BUILTIN.values()
    ]
    rows += [
        {
            "name": adapter.name,
            "MB": BUILTIN[adapter.base].megabytes,
            "here": "yes" if adapter.path.exists() and is_cached(adapter.base) else "no",
            "licence": adapter.licence,
            "what": f"{adapter.about}; on {adapter.base}",
        }
        for adapter in ADAPTERS.values()
    ]
    out.table(rows)


@models.command("pull")
@click.argument("name")
@command_output
def pull_model(out: Output, name: str) -> None:
    """Fetch a model into the cache and check its sha256.

    \b
        formosa models pull smollm2-135m
        formosa models pull hf:org/name@revision
    """
    from formosa.models import resolve

    out.data(_described(resolve(name, say=out.say)))


@models.command("show")
@click.argument("name")
@command_output
def show_model(out: Output, name: str) -> None:
    """Say what a name means: files, sha256, licence."""
    from formosa.models import resolve

    out.data(_described(resolve(name, say=out.say)))


def _described(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": model.kind,
        "path": str(model.path),
        "sha256": model.sha256(),
        "licence": model.licence or None,
        "hub_id": model.hub_id or None,
        "revision": model.revision or None,
        **({"adapter": str(model.adapter), "base": model.base} if model.adapter else {}),
    }
