"""The first page: what lies in the places, and which page shows it.

Looks at names and first bytes only, so a folder with gigabytes of logs opens at once. What belongs
to a run folder stands with its run; the rest stands by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from formosa.results.report import begins_like_a_log
from formosa.web.app import places_of
from formosa.web.page import render
from formosa.web.places import Places
from formosa.web.response import answer
from formosa.web.site import Site

DEPTH = 6  # folders below a place that are looked into
MOST = 2000  # things that are listed; a place that holds more is better named more exactly
SKIPPED = {"checkpoint", "checkpoints", "node_modules", "__pycache__"}

WORDS = {
    "What is here": "這裡有什麼",
    "Runs": "訓練流程",
    "run": "執行",
    "training": "訓練",
    "{n} logs": "{n} 份評測紀錄",
    "model card": "模型卡",
    "model": "模型",
    "evaluation": "評測",
    "Evaluation logs": "評測紀錄",
    "Model cards": "模型卡",
    "GGUF files": "GGUF 檔案",
    "All evaluations in one table": "在同一張表裡看所有評測",
    "Trainings side by side": "並排比較各次訓練",
    "Compare base and trained model": "比較原模型與訓練後的模型",
    "Nothing that these pages show was found here.": "這裡找不到這些頁面能顯示的內容。",
    "Make something first: {command}": "先產生一些內容：{command}",
    "There is more than is listed; name a folder further down.": (
        "內容太多，沒有全部列出；請指定更下層的資料夾。"
    ),
}


@dataclass
class Run:
    """A run folder."""

    path: Path
    logs: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)

    @property
    def training(self) -> Path | None:
        """Its training's log, if it has begun to train."""
        log = self.path / "train" / "log.jsonl"
        return log if log.is_file() else None

    @property
    def card(self) -> Path | None:
        card = self.path / "README.md"
        return card if card.is_file() else None


@dataclass
class Found:
    """What lies in the places, in the order of its paths."""

    runs: list[Run] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    cards: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.runs or self.logs or self.cards or self.models)


def find(places: Places) -> Found:
    """Everything that a page could show."""
    found = Found()
    for number, path in enumerate(_paths(places.roots)):
        if number >= MOST:
            found.more = True
            break
        home = next((run for run in found.runs if run.path in path.parents), None)
        if path.is_dir():
            if is_run(path):
                found.runs.append(Run(path))
        elif path.suffix == ".gguf":
            (home.models if home else found.models).append(path)
        elif path.suffix == ".jsonl":
            if begins_like_a_log(path):
                (home.logs if home else found.logs).append(path)
        elif home is None and is_card(path):
            found.cards.append(path)
    return found


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run of a recipe."""
    return (folder / "state.json").is_file() or (folder / "recipe.yaml").is_file()


def is_card(path: Path) -> bool:
    """Whether a file begins like a model card: Markdown with front matter."""
    if path.suffix.lower() not in (".md", ".markdown"):
        return False
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(b"---")
    except OSError:
        return False


def _paths(roots: Sequence[Path]) -> Iterator[Path]:
    """Files that may be shown, and folders before what lies in them."""
    for root in roots:
        if root.is_file():
            yield root
            continue
        for at, folders, files in os.walk(root):
            here = Path(at)
            yield here
            deep = len(here.relative_to(root).parts)
            keep = (name for name in folders if name not in SKIPPED and not name.startswith("."))
            folders[:] = sorted(keep) if deep < DEPTH else []
            yield from (
                here / name
                for name in sorted(files)
                if name.endswith((".jsonl", ".gguf", ".md")) and not name.startswith(".")
            )


def show(request: Request) -> Response:
    """GET /"""
    found = find(places_of(request))
    page = render(
        "overview.html.jinja",
        site := Site.of(request),
        title="Formosa" if site.lang == "en" else "總覽",
        words=WORDS,
        found=found,
        pairs={run.path: _pair(run) for run in found.runs},
        trained=[run for run in found.runs if run.training],
    )
    return answer(request, page)


def _pair(run: Run) -> tuple[list[Path], list[Path]] | None:
    """The logs of the base and of the trained model, where a run has both."""
    base = [log for log in run.logs if log.name.startswith("base-")]
    trained = [log for log in run.logs if log.name.startswith("trained-")]
    return (base, trained) if base and trained else None


def routes() -> list[Route]:
    return [Route("/", show)]
