"""Slots with structure: lists of objects, matrices, and values that may be null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from formosa.data.synth.slots import Draw, Number, Scene, Slot, join_words
from formosa.data.synth.wording import Wording, choose


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the objects in a list."""

    name: str
    slot: Slot
    required: bool


@dataclass(frozen=True, slots=True)
class Objects:
    """A list of objects with the same fields, each said in a few words: `two beef noodle soups`."""

    low: int
    high: int
    fields: tuple[Field, ...]
    en: Wording
    zh: Wording
    copied = False  # its fields are
    rule = ("", "")

    def schema(self) -> dict[str, Any]:
        fields = {field.name: _ruled(field.slot) for field in self.fields}
        required = [field.name for field in self.fields if field.required]
        items = {"type": "object", "properties": fields, "required": required}
        return {"type": "array", "items": items}

    def draw(self, scene: Scene) -> Draw:
        required = [field.name for field in self.fields if field.required]
        values, texts = [], []
        for _ in range(self.low + scene.rng.randrange(self.high - self.low + 1)):
            way = self.zh if scene.zh else self.en
            draws: dict[str, Draw] = {}
            text = ""
            for part in choose(way, scene.rng, required=required, optional=0.4):
                if isinstance(part, str):
                    text += part
                    continue
                slot = next(field.slot for field in self.fields if field.name == part.name)
                draws[part.name] = slot.draw(scene)
                text += draws[part.name].text
            values.append({f.name: draws[f.name].value for f in self.fields if f.name in draws})
            texts.append(text.strip())
        return Draw(values, join_words(texts, zh=scene.zh))


def _ruled(slot: Slot) -> dict[str, Any]:
    schema = slot.schema()
    return {**schema, "description": slot.rule[0]} if slot.rule[0] else schema


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of numbers, written as code writes them."""

    slot: Slot
    low: int
    high: int
    columns: int
    copied = False
    rule = ("", "")

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": {"type": "array", "items": self.slot.schema()}}

    def draw(self, scene: Scene) -> Draw:
        rows = self.low + scene.rng.randrange(self.high - self.low + 1)
        value = [[self.slot.draw(scene).value for _ in range(self.columns)] for _ in range(rows)]
        if isinstance(self.slot, Number) and not self.slot.whole:
            return Draw([[float(item) for item in row] for row in value], str(value))
        return Draw(value, str(value))


@dataclass(frozen=True, slots=True)
class Nullable:
    """A value, or null where the question says that there is none."""

    slot: Slot
    en: str
    zh: str
    around: tuple[str, str] = ("{}", "{}")  # the words of a value that is not null

    @property
    def copied(self) -> bool:
        return self.slot.copied

    @property
    def rule(self) -> tuple[str, str]:
        inner = self.slot.rule
        en, zh = f"null: {self.en}", f"{self.zh}時為 null"
        return (f"{inner[0]}; {en}", f"{inner[1]}，{zh}") if inner[0] else (en, zh)

    def schema(self) -> dict[str, Any]:
        schema = self.slot.schema()
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return schema

    def draw(self, scene: Scene) -> Draw:
        if scene.rng.random() < 0.35:
            return Draw(None, self.zh if scene.zh else self.en)
        draw = self.slot.draw(scene)
        return Draw(draw.value, self.around[scene.zh].format(draw.text), draw.word, draw.of)
