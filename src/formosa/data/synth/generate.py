"""Rows by number and seed: the same bytes for the same seed, on any machine and Python ≥ 3.11.

Every row has dice of its own, seeded with its place (seed, split, kind, language, number). A row
does not change when more rows are asked for, and nothing depends on hashing or on the clock.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.dialogue import KINDS
from formosa.data.synth.novelty import is_new
from formosa.data.synth.sets import make_set
from formosa.data.synth.stage import CHINESE_DOCS, PATIENCE, SOURCE, Stage

ATTEMPTS = 60
BARREN = 50
TWIN = "-thinking"  # how the id of a twin ends

DEFAULT_KINDS: dict[str, float] = {
    "single": 22,
    "multiple": 18,
    "parallel": 17,
    "parallel_multiple": 13,
    "irrelevant": 7,
    "missing": 5,
    "answer": 10,
    "multi_turn": 3,
    "chat": 2,
    "chat_with_tools": 3,
}
DEFAULT_LANGUAGES: dict[str, float] = {"zh-TW": 40, "en": 60}


def shares(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """`total` split by weight into whole numbers that add up to it (largest remainders)."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def make_row(
    seed: int,
    number: int,
    kind: str,
    language: str,
    *,
    held_out: bool = False,
    attempt: int = 0,
    max_tools: int = 6,
    thinking: bool = False,
    manuals: float = 0.0,
    chinese_docs: float = CHINESE_DOCS,
) -> Row:
    """One row; the arguments are all that it depends on.

    With `thinking`, the same row with reasoning: its twin. `manuals` is the share of rows whose
    tools are documented at length, `chinese_docs` of the zh-TW rows whose tools are in Chinese.
    """
    split = "heldout" if held_out else "train"
    place = f"{split}-{kind}-{language}-{number}"
    rng = random.Random(f"formosa synth 2 {seed} {place} {attempt}")
    # The seed shifts the turn, or every seed would begin with the same tools. A tool that has
    # nothing new to say leaves its turn to the next.
    turn = number + _shift(seed, kind) + attempt // PATIENCE
    stage = Stage.of(
        rng,
        language,
        held_out=held_out,
        turn=turn,
        max_tools=max_tools,
        thinking=thinking,
        chinese_docs=chinese_docs,
    )
    # Dice of their own: with or without it, the row says and calls the same.
    dice = random.Random(f"formosa manuals {seed} {place} {attempt}")
    if dice.random() < manuals:
        stage.manuals = dice
    messages, tools = KINDS[kind](stage)
    name = f"synth-{seed}-{place}{TWIN if thinking else ''}"
    return Row(name, SOURCE, kind, language, messages, tools)


@functools.cache
def _shift(seed: int, kind: str) -> int:
    return random.Random(f"turn {seed} {kind}").randrange(1000)


def generate(
    count: int,
    seed: int,
    *,
    kinds: Mapping[str, float] | None = None,
    languages: Mapping[str, float] | None = None,
    held_out: bool = False,
    seen: set[str] | None = None,
    thinking: float = 0.0,
    max_tools: int = 6,
    manuals: float = 0.0,
    chinese_docs: float = CHINESE_DOCS,
    questions: int = 1,
) -> Iterator[Row]:
    """`count` rows in shuffled order, no two with the same question; twins come on top.

    With more than one question to a set of tools, the rows of a set follow each other; those that
    have no tools come last.

    Args:
        count: how many rows; fewer come where all that can be said has been said.
        seed: chooses everything.
        kinds: weights by kind; DEFAULT_KINDS where not given.
        languages: weights of `zh-TW` and `en`.
        held_out: make the held-out split: tools and wordings that training rows never have.
        seen: questions that must not come again; new ones are added.
        thinking: share of the rows, 0 to 1, that are followed by their twin with reasoning.
        max_tools: most tools that are offered in a row.
        manuals: share of the rows, 0 to 1, whose tools are documented at length.
        chinese_docs: share of the zh-TW rows, 0 to 1, whose tools are documented in Chinese; the
            others' are in English.
        questions: rows that are made for each set of tools.
    """
    seen = seen if seen is not None else set()
    kinds, split = kinds or DEFAULT_KINDS, "heldout" if held_out else "train"
    parts = {
        language: shares(rows, kinds)
        for language, rows in shares(count, languages or DEFAULT_LANGUAGES).items()
    }
    order = random.Random(f"formosa synth order {seed} {split}")
    if questions > 1:
        left = {
            language: sum(part.values()) - part.get("chat", 0) for language, part in parts.items()
        }
        parts = {language: {"chat": part.get("chat", 0)} for language, part in parts.items()}
        made = functools.partial(
            make_set,
            seed,
            kinds=kinds,
            held_out=held_out,
            max_tools=max_tools,
            manuals=manuals,
            chinese_docs=chinese_docs,
            seen=seen,
        )
        for row in _sets(made, left, questions, order):
            seen.add(row.question)
            yield row
    places = [
        (kind, language, number)
        for language, part in parts.items()
        for kind, rows in part.items()
        for number in range(rows)
    ]
    order.shuffle(places)
    for kind, language, number in places:
        thinks = order.random() < thinking
        make = functools.partial(
            make_row,
            seed,
            number,
            kind,
            language,
            held_out=held_out,
            max_tools=max_tools,
            manuals=manuals,
            chinese_docs=chinese_docs,
        )
        for attempt in range(ATTEMPTS):
            row = make(attempt=attempt)
            if is_new(row, seen):
                seen.add(row.question)
                yield row
                if thinks:
                    yield make(attempt=attempt, thinking=True)
                break


def _sets(
    made: Callable[..., list[Row]], left: dict[str, int], questions: int, order: random.Random
) -> Iterator[Row]:
    """The rows of one set after the other, in mixed languages, until there are enough."""
    numbers = dict.fromkeys(left, 0)
    barren = 0  # sets in a row about which all has been asked
    while sum(left.values()) and barren < BARREN:
        language = order.choices(list(left), list(left.values()))[0]
        rows = made(numbers[language], language, questions)[: left[language]]
        numbers[language] += 1
        left[language] -= len(rows)
        barren = 0 if rows else barren + 1
        yield from rows


def check_names(names: Mapping[str, float], known: tuple[str, ...], what: str) -> None:
    """Refuse a weight for something that does not exist.

    Raises:
        ValueError: with the names that there are.
    """
    for name, weight in names.items():
        if name not in known:
            raise ValueError(f"no {what} {name!r}; there are {', '.join(known)}")
        if weight < 0:
            raise ValueError(f"the weight of {name} is below 0")
    if names and sum(names.values()) <= 0:
        raise ValueError(f"no {what} has a weight above 0")


def check_weights(kinds: Mapping[str, float], languages: Mapping[str, float]) -> None:
    check_names(kinds, tuple(KINDS), "kind")
    check_names(languages, LANGUAGES, "language")
