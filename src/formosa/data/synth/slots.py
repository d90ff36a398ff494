"""Slots: what can stand in a parameter, as a value for the call and as words for the question.

The slots of one value and of plain lists are here; dates and clock times are in `times.py`, lists
of objects, matrices and values that may be null in `structures.py`. How a slot is written in a
catalogue file is told in `notation.py`.

A slot may have a rule: what turns its words into its value ("30 thousand" into 30000). The rule
is part of the parameter's description, so that a model never has to guess it.

The same random numbers give the same draw on every machine: decimal steps are exact.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from formosa.data.synth import grammars
from formosa.data.synth.words import Word

EN_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ISO_DAY = "YYYY-MM-DD"
RETRIES = 20  # to find a value that the conversation does not have yet
ZH_NUMBERS = "零一兩三四五六七八九十"
ARTICLE = re.compile(r"^(?:the|an?) (?=\S)")


@dataclass(slots=True)
class Draw:
    """A value, its words in the question, and the list entry it came from."""

    value: Any
    text: str
    word: Word | None = None
    of: str = ""  # the name of the list the word is from


@dataclass(slots=True)
class Scene:
    """What the draws of one row share: the language, the dice, and what was drawn before."""

    rng: random.Random
    language: str
    taken: set[str] = field(default_factory=set)
    words: dict[str, Word] = field(default_factory=dict)
    today: date | None = None  # where the system message says what day it is
    last_day: date | None = None  # that was drawn
    day_form: str = ISO_DAY  # in which the calls write days, as the tools' descriptions say

    @property
    def zh(self) -> bool:
        return self.language == "zh-TW"


NO_RULE = ("", "")


class Slot(Protocol):
    @property
    def copied(self) -> bool:
        """Whether text values must stand literally in the question."""

    @property
    def rule(self) -> tuple[str, str]:
        """What a description must say of the value, in English and zh-TW; "" where nothing."""

    def schema(self) -> dict[str, Any]: ...

    def draw(self, scene: Scene) -> Draw: ...


def say_number(value: int | float, scene: Scene, form: str = "int") -> str:
    """The words of a number: `12,000`, `12000`, `three`, `minus 4`; as `wan` also 「3萬」."""
    if form == "plain":
        return str(value)
    if value < 0 and scene.rng.random() < 0.2:
        return f"負{-value}" if scene.zh else f"minus {-value}"
    if isinstance(value, float):
        return str(value)
    if form == "count" and 0 < value <= 10 and scene.rng.random() < 0.3:
        return ZH_NUMBERS[value] if scene.zh else EN_NUMBERS[value]
    if form == "wan" and value >= 10_000 and scene.rng.random() < 0.5:
        if scene.zh and value % 1_000 == 0:
            return f"{_plain_number(Decimal(value) / 10_000)}萬"
        if not scene.zh and value % 1_000 == 0 and value < 1_000_000:
            return f"{value // 1_000} thousand"
    if abs(value) >= 1_000 and scene.rng.random() < 0.6:
        return f"{value:,}"
    return str(value)


RULES = {
    "wan": ("30 thousand is 30000", "3 萬寫成 30000"),
}


@dataclass(frozen=True, slots=True)
class Number:
    """Whole and decimal numbers, `low` to `high` in exact steps; `bounds` go into the schema."""

    form: str
    low: Decimal
    high: Decimal
    step: Decimal
    bounds: tuple[int | float, int | float] | None = None
    copied = False

    @property
    def rule(self) -> tuple[str, str]:
        return RULES.get(self.form, NO_RULE)

    @property
    def whole(self) -> bool:
        return self.form in ("int", "plain", "count", "wan")

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer" if self.whole else "number"}
        if self.bounds:
            schema["minimum"], schema["maximum"] = self.bounds
        return schema

    def draw(self, scene: Scene) -> Draw:
        steps = int((self.high - self.low) / self.step)
        number = self.low + self.step * scene.rng.randrange(steps + 1)
        value = _plain_number(number)
        if self.form == "percent":
            return Draw(value, f"{value}%")
        if self.form == "rate":
            share = _plain_number(number / 100)
            return Draw(share, str(share) if scene.rng.random() < 0.2 else f"{value}%")
        return Draw(value, say_number(value, scene, self.form))


def _plain_number(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false, said in words."""

    en: tuple[str, str]
    zh: tuple[str, str]
    copied = False
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def draw(self, scene: Scene) -> Draw:
        yes, no = self.zh if scene.zh else self.en
        value = no == "-" or scene.rng.random() < 0.6
        return Draw(value, yes if value else no)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values, text or whole numbers; the words may differ from the value."""

    options: tuple[tuple[str | int, str, str], ...]  # value, en, zh
    copied = False
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        values = [value for value, _, _ in self.options]
        return {"type": "string" if isinstance(values[0], str) else "integer", "enum": values}

    def draw(self, scene: Scene) -> Draw:
        fresh = [item for item in self.options if item[1] not in scene.taken] or self.options
        value, en, zh = fresh[scene.rng.randrange(len(fresh))]
        scene.taken.add(en)
        return Draw(value, zh if scene.zh else en)

    def words_of(self, value: str | int, scene: Scene) -> str:
        for option, en, zh in self.options:
            if option == value:
                return zh if scene.zh else en
        raise ValueError(f"{value!r} is not one of {self.options}")


def bare(text: str) -> str:
    """A name without its article: one asks about the Louvre, and the value is `Louvre`.

    A capital belongs to the name (`The Great Gatsby`)."""
    return ARTICLE.sub("", text)


@dataclass(frozen=True, slots=True)
class Words:
    """An entry of a list, as it is said in the question; the value has no article."""

    name: str
    entries: tuple[Word, ...]
    copied = True
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        word = self.entries[scene.rng.randrange(len(self.entries))]
        for _ in range(RETRIES):
            if (word.zh if scene.zh else word.en) not in scene.taken:
                break
            word = self.entries[scene.rng.randrange(len(self.entries))]
        text = word.zh if scene.zh else word.en
        scene.taken.add(text)
        scene.words[self.name] = word
        return Draw(bare(text), text, word, self.name)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What belongs to a word drawn before: the temperature unit of a city."""

    of: str
    name: str
    choice: Choice | None
    copied = False
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        return self.choice.schema() if self.choice else {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        value = scene.words[self.of].attribute(self.name, zh=scene.zh)
        return Draw(value, self.choice.words_of(value, scene) if self.choice else value)


@dataclass(frozen=True, slots=True)
class Made:
    """Text made by a small grammar: names, dates, titles, codes."""

    make: grammars.Grammar
    copied = True
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        text = self.make(scene.rng, scene.zh)
        for _ in range(RETRIES):
            if text not in scene.taken:
                break
            text = self.make(scene.rng, scene.zh)
        scene.taken.add(text)
        return Draw(bare(text), text)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A text of a list with its quotation marks around it; the value has none."""

    slot: Words | Made
    copied = True
    rule = NO_RULE

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        value = self.slot.draw(scene).value
        if scene.zh:
            return Draw(value, f"「{value}」")
        return Draw(value, f"'{value}'" if '"' in value else f'"{value}"')


@dataclass(frozen=True, slots=True)
class Several:
    """A list of `low` to `high` draws of another slot."""

    slot: Slot
    low: int
    high: int
    bracketed: bool = False  # as code writes it, where two lists would run together

    @property
    def copied(self) -> bool:
        return self.slot.copied

    @property
    def rule(self) -> tuple[str, str]:
        return self.slot.rule

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.slot.schema()}

    def draw(self, scene: Scene) -> Draw:
        count = self.low + scene.rng.randrange(self.high - self.low + 1)
        draws: list[Draw] = []
        for _ in range(count):
            draw = self.slot.draw(scene)
            for _ in range(RETRIES if isinstance(self.slot, Choice | Words | Made) else 0):
                if all(draw.value != other.value for other in draws):
                    break
                draw = self.slot.draw(scene)
            draws.append(draw)
        values = [draw.value for draw in draws]
        if isinstance(self.slot, Number):
            texts = [str(value) for value in values]
            if not self.slot.whole:  # many programs take no 5 for a list of decimals
                values = [float(value) for value in values]
            if self.high == 2:  # a point
                return Draw(values, f"({', '.join(texts)})")
            if self.bracketed or scene.rng.random() < 0.4:
                return Draw(values, f"[{', '.join(texts)}]")
        else:
            texts = [draw.text for draw in draws]
        return Draw(values, join_words(texts, zh=scene.zh))


def join_words(texts: Sequence[str], *, zh: bool) -> str:
    """`a, b and c`, 「a、b和c」."""
    between = separators(len(texts), zh=zh)
    return "".join(text + after for text, after in zip(texts, between, strict=True))


def separators(count: int, *, zh: bool) -> list[str]:
    """What stands behind each of `count` things that are listed; behind the last, nothing."""
    comma, last = ("、", "和") if zh else (", ", " and ")
    return [*[comma] * (count - 2), *[last] * (count > 1), *[""] * (count > 0)]


def copied_texts(slot: Slot, value: Any) -> list[str]:
    """The texts within `value` that must stand literally in the question."""
    if not slot.copied:
        return []
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return [value] if isinstance(value, str) else []
