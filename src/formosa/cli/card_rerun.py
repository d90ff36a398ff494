"""`formosa card verify --rerun`: the claimed benchmarks, asked again with the card's own protocol.

Joins two rooms that don't know each other: `formosa.card` says what is claimed and how it was
asked, `formosa.evals` asks. Each claimed figure of the card's own model ends as one of

    reproduced              the claimed value lies inside the 95 % interval of what was answered
    differs                 it lies outside
    cannot be checked here  and why

"Reproduced" does not make a figure true: with a small `--limit` the interval is wide. "Differs" may
be the engine, the quantisation or a setting that the card does not say; the log has every reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from formosa.card.checks.agreement import Shown, own_figures
from formosa.card.checks.finding import Finding, found
from formosa.card.checks.numbers import half_unit
from formosa.card.checks.protocol import Protocol, counts_runs, protocol_of
from formosa.card.checks.subject import Subject, same_name
from formosa.cli.card_rerun_logs import data_of, reason, rerun_logs
from formosa.cli.eval_who import Who
from formosa.cli.output import Output
from formosa.engines.protocol import ChatModel, Sampling
from formosa.errors import FormosaError
from formosa.evals.registry import load_task
from formosa.evals.run import run_task
from formosa.evals.task import Task
from formosa.results.log import EvalLog
from formosa.results.metrics import outcomes, score, subject_mean, wilson

CUT_AT_MOST = 0.05  # of the replies, where we allow less than the protocol; or that failed
ROOM, LEAST = 2048, 256  # tokens for a question, and for a reply at least
WIDE = 0.2  # of an interval, from end to end
FROM_FILES = ", from files"  # how the source of a published set ends that was read from a folder


def rerun(
    out: Output,
    card: Subject,
    who: Who,
    *,
    folder: Path,
    limit: int | None = None,
    max_tokens: int | None = None,
    data: Mapping[str, Path] | None = None,
    seed: int = 0,
) -> list[Finding]:
    """Ask every benchmark that a table claims for the card's model; for a card of ours, what its
    logs asked (`card_rerun_logs.py`).

    Args:
        out: told what is asked.
        card: with its claims.
        who: the model, which should be the card's.
        folder: of the logs; those that are there are continued.
        limit: questions of each benchmark; all by default.
        max_tokens: of a reply, at most; a card of ours is asked with what its logs say.
        data: where the data are, by the first letters of tasks: "" for all; fetched by default.
        seed: of the order of options.
    """
    data = data or {}
    if card.claims.claims:
        return rerun_logs(out, card, who, folder=folder, limit=limit, data=data)
    claimed = [
        (shown, _shortened(protocol_of(card, shown), max_tokens))
        for shown in own_figures(card)
        if not counts_runs(shown.head)
    ]
    findings = [_impossible(shown) for shown, protocol in claimed if protocol is None]
    tasks: dict[Protocol, Task[Any]] = {}
    reasons: dict[Protocol, str] = {}
    for asked in dict.fromkeys(made for _, made in claimed if made):
        try:
            tasks[asked] = load_task(asked.task, data_dir=data_of(asked.task, data), say=out.say)
        except FormosaError as error:
            reasons[asked] = reason(error)
    logs = asyncio.run(_ask(out, who, tasks, reasons, folder, limit, seed)) if tasks else {}
    findings += _another_model(card, logs)
    for shown, protocol in claimed:
        if protocol is None:
            continue
        if protocol in logs:
            findings.append(verdict(shown, *logs[protocol]))
        else:
            why = reasons.get(protocol, "it was not asked")
            message = f"{shown.value} cannot be checked here: {why}"
            findings.append(found("rerun-impossible", shown.line, shown.where, message))
    return findings


def _shortened(protocol: Protocol | None, max_tokens: int | None) -> Protocol | None:
    """The protocol with replies that are cut earlier."""
    if protocol is None or max_tokens is None or max_tokens >= protocol.max_tokens:
        return protocol
    allows = protocol.allows or protocol.max_tokens
    return protocol._replace(max_tokens=max_tokens, allows=allows)


async def _ask(
    out: Output,
    who: Who,
    tasks: Mapping[Protocol, Task[Any]],
    reasons: dict[Protocol, str],
    folder: Path,
    limit: int | None,
    seed: int,
) -> dict[Protocol, tuple[Protocol, EvalLog]]:
    """The logs by what the card asked, each with how it was really asked."""
    logs: dict[Protocol, tuple[Protocol, EvalLog]] = {}
    wanted = max(protocol.max_tokens for protocol in tasks) + ROOM
    who = replace(who, context=max(who.context, wanted))  # a model takes no more than it can
    async with who.opened(out) as models:
        for protocol, task in tasks.items():
            context = models[0].info.context or wanted
            fitting = _shortened(protocol, max(context - ROOM, LEAST)) or protocol
            out.say(f"asking {task.name}: {fitting.command('…')}")
            try:
                log = await _run(out, who, models, task, fitting, folder, limit, seed)
                logs[protocol] = fitting, log
            except FormosaError as error:
                reasons[protocol] = reason(error)
    return logs


async def _run(
    out: Output,
    who: Who,
    models: list[ChatModel],
    task: Task[Any],
    protocol: Protocol,
    folder: Path,
    limit: int | None,
    seed: int,
) -> EvalLog:
    from formosa.cli.eval import file_name

    name = f"rerun-{file_name(models[0].info.name)}-{file_name(task.name)}.jsonl"
    sampling = Sampling(temperature=0.0, top_p=protocol.top_p, max_tokens=protocol.max_tokens)
    return await run_task(
        task,
        models,
        folder / name,
        concurrency=who.at_a_time,
        limit_s=who.timeout,
        say=out.say,
        repeats=protocol.repeats,
        limit=limit,
        seed=seed,
        sampling=sampling,
    )


def _another_model(
    card: Subject, logs: Mapping[Protocol, tuple[Protocol, EvalLog]]
) -> list[Finding]:
    """Says whose figures these are, where the name is not the card's."""
    names = {str(log.start["model"].get("name")) for _, log in logs.values()}
    others = sorted(name for name in names if not same_name(name, card.own_name))
    if not others or not card.own_name:
        return []
    message = (
        f"Asked was {', '.join(others)}; the card is about {card.own_name}. If they are not the "
        "same model, nothing below is about the card."
    )
    return [found("rerun-model", 0, "rerun", message)]


def _impossible(shown: Shown) -> Finding:
    name = shown.benchmark.lstrip("?")
    message = f"{shown.value} cannot be checked here: no task of Formosa asks {shown.head or name}."
    return found("rerun-impossible", shown.line, shown.where, message)


def verdict(shown: Shown, protocol: Protocol, log: EvalLog) -> Finding:
    """What a log of the claimed benchmark says about the claimed figure."""
    scorer = protocol.scorer if protocol.scorer in log.scorers else log.scorers[0]
    made = score(log, scorer)
    value = subject_mean(log, scorer) if protocol.by_subject else made.value
    # The interval is that of the questions; around the mean over subjects it is about as wide.
    low, high = value - (made.value - made.low), value + (made.high - made.value)
    slack = half_unit(shown.decimals)
    inside = 100 * Decimal(repr(low)) - slack <= shown.value <= 100 * Decimal(repr(high)) + slack
    model = str(log.start["model"].get("name"))
    asked = f"{made.questions} questions × {made.repeats}"
    original = log.start["plan"].get("original")
    if original and original > made.questions:
        asked = f"{made.questions} of {original} questions × {made.repeats}"
    word = "reproduced" if inside else "differs"
    counts = outcomes(log, scorer)
    replies = sum(counts)
    cut = f"{counts.truncated} of {replies} replies were cut at {protocol.max_tokens} tokens"
    if counts.failed > CUT_AT_MOST * replies:
        why = next((str(record.get("error")) for record in log.failed()), "no reason is known")
        message = (
            f"{shown.value} cannot be checked here: {counts.failed} of {replies} requests "
            f"failed, such as: {why}"
        )
        return found("rerun-impossible", shown.line, shown.where, message)
    # Those that were cut by our own limit might have been right.
    most = wilson(min(value + counts.truncated / replies, 1.0), made.questions)[1]
    open_still = (
        100 * Decimal(repr(low)) - slack <= shown.value <= 100 * Decimal(repr(most)) + slack
    )
    if protocol.allows and open_still and counts.truncated > CUT_AT_MOST * replies:
        message = (
            f"{shown.value} cannot be checked here: {cut}, and the protocol allows "
            f"{protocol.allows}. Give --max-tokens more, or a model with a longer context."
        )
        return found("rerun-impossible", shown.line, shown.where, message)
    message = (
        f"{word}: the card says {shown.value}, {model} got {100 * value:.2f} "
        f"({100 * low:.2f} to {100 * high:.2f}; {scorer}, {asked}; {log.path.name})"
    )
    if counts.truncated:
        message += f"; {cut}"
    if counts.unparsed:
        message += f"; {counts.unparsed} of {replies} replies hold no answer that can be read"
    if log.failures:
        message += f"; {log.failures} requests failed and count as wrong"
    if str(log.start["task"].get("source")).endswith(FROM_FILES):
        message += (
            ". The questions are those of --data-dir; whether the card's are the same, "
            "nothing here can tell"
        )
    if protocol.remark:
        message += f". {protocol.remark[0].upper()}{protocol.remark[1:]}"
    if high - low > WIDE:
        message += ". So few questions tell little: ask more"
    code = "rerun-reproduced" if inside else "rerun-differs"
    return found(code, shown.line, shown.where, message + ".")
