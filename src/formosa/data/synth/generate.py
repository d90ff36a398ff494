"""Rows by number and seed: the same bytes for the same seed, on any machine and Python ≥ 3.11.

Every row has dice of its own, seeded with its place (seed, split, kind, language, number). A row
does not change when more rows are asked for, and nothing depends on hashing or on the clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from formosa.data.rows import LANGUAGES, Row
from formosa.data.synth.dialogue import KINDS, Stage

ATTEMPTS = 60
SOURCE = "synth"

# Questions that some test or demonstration asks. A model must not learn them by heart.
RESERVED = frozenset(
    {"台北氣溫如何？另外，告訴我最新的關稅政策", "台北氣溫如何？另外，告訴我川普最新關稅政策"}
)

DEFAULT_KINDS: dict[str, float] = {
    "single": 24,
    "multiple": 18,
    "parallel": 18,
    "parallel_multiple": 14,
    "irrelevant": 6,
    "missing": 6,
    "answer": 11,
    "chat": 3,
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
    seed: int, number: int, kind: str, language: str, *, held_out: bool = False, attempt: int = 0
) -> Row:
    """One row; the arguments are all that it depends on."""
    split = "heldout" if held_out else "train"
    place = f"{split}-{kind}-{language}-{number}"
    rng = random.Random(f"formosa synth 1 {seed} {place} {attempt}")
    # The seed shifts the turn, or every seed would begin with the same tools.
    turn = number + random.Random(f"turn {seed} {kind}").randrange(1000)
    messages, tools = KINDS[kind](Stage.of(rng, language, held_out=held_out, turn=turn))
    return Row(f"synth-{seed}-{place}", SOURCE, kind, language, messages, tools)


def generate(
    count: int,
    seed: int,
    *,
    kinds: Mapping[str, float] | None = None,
    languages: Mapping[str, float] | None = None,
    held_out: bool = False,
    seen: set[str] | None = None,
) -> Iterator[Row]:
    """`count` rows in shuffled order, no two with the same question.

    Args:
        count: how many rows; fewer come where all that can be said has been said.
        seed: chooses everything.
        kinds: weights by kind; DEFAULT_KINDS where not given.
        languages: weights of `zh-TW` and `en`.
        held_out: make the held-out split: tools and wordings that training rows never have.
        seen: questions that must not come again; new ones are added.
    """
    seen = seen if seen is not None else set()
    places = [
        (kind, language, number)
        for language, rows in shares(count, languages or DEFAULT_LANGUAGES).items()
        for kind, part in shares(rows, kinds or DEFAULT_KINDS).items()
        for number in range(part)
    ]
    split = "heldout" if held_out else "train"
    random.Random(f"formosa synth order {seed} {split}").shuffle(places)
    for kind, language, number in places:
        row = _fresh_row(seed, number, kind, language, held_out, seen)
        if row:
            yield row


def _fresh_row(
    seed: int, number: int, kind: str, language: str, held_out: bool, seen: set[str]
) -> Row | None:
    """A row with a new question; None where the little there is to say has all been said."""
    for attempt in range(ATTEMPTS):
        row = make_row(seed, number, kind, language, held_out=held_out, attempt=attempt)
        if (
            _calls_differ(row)
            and row.question not in seen
            and not RESERVED & {row.question.replace(" ", "")}
        ):
            seen.add(row.question)
            return row
    return None


def _calls_differ(row: Row) -> bool:
    return all(
        len({(call.name, call.arguments) for call in message.tool_calls}) == len(message.tool_calls)
        for message in row.messages
    )


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
