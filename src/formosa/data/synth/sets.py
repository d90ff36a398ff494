"""Several questions about the same tools, each a row of its own.

Why: two thirds of a row are its tools. Rows that begin alike are computed together
(`train.share_prefix`), so four more questions about the same tools cost what one row of other
tools costs. And they teach what single rows can't: with the very same tools in sight one question
wants this tool, the next that one twice, and the next none. After a question
that lacks a value comes the same one with it: nothing but the value decides.

A set has dice of its own, seeded with its place (seed, split, language, number), as rows have.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from formosa.data.rows import Row
from formosa.data.synth.dialogue import KINDS, SEARCH, WEATHER, complete, named
from formosa.data.synth.novelty import is_new
from formosa.data.synth.specs import ToolSpec
from formosa.data.synth.stage import CHINESE_DOCS, SOURCE, NoSuchToolError, Stage, Turns

ATTEMPTS = 25  # at a question that is new
ALONE = ("single",)  # kinds with one tool in sight …
AMONG = ("multiple", "parallel_multiple")  # … and those with several
SIZES = (1,) * 8 + (2,) * 5 + (3,) * 4 + (4, 4, 5)  # tools of a set
FAMILY = 0.7  # share of the sets about a tool of a family that have its siblings, too
DEMONSTRATION = 0.08  # share of the sets that have a tool for the weather and one for a search


def make_set(
    seed: int,
    number: int,
    language: str,
    questions: int,
    *,
    kinds: Mapping[str, float],
    held_out: bool = False,
    max_tools: int = 6,
    manuals: float = 0.0,
    chinese_docs: float = CHINESE_DOCS,
    seen: Collection[str] = (),
) -> list[Row]:
    """Up to `questions` rows with the same system message and tools.

    Args:
        seed: chooses, with the rest, everything.
        number: of the set.
        language: of its questions.
        questions: how many are tried for.
        kinds: weights of the kinds of conversation.
        held_out: tools and wordings that training never sees.
        max_tools: most tools of a set.
        manuals: share of the sets whose tools are documented at length.
        chinese_docs: share of the zh-TW sets whose tools are documented in Chinese.
        seen: questions that must not come again.
    """
    place = f"{'heldout' if held_out else 'train'}-set-{language}-{number}"
    rng = random.Random(f"formosa synth 3 {seed} {place}")
    stage = Stage.of(
        rng,
        language,
        held_out=held_out,
        turn=number + seed,
        max_tools=max_tools,
        chinese_docs=chinese_docs,
    )
    dice = random.Random(f"formosa manuals {seed} {place}")
    if dice.random() < manuals:
        stage.manuals = dice
    stage.offered = _offered(stage)
    fitting = {kind: weight for kind, weight in kinds.items() if weight and _fits(kind, stage)}
    made: dict[str, Row] = {}  # by question
    while fitting and len(made) < questions:
        row = _conversation(stage, fitting, seen, made)
        if row is None:
            break
        made[row.question] = row
        if stage.lacking and len(made) < questions:
            kind = ALONE[0] if len(stage.offered) == 1 else AMONG[0]
            asked, way = stage.lacking
            twin = _tried(stage, kind, partial(complete, lacking=asked, way=way), seen, made)
            if twin is not None:
                made[twin.question] = twin
    tools = stage.tools(stage.offered)  # which parameters they show depends on all the calls
    return [
        replace(row, id=f"synth-{seed}-{place}-{i}", tools=tools)
        for i, row in enumerate(made.values())
    ]


def _offered(stage: Stage) -> tuple[ToolSpec, ...]:
    size = min(stage.pick(SIZES), stage.max_tools)
    if stage.chance(DEMONSTRATION):
        first = [named()[stage.pick(names)] for names in (WEATHER, SEARCH)]
        first = [spec for spec in first if spec in stage.split()]
        if len(first) == 2:
            return (*first, *stage.others(first, stage.pick((0, 0, 1))))
    first = [stage.target()]
    if (family := first[0].family) and stage.chance(FAMILY):
        kin = [spec for spec in stage.split() if spec.family is family and spec is not first[0]]
        first += stage.rng.sample(
            kin, min(len(kin), stage.pick((1, 1, 2, 2, 3)), stage.max_tools - 1)
        )
    return (*first, *stage.others(first, size - len(first)))


def _fits(kind: str, stage: Stage) -> bool:
    if kind == "chat":  # has no tools at all
        return False
    return kind not in (AMONG if len(stage.offered) == 1 else ALONE)


def _conversation(
    stage: Stage, kinds: Mapping[str, float], seen: Collection[str], made: Collection[str]
) -> Row | None:
    """A conversation that is new, without its tools; None where all has been said."""
    for _ in range(ATTEMPTS):
        kind = stage.rng.choices(list(kinds), list(kinds.values()))[0]
        row = _tried(stage, kind, KINDS[kind], seen, made)
        if row is not None:
            return row
    return None


def _tried(
    stage: Stage,
    kind: str,
    make: Callable[[Stage], Turns],
    seen: Collection[str],
    made: Collection[str],
) -> Row | None:
    """The conversation that `make` makes; None where these tools don't allow it, or it is old."""
    before = {name: set(parameters) for name, parameters in stage.used.items()}
    stage.begin()
    try:
        messages, _ = make(stage)
    except NoSuchToolError:
        return None
    row = Row("", SOURCE, kind, stage.language, messages)
    if is_new(row, seen) and row.question not in made:
        return row
    stage.used = before
    return None
