"""What one conversation is made with: its dice and language, its tools, how they are named.

Knows which tools of the catalogue a split has and which may stand beside each other. What is said
with them is `dialogue.py`.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, TypeVar

from formosa.chat.message import Message, Tool
from formosa.data.synth.asking import Asked, pairable
from formosa.data.synth.catalogue import catalogue
from formosa.data.synth.manuals import at_length
from formosa.data.synth.slots import Made, Scene, Words
from formosa.data.synth.specs import ToolSpec
from formosa.data.synth.times import DAY_FORMS, say_today
from formosa.data.synth.wording import Wording, droppable, parse_wording
from formosa.data.synth.words import read_yaml

T = TypeVar("T")
Turns = tuple[tuple[Message, ...], tuple[Tool, ...]]
LANGUAGE_KEYS = {"zh-TW": "zh", "en": "en"}
# How often a name is written as in the catalogue, in camelCase, with its domain, …
STYLES = ("",) * 8 + ("camel",) * 3 + ("dotted",) * 3 + ("module", "pascal")
CHINESE_DOCS = 0.4  # share of the zh-TW questions whose tools are documented in Chinese
OTHER_DAYS = 0.5  # how often days are wanted in another form than ISO 8601, or in that one
SOURCE = "synth"  # where a row says that it comes from
PATIENCE = 15  # attempts at a new question with one tool, before the next tool has its turn


@functools.cache
def phrase_lists() -> dict[str, Any]:
    value: dict[str, Any] = read_yaml("phrases.yaml")
    return value


@functools.cache
def phrases(name: str, language: str, held_out: bool) -> tuple[str, ...]:
    """The sentences of a list; of six or more, every sixth is kept for the held-out split."""
    both: list[str] = phrase_lists()[name][LANGUAGE_KEYS[language]]
    if len(both) < 6:
        return tuple(both)
    return tuple(text for i, text in enumerate(both) if (i % 6 == 5) == held_out)


@functools.cache
def following(spec: ToolSpec, language: str) -> Wording | None:
    """A later question that refers back to the first: what is new in it, and nothing else."""
    if spec.then:
        return spec.then[language == "zh-TW"]
    if spec.vary and isinstance(spec.parameter(spec.vary).slot, Words | Made):
        text = "<And|What about|How about> {x}?" if language == "en" else "<那|換成>{x}呢？"
        return parse_wording(text.replace("{x}", f"{{{spec.vary}}}"))
    return None


def askable(spec: ToolSpec, ways: Sequence[Wording]) -> list[tuple[str, Wording]]:
    """What a question can leave out so that the assistant has to ask for it."""
    return [
        (name, way)
        for way in ways
        for name in droppable(way, spec.required)
        if spec.parameter(name).question
    ]


@functools.cache
def candidates(need: str, language: str, held_out: bool) -> tuple[ToolSpec, ...]:
    """The tools that can be asked for in a split, and have what a kind of conversation needs.

    `need` is "any", or "specific" (no general tool), "reply", "follow", "missing", "pairs",
    "beyond".
    """
    tests: dict[str, Callable[[ToolSpec], bool]] = {
        "any": lambda spec: True,
        "specific": lambda spec: not spec.general,
        "reply": lambda spec: bool(spec.reply),
        "follow": lambda spec: bool(spec.reply and following(spec, language)),
        "missing": lambda spec: bool(askable(spec, spec.wordings(language, held_out=held_out))),
        "pairs": lambda spec: any(
            len(pairable(spec, way)) > 1 for way in spec.wordings(language, held_out=held_out)
        ),
        "beyond": lambda spec: bool(spec.beyond),
    }
    fits = tests[need]
    specs = (spec for spec in catalogue() if spec.wordings(language, held_out=held_out))
    return tuple(spec for spec in specs if fits(spec))


@functools.cache
def unseen(need: str, language: str) -> tuple[ToolSpec, ...]:
    return tuple(spec for spec in candidates(need, language, True) if spec.held_out)


@functools.lru_cache(maxsize=1024)
def shuffled(specs: tuple[ToolSpec, ...], seed: str) -> tuple[ToolSpec, ...]:
    order = list(specs)
    random.Random(seed).shuffle(order)
    return tuple(order)


@functools.cache
def beside(held_out: bool, domain: str = "") -> tuple[ToolSpec, ...]:
    """The tools that may be offered beside others: of a domain, or of all."""
    return tuple(
        spec
        for spec in catalogue()
        if not spec.general
        and (held_out or not spec.held_out)
        and (not domain or spec.domain == domain)
    )


@functools.cache
def size(spec: ToolSpec) -> int:
    """About how long a tool is to read, without what can be left out (characters)."""
    return len(spec.tool("en", without=spec.optional).parameters)


class NoSuchToolError(LookupError):
    """None of the tools that a conversation must do with has what its kind needs."""


@dataclass(slots=True)
class Stage:
    """One conversation in the making."""

    scene: Scene
    held_out: bool
    turn: int  # counts through the tools, so that all of them are used
    max_tools: int = 6
    thinking: bool = False
    style: str = ""
    docs: str = "en"
    bare: bool = False
    closed: bool = False
    wordy: bool = False
    system: str = ""
    manuals: random.Random | None = None  # tools are documented at length, with these dice
    made_calls: int = 0
    used: dict[str, set[str]] = field(default_factory=dict)  # tool → parameters of its calls
    said: set[str] = field(default_factory=set)  # texts in the calls' arguments
    offered: tuple[ToolSpec, ...] = ()  # the tools of a set; else every conversation has its own
    lacking: tuple[Asked, Wording] | None = None  # what was asked last without a value

    @classmethod
    def of(
        cls,
        rng: random.Random,
        language: str,
        *,
        held_out: bool,
        turn: int,
        max_tools: int = 6,
        thinking: bool = False,
        chinese_docs: float = CHINESE_DOCS,
    ) -> Stage:
        stage = cls(Scene(rng, language), held_out, turn, max_tools, thinking)
        stage.style = STYLES[rng.randrange(len(STYLES))]
        # English questions see English docs; zh-TW questions see either.
        stage.docs = "zh-TW" if language == "zh-TW" and rng.random() < chinese_docs else "en"
        stage.bare = rng.random() < 0.06
        stage.closed = rng.random() < 0.1
        stage.wordy = rng.random() < 0.12
        if rng.random() < OTHER_DAYS:
            stage.scene.day_form = stage.pick(tuple(DAY_FORMS))
        chance = rng.random()
        if chance < 0.06:
            stage.scene.today = date(2026, 1, 1) + timedelta(days=rng.randrange(720))
            today = say_today(stage.scene.today, zh=stage.scene.zh)
            stage.system = stage.pick(stage.phrases("today")).format(today)
        elif chance < 0.14:
            stage.system = stage.pick(stage.phrases("system"))
        return stage

    def begin(self) -> None:
        """The next conversation about the same tools, which knows nothing of the one before."""
        before = self.scene
        self.scene = Scene(self.rng, self.language, today=before.today, day_form=before.day_form)
        self.made_calls, self.lacking = 0, None

    @property
    def rng(self) -> random.Random:
        return self.scene.rng

    @property
    def language(self) -> str:
        return self.scene.language

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def phrases(self, name: str) -> tuple[str, ...]:
        return phrases(name, self.language, self.held_out)

    def ways(self, spec: ToolSpec) -> tuple[Wording, ...]:
        return spec.wordings(self.language, held_out=self.held_out)

    def split(self, need: str = "any") -> tuple[ToolSpec, ...]:
        """The tools that can be asked for in this split, or in this set of them."""
        every = candidates(need, self.language, self.held_out)
        return tuple(spec for spec in self.offered if spec in every) if self.offered else every

    def target(self, need: str = "any") -> ToolSpec:
        """The next tool: turn by turn through a shuffled pool, so that none is forgotten.

        A held-out row asks for a held-out tool half of the time.

        Raises:
            NoSuchToolError: the conversation's tools are given, and none of them will do.
        """
        specs = self.split(need)
        if self.offered:
            if not specs:
                raise NoSuchToolError(need)
            return self.pick(specs)
        if self.held_out and self.turn % 2:
            specs = unseen(need, self.language) or specs
        order = shuffled(specs, f"{self.turn // len(specs)} {self.language}")
        return order[self.turn % len(specs)]

    def others(self, asked: Sequence[ToolSpec], count: int) -> list[ToolSpec]:
        """Tools to offer beside the right ones: near ones first, none that does the same."""
        taken = {spec.group for spec in asked}
        near = beside(self.held_out, asked[0].domain)
        every = beside(self.held_out)
        chosen: list[ToolSpec] = []
        for _ in range(20 * count):
            if len(chosen) >= min(count, self.max_tools - len(asked)):
                break
            options = near if near and self.chance(0.6) else every
            # Of two, the shorter: what is offered beside the tool is most of a row's tokens.
            spec = min(self.pick(options), self.pick(options), key=size)
            if spec.group not in taken:
                taken.add(spec.group)
                chosen.append(spec)
        return chosen

    def stranger(self) -> ToolSpec:
        """A tool whose questions none of the set's tools can answer.

        Raises:
            NoSuchToolError: one of them can be asked anything.
        """
        every = candidates("specific", self.language, self.held_out)
        kins, domains = ({getattr(s, of) for s in self.offered} for of in ("kin", "domain"))
        near = self.chance(0.4)
        specs = [
            spec for spec in every if spec.kin not in kins and (spec.domain in domains or not near)
        ]
        if not specs or any(spec.general for spec in self.offered):
            raise NoSuchToolError("irrelevant")
        return self.pick(specs)

    def unfit(self, spec: ToolSpec, count: int, *, near: bool) -> list[ToolSpec]:
        """Tools none of which can answer a question for `spec`."""
        if not count:
            return []
        kins = {spec.kin}
        domain = beside(self.held_out, spec.domain)
        chosen: list[ToolSpec] = []
        for _ in range(40 * count):
            if len(chosen) >= min(count, self.max_tools):
                break
            other = self.pick(domain if near and not chosen else beside(self.held_out))
            far = near or other.domain != spec.domain
            if far and other.kin not in kins:
                kins.add(other.kin)
                chosen.append(other)
        return chosen or [s for s in beside(self.held_out) if s.domain != spec.domain][:1]

    def tools(self, specs: Sequence[ToolSpec]) -> tuple[Tool, ...]:
        """The offered tools, shuffled. Some optional parameters that nobody used are not shown:
        a tool has many faces then, and a row fewer tokens."""
        order = list(specs)
        self.rng.shuffle(order)
        made = tuple(
            spec.tool(
                self.docs,
                self.style,
                [
                    name
                    for name in spec.optional
                    if self.chance(0.4 if spec.name in self.used else 0.8)
                    and not self._needed(spec, name)
                ],
                bare=self.bare,
                closed=self.closed,
                wordy=self.wordy,
                day_form=self.scene.day_form,
            )
            for spec in order
        )
        if self.manuals is None:
            return made
        dice = self.manuals
        return tuple(
            at_length(tool, spec, dice, language=self.docs, style=self.style, said=self.said)
            for tool, spec in zip(made, order, strict=True)
        )

    def _needed(self, spec: ToolSpec, name: str) -> bool:
        used = self.used.get(spec.name, ())
        return any(item == name or item.startswith(f"{name}.") for item in used)

    def user(self, text: str, *, tail: bool = True) -> Message:
        """The user's message, now and then with a friendly word before or after it."""
        chance = self.rng.random()
        space = "" if self.scene.zh else " "
        if chance < 0.12:
            text = self.pick(self.phrases("lead")) + space + text
        elif chance < 0.17 and tail:
            text = text + space + self.pick(self.phrases("tail"))
        return Message("user", text)

    def calls(self, asked: Sequence[Asked], thought: str = "") -> Message:
        """The assistant's message with the calls; ids count through the conversation."""
        calls = []
        for item in asked:
            self.used.setdefault(item.spec.name, set()).update(item.draws)
            self.said |= {str(value) for value in item.values().values()}
            calls.append(item.call(self.style, f"call_{self.made_calls}"))
            self.made_calls += 1
        return Message("assistant", reasoning=thought, tool_calls=tuple(calls))

    def turns(self, messages: Sequence[Message], specs: Sequence[ToolSpec]) -> Turns:
        if self.system:
            messages = [Message("system", self.system), *messages]
        return tuple(messages), () if self.offered else self.tools(specs)
