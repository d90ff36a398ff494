"""From a tool to a question and its call: draws the values, writes the words, keeps them equal.

Knows one call at a time and how several questions are joined. Roles and kinds are `dialogue.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formosa.chat.message import ToolCall
from formosa.data.synth.around import around
from formosa.data.synth.slots import (
    RETRIES,
    Attribute,
    Draw,
    Made,
    Number,
    Scene,
    Slot,
    Words,
    join_words,
)
from formosa.data.synth.specs import ToolSpec, styled_parameter
from formosa.data.synth.wording import Hole, Wording, choose, holes, sure_holes

QUOTES = {'"': '"', "「": "」", "《": "》", "〈": "〉"}
ENDINGS = "?.!？。！"
# "1 seats" → "1 seat": a wording is written for several.
SINGULAR = {"children": "child", "people": "person", "copies": "copy", "retries": "retry"}
ONE_OF_MANY = re.compile(
    r"((?<![\d.,-])(?:1|[Oo]ne) )(children|people|copies|adults|seats|days|nights|cups|bikes|stars"
    r"|hours|tickets|lots|months|years|minutes|decimals|kilometres|questions|sentences|terms"
    r"|colours|dependants|retries|rows|files|replicas|rooms|pages|examples|degrees)\b"
)
VOWEL = r"[AEIOaeio]|8|1[18](?!\d)"  # an "8-day trip" is said with a vowel, too


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for one tool: its words and the values it names."""

    spec: ToolSpec
    text: str
    draws: Mapping[str, Draw]
    literal_start: bool = False  # the text begins with our words, not with a value

    def call(self, style: str, id: str = "") -> ToolCall:
        """The call that answers the question: arguments in the order of the schema."""
        values: dict[str, Any] = {}
        for item in self.spec.parameters:
            if item.name not in self.draws:
                continue
            where = values
            *outer, last = [styled_parameter(part, style) for part in item.name.split(".")]
            for name in outer:
                where = where.setdefault(name, {})
            where[last] = self.draws[item.name].value
        return ToolCall.of(self.spec.styled_name(style), values, id)

    def values(self) -> dict[str, Any]:
        return {name: draw.value for name, draw in self.draws.items()}


def ask(
    spec: ToolSpec,
    scene: Scene,
    ways: Sequence[Wording],
    *,
    drop: str = "",
    optional: float = 0.5,
    fixed: Mapping[str, Draw] | None = None,
) -> Asked:
    """Ask for one call in one of the `ways`.

    Args:
        spec: the tool.
        scene: language and dice.
        ways: wordings to choose from.
        drop: a required parameter that the question leaves out.
        optional: how likely an optional part of the question is said.
        fixed: values that are settled already; a part of the question that says one stays.
    """
    way = ways[scene.rng.randrange(len(ways))]
    draws = dict(fixed or {})
    required = (*spec.required, *draws)
    parts = choose(way, scene.rng, required=required, drop=drop, optional=optional)
    text = joined(pieces(dict.fromkeys(holes(way), spec), parts, scene, draws), scene)
    for item in spec.parameters:  # what follows from another value is in no question
        follows = isinstance(item.slot, Attribute) and item.slot.of in scene.words
        if follows and item.slot and item.required and item.name not in (drop, *draws):
            draws[item.name] = item.slot.draw(scene)
    return Asked(spec, text, draws, isinstance(parts[0], str))


def pieces(
    specs: Mapping[str, ToolSpec],
    parts: Sequence[str | Hole],
    scene: Scene,
    draws: dict[str, Draw],
) -> list[str]:
    """The words of a question's parts, in order; what is not drawn yet goes into `draws`.

    Args:
        specs: by parameter, the tool that has it.
        parts: text and holes.
        scene: language and dice.
        draws: values that are settled already.
    """
    texts = []
    for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        if isinstance(part, str):
            texts.append(part)
        else:
            draw = _draw(specs[part.name], part, scene, draws)
            texts.append(around(draw, _own(before), _own(after), scene))
    return texts


def _own(part: str | Hole) -> str:
    return part if isinstance(part, str) else ""


def _draw(spec: ToolSpec, hole: Hole, scene: Scene, draws: dict[str, Draw]) -> Draw:
    if hole.name not in draws:
        slot = spec.parameter(hole.name).slot
        if slot is None:
            raise ValueError(f"{spec.name}: {hole.name} is an object and has no words")
        draws[hole.name] = slot.draw(scene)
    return draws[hole.name]


def joined(texts: Iterable[str], scene: Scene) -> str:
    """The texts as one sentence: two numbers don't run into one, and "a" before a vowel is "an"."""
    whole = ""
    for text in texts:
        if whole[-1:].isdecimal() and text[:1].isdecimal():
            whole += " "
        if (whole == "A " or whole.endswith(" a ")) and re.match(VOWEL, text):
            whole = whole[:-1] + "n "
        whole += text
    whole = " ".join(whole.split())
    if scene.zh:
        return whole
    whole = ONE_OF_MANY.sub(lambda found: found[1] + SINGULAR.get(found[2], found[2][:-1]), whole)
    return whole[:1].upper() + whole[1:]


def ask_several(
    spec: ToolSpec, scene: Scene, ways: Sequence[Wording], count: int, connectors: Sequence[str]
) -> tuple[str, list[Asked]]:
    """One question that needs `count` calls of the same tool.

    Three forms, by what the tool allows: a list of values ("in Taipei, Tokyo and Paris"), a short
    second question ("and with 3 and 4"), or whole questions one after the other.
    """
    forms = ["whole"]
    if spec.vary and any(spec.vary in holes(way) for way in ways):
        forms += ["vary", "vary"]
    if spec.more:
        forms += ["more", "more"]
    form = forms[scene.rng.randrange(len(forms))]
    if form == "vary":
        return _vary(spec, scene, ways, count)
    first = ask(spec, scene, ways, optional=0.0) if form == "more" else None
    if first and spec.more and not set(first.text[:-1]) & set(".?。？"):  # one sentence
        asked, text = [first], first.text.rstrip(ENDINGS)
        ending = first.text[len(text) :]
        more = spec.more[1 if scene.zh else 0]
        kept = {name: draw for name, draw in first.draws.items() if name not in set(holes(more))}
        for _ in range(count - 1):
            kept_words = dict(kept)
            for name in list(kept_words):
                if isinstance(spec.parameter(name).slot, Attribute):
                    del kept_words[name]
            following = ask(spec, scene, [more], fixed=kept_words)
            asked.append(following)
            lowered = following.text[:1].lower() + following.text[1:]
            text += ("，" if scene.zh else ", ") + (
                lowered if following.literal_start else following.text
            )
        return text + ending, asked
    asked = [ask(spec, scene, ways) for _ in range(count)]
    return join_questions(asked, scene, connectors), asked


def _vary(
    spec: ToolSpec, scene: Scene, ways: Sequence[Wording], count: int
) -> tuple[str, list[Asked]]:
    fitting = [way for way in ways if spec.vary in holes(way)]
    way = fitting[scene.rng.randrange(len(fitting))]
    parts = choose(way, scene.rng, required=(*spec.required, spec.vary), optional=0.3)
    slot = spec.parameter(spec.vary).slot
    if slot is None:
        raise ValueError(f"{spec.name}: an object can't vary")
    varied = []
    for _ in range(count):
        draw = slot.draw(scene)
        linked = {
            item.name: item.slot.draw(scene)
            for item in spec.parameters
            if isinstance(item.slot, Attribute) and item.required and item.slot.of in scene.words
        }
        varied.append({spec.vary: draw, **linked})
    shared: dict[str, Draw] = {}
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif part.name == spec.vary:
            words = [item[spec.vary].text for item in varied]
            opening = texts[-1][-1:] if texts else ""
            texts.append(join_words(_quoted(words, opening), zh=scene.zh))
        else:
            texts.append(_draw(spec, part, scene, shared).text)
    text = joined(texts, scene)
    ours = isinstance(parts[0], str)
    return text, [Asked(spec, text, {**shared, **item}, ours) for item in varied]


def _quoted(words: Sequence[str], opening: str) -> list[str]:
    """Words within one pair of quotation marks, each to be in a pair of its own."""
    if opening not in QUOTES or not opening:
        return list(words)
    closing = QUOTES[opening]
    last = len(words) - 1
    return [
        (opening if i else "") + word + (closing if i < last else "")
        for i, word in enumerate(words)
    ]


PAIRED = (
    (", respectively", ", in that order", " respectively"),
    ("，請分別處理", "，依順序對應", "，兩兩對應", "，請一一對應"),
)


def pairable(spec: ToolSpec, way: Wording) -> list[str]:
    """The values of a question that may be two lists: "A and B for 20 and 15 minutes"."""
    found = list(sure_holes(way))
    linked = {item.slot.of for item in spec.parameters if isinstance(item.slot, Attribute)}
    return [
        name
        for name in dict.fromkeys(found)
        if found.count(name) == 1
        and name in spec.required
        and isinstance(slot := spec.parameter(name).slot, Words | Made | Number)
        and not (isinstance(slot, Words) and slot.name in linked)
    ]


def ask_paired(
    spec: ToolSpec, scene: Scene, ways: Sequence[Wording], count: int
) -> tuple[str, list[Asked]]:
    """One question with two lists of which the first belongs to the first: `count` calls.

    Raises:
        ValueError: no way of asking has two values that may be lists.
    """
    fitting = [way for way in ways if len(pairable(spec, way)) > 1]
    if not fitting:
        raise ValueError(f"{spec.name} can't be asked in pairs")
    way = fitting[scene.rng.randrange(len(fitting))]
    names = pairable(spec, way)
    first = names[scene.rng.randrange(len(names))]
    others = [name for name in names if name != first]
    chosen = {first, others[scene.rng.randrange(len(others))]}
    lists: dict[str, list[Draw]] = {}
    for name in names:
        if name in chosen:
            slot = spec.parameter(name).slot
            assert slot is not None
            lists[name] = _distinct(slot, scene, count)
    shared: dict[str, Draw] = {}
    texts: list[str] = []
    for part in choose(way, scene.rng, required=spec.required, optional=0.2):
        if isinstance(part, str):
            texts.append(part)
        elif part.name in lists:
            opening = texts[-1][-1:] if texts else ""
            words = _quoted([draw.text for draw in lists[part.name]], opening)
            texts.append(join_words(words, zh=scene.zh))
        else:
            texts.append(_draw(spec, part, scene, shared).text)
    whole = joined(texts, scene)
    body = whole.rstrip(ENDINGS)
    added = PAIRED[scene.zh][scene.rng.randrange(len(PAIRED[scene.zh]))]
    text = body + added + (whole[len(body) :] or ("。" if scene.zh else "."))
    asked = [
        Asked(spec, text, {**shared, **{name: draws[i] for name, draws in lists.items()}})
        for i in range(count)
    ]
    return text, asked


def _distinct(slot: Slot, scene: Scene, count: int) -> list[Draw]:
    """Draws with different values, where the slot has so many."""
    draws: list[Draw] = []
    for _ in range(RETRIES + count):
        draw = slot.draw(scene)
        if all(draw.value != other.value for other in draws):
            draws.append(draw)
        if len(draws) == count:
            return draws
    return [*draws, *(slot.draw(scene) for _ in range(count - len(draws)))]


def join_questions(asked: Sequence[Asked], scene: Scene, connectors: Sequence[str]) -> str:
    """Whole questions one after the other: `… Also, what is …?`"""
    texts = [asked[0].text]
    for item in asked[1:]:
        connector = connectors[scene.rng.randrange(len(connectors))]
        text = item.text
        if connector and item.literal_start and not text.startswith(("I ", "I'")):
            text = text[:1].lower() + text[1:]
        texts.append(connector + text)
    return ("" if scene.zh else " ").join(texts)
