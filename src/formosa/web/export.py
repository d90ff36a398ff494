"""A page as one file: which page shows what a person named.

Knows names and first bytes of files. What stands on a page is that page's.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from formosa.errors import UserError
from formosa.results.report import begins_like_a_log
from formosa.web.overview import is_card, is_run
from formosa.web.words import Lang

# name → what its paths are
PAGES = {
    "evaluation": "a log of an evaluation",
    "comparison": "two or more logs of one task, or two runs",
    "leaderboard": "folders with logs",
    "training": "run folders",
    "sheet": "a .gguf file, a model's folder or a card",
    "card": "a model card",
    "chat": "a conversation as JSON",
}
_MODULES = {"evaluation": "evals", "comparison": "compare"}


def export(paths: Sequence[Path], page: str | None, lang: Lang) -> str:
    """The page as HTML that needs nothing else.

    Args:
        paths: what it shows.
        page: its name in `PAGES`; found from the paths where it is None.
        lang: its language.

    Raises:
        UserError: a path is missing, or nothing says which page is wanted; or what the page finds.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist.", f"look what is there: ls {path.parent}")
    name = page or _page_of(paths)
    module = importlib.import_module(f"formosa.web.{_MODULES.get(name, name)}.pages")
    return cast(str, module.export(paths, lang))


def _page_of(paths: Sequence[Path]) -> str:
    if all(path.is_file() for path in paths):
        if all(path.suffix == ".jsonl" and begins_like_a_log(path) for path in paths):
            return "evaluation" if len(paths) == 1 else "comparison"
        if len(paths) == 1:
            (path,) = paths
            if path.suffix == ".gguf":
                return "sheet"
            if is_card(path):
                return "card"
            if path.suffix == ".json":
                return "chat"
    elif len(paths) > 1 and all(is_run(path) for path in paths):
        return "comparison"
    known = "; ".join(f"{name} ({what})" for name, what in PAGES.items())
    raise UserError(
        f"Several pages could show {', '.join(map(str, paths))}.", f"name one with --page: {known}"
    )
