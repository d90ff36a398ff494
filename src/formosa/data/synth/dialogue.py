"""The kinds of conversation: what the user asks, what is offered, and how the assistant answers.

single             one call, one tool offered
multiple           one call, 2 to 5 tools offered
parallel           2 to 4 calls of one tool
parallel_multiple  2 or 3 calls of different tools
irrelevant         tools offered, none fits: a short honest reply
missing            a required argument is missing: the assistant asks for it
answer             calls, their results by id, and an answer made from them
chat               no tools at all
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from formosa.chat.message import Message, Tool, json_text
from formosa.data.synth.asking import Asked, ask, ask_several, join_questions
from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.catalogue import STYLES, ToolSpec, catalogue
from formosa.data.synth.slots import Attribute, Choice, Scene, parse_slot
from formosa.data.synth.wording import Wording, droppable
from formosa.data.synth.words import read_yaml

Turns = tuple[tuple[Message, ...], tuple[Tool, ...]]
LANGUAGE_KEYS = {"zh-TW": "zh", "en": "en"}


@functools.cache
def _phrases() -> dict[str, Any]:
    value: dict[str, Any] = read_yaml("phrases.yaml")
    return value


@dataclass(slots=True)
class Stage:
    """What one conversation is made with: a scene, the tools of its split, a naming style."""

    scene: Scene
    held_out: bool
    turn: int  # counts through the tools, so that all of them are used
    style: str = ""
    docs: str = "en"
    used: dict[str, set[str]] = field(default_factory=dict)  # tool → parameters of its calls

    @classmethod
    def of(cls, rng: random.Random, language: str, *, held_out: bool, turn: int) -> Stage:
        stage = cls(Scene(rng, language), held_out, turn)
        stage.style = STYLES[(0, 0, 0, 0, 1, 1, 2)[rng.randrange(7)]]
        # English questions see English docs; zh-TW questions see either.
        stage.docs = "zh-TW" if language == "zh-TW" and rng.random() < 0.35 else "en"
        return stage

    @property
    def rng(self) -> random.Random:
        return self.scene.rng

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.rng.randrange(len(options))]

    def phrases(self, name: str) -> list[str]:
        """The sentences of a list in our language; one in six is kept for the held-out split."""
        both: list[str] = _phrases()[name][LANGUAGE_KEYS[self.scene.language]]
        if len(both) < 6:
            return both
        return [text for i, text in enumerate(both) if (i % 6 == 5) == self.held_out]

    def ways(self, spec: ToolSpec) -> tuple[Wording, ...]:
        return spec.wordings(self.scene.language, held_out=self.held_out)

    def split(self, fits: Callable[[ToolSpec], bool] = lambda spec: True) -> list[ToolSpec]:
        """The tools that can be asked for in this split."""
        return [spec for spec in catalogue() if self.ways(spec) and fits(spec)]

    def pool(self, fits: Callable[[ToolSpec], bool] = lambda spec: True) -> list[ToolSpec]:
        """The tools of this split: a held-out row asks for a held-out tool half of the time."""
        specs = self.split(fits)
        if self.held_out:
            unseen = [spec for spec in specs if spec.held_out]
            if unseen and self.turn % 2:
                return unseen
        return specs

    def target(self, fits: Callable[[ToolSpec], bool] = lambda spec: True) -> ToolSpec:
        """The next tool: turn by turn through a shuffled pool, so that none is forgotten."""
        specs = self.pool(fits)
        random.Random(f"{self.turn // len(specs)} {self.scene.language}").shuffle(specs)
        return specs[self.turn % len(specs)]

    def others(self, asked: Sequence[ToolSpec], count: int) -> list[ToolSpec]:
        """Tools to offer beside the right ones: near ones first, none that does the same."""
        groups = {spec.group for spec in asked}
        specs = [
            spec
            for spec in catalogue()
            if spec.group not in groups
            and not spec.general
            and (self.held_out or not spec.held_out)
        ]
        near = [spec for spec in specs if spec.domain == asked[0].domain]
        chosen: list[ToolSpec] = []
        while len(chosen) < count:
            options = near if near and self.chance(0.5) else specs
            # Of two, the smaller: what is offered beside the tool is most of a row's tokens.
            spec = min(self.pick(options), self.pick(options), key=lambda s: len(s.parameters))
            if spec.group not in {item.group for item in chosen}:
                chosen.append(spec)
        return chosen

    def tools(self, specs: Sequence[ToolSpec]) -> tuple[Tool, ...]:
        """The offered tools, shuffled. Some optional parameters that nobody used are not shown:
        a tool has many faces then, and a row fewer tokens."""
        shuffled = list(specs)
        self.rng.shuffle(shuffled)
        return tuple(
            spec.tool(
                self.docs,
                self.style,
                [
                    name
                    for name in spec.optional
                    if name not in self.used.get(spec.name, ())
                    and self.chance(0.35 if spec.name in self.used else 0.7)
                ],
            )
            for spec in shuffled
        )

    def user(self, text: str) -> Message:
        """The user's message, now and then with a friendly word before it."""
        if self.chance(0.12):
            text = self.pick(self.phrases("lead")) + ("" if self.scene.zh else " ") + text
        return Message("user", text)

    def calls(self, asked: Sequence[Asked]) -> Message:
        for item in asked:
            self.used.setdefault(item.spec.name, set()).update(item.draws)
        return Message(
            "assistant",
            tool_calls=tuple(item.call(self.style, f"call_{i}") for i, item in enumerate(asked)),
        )

    def turns(self, messages: Sequence[Message], specs: Sequence[ToolSpec]) -> Turns:
        if self.chance(0.08):
            system = Message("system", self.pick(self.phrases("system")))
            messages = [system, *messages]
        return tuple(messages), self.tools(specs)


def single(stage: Stage) -> Turns:
    spec = stage.target()
    asked = ask(spec, stage.scene, stage.ways(spec))
    return stage.turns([stage.user(asked.text), stage.calls([asked])], [spec])


def multiple(stage: Stage) -> Turns:
    spec = stage.target()
    asked = ask(spec, stage.scene, stage.ways(spec))
    offered = [spec, *stage.others([spec], stage.pick((1, 1, 1, 2, 2, 3)))]
    return stage.turns([stage.user(asked.text), stage.calls([asked])], offered)


def parallel(stage: Stage) -> Turns:
    spec = stage.target()
    count = stage.pick((2, 2, 2, 3, 3, 4))
    text, asked = ask_several(
        spec, stage.scene, stage.ways(spec), count, stage.phrases("connector")
    )
    return stage.turns([stage.user(text), stage.calls(asked)], [spec])


def parallel_multiple(stage: Stage) -> Turns:
    text, asked, specs = _different(stage, stage.target())
    offered = [*specs, *stage.others(specs, stage.pick((0, 0, 0, 1, 1)))]
    return stage.turns([stage.user(text), stage.calls(asked)], offered)


def _different(
    stage: Stage,
    first: ToolSpec,
    fits: Callable[[ToolSpec], bool] = lambda spec: True,
) -> tuple[str, list[Asked], list[ToolSpec]]:
    """One question for 2 or 3 tools; a quarter of them is "weather here, and search for that"."""
    named = {spec.name: spec for spec in catalogue()}
    if stage.chance(0.25):
        specs = [named["get_weather"], named["search"]]
        if stage.chance(0.2):
            specs.reverse()
    else:
        specs = [first]
        count = stage.pick((2, 2, 2, 2, 2, 3))
        while len(specs) < count:
            # From the whole split: few unseen tools give an answer, perhaps fewer than `count`.
            groups = {item.group for item in specs}
            specs.append(stage.pick([s for s in stage.split(fits) if s.group not in groups]))
    asked = [ask(spec, stage.scene, stage.ways(spec), optional=0.3) for spec in specs]
    return join_questions(asked, stage.scene, stage.phrases("connector")), asked, specs


def irrelevant(stage: Stage) -> Turns:
    spec = stage.target(lambda spec: not spec.general)
    offered: list[ToolSpec] = []
    while len(offered) < 1 + stage.turn % 3:
        other = stage.pick(
            [item for item in catalogue() if not item.general and item.domain != spec.domain]
        )
        if (stage.held_out or not other.held_out) and other.group not in {
            item.group for item in (*offered, spec)
        }:
            offered.append(other)
    asked = ask(spec, stage.scene, stage.ways(spec))
    language = stage.scene.language
    reply = stage.pick(stage.phrases("cannot")).format(
        need=spec.does.of(language), can=offered[0].does.of(language)
    )
    return stage.turns([stage.user(asked.text), Message("assistant", reply)], offered)


def missing(stage: Stage) -> Turns:
    def fits(spec: ToolSpec) -> bool:
        return bool(_askable(spec, stage.ways(spec)))

    spec = stage.target(fits)
    name, way = stage.pick(_askable(spec, stage.ways(spec)))
    question = spec.parameter(name).question
    if question is None:
        raise ValueError(f"{spec.name}.{name} has no question")
    asked = ask(spec, stage.scene, [way], drop=name)
    messages = [
        stage.user(asked.text),
        Message("assistant", question.of(stage.scene.language)),
    ]
    if stage.chance(0.5):  # the user says it, and the call follows
        slot = spec.parameter(name).slot
        if slot is None:
            raise ValueError(f"{spec.name}.{name} is an object")
        draw = slot.draw(stage.scene)
        whole = {**asked.draws, name: draw}
        for item in spec.parameters:
            if isinstance(item.slot, Attribute) and item.required:
                whole[item.name] = item.slot.draw(stage.scene)
        messages += [
            Message("user", stage.pick(stage.phrases("giving")).format(draw.text)),
            stage.calls([Asked(spec, "", whole)]),
        ]
    others = stage.others([spec], stage.pick((0, 0, 1)))
    return stage.turns(messages, [spec, *others])


def _askable(spec: ToolSpec, ways: Sequence[Wording]) -> list[tuple[str, Wording]]:
    return [
        (name, way)
        for way in ways
        for name in droppable(way, spec.required)
        if spec.parameter(name).question
    ]


def answer(stage: Stage) -> Turns:
    def fits(spec: ToolSpec) -> bool:
        return bool(spec.reply)

    first = stage.target(fits)
    if stage.chance(0.5):
        asked = [ask(first, stage.scene, stage.ways(first), optional=0.3)]
        text, specs = asked[0].text, [first]
    else:
        text, asked, specs = _different(stage, first, fits)
    messages = [stage.user(text), stage.calls(asked)]
    sentences = []
    for i, item in enumerate(asked):
        content, sentence = _result(stage, item)
        messages.append(Message("tool", content, tool_call_id=f"call_{i}"))
        sentences.append(sentence)
    joined = ("" if stage.scene.zh else " ").join(sentences)
    if len(sentences) > 1 and stage.chance(0.4):
        joined = "\n".join(f"- {sentence}" for sentence in sentences)
    messages.append(Message("assistant", joined))
    return stage.turns(messages, specs)


def _result(stage: Stage, asked: Asked) -> tuple[str, str]:
    """What the tool gives back, and the sentence made from it."""
    spec, scene = asked.spec, stage.scene
    words = {name: draw.text for name, draw in asked.draws.items()}
    for draw in asked.draws.values():  # an attribute belongs to the word of this very call
        if draw.word:
            scene.words[draw.of] = draw.word
    result: dict[str, Any] = {}
    if spec.calc:
        result["result"] = CALCULATIONS[spec.calc](asked.values())
        words["result"] = str(result["result"])
    for name, text in spec.result.items():
        if text.startswith("="):
            result[name] = asked.draws[text[1:]].value
            continue
        slot = parse_slot(text)
        draw = slot.draw(scene)
        result[name] = draw.value
        words[name] = draw.text if isinstance(slot, Choice) else _plain(draw.value, scene)
    words = {name.replace(".", "_"): text for name, text in words.items()}
    if spec.reply is None:
        raise ValueError(f"{spec.name} has no reply")
    content = spec.say.of(scene.language).format(**words) if spec.say else json_text(result)
    return content, spec.reply.of(scene.language).format(**words)


def _plain(value: Any, scene: Scene) -> str:
    if isinstance(value, list):
        return ("、" if scene.zh else ", ").join(str(item) for item in value)
    return str(value)


def chat(stage: Stage) -> Turns:
    pair = stage.pick(stage.phrases("chat"))
    question, _, reply = pair.partition(" | ")
    return (stage.user(question), Message("assistant", reply)), ()


KINDS: dict[str, Callable[[Stage], Turns]] = {
    "single": single,
    "multiple": multiple,
    "parallel": parallel,
    "parallel_multiple": parallel_multiple,
    "irrelevant": irrelevant,
    "missing": missing,
    "answer": answer,
    "chat": chat,
}
