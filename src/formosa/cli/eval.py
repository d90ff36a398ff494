"""`formosa eval run|retry`: ask benchmarks.

The commands that only read are in `eval_read.py`, those that make files of logs in `eval_files.py`.

Knows options and words for people. What is asked and how it is scored is `formosa.evals`; the
figures are `formosa.results`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from formosa.cli import eval_files, eval_read
from formosa.cli.eval_who import Who, model_options
from formosa.cli.output import Output, command_output, visible
from formosa.engines.protocol import ChatModel, ChatRequest, Sampling
from formosa.engines.templated import TemplatedChat
from formosa.evals.plan import Plan, Shard, make_plan
from formosa.evals.registry import load_logged, load_task
from formosa.evals.run import Progress, run_task
from formosa.evals.task import Task
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


for _command in (
    eval_read.list_logs,
    eval_read.list_tasks,
    eval_read.view,
    eval_read.compare,
    eval_files.merge,
    eval_files.rescore,
    eval_files.export,
    eval_files.redact,
):
    evals.add_command(_command)


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
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="All, if left out.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=512, show_default=True)
@click.option("--shard", metavar="K/N", help="Ask only part K of N; see `eval merge`.")
@click.option("--revision", help="Of the benchmark's data, instead of the task's own.")
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
    top_p: float | None,
    max_tokens: int,
    shard: str | None,
    revision: str | None,
    dry_run: bool,
) -> int:
    """Ask TASKs and log the answers

    \b
        formosa eval run mini-zh-tw --model smollm2-135m
        formosa eval run bfcl-simple bfcl-parallel --model runs/mini --limit 40 --out logs
        formosa eval run mini-zh-tw --base-url http://127.0.0.1:8000/v1 --repeats 3 --seed 7
        formosa eval run bfcl-simple --model runs/mini --dry-run
        formosa eval run tmmluplus --base-url http://a:8000/v1 --base-url http://b:8000/v1
        formosa eval run tmmluplus --model hf:org/name --shard 3/8

    The same command continues a run that was stopped. Exit code 3: some samples got no answer;
    ask those again with `formosa eval retry`.
    """
    if not who.model and not who.base_url:
        raise click.UsageError("Name a model with --model, or a server with --base-url.")
    part = Shard.read(shard) if shard else None
    loaded = [
        load_task(name, data_dir=data_dir, revision=revision, say=out.say)
        for name in dict.fromkeys(tasks)
    ]
    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    how: dict[str, Any] = {
        "repeats": repeats, "limit": limit, "seed": seed, "sampling": sampling, "shard": part,
    }  # fmt: skip
    if dry_run:
        (chat, *_) = who.models(out)
        _show_plans(out, chat, [make_plan(task, **how) for task in loaded])
        asyncio.run(chat.aclose())
        return 0

    async def ask() -> list[EvalLog]:
        async with who.opened(out) as models:
            name = file_name(models[0].info.name)
            ending = f"-{part.number}of{part.of}" if part else ""
            return [
                await _ask(
                    out, who, models, task,
                    folder / f"{name}-{file_name(task.name)}{ending}.jsonl", **how
                )
                for task in loaded
            ]  # fmt: skip

    return finish(out, asyncio.run(ask()))


async def _ask(
    out: Output, who: Who, models: list[ChatModel], task: Task[Any], path: Path, **how: Any
) -> EvalLog:
    with _progress(out, task.name) as progress:
        return await run_task(
            task,
            models,
            path,
            concurrency=who.at_a_time,
            limit_s=who.timeout,
            progress=progress,
            say=out.say,
            **how,
        )


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

    The task, the revision of its data, the plan and the model are those of the log. Answers that
    are there stay.
    """
    log = read_log(path)
    missing = log.planned - len(log.samples)
    out.say(f"{log.failures} failed and {missing} missing of {log.planned} samples")
    if not missing and not log.failures:
        return finish(out, [log])
    plan, asked = log.start["plan"], log.start["request"]
    task = load_logged(log.start["task"], data_dir=data_dir, say=out.say)
    shard = plan.get("shard")
    how: dict[str, Any] = {
        "repeats": plan["repeats"],
        "limit": plan["samples"],
        "seed": plan["seed"],
        "sampling": Sampling(**{**asked, "stop": tuple(asked.get("stop") or ())}),
        "shard": Shard(shard["number"], shard["of"]) if shard else None,
        "retry": True,
    }
    who = who.as_logged(log)

    async def ask() -> list[EvalLog]:
        async with who.opened(out) as models:
            return [await _ask(out, who, models, task, path, **how)]

    return finish(out, asyncio.run(ask()))


def file_name(text: str) -> str:
    """A model's name as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "model"


@contextmanager
def _progress(out: Output, name: str) -> Iterator[Progress]:
    with out.progress() as bar:
        row = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def finish(out: Output, logs: list[EvalLog]) -> int:
    """Print the scores; the exit code."""
    if out.json_mode:
        out.data([report.figures(log) for log in logs])
    else:
        for log in logs:
            out.table(report.score_rows(log), title=log.start["task"]["name"])
            eval_read.say_if_unread(out, log)
    failed = 0
    for log in logs:
        out.say(f"log: {log.path}")
        if log.failures:
            failed += log.failures
            out.say(f"{log.failures} samples failed: {log.failed()[0]['error']}")
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
        if not plan.task.private  # its questions stay in the cache
        for planned in itertools.islice(plan.requests(), SHOWN_PROMPTS)
    ]
    if out.json_mode:
        out.data({"plan": rows, "prompts": prompts})
        return
    out.table([{name: row[name] for name in row if name != "revision"} for row in rows])
    for row in rows:
        out.say(f"{row['task']}: revision {row['revision']}")
    for plan in plans:
        if plan.task.private:
            out.say(f"{plan.task.name}: its questions are not to be shown")
    for prompt in prompts:
        out.say(f"\n--- {prompt['task']} · {prompt['id']} · repeat {prompt['repeat']}")
        out.text(visible(prompt["prompt"]) + "\n")
        out.say(f"--- right: {json.dumps(prompt['gold'], ensure_ascii=False)}")


def _rendered(chat: ChatModel, request: ChatRequest) -> str:
    """The prompt as the engine gets it; for a server that renders itself, what it is sent."""
    if isinstance(chat, TemplatedChat):
        prompt = chat.prompt(request)
        return prompt if isinstance(prompt, str) else "".join(prompt)
    sent = {
        "messages": [message.to_openai() for message in request.messages],
        "tools": [tool.to_openai() for tool in request.tools],
    }
    return json.dumps(sent, ensure_ascii=False, indent=2)
