"""Stages that take no time, for tests of what a run skips, continues and begins again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from formosa.run import stages
from formosa.run.recipe import Recipe
from formosa.run.report import Silent
from formosa.run.stages import Run, Stage


class Told(Silent):
    """Keeps what a run told: `("ran", "data")`, `("skipped", "data")`."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.said: list[str] = []

    def skipped(self, name: str) -> None:
        self.events.append(("skipped", name))

    def finished(self, name: str, seconds: float) -> None:
        self.events.append(("ran", name))

    def say(self, line: str) -> None:
        self.said.append(line)

    @property
    def ran(self) -> list[str]:
        return [name for what, name in self.events if what == "ran"]


def recipe(**parts: Any) -> Recipe:
    return Recipe.model_validate({"name": "x", "base": "smollm2-135m", **parts})


def fake(name: str, inputs: Callable[[Run], Any], text: Callable[[Run], str], **more: Any) -> Stage:
    """A stage that writes `text` into `NAME.txt`."""

    def work(run: Run) -> Sequence[Path]:
        path = run.folder / f"{name}.txt"
        path.write_text(text(run), encoding="utf-8")
        return [path]

    return Stage(name, f"do {name}", 1, inputs, work, **more)


def after(*names: str) -> Callable[[Run], Any]:
    return lambda run: {name: dict(run.state.outputs(name)) for name in names}


def real_inputs(says: Callable[[str, Run], str]) -> tuple[Stage, ...]:
    """The real stages, but each writes only what `says` gives for it, into its real file."""

    def work_of(name: str) -> Callable[[Run], Sequence[Path]]:
        def work(run: Run) -> Sequence[Path]:
            path = run.folder / OUTPUT[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(says(name, run), encoding="utf-8")
            return [path]

        return work

    return tuple(stage._replace(work=work_of(stage.name)) for stage in stages.STAGES)


OUTPUT = {
    "model": "model.json",
    "data": "data/train.jsonl",
    "train": "checkpoint/model.safetensors",
    "export": "gguf/model.gguf",
    "serve": "serve/tool-flow.json",
    "eval": "logs/log.jsonl",
    "card": "README.md",
}
