"""All seeds, several at a time; and the folder of files that comes of them.

    journal.jsonl   every answer of the teacher
    rows.jsonl      the rows that are kept, in the order of their numbers
    rejects.jsonl   the others, each with its reason
    report.json     who was asked, how many of what, tokens and money

The last three are written from the journal whenever a run ends, also one that was stopped. The same
journal gives the same bytes, however many were asked at a time and however often it was killed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from formosa.chat.message import json_text
from formosa.data.rejects import FILE as REJECTS
from formosa.data.rejects import Rejection, RejectPile
from formosa.data.rows import Row, write_rows
from formosa.data.teacher.checks import same_words
from formosa.data.teacher.config import TeacherConfig
from formosa.data.teacher.cost import Prices
from formosa.data.teacher.journal import Journal, Outcome
from formosa.data.teacher.make import Maker
from formosa.data.teacher.offers import Offer
from formosa.data.teacher.prompts import PROMPTS
from formosa.data.teacher.seeds import Seed, make_seeds
from formosa.engines.protocol import ChatModel
from formosa.errors import EngineError, FormosaError
from formosa.files import replacing, sha256_text, write_json
from formosa.wheels import Say

ROWS, REPORT = "rows.jsonl", "report.json"
PATIENCE = 5  # seeds in a row that the teacher may fail at

Offers = Callable[[str], Sequence[Offer]]
Progress = Callable[[int, int], None]  # seeds that are done, and in all


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who is asked, and how much at a time.

    Attributes:
        model: answers.
        name: of the model, as rows and the report have it.
        licence: what its terms say of its answers, for the report.
        concurrency: seeds at a time; each asks for at most two replies at a time.
        prices: for a million tokens.
        budget: no seed is begun when this much was spent, in the currency of the prices.
    """

    model: ChatModel
    name: str
    licence: str = ""
    concurrency: int = 4
    prices: Prices = Prices()
    budget: float | None = None

    @property
    def source(self) -> str:
        return f"teacher:{self.name}"


async def teach(
    teacher: Teacher,
    offers: Offers,
    config: TeacherConfig,
    folder: Path,
    *,
    say: Say | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make rows until every seed is done, and write the files.

    What an earlier run asked for is taken from its journal. A seed that the teacher failed at is
    left for the next run.

    Returns:
        What report.json holds.

    Raises:
        DataError: the folder holds answers to other requests, or a kind can't be made.
        EngineError: the teacher failed `PATIENCE` times in a row; what it answered is kept.
        UserError: it can't be asked like this, or the disk is full.
    """
    say = say or (lambda _: None)
    seeds = list(make_seeds(config, offers))
    with Journal(folder, _start(teacher, offers, config)) as journal:
        work = _Work(teacher, journal, Maker(teacher.model, config, journal, teacher.source), say)
        try:
            await work.through(seeds, progress or (lambda done, whole: None))
        finally:
            report = _write(folder, teacher, config, seeds, journal, work.failed)
    return report


def _start(teacher: Teacher, offers: Offers, config: TeacherConfig) -> dict[str, Any]:
    """What requests depend on."""
    tools = [
        offer.tool.to_openai()
        for language in sorted(config.languages)
        for offer in offers(language)
    ]
    return {
        "teacher": teacher.name,
        "prompts": PROMPTS,
        "tools": sha256_text(json_text(tools))[:16],
        **config.of_requests(),
    }


class _Work:
    """Goes through the seeds with several workers."""

    def __init__(self, teacher: Teacher, journal: Journal, maker: Maker, say: Say) -> None:
        self._teacher, self._journal, self._maker, self._say = teacher, journal, maker, say
        self.failed: dict[str, str] = {}
        self._failures = 0  # in a row
        self._said = False  # that the budget is spent
        self._stopped: FormosaError | None = None

    async def through(self, seeds: Sequence[Seed], progress: Progress) -> None:
        waiting = iter([seed for seed in seeds if seed.id not in self._journal.done])
        done = sum(seed.id in self._journal.done for seed in seeds)
        progress(done, len(seeds))

        async def worker() -> None:
            nonlocal done
            for seed in waiting:
                if self._stopped or self._spent():
                    return
                done += await self._one(seed)
                progress(done, len(seeds))

        # One that stops lets the others finish what they asked for: it is paid for.
        await asyncio.gather(*(worker() for _ in range(self._teacher.concurrency)))
        if self._stopped:
            raise self._stopped

    async def _one(self, seed: Seed) -> bool:
        """Whether the seed is done now."""
        try:
            await self._maker.make(seed)
        except EngineError as error:
            self.failed[seed.id] = error.message
            self._failures += 1
            self._say(f"{seed.id}: {error.message}")
            if self._failures >= PATIENCE:
                self._stopped = EngineError(
                    f"The teacher failed {self._failures} times in a row, and is left alone: "
                    f"{error.message} Its answers are kept.",
                    error.hint or "run the same command again to continue",
                )
            return False
        except FormosaError as error:
            self._stopped = error
            return False
        self._failures = 0
        return True

    def _spent(self) -> bool:
        money = self._teacher.prices.of(self._journal.tokens)
        if self._teacher.budget is None or money is None or money < self._teacher.budget:
            return False
        if not self._said:
            self._said = True
            self._say(f"the budget of {self._teacher.budget:g} is spent")
        return True


def _write(
    folder: Path,
    teacher: Teacher,
    config: TeacherConfig,
    seeds: Sequence[Seed],
    journal: Journal,
    failed: dict[str, str],
) -> dict[str, Any]:
    kept: list[Row] = []
    reasons: Counter[str] = Counter()
    with replacing(folder / REJECTS) as file:
        pile = RejectPile(file)
        for seed, outcome in _outcomes(seeds, journal):
            if outcome.rejection is None and outcome.row is not None:
                kept.append(outcome.row)
                continue
            why = outcome.rejection or Rejection("no row", "Nothing was made.")
            reasons[why.reason] += 1
            pile.add(
                teacher.source,
                why,
                where=seed.id,
                row=outcome.row.to_json() if outcome.row else None,
            )
    write_rows(folder / ROWS, kept)
    done = sum(seed.id in journal.done for seed in seeds)
    report = {
        "teacher": teacher.name,
        "base_url": teacher.model.info.details.get("base_url"),
        "licence": teacher.licence or f"unknown: the terms of {teacher.name} decide",
        "config": config.model_dump(mode="json"),
        "questions": len(seeds),
        "rows": len(kept),
        "rejected": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "not_done": len(seeds) - done,
        "failed": failed,
        "kinds": dict(Counter(row.kind for row in kept).most_common()),
        "languages": dict(Counter(row.language for row in kept).most_common()),
        "tokens": asdict(journal.tokens),
        "prices": asdict(teacher.prices),
        "cost": teacher.prices.of(journal.tokens),
    }
    write_json(folder / REPORT, report)
    return report


def _outcomes(seeds: Sequence[Seed], journal: Journal) -> Iterator[tuple[Seed, Outcome]]:
    """What became of each seed that is done; a question that an earlier one asks is refused."""
    seen: dict[str, str] = {}
    for seed in seeds:
        outcome = journal.done.get(seed.id)
        if outcome is None:
            continue
        if outcome.rejection is None and outcome.row is not None:
            words = same_words(outcome.row.question)
            if words in seen:
                why = Rejection("duplicate", f"{seen[words]} asks the same.")
                outcome = Outcome(outcome.row, why)
            else:
                seen[words] = seed.id
        yield seed, outcome
