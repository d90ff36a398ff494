"""Slots: what can stand in a parameter, as a value for the call and as words for the question.

A slot is written in one line of a catalogue file:

    int 1..20                  a whole number; `12,000` or `12000` in words (zh-TW also `3萬`)
    plain 1990..2024           the same without separators: years, floors, chapters
    count 1..10                the same, sometimes spelled out: `three`, 「三」
    num 0.5..9.5 step 0.5      a decimal number
    percent 1..12 step 0.5     value 5, words `5%`
    rate 1..12 step 0.5        value 0.05, words `5%`
    flag with pets / without pets / 可帶寵物 / 不可帶寵物     true or false ("-": never false)
    enum celsius:Celsius:攝氏, kelvin      value:English words:zh-TW words
    words jazz:爵士樂, rock:搖滾樂         free text, copied in the language of the question
    city                       a list of words.yaml, copied likewise
    city.unit                  an attribute of the city that the call has already
    list int 1..99 x3..5       several of a slot
    date, iso_date, time, person, title, code AA-999

The same random numbers give the same draw on every machine: decimal steps are exact.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from formosa.data.synth import grammars
from formosa.data.synth.words import Word, word_list

EN_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
RETRIES = 20  # to find a value that the conversation does not have yet
ZH_NUMBERS = "零一兩三四五六七八九十"


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

    @property
    def zh(self) -> bool:
        return self.language == "zh-TW"


class Slot(Protocol):
    @property
    def copied(self) -> bool:
        """Whether text values must stand literally in the question."""

    def schema(self) -> dict[str, Any]: ...

    def draw(self, scene: Scene) -> Draw: ...


def say_number(value: int | float, scene: Scene, form: str = "int") -> str:
    """The words of a number: `12,000`, `12000`, 「3萬」, `three`."""
    if isinstance(value, float) or form == "plain":
        return str(value)
    if form == "count" and 0 < value <= 10 and scene.rng.random() < 0.3:
        return ZH_NUMBERS[value] if scene.zh else EN_NUMBERS[value]
    if value >= 10_000 and scene.zh and value % 10_000 == 0 and scene.rng.random() < 0.4:
        return f"{value // 10_000}萬"
    if value >= 1_000 and scene.rng.random() < 0.6:
        return f"{value:,}"
    return str(value)


@dataclass(frozen=True, slots=True)
class Number:
    """Whole and decimal numbers, `low` to `high` in exact steps."""

    form: str
    low: Decimal
    high: Decimal
    step: Decimal
    copied = False

    def schema(self) -> dict[str, Any]:
        whole = self.form in ("int", "plain", "count")
        return {"type": "integer" if whole else "number"}

    def draw(self, scene: Scene) -> Draw:
        steps = int((self.high - self.low) / self.step)
        number = self.low + self.step * scene.rng.randrange(steps + 1)
        value = _plain_number(number)
        if self.form == "percent":
            return Draw(value, f"{value}%")
        if self.form == "rate":
            return Draw(_plain_number(number / 100), f"{value}%")
        return Draw(value, say_number(value, scene, self.form))


def _plain_number(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false, said in words."""

    en: tuple[str, str]
    zh: tuple[str, str]
    copied = False

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    def draw(self, scene: Scene) -> Draw:
        yes, no = self.zh if scene.zh else self.en
        value = no == "-" or scene.rng.random() < 0.6
        return Draw(value, yes if value else no)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values; the words may differ from the value."""

    options: tuple[tuple[str, str, str], ...]  # value, en, zh
    copied = False

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": [value for value, _, _ in self.options]}

    def draw(self, scene: Scene) -> Draw:
        fresh = [item for item in self.options if item[0] not in scene.taken] or self.options
        value, en, zh = fresh[scene.rng.randrange(len(fresh))]
        scene.taken.add(value)
        return Draw(value, zh if scene.zh else en)

    def words_of(self, value: str, scene: Scene) -> str:
        for option, en, zh in self.options:
            if option == value:
                return zh if scene.zh else en
        raise ValueError(f"{value!r} is not one of {self.options}")


@dataclass(frozen=True, slots=True)
class Words:
    """An entry of a list, as it is said in the question."""

    name: str
    entries: tuple[Word, ...]
    copied = True

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
        return Draw(text, text, word, self.name)


@dataclass(frozen=True, slots=True)
class Attribute:
    """What belongs to a word drawn before: the temperature unit of a city."""

    of: str
    name: str
    choice: Choice | None
    copied = False

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

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}

    def draw(self, scene: Scene) -> Draw:
        text = self.make(scene.rng, scene.zh)
        for _ in range(RETRIES):
            if text not in scene.taken:
                break
            text = self.make(scene.rng, scene.zh)
        scene.taken.add(text)
        return Draw(text, text)


@dataclass(frozen=True, slots=True)
class Several:
    """A list of `low` to `high` draws of another slot."""

    slot: Slot
    low: int
    high: int

    @property
    def copied(self) -> bool:
        return self.slot.copied

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.slot.schema()}

    def draw(self, scene: Scene) -> Draw:
        count = self.low + scene.rng.randrange(self.high - self.low + 1)
        draws = [self.slot.draw(scene) for _ in range(count)]
        values = [draw.value for draw in draws]
        if isinstance(self.slot, Number):
            texts = [str(value) for value in values]
            if self.high == 2:  # a point
                return Draw(values, f"({', '.join(texts)})")
            if scene.rng.random() < 0.4:
                return Draw(values, f"[{', '.join(texts)}]")
        else:
            texts = [draw.text for draw in draws]
        return Draw(values, join_words(texts, zh=scene.zh))


def join_words(texts: Sequence[str], *, zh: bool) -> str:
    """`a, b and c`, 「a、b和c」."""
    if len(texts) < 2:
        return "".join(texts)
    head = ("、" if zh else ", ").join(texts[:-1])
    return f"{head}{'和' if zh else ' and '}{texts[-1]}"


def parse_slot(text: str) -> Slot:
    """The slot that a line of a catalogue names.

    Raises:
        ValueError: no such slot, list or grammar.
    """
    kind, _, rest = text.strip().partition(" ")
    if kind in ("int", "plain", "count", "num", "percent", "rate"):
        span, _, step = rest.partition(" step ")
        low, high = span.split("..")
        return Number(kind, Decimal(low), Decimal(high), Decimal(step or 1))
    if kind == "flag":
        yes_en, no_en, yes_zh, no_zh = (part.strip() for part in rest.split(" / "))
        return Flag((yes_en, no_en), (yes_zh, no_zh))
    if kind == "enum":
        return _choice(rest)
    if kind == "words":
        pairs = [item.strip().split(":") for item in rest.split(",")]
        return Words(rest, tuple(Word(pair[0], pair[-1]) for pair in pairs))
    if kind == "list":
        inner, _, counts = rest.rpartition(" x")
        low, high = counts.split("..")
        return Several(parse_slot(inner), int(low), int(high))
    if kind == "code":
        return Made(lambda rng, zh: grammars.code(rng, rest))
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
    return Words(name, entries)


def _choice(text: str) -> Choice:
    options = []
    for item in text.split(","):
        parts = [part.strip() for part in item.split(":")]
        en = parts[1] if len(parts) > 1 else parts[0].replace("_", " ")
        options.append((parts[0], en, parts[2] if len(parts) > 2 else en))
    return Choice(tuple(options))


def copied_texts(slot: Slot, value: Any) -> list[str]:
    """The texts within `value` that must stand literally in the question."""
    if not slot.copied:
        return []
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return [value] if isinstance(value, str) else []
