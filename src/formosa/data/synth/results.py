"""What tools give back: values by the catalogue, errors, and nothing found; and what is said of it.

The sentence is made from the result alone, so no answer says more than a tool has told.
"""

from __future__ import annotations

from typing import Any

from formosa.chat.message import json_text
from formosa.data.synth.asking import Asked
from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.slots import Choice, Flag, Scene
from formosa.data.synth.stage import Stage

FINDING = ("find", "search", "look up", "list", "show")
EMPTY: tuple[dict[str, Any], ...] = (
    {"results": []},
    {"count": 0, "items": []},
    {"total": 0},
    {"results": [], "page": 1},
)


def result(stage: Stage, asked: Asked) -> tuple[str, str]:
    """The content of a tool's message, and the sentence that tells it to the user."""
    chance = stage.rng.random()
    if asked.spec.calc or chance > 0.16:
        return values(stage, asked)
    if chance > 0.07 and asked.spec.does.en.startswith(FINDING):
        return _nothing(stage, asked)
    return _error(stage, asked)


def values(stage: Stage, asked: Asked) -> tuple[str, str]:
    """A result with values, and what is told of them."""
    spec, scene = asked.spec, stage.scene
    words = {name: draw.text for name, draw in asked.draws.items()}
    for draw in asked.draws.values():  # an attribute belongs to the word of this very call
        if draw.word:
            scene.words[draw.of] = draw.word
    value: dict[str, Any] = {}
    if spec.calc:
        value["result"] = CALCULATIONS[spec.calc](asked.values())
        words["result"] = _plain(value["result"], scene)
    for name, slot in spec.result.items():
        if isinstance(slot, str):
            value[name] = asked.draws[slot[1:]].value
            continue
        draw = slot.draw(scene)
        value[name] = draw.value
        words[name] = draw.text if isinstance(slot, Choice | Flag) else _plain(draw.value, scene)
    words = {name.replace(".", "_"): text for name, text in words.items()}
    if spec.reply is None:
        raise ValueError(f"{spec.name} has no reply")
    text = _sentence(spec.reply.of(scene.language).format(**words))
    if spec.say is None:
        return json_text(value), text
    return _sentence(spec.say.of(scene.language).format(**words)), text


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(value: Any, scene: Scene) -> str:
    if isinstance(value, list):
        return ("、" if scene.zh else ", ").join(str(item) for item in value)
    return str(value)


def _error(stage: Stage, asked: Asked) -> tuple[str, str]:
    text, _, reply = stage.pick(stage.phrases("error")).partition(" | ")
    return json_text({"error": text}), reply.format(need=asked.spec.does.of(stage.language))


def _nothing(stage: Stage, asked: Asked) -> tuple[str, str]:
    reply = stage.pick(stage.phrases("nothing"))
    return json_text(stage.pick(EMPTY)), reply.format(need=asked.spec.does.of(stage.language))
