"""A tool of the catalogue as a value, and the schema that a model sees of it.

The same tool has many faces: names in five styles, descriptions in two languages, with or without
what can be left out. Knows no files: `catalogue.py` reads them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from formosa.chat.message import Tool, json_text
from formosa.data.synth.families import Family
from formosa.data.synth.slots import ISO_DAY, NO_RULE, Attribute, Number, Slot
from formosa.data.synth.wording import Wording


@dataclass(frozen=True, slots=True)
class Pair:
    """The same in English and in zh-TW."""

    en: str
    zh: str

    def of(self, language: str) -> str:
        return self.zh if language == "zh-TW" else self.en

    @classmethod
    def read(cls, text: str) -> Pair:
        en, _, zh = text.partition(" | ")
        return cls(en.strip(), (zh or en).strip())


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument; `slot` is None for an object, whose fields are parameters of their own."""

    name: str
    slot: Slot | None
    doc: Pair
    question: Pair | None
    required: bool
    default: Any = None

    @property
    def ruled(self) -> bool:
        """Whether a value can't be written right without reading the description."""
        plain = self.slot is None or self.slot.rule == NO_RULE
        kind = self.slot.form if isinstance(self.slot, Number) else ""
        return not plain or kind in ("percent", "rate") or isinstance(self.slot, Attribute)

    def description(self, language: str) -> str:
        """The text of the schema, with the rule of the slot."""
        own, rule = self.doc.of(language), Pair(*(self.slot.rule if self.slot else NO_RULE))
        if not rule.en:
            return own
        if not own:
            return rule.of(language)
        zh = language == "zh-TW"
        return f"{own}{'，' if zh else '; '}{rule.of(language)}"


@dataclass(frozen=True, slots=True, eq=False)
class ToolSpec:
    """A tool of the catalogue."""

    name: str
    domain: str
    does: Pair
    doc: Pair
    parameters: tuple[Parameter, ...]
    en: tuple[Wording, ...]
    zh: tuple[Wording, ...]
    vary: str
    more: tuple[Wording, Wording] | None
    result: Mapping[str, Slot | str]  # "=name" repeats an argument
    say: Pair | None
    reply: Pair | None
    then: tuple[Wording, Wording] | None
    beyond: tuple[Wording, Wording] | None
    group: str
    kin: str
    general: bool
    calc: str
    held_out: bool  # the whole tool belongs to the held-out split: about one in nine, for ever
    required: tuple[str, ...]  # parameters that always have a value (fields of objects too)
    optional: tuple[str, ...]  # parameters that need not be given
    family: Family | None = None  # of tools that take the same values

    def wordings(self, language: str, *, held_out: bool) -> tuple[Wording, ...]:
        """The ways of asking of one split: the last way is kept back from training."""
        ways = self.zh if language == "zh-TW" else self.en
        if self.held_out:
            return ways if held_out else ()
        return ways[-1:] if held_out else ways[:-1]

    def parameter(self, name: str) -> Parameter:
        return next(item for item in self.parameters if item.name == name)

    def styled_name(self, style: str) -> str:
        if style == "module":
            return f"{self.domain}_{self.name}"
        if style == "dotted":
            return f"{self.domain}.{self.name}"
        return styled(self.name, style)

    def tool(
        self,
        language: str,
        style: str = "",
        without: Collection[str] = (),
        *,
        bare: bool = False,
        closed: bool = False,
        wordy: bool = False,
        day_form: str = ISO_DAY,
    ) -> Tool:
        """The tool as a model sees it; `style` is one of STYLES.

        Parameters named in `without` are not shown: a tool need not offer all that it could.
        With `bare`, parameters have no description unless a value depends on it; with `closed`,
        the schema says that there are no others; with `wordy`, the tool says when to use it.
        Days are wanted in `day_form`.
        """
        return _tool(self, language, style, frozenset(without), bare, closed, wordy, day_form)


WORDY = Pair(
    ". Use this tool when the user wants to {}; it takes the values from the request.",
    "。使用者想{}時使用這個工具，參數取自使用者的要求。",
)


@functools.lru_cache(maxsize=8192)
def _tool(
    spec: ToolSpec,
    language: str,
    style: str,
    without: frozenset[str],
    bare: bool,
    closed: bool,
    wordy: bool,
    day_form: str,
) -> Tool:
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for item in spec.parameters:
        if item.name in without or item.name.rpartition(".")[0] in without:
            continue
        *outer, last = [styled_parameter(part, style) for part in item.name.split(".")]
        where = parameters
        for name in outer:
            where = where["properties"][name]
            where.setdefault("required", [])
        if item.slot is None:
            schema: dict[str, Any] = {"type": "object", "properties": {}}
        else:
            schema = item.slot.schema()
        text = "" if bare and not item.ruled else item.description(language)
        if text:
            schema = {"type": schema["type"], "description": text, **schema}
        if day_form != ISO_DAY and item.slot and _has_days(item.slot):
            schema = json.loads(json_text(schema).replace(ISO_DAY, day_form))
        if item.default is not None:
            schema["default"] = item.default
            if item.default not in schema.get("enum", [item.default]):  # nobody needs to say it
                schema["enum"] = sorted([*schema["enum"], item.default])
        where["properties"][last] = schema
        if item.required:
            where["required"].append(last)
    if closed:
        parameters["additionalProperties"] = False
    text = spec.doc.of(language)
    if wordy:
        text += WORDY.of(language).format(spec.does.of(language))
    return Tool.of(spec.styled_name(style), text, parameters)


def _has_days(slot: Slot) -> bool:
    """Whether it, or a field of its objects, is a day by rule (not a text to be copied)."""
    return ISO_DAY in slot.rule[0] or ISO_DAY in json_text(slot.schema())


STYLES = ("", "camel", "module", "dotted", "pascal")


@functools.cache
def styled(name: str, style: str) -> str:
    """`get_weather` → `getWeather` as `camel`, `GetWeather` as `pascal`; others leave it."""
    if style not in ("camel", "pascal") or "_" not in name:
        return name[:1].upper() + name[1:] if style == "pascal" else name
    head, *rest = name.split("_")
    return (head if style == "camel" else head.capitalize()) + "".join(
        part[:1].upper() + part[1:] for part in rest
    )


def styled_parameter(name: str, style: str) -> str:
    """Parameters are `max_price` or `maxPrice`, whatever the tool is called."""
    return styled(name, style) if style == "camel" else name
