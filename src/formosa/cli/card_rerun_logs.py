"""`formosa card verify --rerun` for a card of ours: its logs say how each figure was asked.

So the same questions are asked again, in the same words, with the same sampling and as many at a
time, and compared one by one. That needs the very model: a log of another file, such as the base
model's, is not asked, and the report says which file it was. A `--limit` below a log's own number
takes other questions; then only the intervals tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from formosa.card.checks.finding import Finding, found
from formosa.card.checks.subject import Subject
from formosa.cli.eval_who import Who
from formosa.cli.output import Output
from formosa.engines.protocol import Sampling
from formosa.errors import FormosaError
from formosa.evals.plan import Shard
from formosa.evals.registry import load_logged
from formosa.evals.run import run_task
from formosa.results.log import EvalLog
from formosa.results.metrics import paired_difference, question_shares, score


def rerun_logs(
    out: Output,
    card: Subject,
    who: Who,
    *,
    folder: Path,
    limit: int | None,
    data: Mapping[str, Path],
) -> list[Finding]:
    """Ask again what the logs of a card of ours asked; arguments as for `card_rerun.rerun`."""
    findings: list[Finding] = []
    logs: dict[str, EvalLog] = {}
    scorers = _scorers(card)
    for name in scorers:
        try:
            logs[name] = card.sources.log(name)
        except FormosaError as error:
            findings.append(_impossible(name, error.message))
    if logs:
        findings += asyncio.run(_all(out, who, logs, scorers, folder, limit, data))
    return findings


def reason(error: FormosaError) -> str:
    """Why something can't be asked, with what would help."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def data_of(task: str, data: Mapping[str, Path]) -> Path | None:
    """The folder that is named for a task: the one of the longest name that it begins with."""
    names = [name for name in data if task.startswith(name)]
    return data[max(names, key=len)] if names else None


async def _all(
    out: Output,
    who: Who,
    logs: Mapping[str, EvalLog],
    scorers: Mapping[str, tuple[str, ...]],
    folder: Path,
    limit: int | None,
    data: Mapping[str, Path],
) -> list[Finding]:
    findings: list[Finding] = []
    others: dict[str, list[str]] = {}
    async with _as_then(who, logs).opened(out) as models:
        now = models[0].info
        for name, log in logs.items():
            then = log.start["model"]
            if now.sha256 and then.get("sha256") != now.sha256:
                others.setdefault(_named(then), []).append(name)
                continue
            try:
                task_name = str(log.start["task"]["name"])
                out.say(f"asking {task_name} as {name} did")
                task = load_logged(
                    log.start["task"], data_dir=data_of(task_name, data), say=out.say
                )
                path = folder / f"rerun-{Path(name).name}"
                again = await run_task(
                    task,
                    models,
                    path,
                    concurrency=who.at_a_time,
                    limit_s=who.timeout,
                    say=out.say,
                    **_plan(log, limit),
                )
                findings += [
                    compared(name, log, again, scorer)
                    for scorer in scorers[name]
                    if scorer in again.scorers
                ]
            except FormosaError as error:
                findings.append(_impossible(name, reason(error)))
    for then_named, names in others.items():
        why = f"asked is {_named({'name': now.name, 'sha256': now.sha256})}; of {then_named} are "
        findings.append(_impossible(names[0], f"{why}{', '.join(names)}."))
    return findings


def compared(name: str, log: EvalLog, again: EvalLog, scorer: str) -> Finding:
    """What an evaluation that was made again says of a log.

    Args:
        name: of the log, as the card has it.
        log: what the card's figure follows from.
        again: of the same model and task.
        scorer: of both.
    """
    old, new = score(log, scorer), score(again, scorer)
    shares, now = (question_shares(made, scorer) for made in (log, again))
    low, high = 100 * new.low, 100 * new.high
    model = str(again.start["model"].get("name"))
    said = f"the log says {100 * old.value:.2f}, {model} got {100 * new.value:.2f}"
    asked = f"{low:.2f} to {high:.2f}; {scorer}, {new.questions} questions × {new.repeats}"
    if shares.keys() == now.keys():
        same = sum(shares[id] == now[id] for id in shares)
        inside = same == len(shares) or paired_difference(log, again, scorer).in_noise
        rest = f"; {same} of {len(shares)} questions are as right as they were"
    else:
        inside = low <= 100 * old.value <= high
        rest = f", others than the log's {old.questions}"
    word = "reproduced" if inside else "differs"
    message = f"{word}: {said} ({asked}; {again.path.name}){rest}"
    if again.failures:
        message += f"; {again.failures} requests failed and count as wrong"
    return found(f"rerun-{word}", 0, f"{name}: {scorer}", f"{message}.")


def _as_then(who: Who, logs: Mapping[str, EvalLog]) -> Who:
    """As many requests at a time as then, where nothing else is asked for: what is computed
    together moves the scores a little."""
    slots = [(log.start["model"].get("details") or {}).get("slots") for log in logs.values()]
    known = [number for number in slots if isinstance(number, int) and number > 0]
    if who.concurrency or who.base_url or not known:
        return who
    return replace(who, concurrency=max(known))


def _plan(log: EvalLog, limit: int | None) -> dict[str, Any]:
    """How a log was asked, as the arguments of `run_task`."""
    plan, asked = log.start["plan"], log.start["request"]
    shard = plan.get("shard")
    samples = int(plan["samples"])
    bias = {int(token): value for token, value in (asked.get("logit_bias") or {}).items()}
    stop = tuple(asked.get("stop") or ())
    return {
        "repeats": plan["repeats"],
        "limit": min(limit or samples, samples),
        "seed": plan["seed"],
        "sampling": Sampling(**{**asked, "stop": stop, "logit_bias": bias}),
        "shard": Shard(shard["number"], shard["of"]) if shard else None,
    }


def _scorers(card: Subject) -> dict[str, tuple[str, ...]]:
    """For each file, the scorers whose figures the card shows."""
    found: dict[str, dict[str, None]] = {}
    for claim in card.claims.claims:
        for name in claim.files if claim.scorer else ():
            found.setdefault(name, {})[claim.scorer] = None
    return {name: tuple(scorers) for name, scorers in found.items()}


def _impossible(name: str, why: str) -> Finding:
    return found("rerun-impossible", 0, name, f"cannot be checked here: {why}")


def _named(model: Mapping[str, Any]) -> str:
    digest = str(model.get("sha256") or "")
    return f"{model.get('name')}" + (f" (sha256 {digest[:12]})" if digest else "")
