"""`formosa eval run|retry`: ask benchmarks. The commands that only read are in `eval_read.py`.

Knows options and words for people. What is asked and how it is scored is `formosa.evals`; the
figures are `formosa.results`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from formosa.chat.template import FAMILIES
from formosa.cli import eval_read
from formosa.cli.output import Output, command_output
from formosa.cli.session import visible
from formosa.engines.protocol import ChatModel, ChatRequest, Sampling
from formosa.engines.templated import TemplatedChat
from formosa.evals.plan import Plan, make_plan
from formosa.evals.registry import load_task
from formosa.evals.run import Progress, run_task
from formosa.results import report
from formosa.results.log import EvalLog, read_log

FAILED = 3  # exit code: finished, but some samples got no answer
SHOWN_PROMPTS = 3


@click.group("eval")
def evals() -> None:
    """Ask benchmarks, read and compare their logs

    \b
        formosa eval run mini-zh-tw --model smollm2-135m --out logs
        formosa eval view logs/smollm2-135m-mini-zh-tw.jsonl
        formosa eval compare logs/base-bfcl-simple.jsonl logs/trained-bfcl-simple.jsonl

    A run that was stopped continues with the same command; no answer is asked for twice.
    """


for _command in (eval_read.list_logs, eval_read.list_tasks, eval_read.view, eval_read.compare):
    evals.add_command(_command)


@dataclass(frozen=True)
class Who:
    """Who is asked, and how many requests at a time."""

    model: str | None
    base_url: str | None
    api_key: str | None
    template: str | None
    context: int
    concurrency: int

    def open(self, out: Output) -> ChatModel:
        from formosa.engines.open import open_chat

        return open_chat(
            self.model or "",
            base_url=self.base_url,
            api_key=self.api_key,
            context=self.context,
            slots=self.concurrency,
            template=self.template,
            say=out.say,
        )


_MODEL_OPTIONS = (
    click.option("--model", metavar="NAME", help="A folder, run, .gguf, hf:org/name or built-in."),
    click.option("--base-url", metavar="URL", help="Ask a server with the OpenAI API instead."),
    click.option(
        "--api-key", metavar="KEY", help="For --base-url; better as FORMOSA_EVAL_RUN_API_KEY."
    ),
    click.option(
        "--template",
        type=click.Choice(sorted(FAMILIES)),
        help="Use Formosa's format for this family, not the model's own template.",
    ),
    click.option(
        "--context",
        type=click.IntRange(min=1),
        default=4096,
        show_default=True,
        help="Tokens of prompt and reply, for each request.",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(min=1),
        default=4,
        show_default=True,
        help="Requests at the same time.",
    ),
)


def model_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say who is asked, and hand them over as `who`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> int:
        who = Who(**{field.name: kwargs.pop(field.name) for field in fields(Who)})
        return function(*args, who=who, **kwargs)

    command: Callable[..., int] = wrapped
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the benchmark's data are; fetched into the cache by default.",
)


@evals.command()
@click.argument("tasks", nargs=-1, required=True, metavar="TASK...")
@model_options
@data_dir_option
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("logs"),
    show_default=True,
    help="Folder of the logs; one that is there is continued.",
)
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Ask only so many samples, always the same ones."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the options' order, and sampling."
)
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--dry-run", is_flag=True, help="Show the plan and three prompts; ask nothing.")
@command_output
def run(
    out: Output,
    tasks: tuple[str, ...],
    who: Who,
    data_dir: Path | None,
    folder: Path,
    repeats: int,
    limit: int | None,
    seed: int,
    temperature: float,
    max_tokens: int,
    dry_run: bool,
) -> int:
    """Ask TASKs and log the answers

    \b
        formosa eval run mini-zh-tw --model smollm2-135m
        formosa eval run bfcl-simple bfcl-parallel --model runs/mini --limit 40 --out logs
        formosa eval run mini-zh-tw --base-url http://127.0.0.1:8000/v1 --repeats 3 --seed 7
        formosa eval run bfcl-simple --model runs/mini --dry-run

    The same command continues a run that was stopped. Exit code 3: some samples got no answer;
    ask those again with `formosa eval retry`.
    """
    if not who.model and not who.base_url:
        raise click.UsageError("Name a model with --model, or a server with --base-url.")
    loaded = [load_task(name, data_dir=data_dir, say=out.say) for name in dict.fromkeys(tasks)]
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens)

    async def ask(chat: ChatModel) -> list[EvalLog]:
        logs = []
        for task in loaded:
            with _progress(out, task.name) as progress:
                logs.append(
                    await run_task(
                        task,
                        chat,
                        folder / f"{file_name(chat.info.name)}-{task.name}.jsonl",
                        repeats=repeats,
                        limit=limit,
                        seed=seed,
                        sampling=sampling,
                        concurrency=who.concurrency,
                        progress=progress,
                        say=out.say,
                    )
                )
        return logs

    chat = who.open(out)
    if dry_run:
        plans = [
            make_plan(task, repeats=repeats, limit=limit, seed=seed, sampling=sampling)
            for task in loaded
        ]
        _show_plans(out, chat, plans)
        asyncio.run(chat.aclose())
        return 0
    return _finish(out, asyncio.run(_closing(chat, ask)))


@evals.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), metavar="LOG")
@model_options
@data_dir_option
@command_output
def retry(
    out: Output,
    path: Path,
    who: Who,
    data_dir: Path | None,
) -> int:
    """Ask again what failed or is missing in LOG

    \b
        formosa eval retry logs/smollm2-135m-mini-zh-tw.jsonl
        formosa eval retry logs/f1-bfcl-simple.jsonl --base-url http://127.0.0.1:8001/v1

    The task, the plan and the model are those of the log. Answers that are there stay.
    """
    log = read_log(path)
    missing = log.planned - len(log.samples)
    out.say(f"{len(log.failed())} failed and {missing} missing of {log.planned} samples")
    if not missing and not log.failed():
        return _finish(out, [log])
    plan, asked = log.start["plan"], log.start["request"]
    task = load_task(log.start["task"]["name"], data_dir=data_dir, say=out.say)
    sampling = Sampling(**{**asked, "stop": tuple(asked.get("stop") or ())})

    async def ask(chat: ChatModel) -> list[EvalLog]:
        with _progress(out, task.name) as progress:
            return [
                await run_task(
                    task,
                    chat,
                    path,
                    repeats=plan["repeats"],
                    limit=plan["samples"],
                    seed=plan["seed"],
                    sampling=sampling,
                    concurrency=who.concurrency,
                    retry=True,
                    progress=progress,
                    say=out.say,
                )
            ]

    chat = _who_was_asked(who, log).open(out)
    return _finish(out, asyncio.run(_closing(chat, ask)))


def _who_was_asked(who: Who, log: EvalLog) -> Who:
    """The model of the log, where the options name no other place of it."""
    if who.model or who.base_url:
        return who
    logged = log.start["model"]
    if base_url := logged["details"].get("base_url"):
        # A server that was asked for its only model is logged under its address.
        unnamed = logged["name"] == urlsplit(base_url).netloc
        return replace(who, base_url=base_url, model=None if unnamed else logged["name"])
    return replace(who, model=logged["path"] or logged["name"])


def file_name(text: str) -> str:
    """A model's name as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "model"


async def _closing(
    chat: ChatModel, ask: Callable[[ChatModel], Awaitable[list[EvalLog]]]
) -> list[EvalLog]:
    try:
        return await ask(chat)
    finally:
        await chat.aclose()


@contextmanager
def _progress(out: Output, name: str) -> Iterator[Progress]:
    with out.progress() as bar:
        row = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def _finish(out: Output, logs: list[EvalLog]) -> int:
    """Print the scores; the exit code."""
    if out.json_mode:
        out.data([report.figures(log) for log in logs])
    else:
        for log in logs:
            out.table(report.score_rows(log), title=log.start["task"]["name"])
    failed = 0
    for log in logs:
        out.say(f"log: {log.path}")
        if log.failed():
            failed += len(log.failed())
            out.say(f"{len(log.failed())} samples failed: {log.failed()[0]['error']}")
            out.hint(f"formosa eval retry {log.path}")
    return FAILED if failed else 0


def _show_plans(out: Output, chat: ChatModel, plans: list[Plan]) -> None:
    rows = []
    for plan in plans:
        start = plan.start(chat.info)
        rows.append(
            {
                "task": plan.task.name,
                "samples": start["plan"]["samples"],
                "of": start["plan"]["original"],
                "repeats": plan.repeats,
                "requests": len(plan),
                "seed": plan.seed,
                "max_tokens": plan.sampling.max_tokens,
                "temperature": plan.sampling.temperature,
                "revision": plan.task.revision,
            }
        )
    prompts = [
        {
            "task": plan.task.name,
            "id": planned.sample.id,
            "repeat": planned.repeat,
            "prompt": _rendered(chat, planned.request),
            "gold": planned.asked.gold,
        }
        for plan in plans
        for planned in itertools.islice(plan.requests(), SHOWN_PROMPTS)
    ]
    if out.json_mode:
        out.data({"plan": rows, "prompts": prompts})
        return
    out.table([{name: row[name] for name in row if name != "revision"} for row in rows])
    for row in rows:
        out.say(f"{row['task']}: revision {row['revision']}")
    for prompt in prompts:
        out.say(f"\n--- {prompt['task']} · {prompt['id']} · repeat {prompt['repeat']}")
        out.text(visible(prompt["prompt"]) + "\n")
        out.say(f"--- right: {json.dumps(prompt['gold'], ensure_ascii=False)}")


def _rendered(chat: ChatModel, request: ChatRequest) -> str:
    """The prompt as the engine gets it; for a server that renders itself, what it is sent."""
    if isinstance(chat, TemplatedChat):
        return chat.prompt(request)
    sent = {
        "messages": [message.to_openai() for message in request.messages],
        "tools": [tool.to_openai() for tool in request.tools],
    }
    return json.dumps(sent, ensure_ascii=False, indent=2)
