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
      then: And in {location}? | 那{location}呢？     # a later question that refers back
      beyond: Will it snow in {location} in 2050? | …   # a question near to it that it can't answer

A parameter is optional with `?`; `=` gives its default (JSON). `range.low` is a field of the
object `range`; where `range` is `objects 1..3 …`, it is a field of the objects in a list, and the
words after the counts say how one of them is told, in English and in zh-TW.
Tools of the same `group` do the same and are never offered together; those of the same `kin`
could answer each other's questions after a fashion, and none of them stands for "no tool fits".
A `general` tool could answer anything and is offered only where it is called.

The files in `families/` have several tools an entry: see `families.py`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from formosa.data.synth.calculate import CALCULATIONS
from formosa.data.synth.families import read_family
from formosa.data.synth.notation import parse_slot
from formosa.data.synth.slots import Attribute, Choice, Slot
from formosa.data.synth.specs import Pair, Parameter
from formosa.data.synth.specs import ToolSpec as ToolSpec
from formosa.data.synth.structures import Field, Objects
from formosa.data.synth.wording import Wording, holes, parse_wording, sure_holes
from formosa.data.synth.words import read_folder

FIELDS = {
    "name", "does", "doc", "parameters", "en", "zh", "vary", "more", "result", "say", "reply",
    "group", "kin", "general", "calc", "then", "beyond",
}  # fmt: skip
ALWAYS_TRAINED = {"get_weather"}


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
    name, general = entry["name"], bool(entry.get("general"))
    parameters = _parameters(entry["parameters"])
    free = {item.name for item in parameters if not item.required}
    always = [item for item in parameters if not any(_within(item.name, outer) for outer in free)]
    trained = general or name in ALWAYS_TRAINED
    return ToolSpec(
        name=name,
        domain=domain,
        does=Pair.read(entry["does"]),
        doc=Pair.read(entry["doc"]),
        parameters=parameters,
        en=tuple(parse_wording(text) for text in entry["en"]),
        zh=tuple(parse_wording(text) for text in entry["zh"]),
        vary=entry.get("vary", ""),
        more=_ways(entry, "more"),
        result={
            key: text if text.startswith("=") else parse_slot(text)
            for key, text in entry.get("result", {}).items()
        },
        say=Pair.read(entry["say"]) if "say" in entry else None,
        reply=Pair.read(entry["reply"]) if "reply" in entry else None,
        then=_ways(entry, "then"),
        beyond=_ways(entry, "beyond"),
        group=entry.get("group", name),
        kin=entry.get("kin", entry.get("group", name)),
        general=general,
        calc=entry.get("calc", ""),
        held_out=not trained and hashlib.sha256(name.encode()).digest()[0] % 9 == 0,
        required=tuple(item.name for item in always if item.slot),
        optional=tuple(item.name for item in parameters if not item.required),
    )


def _within(name: str, outer: str) -> bool:
    return name == outer or name.startswith(f"{outer}.")


def _ways(entry: Mapping[str, Any], field: str) -> tuple[Wording, Wording] | None:
    if field not in entry:
        return None
    pair = Pair.read(entry[field])
    return parse_wording(pair.en), parse_wording(pair.zh)


def _parameters(entries: Mapping[str, str]) -> tuple[Parameter, ...]:
    """All parameters; the fields of objects in a list are part of their list's slot."""
    lists = {name.rstrip("?") for name, text in entries.items() if text.startswith("objects ")}
    fields: dict[str, list[Field]] = {name: [] for name in lists}
    for name, text in entries.items():
        outer, _, inner = name.rpartition(".")
        if outer in lists:
            if "_" in inner:
                raise ValueError(f"{name}: a field of objects in a list is called by one word")
            slot = parse_slot(text.split(" | ")[0])
            fields[outer].append(Field(inner.rstrip("?"), slot, not inner.endswith("?")))
    return tuple(
        _parameter(name, text, fields.get(name.rstrip("?"), []))
        for name, text in entries.items()
        if name.rpartition(".")[0] not in lists
    )


def _parameter(name: str, text: str, fields: list[Field]) -> Parameter:
    parts = [part.strip() for part in text.split(" | ")]
    name, _, default = name.partition("=")
    slot: Slot | None = None
    if parts[0].startswith("objects "):
        _, counts, ways = parts[0].split(" ", 2)
        low, high = counts.split("..")
        en, zh = (parse_wording(way) for way in ways.split(" / "))
        slot = Objects(int(low), int(high), tuple(fields), en, zh)
    elif parts[0] != "object":
        slot = parse_slot(parts[0])
    return Parameter(
        name=name.rstrip("?"),
        slot=slot,
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
    for way in (*(spec.more or ()), *(spec.then or ()), *(spec.beyond or ())):
        if set(holes(way)) - names:
            raise ValueError(f"no parameter {sorted(set(holes(way)) - names)}")
    if spec.vary and spec.vary not in names:
        raise ValueError(f"no parameter {spec.vary}")
    if spec.result and not spec.reply:
        raise ValueError("a result needs a reply")
    if spec.reply:
        _check_reply(spec, names)
    for item in spec.parameters:
        if isinstance(item.slot, Choice) and isinstance(item.default, str):
            _check_default(item.slot, item)


def _check_default(slot: Choice, item: Parameter) -> None:
    if item.default not in [value for value, _, _ in slot.options]:
        raise ValueError(f"the default {item.default!r} is no option of {item.name}")


def _check_reply(spec: ToolSpec, names: set[str]) -> None:
    """A reply may tell what came back and what is required; the rest need not be there."""
    if spec.calc and spec.calc not in CALCULATIONS:
        raise ValueError(f"no calculation {spec.calc!r}")
    told = {name for name, slot in spec.result.items() if not isinstance(slot, str)}
    known = told | {name.replace(".", "_") for name in spec.required}
    known |= {"result"} if spec.calc else set()
    for text in (spec.reply, spec.say):
        for language in ("en", "zh-TW") if text else ():
            holes = set(re.findall(r"{(\w+)}", text.of(language) if text else ""))
            if holes - known:
                raise ValueError(f"the reply can't know {sorted(holes - known)}")


@functools.cache
def catalogue() -> tuple[ToolSpec, ...]:
    """All tools, in the order of their files' names.

    Raises:
        ValueError: an entry contradicts itself, or two have the same name.
    """
    specs = [
        read_spec(entry, domain) for domain, entries in read_folder("domains") for entry in entries
    ]
    for domain, families in read_folder("families"):
        for each in families:
            family, entries = read_family(each)
            specs += [replace(read_spec(entry, domain), family=family) for entry in entries]
    names = [spec.name for spec in specs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"two tools are called {sorted(twice)}")
    return tuple(specs)
