"""The stage `eval`: base and trained model are asked every task, one log for each.

A log says what was asked of whom, and how. One that is of this very task, model and request keeps
its answers, whatever else of the recipe has changed: with a task more the others are not asked
again, nor is the base after another training. Any other is set aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from formosa.engines.protocol import ChatModel
from formosa.errors import OtherRunError
from formosa.evals.config import EvalConfig, TaskConfig
from formosa.evals.registry import load_task
from formosa.evals.run import run_task
from formosa.run.answering import ROLES, Answering, Role
from formosa.run.report import Report


def ask_all(
    config: EvalConfig,
    answering: Answering,
    folder: Path,
    report: Report,
    set_aside: Callable[[str], None],
) -> list[Path]:
    """Ask what no log answers yet; the logs, base first.

    Args:
        config: the recipe's `eval:` part.
        answering: opens the two models.
        folder: of the run; the logs are in its `logs`.
        report: told what goes on.
        set_aside: moves a file, named relative to `folder`, out of the way.
    """
    logs = {
        (who, part.name): folder / "logs" / f"{who}-{part.name}.jsonl"
        for who in ROLES
        for part in config.tasks
    }
    for path in sorted({*(folder / "logs").glob("*.jsonl")} - {*logs.values()}):
        set_aside(f"logs/{path.name}")  # of a task that the recipe doesn't have now
    for who in ROLES:
        model = answering.opened(
            who,
            context=config.context,
            slots=config.concurrency,
            held=config.hold_calls,
            say=report.say,
        )
        try:
            for part in config.tasks:
                path = logs[who, part.name]
                try:
                    _ask(config, part, who, model, path, report)
                except OtherRunError as error:
                    report.say(f"{error.message} It is set aside.")
                    set_aside(f"logs/{path.name}")
                    _ask(config, part, who, model, path, report)
        finally:
            asyncio.run(model.aclose())
    return list(logs.values())


def _ask(
    config: EvalConfig, part: TaskConfig, who: Role, model: ChatModel, path: Path, report: Report
) -> None:
    asyncio.run(
        run_task(
            load_task(part.name, say=report.say),
            model,
            path,
            repeats=part.repeats,
            limit=part.limit_of(who),
            seed=part.seed,
            sampling=config.sampling(part),
            concurrency=config.concurrency,
            retry=True,
            progress=lambda done, total: report.progress(done, total, f"{who} · {part.name}"),
            say=report.say,
        )
    )
