"""How a slot is written in one line of a catalogue file:

    int 1..20                  a whole number; `12,000` or `12000` in words
    int 1..20 in 1..100        the same, and the schema says minimum 1 and maximum 100
    wan 10000..90000 step 1000 the same, also said as 「3萬」 or `30 thousand`; its rule says so
    plain 1990..2024           the same without separators: years, floors, chapters
    count 1..10                the same, sometimes spelled out: `three`, 「三」
    num 0.5..9.5 step 0.5      a decimal number
    percent 1..12 step 0.5     value 5, words `5%`
    rate 1..12 step 0.5        value 0.05, words `5%`, sometimes `0.05`
    label 5..90 step 5 GB,MB   text: a number with its unit, `45GB`
    flag with pets / without pets / 可帶寵物 / 不可帶寵物     true or false ("-": never false)
    enum celsius:Celsius:攝氏, kelvin      value:English words:zh-TW words
    intenum 1:low:低, 2:high:高            the same with whole numbers as values
    words jazz:爵士樂, rock:搖滾樂         free text, copied in the language of the question
    city                       a list of words/, copied likewise: `the Louvre` is Louvre
    quoted message             the same in quotation marks that don't belong to the value
    city.unit                  an attribute of the city that the call has already
    list int 1..99 x3..5       several of a slot
    vector int 1..99 x3..3     the same of numbers, always said as `[4, 8, 15]`
    matrix int 0..9 2..3x2     rows of numbers; `2..3` rows of 2
    null no limit / 不限 -> int 1..9       what follows, or null in those words; and with
                               `~ up to {} / {}以內` behind it, the words around a value
    day, on_day, past_day      value 2026-03-05, words `March 5, 2026`, `on March 5, 2026`; in
                               some rows in another form, which the description names
    later_day                  a few days after the day before it
    clock                      value 19:30, words `7:30 pm`, 「晚上7點半」
    date, iso_date, time, person, title, code AA-999       text by a small grammar

`objects 1..3 {n} {dish} / {dish}{n}份` needs its fields and is read in `catalogue.py`.
"""

from __future__ import annotations

import functools
from decimal import Decimal

from formosa.data.synth import grammars
from formosa.data.synth.slots import (
    Attribute,
    Choice,
    Flag,
    Made,
    Number,
    Quoted,
    Several,
    Slot,
    Words,
)
from formosa.data.synth.structures import Matrix, Nullable
from formosa.data.synth.times import Clock, Day
from formosa.data.synth.words import Word, word_list

NUMBERS = ("int", "wan", "plain", "count", "num", "percent", "rate")
TIMES: dict[str, Slot] = {
    "day": Day(),
    "on_day": Day(on=True),
    "past_day": Day(past=True),
    "later_day": Day(later=True),
    "on_past_day": Day(on=True, past=True),
    "clock": Clock(),
    "at_clock": Clock(at=True),
}


@functools.cache
def parse_slot(text: str) -> Slot:
    """The slot that a line of a catalogue names.

    Raises:
        ValueError: no such slot, list or grammar.
    """
    kind, _, rest = text.strip().partition(" ")
    if kind in NUMBERS:
        return _number(kind, rest)
    if kind == "label":
        span, _, units = rest.rpartition(" ")
        number = _number("num", span)
        return Made(grammars.labels(number.low, number.high, number.step, units.split(",")))
    if kind == "flag":
        yes_en, no_en, yes_zh, no_zh = (part.strip() for part in rest.split(" / "))
        return Flag((yes_en, no_en), (yes_zh, no_zh))
    if kind in ("enum", "intenum"):
        return _choice(rest, whole=kind == "intenum")
    if kind == "words":
        pairs = [item.strip().split(":") for item in rest.split(",")]
        return Words(rest, tuple(Word(pair[0], pair[-1]) for pair in pairs))
    if kind == "quoted":
        inner = parse_slot(rest)
        if not isinstance(inner, Words | Made):
            raise ValueError(f"{rest!r} is no text that can be quoted")
        return Quoted(inner)
    if kind in ("list", "vector"):
        item, _, counts = rest.rpartition(" x")
        low, high = counts.split("..")
        return Several(parse_slot(item), int(low), int(high), bracketed=kind == "vector")
    if kind == "matrix":
        item, _, counts = rest.rpartition(" ")
        rows, columns = counts.split("x")
        low, _, high = rows.partition("..")
        return Matrix(parse_slot(item), int(low), int(high or low), int(columns))
    if kind == "null":
        words, _, item = rest.partition(" -> ")
        en, zh = words.split(" / ")
        item, _, around = item.partition(" ~ ")
        before, _, after = (around or "{} / {}").partition(" / ")
        return Nullable(parse_slot(item), en, zh, (before, after))
    if kind == "code":
        return Made(lambda rng, zh: grammars.code(rng, rest))
    if kind in TIMES:
        return TIMES[kind]
    if kind in grammars.GRAMMARS:
        return Made(grammars.GRAMMARS[kind])
    name, _, attribute = kind.partition(".")
    entries = word_list(name)
    if attribute:
        choice = _choice(rest.removeprefix("enum ")) if rest.startswith("enum ") else None
        for word in entries:
            if not {attribute, f"{attribute}_en"} & set(word.attributes):
                raise ValueError(f"{word.en} has no {attribute}")
        return Attribute(name, attribute, choice)
    if rest:
        raise ValueError(f"{rest!r} after {kind}")
    return Words(name, entries)


def _number(kind: str, text: str) -> Number:
    text, _, bounds = text.partition(" in ")
    span, _, step = text.partition(" step ")
    low, high = span.split("..")
    number = Number(kind, Decimal(low), Decimal(high), Decimal(step or 1))
    if not bounds:
        return number
    least, most = (float(end) if "." in end else int(end) for end in bounds.split(".."))
    return Number(kind, number.low, number.high, number.step, (least, most))


def _choice(text: str, *, whole: bool = False) -> Choice:
    options: list[tuple[str | int, str, str]] = []
    for item in text.split(","):
        parts = [part.strip() for part in item.split(":")]
        en = parts[1] if len(parts) > 1 else parts[0].replace("_", " ")
        value: str | int = int(parts[0]) if whole else parts[0]
        options.append((value, en, parts[2] if len(parts) > 2 else en))
    return Choice(tuple(options))
