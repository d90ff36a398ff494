"""`formosa view`: pages over runs, logs, cards and models; for this machine, or as one file.

Loads no model and asks nobody: the pages read what the other commands left.
"""

from __future__ import annotations

from pathlib import Path

import click

from formosa.cli.output import Output, command_output
from formosa.files import write_text
from formosa.web.export import PAGES
from formosa.web.words import LANGS, Lang


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH]...")
@click.option("--port", default=8010, show_default=True, type=click.IntRange(0, 65535),
              help="Port on this machine; 0 takes any free one.")  # fmt: skip
@click.option("--open", "open_browser", is_flag=True, help="Open the first page in the browser.")
@click.option("--export", "target", metavar="FILE",
              type=click.Path(path_type=Path, dir_okay=False),
              help="Write the page of PATH as one whole file, and end.")  # fmt: skip
@click.option("--page", type=click.Choice(PAGES),
              help="Which page to export.  [default: what PATH is]")  # fmt: skip
@click.option("--lang", type=click.Choice(LANGS), default="zh-TW", show_default=True,
              help="Language of an exported page; served ones follow the browser.")  # fmt: skip
@command_output
def view(
    out: Output,
    paths: tuple[Path, ...],
    port: int,
    open_browser: bool,
    target: Path | None,
    page: str | None,
    lang: Lang,
) -> None:
    """Look at runs, evaluations, trainings, models and cards in the browser

    \b
        formosa view                                      # what lies in runs/, or here
        formosa view runs/mini other/logs card.md
        formosa view runs/mini/logs/trained-bfcl-simple.jsonl --export answers.html
        formosa view a.jsonl b.jsonl --export compared.html
        formosa view runs/mini --page training --export training.html

    Only the files named, and what lies in them, can be seen, and only from this machine: to look
    from another one, forward the port (ssh -L 8010:127.0.0.1:8010 HOST).
    """
    if not paths:
        paths = (Path("runs") if Path("runs").is_dir() else Path(),)
    if target is not None:
        from formosa.web.export import export

        write_text(target, export(paths, page, lang))
        out.data({"page": str(target)}, str(target))
        return
    if page is not None:
        raise click.UsageError("--page belongs to --export FILE; a served site has all pages.")
    from formosa.serve.run import run_app
    from formosa.web.places import Places
    from formosa.web.view import view_app

    places = Places(paths)

    def started(url: str) -> None:
        out.data({"url": url}, url)
        out.say("Ctrl-C ends it.")
        if open_browser:
            import webbrowser

            webbrowser.open(url)

    run_app(lambda: view_app(places), port=port, started=started)
