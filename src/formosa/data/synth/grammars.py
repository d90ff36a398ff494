"""Small grammars for text that no list is long enough for: people, titles, dates, codes.

Part of the names are invented. A model can't know them by heart, so it has to copy them.
The pieces are in `pieces.yaml`.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

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
        f"{'An' if noun[0] in 'AEIO' else 'A'} {noun} for {piece(rng, 'en_first')}",
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


def year_month(rng: random.Random, zh: bool) -> str:
    return f"{2024 + rng.randrange(3)}-{1 + rng.randrange(12):02}"


def time(rng: random.Random, zh: bool) -> str:
    return f"{6 + rng.randrange(17):02}:{5 * rng.randrange(12):02}"


def weekday(rng: random.Random, zh: bool) -> str:
    name, day = piece(rng, "en_weekday"), "一二三四五六日"[rng.randrange(7)]
    return f"星期{day}" if zh else name


def month(rng: random.Random, zh: bool) -> str:
    name, number = piece(rng, "en_month"), 1 + rng.randrange(12)
    return f"{number}月" if zh else name


def place(rng: random.Random, zh: bool) -> str:
    """A town that does not exist; real ones are in words/."""
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


def labels(low: Decimal, high: Decimal, step: Decimal, units: Sequence[str]) -> Grammar:
    """Numbers that are text because their unit is part of them: `45GB`."""

    def label(rng: random.Random, zh: bool) -> str:
        value = low + step * rng.randrange(int((high - low) / step) + 1)
        text = f"{value:f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return text + units[rng.randrange(len(units))]

    return label


def phone(rng: random.Random, zh: bool) -> str:
    """A mobile number that looks like one of Taiwan."""
    return "09" + code(rng, "99-999-999" if rng.random() < 0.5 else "99999999")


def url(rng: random.Random, zh: bool) -> str:
    name, page = invented(rng).lower(), piece(rng, "page")
    return f"https://{name}.example.{piece(rng, 'domain')}/{page}"


def path(rng: random.Random, zh: bool) -> str:
    """A file with its folder."""
    folder, stem, ending = piece(rng, "folder"), piece(rng, "stem"), piece(rng, "ending_of_file")
    number = f"_{1 + rng.randrange(40)}" if rng.random() < 0.4 else ""
    return f"{folder}/{stem}{number}.{ending}"


def filename(rng: random.Random, zh: bool) -> str:
    return path(rng, zh).rpartition("/")[2]


def username(rng: random.Random, zh: bool) -> str:
    return f"{piece(rng, 'en_first').lower()}{piece(rng, 'handle')}{1 + rng.randrange(99)}"


def formula(rng: random.Random, zh: bool) -> str:
    """A polynomial in x as programs write it."""
    a, b, c = (1 + rng.randrange(9) for _ in range(3))
    sign = "+-"[rng.randrange(2)]
    forms = (
        f"{a}*x**2 {sign} {b}*x + {c}", f"x**3 {sign} {b}*x", f"{a}*x + {b}", f"sin({a}*x)",
        f"exp(-{b}*x)", f"{a}/(x + {c})", f"sqrt(x {sign} {c})", f"x**{a + 1} {sign} {c}",
    )  # fmt: skip
    return forms[rng.randrange(len(forms))]


def dna(rng: random.Random, zh: bool) -> str:
    return "".join("ACGT"[rng.randrange(4)] for _ in range(8 + rng.randrange(8)))


def version(rng: random.Random, zh: bool) -> str:
    return f"{rng.randrange(6)}.{rng.randrange(15)}.{rng.randrange(10)}"


def cell_range(rng: random.Random, zh: bool) -> str:
    """Cells of a spreadsheet: `B2:B20`."""
    column, first = LETTERS[rng.randrange(8)], 1 + rng.randrange(5)
    return f"{column}{first}:{column}{first + 4 + rng.randrange(40)}"


def hex_color(rng: random.Random, zh: bool) -> str:
    return "#" + "".join("0123456789ABCDEF"[rng.randrange(16)] for _ in range(6))


def eatery(rng: random.Random, zh: bool) -> str:
    """A restaurant that does not exist."""
    if zh:
        return f"阿{piece(rng, 'zh_given')}{piece(rng, 'zh_eatery')}"
    return f"{invented(rng)} {piece(rng, 'en_eatery')}"


def picture(rng: random.Random, zh: bool) -> str:
    ending = ("jpg", "png", "webp")[rng.randrange(3)]
    return f"{piece(rng, 'shot')}_{100 + rng.randrange(900)}.{ending}"


def table(rng: random.Random, zh: bool) -> str:
    ending = ("csv", "xlsx", "parquet")[rng.randrange(3)]
    return f"{piece(rng, 'stem')}_{2020 + rng.randrange(7)}.{ending}"


def video(rng: random.Random, zh: bool) -> str:
    ending = ("mp4", "mov", "webm")[rng.randrange(3)]
    return f"{piece(rng, 'shot')}_{100 + rng.randrange(900)}.{ending}"


def dice(rng: random.Random, zh: bool) -> str:
    """Dice as players write them: `3d6`."""
    return f"{1 + rng.randrange(6)}d{(4, 6, 8, 10, 12, 20)[rng.randrange(6)]}"


def time_span(rng: random.Random, zh: bool) -> str:
    """From when to when on one day: `09:30-11:00`."""
    start = 8 + rng.randrange(9)
    return f"{start:02}:{30 * rng.randrange(2):02}-{start + 1 + rng.randrange(3):02}:00"


_HOLE = re.compile(r"{(\w+)}")


def bulletin(rng: random.Random, zh: bool) -> str:
    """Up to four sentences with figures, as a search finds them; empty two times in five.

    Figures are digits and no two of a kind are alike in a sentence, so that telling them means
    copying them. Some texts have spaces around the digits between Chinese characters, some don't.
    """
    count = (0, 0, 0, 0, 1, 1, 2, 2, 3, 4)[rng.randrange(10)]
    spaced = rng.random() < 0.5
    chosen: list[str] = []
    while len(chosen) < count:
        sentence = piece(rng, "zh_bulletin" if zh else "en_bulletin")
        if sentence not in chosen:
            chosen.append(sentence)
    texts = [_filled(rng, zh, sentence) for sentence in chosen]
    if not zh:
        return "".join(f" {text[:1].upper()}{text[1:]}" for text in texts)
    text = "".join(texts)
    if spaced:
        text = re.sub(r"(?<=[\u4e00-\u9fff])(?=\d)", " ", text)
        text = re.sub(r"(?<=[\d%])(?=[\u4e00-\u9fff])", " ", text)
    return text


def _filled(rng: random.Random, zh: bool, sentence: str) -> str:
    said: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        while (text := _figure(rng, zh, match[1])) in said:
            pass
        said.add(text)
        return text

    return _HOLE.sub(fill, sentence)


def _figure(rng: random.Random, zh: bool, name: str) -> str:
    if name == "percent":
        tenths = rng.randrange(10) if rng.random() < 0.4 else 0
        whole = 1 + rng.randrange(99)
        return f"{whole}.{tenths}%" if tenths else f"{whole}%"
    if name == "number":
        return str(2 + rng.randrange(98))
    if name == "thousands":
        value = 100 * (5 + rng.randrange(400))
        return f"{value:,}" if rng.random() < 0.5 else str(value)
    if name == "year":
        return str(1998 + rng.randrange(26))
    if name in ("date", "person", "company"):
        return GRAMMARS[name](rng, zh)
    return piece(rng, f"{'zh' if zh else 'en'}_{name}")


GRAMMARS: dict[str, Grammar] = {
    "person": person,
    "title": title,
    "company": company,
    "project": project,
    "date": date,
    "iso_date": iso_date,
    "year_month": year_month,
    "time": time,
    "weekday": weekday,
    "month": month,
    "place": place,
    "street": street,
    "us_city": us_city,
    "email": email,
    "phone": phone,
    "url": url,
    "path": path,
    "filename": filename,
    "username": username,
    "formula": formula,
    "dna": dna,
    "version": version,
    "time_span": time_span,
    "dice": dice,
    "hex_color": hex_color,
    "eatery": eatery,
    "picture": picture,
    "video": video,
    "table": table,
    "cell_range": cell_range,
    "bulletin": bulletin,
}
