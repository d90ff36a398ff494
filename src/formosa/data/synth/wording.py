"""The little grammar in which a question is written down once and asked in many ways.

    "<Find|Look up> a hotel in {city}[ for {nights} nights]."

`{city}` is a hole for a parameter, `<a|b>` is one of several, `[…]` may be left out. A bracket
that holds a *required* parameter stays, unless that very parameter is to be missing.

Knows nothing of tools or values. The characters `{}[]<>|` cannot be written literally.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MARKS = "{}[]<>|"


class Hole(NamedTuple):
    """A place for the surface text of one parameter."""

    name: str


class Maybe(NamedTuple):
    """A part that can be left out."""

    parts: tuple[Part, ...]


class OneOf(NamedTuple):
    """One of several parts."""

    options: tuple[tuple[Part, ...], ...]


Part = str | Hole | Maybe | OneOf
Wording = tuple[Part, ...]


def parse_wording(text: str) -> Wording:
    """The parts of a wording.

    Raises:
        ValueError: a bracket is not closed, or closes nothing.
    """
    parts, position = _parse(text, 0, "")
    if position != len(text):
        raise ValueError(f"unexpected {text[position]!r} in {text!r}")
    return parts


def _parse(text: str, position: int, stops: str) -> tuple[Wording, int]:
    parts: list[Part] = []
    while position < len(text) and text[position] not in stops:
        mark = text[position]
        if mark == "{":
            end = text.index("}", position)
            parts.append(Hole(text[position + 1 : end]))
            position = end + 1
        elif mark == "[":
            inner, position = _parse(text, position + 1, "]")
            parts.append(Maybe(inner))
            position = _closed(text, position, "]")
        elif mark == "<":
            options: list[Wording] = []
            while mark != ">":
                inner, position = _parse(text, position + 1, "|>")
                options.append(inner)
                mark = text[position] if position < len(text) else ""
                if not mark:
                    raise ValueError(f"'<' is not closed in {text!r}")
            parts.append(OneOf(tuple(options)))
            position += 1
        elif mark in MARKS:
            raise ValueError(f"unexpected {mark!r} in {text!r}")
        else:
            end = position
            while end < len(text) and text[end] not in MARKS:
                end += 1
            parts.append(text[position:end])
            position = end
    return tuple(parts), position


def _closed(text: str, position: int, mark: str) -> int:
    if position >= len(text):
        raise ValueError(f"{mark!r} is missing in {text!r}")
    return position + 1


def holes(wording: Wording) -> Iterator[str]:
    """The names of all holes, also those in parts that may be left out."""
    for part in wording:
        if isinstance(part, Hole):
            yield part.name
        elif isinstance(part, Maybe):
            yield from holes(part.parts)
        elif isinstance(part, OneOf):
            for option in part.options:
                yield from holes(option)


def sure_holes(wording: Wording) -> Iterator[str]:
    """The names of the holes that are there whatever is chosen, brackets counted as there."""
    for part in wording:
        if isinstance(part, Hole):
            yield part.name
        elif isinstance(part, Maybe):
            yield from sure_holes(part.parts)
        elif isinstance(part, OneOf):
            common = set.intersection(*(set(sure_holes(option)) for option in part.options))
            yield from sorted(common)


def droppable(wording: Wording, required: Sequence[str]) -> list[str]:
    """The required parameters that stand alone in a bracket and nowhere else."""
    everywhere = list(holes(wording))
    return [
        name
        for name in required
        if everywhere.count(name) == 1
        and any(isinstance(part, Maybe) and list(holes(part.parts)) == [name] for part in wording)
    ]


def choose(
    wording: Wording,
    rng: random.Random,
    *,
    required: Sequence[str] = (),
    drop: str = "",
    optional: float = 0.5,
) -> list[str | Hole]:
    """One way of saying it: text and holes.

    Args:
        wording: the parts.
        rng: the dice.
        required: parameters whose brackets stay.
        drop: the parameter whose bracket goes, even if it is required.
        optional: how likely any other bracket stays, 0 to 1.
    """
    result: list[str | Hole] = []
    for part in wording:
        if isinstance(part, str | Hole):
            result.append(part)
        elif isinstance(part, OneOf):
            option = part.options[rng.randrange(len(part.options))]
            result.extend(choose(option, rng, required=required, drop=drop, optional=optional))
        else:
            names = set(holes(part.parts))
            stays = bool(names & set(required)) or rng.random() < optional
            if drop in names:
                stays = False
            if stays:
                result.extend(
                    choose(part.parts, rng, required=required, drop=drop, optional=optional)
                )
    return result
