"""`formosa data teach`: rows from a teacher endpoint, checked, and what they cost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pydantic

from formosa.chat.message import ToolCall
from formosa.cli.output import Output, command_output
from formosa.data.rows import LANGUAGES
from formosa.data.teacher.config import KINDS, TeacherConfig
from formosa.data.teacher.cost import RESULT, Prices, Tokens, estimate
from formosa.data.teacher.offers import Execute, Offer, catalogue_offers, own_offers, read_tools
from formosa.data.teacher.seeds import make_seeds
from formosa.data.teacher.teach import ROWS, Teacher
from formosa.data.teacher.teach import teach as make_rows
from formosa.engines.remote_chat import RemoteChat
from formosa.errors import DataError, UserError
from formosa.tools.registry import Registry, load_tools
from formosa.tools.runner import Limits, run_calls

KEY = "FORMOSA_TEACHER_API_KEY"
UNFINISHED = 3  # exit code: some samples failed


@click.command()
@click.option("--base-url", required=True, help="The teacher's address, as in http://HOST:PORT/v1.")
@click.option("--model", required=True, help="The name that the endpoint gives it.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder."
)
@click.option(
    "--questions",
    default=100,
    show_default=True,
    type=click.IntRange(1),
    help="How many questions are asked for; a part of them gives no row.",
)
@click.option(
    "--tools",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your own tools: a Python file (its functions are run) or JSON schemas.",
)
@click.option(
    "--topics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="What questions are about, one a line.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="NAME[=WEIGHT]",
    help=f"Only these kinds, of {', '.join(KINDS)}.",
)
@click.option("--language", type=click.Choice(LANGUAGES), help="Only this language.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the dice.")
@click.option(
    "--temperature",
    default=0.7,
    show_default=True,
    type=click.FloatRange(min=0, max=2, min_open=True),
    help="Above 0: two samples at 0 always agree.",
)
@click.option(
    "--max-tokens",
    default=1024,
    show_default=True,
    type=click.IntRange(16),
    help="Of each reply, thoughts included.",
)
@click.option("--thinking", is_flag=True, help="Keep the teacher's thoughts in the rows.")
@click.option(
    "--concurrency",
    default=4,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Questions at a time; each asks for at most two replies at a time.",
)
@click.option("--timeout", default=600.0, show_default=True, help="Seconds it may be silent.")
@click.option(
    "--price-prompt", type=click.FloatRange(min=0), help="Of a million tokens that are sent."
)
@click.option(
    "--price-reply", type=click.FloatRange(min=0), help="Of a million tokens that it writes."
)
@click.option("--budget", type=click.FloatRange(min=0), help="Begin no question beyond this cost.")
@click.option(
    "--estimate", "only_estimate", is_flag=True, help="Say what it may cost, ask nothing."
)
@click.option("--licence", default="", help="What its terms say of its answers, for the report.")
@click.option("--yes", is_flag=True, help="Also run tools that want a person's consent.")
@command_output
def teach(
    output: Output,
    base_url: str,
    model: str,
    out: Path,
    questions: int,
    tools: Path | None,
    topics: Path | None,
    kinds: Sequence[str],
    language: str | None,
    seed: int,
    temperature: float,
    max_tokens: int,
    thinking: bool,
    concurrency: int,
    timeout: float,
    price_prompt: float | None,
    price_reply: float | None,
    budget: float | None,
    only_estimate: bool,
    licence: str,
    yes: bool,
) -> int:
    """Let a larger model write rows, and keep those that stand every check.

    The teacher writes a question, and replies to it twice; both replies must make the same calls,
    with values that the question says. Calls that can be run are run, and answered from their
    results. Every answer is kept at once: the same command continues where it was stopped. The key
    is read from FORMOSA_TEACHER_API_KEY.

    \b
        formosa data teach --base-url https://HOST/v1 --model NAME --out taught \\
            --price-prompt 0.6 --price-reply 2.4 --estimate
        formosa data teach --base-url http://127.0.0.1:8000/v1 --model NAME --out taught
        formosa data teach … --tools tools.py --topics topics.txt --language zh-TW
    """
    prices = Prices(price_prompt, price_reply)
    if budget is not None and prices.of(Tokens()) is None:
        raise UserError("A budget needs prices.", "add --price-prompt and --price-reply")
    config = _config(
        questions=questions,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        thinking=thinking,
        topics=_lines(topics) if topics else (),
        **({"kinds": _weights(kinds)} if kinds else {}),
        **({"languages": {language: 1.0}} if language else {}),
    )
    offers = _offers(tools, yes, output)
    most = estimate(make_seeds(config, offers), config)
    line = f"{questions} questions: at most {_tokens(most)}{_money(prices.of(most))}"
    if only_estimate:
        output.data({"tokens": _counts(most), "cost": prices.of(most)}, line)
        return 0
    output.say(line)
    report = asyncio.run(
        _teach(
            RemoteChat(base_url, model=model, api_key=os.environ.get(KEY), timeout=timeout),
            lambda chat: Teacher(chat, model, licence, concurrency, prices, budget),
            offers,
            config,
            out,
            output,
        )
    )
    output.data(report, _summary(report, out))
    if report["rejected"]:
        output.hint(f"what was refused, and why: formosa data rejects {out}")
    return UNFINISHED if report["failed"] else 0


async def _teach(
    chat: RemoteChat,
    teacher: Callable[[RemoteChat], Teacher],
    offers: Callable[[str], Sequence[Offer]],
    config: TeacherConfig,
    folder: Path,
    out: Output,
) -> dict[str, Any]:
    try:
        with out.progress() as bar:
            task = bar.add_task("asking", total=None)
            return await make_rows(
                teacher(chat),
                offers,
                config,
                folder,
                say=out.say,
                progress=lambda done, whole: bar.update(task, completed=done, total=whole),
            )
    finally:
        await chat.aclose()


def _config(**fields: Any) -> TeacherConfig:
    try:
        return TeacherConfig(**fields)
    except pydantic.ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise UserError(f"{problem['loc'][0]}: {problem['msg']}.") from error


def _weights(kinds: Sequence[str]) -> dict[str, float]:
    weights = {}
    for text in kinds:
        name, _, weight = text.partition("=")
        try:
            weights[name] = float(weight or 1)
        except ValueError as error:
            raise UserError(f"{text!r} has no weight.", "write --kind single=2") from error
    return weights


def _lines(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {path}: {error}.") from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise DataError(f"{path} holds no topic.", "write one a line")
    return found


def _offers(path: Path | None, yes: bool, out: Output) -> Callable[[str], Sequence[Offer]]:
    """The tools, by language."""
    if path is None:
        return catalogue_offers
    if path.suffix == ".py":
        registry = Registry(load_tools(path))
        shut = [item.tool.name for item in registry if item.confirm and not yes]
        if shut:
            out.hint(f"they want consent, so calls of them are not run: {', '.join(shut)} (--yes)")
        execute = _runner(registry)
        parts = [
            own_offers((item.tool,), None if item.tool.name in shut else execute)
            for item in registry
        ]
        own = tuple(offer for part in parts for offer in part)
    else:
        own = own_offers(read_tools(path))
    return lambda language: own


def _runner(registry: Registry) -> Execute:
    async def execute(call: ToolCall) -> str:
        limits = Limits(characters=RESULT)
        (result,) = await run_calls((call,), registry, limits, confirm=lambda call, tool: True)
        if not result.ok:
            raise DataError(f"{call.name}: {result.content}")
        return result.content

    return execute


def _summary(report: dict[str, Any], folder: Path) -> str:
    lines = [f"{folder / ROWS}: {report['rows']} rows of {report['questions']} questions"]
    if report["not_done"]:
        lines.append(f"not done: {report['not_done']}; the same command continues")
    refused = ", ".join(f"{name} {count}" for name, count in report["rejected"].items())
    lines.append(f"refused: {refused or 'none'}")
    lines.append(f"tokens: {_tokens(Tokens(**report['tokens']))}{_money(report['cost'])}")
    if report["tokens"]["unknown"]:
        lines.append(f"tokens of {report['tokens']['unknown']} answers are unknown and not counted")
    return "\n".join(lines)


def _tokens(tokens: Tokens) -> str:
    return f"{tokens.prompt:,} sent, {tokens.reply:,} written, in {tokens.requests:,} answers"


def _money(amount: float | None) -> str:
    return "" if amount is None else f"; cost {amount:,.4g}"


def _counts(tokens: Tokens) -> dict[str, int]:
    return {"prompt": tokens.prompt, "reply": tokens.reply, "requests": tokens.requests}
