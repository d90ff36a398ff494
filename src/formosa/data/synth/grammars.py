"""Small grammars for text that no list is long enough for: people, titles, dates, codes.

Part of the names are invented. A model can't know them by heart, so it has to copy them.
The pieces are in `pieces.yaml`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

from formosa.data.synth.words import read_yaml

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
Grammar = Callable[[random.Random, bool], str]  # (dice, whether zh-TW) → text


@functools.cache
def _pieces() -> dict[str, list[str]]:
    value: dict[str, list[str]] = read_yaml("pieces.yaml")
    return value


def piece(rng: random.Random, name: str) -> str:
    options = _pieces()[name]
    return options[rng.randrange(len(options))]


def invented(rng: random.Random) -> str:
    """A name that nobody has: `Velandwick`."""
    return piece(rng, "onset") + piece(rng, "middle") + piece(rng, "ending")


def person(rng: random.Random, zh: bool) -> str:
    if zh:
        return piece(rng, "zh_surname") + piece(rng, "zh_given") + piece(rng, "zh_given")
    last = invented(rng) if rng.random() < 0.4 else piece(rng, "en_last")
    return f"{piece(rng, 'en_first')} {last}"


def title(rng: random.Random, zh: bool) -> str:
    """The title of a book, film or song that does not exist."""
    if zh:
        return piece(rng, "zh_adjective") + piece(rng, "zh_noun")
    adjective, noun = piece(rng, "en_adjective"), piece(rng, "en_noun")
    forms = (
        f"The {adjective} {noun}",
        f"{adjective} {noun}",
        f"{noun} of {invented(rng)}",
        f"A {noun} for {piece(rng, 'en_first')}",
    )
    return forms[rng.randrange(len(forms))]


def company(rng: random.Random, zh: bool) -> str:
    if zh:
        name = piece(rng, "zh_company_first") + piece(rng, "zh_company_second")
        return name + piece(rng, "zh_company_last")
    return f"{invented(rng)} {piece(rng, 'en_company_last')}"


def project(rng: random.Random, zh: bool) -> str:
    """The name of a meeting."""
    if zh:
        return piece(rng, "zh_project") + piece(rng, "zh_meeting")
    return f"{piece(rng, 'en_project')} {piece(rng, 'en_meeting')}"


def date(rng: random.Random, zh: bool) -> str:
    """A date as people say it."""
    name, number = piece(rng, "en_month"), 1 + rng.randrange(12)
    day, year = 1 + rng.randrange(28), 2026 + rng.randrange(4)
    with_year = rng.random() < 0.4
    if zh:
        return (f"{year}年" if with_year else "") + f"{number}月{day}日"
    return f"{name} {day}" + (f", {year}" if with_year else "")


def iso_date(rng: random.Random, zh: bool) -> str:
    return f"{2024 + rng.randrange(6)}-{1 + rng.randrange(12):02}-{1 + rng.randrange(28):02}"


def time(rng: random.Random, zh: bool) -> str:
    return f"{6 + rng.randrange(17):02}:{5 * rng.randrange(12):02}"


def weekday(rng: random.Random, zh: bool) -> str:
    name, day = piece(rng, "en_weekday"), "一二三四五六日"[rng.randrange(7)]
    return f"星期{day}" if zh else name


def month(rng: random.Random, zh: bool) -> str:
    name, number = piece(rng, "en_month"), 1 + rng.randrange(12)
    return f"{number}月" if zh else name


def place(rng: random.Random, zh: bool) -> str:
    """A town that does not exist; real ones are in words.yaml."""
    if zh:
        return piece(rng, "zh_town") + piece(rng, "zh_town_kind")
    return invented(rng)


def street(rng: random.Random, zh: bool) -> str:
    """An address: street and number."""
    number = 1 + rng.randrange(400)
    if zh:
        return f"{piece(rng, 'zh_street')}{piece(rng, 'zh_street_kind')}{number}號"
    return f"{number} {invented(rng)} {piece(rng, 'en_street_kind')}"


def us_city(rng: random.Random, zh: bool) -> str:
    """City and state, the way American services ask for it."""
    return piece(rng, "zh_us_city" if zh else "us_city")


def email(rng: random.Random, zh: bool) -> str:
    name = f"{piece(rng, 'en_first')}.{piece(rng, 'en_last')}"
    return f"{name.lower()}@example.com"


def code(rng: random.Random, pattern: str) -> str:
    """`A` becomes a capital letter, `9` a digit; everything else stays."""
    return "".join(
        LETTERS[rng.randrange(len(LETTERS))]
        if mark == "A"
        else str(rng.randrange(10))
        if mark == "9"
        else mark
        for mark in pattern
    )


GRAMMARS: dict[str, Grammar] = {
    "person": person,
    "title": title,
    "company": company,
    "project": project,
    "date": date,
    "iso_date": iso_date,
    "time": time,
    "weekday": weekday,
    "month": month,
    "place": place,
    "street": street,
    "us_city": us_city,
    "email": email,
}
