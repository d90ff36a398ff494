"""`formosa serve check`: what breaks in a server with OpenAI's chat API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from formosa.cli.output import Output, command_output


@click.command()
@click.argument("url")
@click.option("--model", metavar="NAME", help="Name in the requests.  [default: the first listed]")
@click.option("--api-key", show_envvar=True, help="Sent as a bearer token.")
@click.option("--only", multiple=True, metavar="GROUP|ID",
              help="Run only this; may be repeated.")  # fmt: skip
@click.option("--by", type=click.Choice(["choice", "parrot"]),
              help="How the scripted replies are said.  [default: what works]")  # fmt: skip
@click.option("--timeout", default=300.0, show_default=True, type=click.FloatRange(min=0.1),
              help="Seconds that the server may be silent.")  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Show also what passed.")
@command_output
def check(
    out: Output,
    url: str,
    model: str | None,
    api_key: str | None,
    only: tuple[str, ...],
    by: Literal["choice", "parrot"] | None,
    timeout: float,
    show_all: bool,
) -> int:
    """Test any server with OpenAI's chat API, and print what breaks.

    \b
        formosa serve check http://127.0.0.1:8000/v1
        formosa serve check http://127.0.0.1:8000/v1 --only tools --only stream.usage
        formosa serve check http://127.0.0.1:8000/v1 --json > report.json

    Live probes work with any model. The scripted replies need a server whose model can be made to
    say given words: vLLM and Formosa can, for others serve the model of `formosa serve parrot`.
    Exit code 1: something failed that must hold.
    """
    from formosa.serve.conformance.check import run_check
    from formosa.serve.conformance.report import Report, Result

    with out.progress() as progress:
        task = progress.add_task("checking", total=None)

        def heard(result: Result) -> None:
            progress.update(task, advance=1, description=result.id)

        report: Report = run_check(
            url, api_key=api_key, model=model, only=only, by=by, timeout=timeout, heard=heard
        )
    if out.json_mode:
        out.data(report.to_json())
        return 0 if report.conforms else 1
    shown = [r for r in report.results if show_all or r.verdict in ("fail", "note")]
    for result in shown:
        lines = [f"{result.verdict} ({result.level})  {result.id}", f"  expected  {result.what}"]
        lines += [f"  seen      {result.evidence}"] if result.evidence else []
        lines += [f"  why       {result.why}"] if result.verdict == "fail" else []
        out.text("\n".join(lines) + "\n\n")
    out.table(report.groups(), title=f"{report.model} at {report.url}")
    if not report.steering and any(r.group == "vectors" for r in report.results):
        out.hint(
            "the scripted replies were skipped; serve the model of `formosa serve parrot FILE.gguf`"
        )
    failed = report.counts(level="must")["fail"]
    out.say(f"{failed} of what must hold failed" if failed else "everything that must hold holds")
    return 0 if report.conforms else 1


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@command_output
def parrot(out: Output, target: Path) -> None:
    """Write the model that says the scripted replies of `serve check`.

    \b
        formosa serve parrot parrot.gguf      # for llama.cpp and what is built on it
        formosa serve parrot parrot           # a checkpoint folder, for vLLM and others

    Serve it with the server to be tested, then run `formosa serve check` against that.
    """
    from formosa.errors import UserError
    from formosa.serve.conformance.steering import suite_parrot

    made = suite_parrot()
    try:
        if target.suffix == ".gguf":
            made.write_gguf(target)
        else:
            made.write_checkpoint(target)
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed.", "pip install 'formosa-lm[train]'"
        ) from error
    out.data({"path": str(target), "texts": len(made.lines)}, f"wrote {target}")
