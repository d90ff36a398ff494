"""The catalogue: what a tool is called, what it takes, and the ways people ask for it.

The files in `domains/` are plain data, one entry a tool:

    - name: get_weather
      does: check the weather | 查天氣              # a phrase for "I can't …"
      doc: Get the current weather | 查詢目前的天氣
      parameters:                                 # slot | doc | zh doc | question | zh question
        location: city | Name of the city | 城市名稱 | Which city? | 請問是哪個城市？
        days?=1: int 1..7 | Days ahead, 1 by default | 天數，預設 1
      en: [ways of asking, see wording.py]
      zh: [...]
      vary: location                              # "in Taipei, Tokyo and Paris" is several calls
      more: and with … | 還有…                    # a short second question after a whole one
      result: {temperature: int 5..35}            # what the tool gives back
      reply: It is {temperature} °C. | 目前 {temperature} 度。

A parameter is optional with `?`; `=` gives its default (JSON). `range.low` is a field of the
object `range`. Tools of the same `group` do the same and are never offered together; a `general`
tool could answer anything and is offered only where it is called.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from formosa.chat.message import Tool
from formosa.data.synth.slots import Slot, parse_slot
from formosa.data.synth.wording import Wording, holes, parse_wording, sure_holes
from formosa.data.synth.words import read_yaml

FIELDS = {
    "name", "does", "doc", "parameters", "en", "zh", "vary", "more", "result", "say", "reply",
    "group", "general", "calc",
}  # fmt: skip


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
    def parent(self) -> str:
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
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
    result: Mapping[str, str]
    say: Pair | None
    reply: Pair | None
    group: str
    general: bool
    calc: str

    @property
    def required(self) -> tuple[str, ...]:
        """The names of the required parameters that hold a value (fields of objects too)."""
        return tuple(item.name for item in self.parameters if item.required and item.slot)

    @property
    def optional(self) -> tuple[str, ...]:
        """The names of the parameters that need not be given."""
        return tuple(item.name for item in self.parameters if not item.required)

    @property
    def held_out(self) -> bool:
        """Whether the whole tool belongs to the held-out split: about one in nine, for ever."""
        if self.general or self.name in ALWAYS_TRAINED:
            return False
        return hashlib.sha256(self.name.encode()).digest()[0] % 9 == 0

    def wordings(self, language: str, *, held_out: bool) -> tuple[Wording, ...]:
        """The ways of asking of one split: the last way is kept back from training."""
        ways = self.zh if language == "zh-TW" else self.en
        if self.held_out:
            return ways if held_out else ()
        return ways[-1:] if held_out else ways[:-1]

    def parameter(self, name: str) -> Parameter:
        return next(item for item in self.parameters if item.name == name)

    def styled_name(self, style: str) -> str:
        return f"{self.domain}_{self.name}" if style == "module" else styled(self.name, style)

    def tool(self, language: str, style: str = "", without: Collection[str] = ()) -> Tool:
        """The tool as a model sees it; `style` is one of STYLES.

        Parameters named in `without` are not shown: a tool need not offer all that it could.
        """
        properties: dict[str, Any] = {}
        required: list[str] = []
        for item in self.parameters:
            if item.name in without:
                continue
            names = [styled(part, style) for part in item.name.split(".")]
            schema = item.slot.schema() if item.slot else {"type": "object", "properties": {}}
            ordered = {"type": schema["type"], "description": item.doc.of(language), **schema}
            if not item.doc.en:
                del ordered["description"]
            if item.default is not None:
                ordered["default"] = item.default
            where, needed = properties, required
            if item.parent:
                outer = properties[names[0]]
                where = outer["properties"]
                needed = outer.setdefault("required", [])
            where[names[-1]] = ordered
            if item.required:
                needed.append(names[-1])
        parameters = {"type": "object", "properties": properties, "required": required}
        return Tool.of(self.styled_name(style), self.doc.of(language), parameters)


STYLES = ("", "camel", "module")
ALWAYS_TRAINED = {"get_weather"}


def styled(name: str, style: str) -> str:
    """`get_weather` → `getWeather` in the style `camel`; other styles leave it."""
    if style != "camel":
        return name
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def read_spec(entry: Mapping[str, Any], domain: str) -> ToolSpec:
    """One entry of a catalogue file.

    Raises:
        ValueError: it contradicts itself; the sentence begins with the tool's name.
    """
    try:
        spec = _read_spec(entry, domain)
        _check(spec)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{domain}/{entry.get('name')}: {error}") from error
    return spec


def _read_spec(entry: Mapping[str, Any], domain: str) -> ToolSpec:
    unknown = set(entry) - FIELDS
    if unknown:
        raise ValueError(f"unknown field {sorted(unknown)}")
    more = Pair.read(entry["more"]) if "more" in entry else None
    return ToolSpec(
        name=entry["name"],
        domain=domain,
        does=Pair.read(entry["does"]),
        doc=Pair.read(entry["doc"]),
        parameters=tuple(_parameter(name, text) for name, text in entry["parameters"].items()),
        en=tuple(parse_wording(text) for text in entry["en"]),
        zh=tuple(parse_wording(text) for text in entry["zh"]),
        vary=entry.get("vary", ""),
        more=(parse_wording(more.en), parse_wording(more.zh)) if more else None,
        result=entry.get("result", {}),
        say=Pair.read(entry["say"]) if "say" in entry else None,
        reply=Pair.read(entry["reply"]) if "reply" in entry else None,
        group=entry.get("group", entry["name"]),
        general=bool(entry.get("general")),
        calc=entry.get("calc", ""),
    )


def _parameter(name: str, text: str) -> Parameter:
    parts = [part.strip() for part in text.split(" | ")]
    name, _, default = name.partition("=")
    return Parameter(
        name=name.rstrip("?"),
        slot=None if parts[0] == "object" else parse_slot(parts[0]),
        doc=Pair(parts[1], parts[2]) if len(parts) > 2 else Pair("", ""),
        question=Pair(parts[3], parts[4]) if len(parts) > 4 else None,
        required=not name.endswith("?"),
        default=_default(default),
    )


def _default(text: str) -> Any:
    if text[:1].isdigit() or text.startswith(("-", "[", '"', "true", "false")):
        return json.loads(text)
    return text or None


def _check(spec: ToolSpec) -> None:
    """What would otherwise show as a broken row a thousand rows later."""
    from formosa.data.synth.slots import Attribute

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", spec.name):
        raise ValueError("a tool's name has letters, digits and underscores")
    names = {item.name for item in spec.parameters}
    said = {item.name for item in spec.parameters if not isinstance(item.slot, Attribute)}
    for ways in (spec.en, spec.zh):
        if len(ways) < 3:
            raise ValueError("needs three ways of asking in each language")
        for way in ways:
            lost = set(holes(way)) - names
            if lost:
                raise ValueError(f"no parameter {sorted(lost)}")
            unsaid = (set(spec.required) & said) - set(sure_holes(way))
            if unsaid:
                raise ValueError(f"a question doesn't say {sorted(unsaid)}")
    for way in spec.more or ():
        if set(holes(way)) - names:
            raise ValueError(f"no parameter {sorted(set(holes(way)) - names)}")
    if spec.vary and spec.vary not in names:
        raise ValueError(f"no parameter {spec.vary}")
    if spec.result and not spec.reply:
        raise ValueError("a result needs a reply")


@functools.cache
def catalogue() -> tuple[ToolSpec, ...]:
    """All tools, in the order of their files' names.

    Raises:
        ValueError: an entry contradicts itself, or two have the same name.
    """
    folder = resources.files("formosa.data.synth").joinpath("domains")
    specs: list[ToolSpec] = []
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            domain = file.name.removesuffix(".yaml")
            specs += [read_spec(entry, domain) for entry in read_yaml("domains", file.name)]
    names = [spec.name for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two tools are called {sorted(twice)}")
    return tuple(specs)
