"""The word lists of `words/`: names of things in both languages, with attributes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import product
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Word:
    """One entry: how it is said in English and in zh-TW, and what else belongs to it."""

    en: str
    zh: str
    attributes: dict[str, str] = field(default_factory=dict, hash=False, compare=False)

    def attribute(self, name: str, *, zh: bool) -> str:
        """The attribute, in the language where it has two."""
        own = f"{name}_{'zh' if zh else 'en'}"
        return self.attributes[own] if own in self.attributes else self.attributes[name]


def read_yaml(*path: str) -> Any:
    """A YAML file that ships in this package."""
    file = resources.files("formosa.data.synth").joinpath(*path)
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def read_folder(name: str) -> Iterator[tuple[str, Any]]:
    """The YAML files of a folder of this package, by name and without its ending."""
    folder = resources.files("formosa.data.synth").joinpath(name)
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml"), read_yaml(name, file.name)


@functools.cache
def _lists() -> dict[str, Any]:
    """The lists of all files; `attributes` is one table, whichever file says it."""
    lists: dict[str, Any] = {"attributes": {}}
    for file, entries in read_folder("words"):
        lists["attributes"] |= entries.pop("attributes", {})
        twice = lists.keys() & entries.keys()
        if twice:
            raise ValueError(f"words/{file}.yaml has other files' lists {sorted(twice)}")
        lists |= entries
    return lists


@functools.cache
def word_list(name: str) -> tuple[Word, ...]:
    """The entries of one list.

    Raises:
        ValueError: there is no such list.
    """
    lists = _lists()
    if name not in lists or not isinstance(lists[name], list):
        raise ValueError(f"no slot or word list {name!r}")
    heads = lists["attributes"].get(name, [])
    entries = []
    for line in lists[name]:
        en, *columns = (part.strip() for part in line.split(" | "))
        zh, *rest = columns or [en]
        entries.append(Word(en, zh, dict(zip(heads, rest, strict=True))))
    if f"made_{name}" in lists:
        entries += _made(lists[f"made_{name}"])
    return tuple(entries)


def _made(rule: dict[str, Any]) -> list[Word]:
    """Words put together from pieces; each gets the next of the facts."""
    facts = [line.split(" | ") for line in rule["facts"]]
    words = []
    for i, pieces in enumerate(product(*rule["pieces"])):
        pairs = [piece.split(" | ") for piece in pieces]
        en, zh = (
            rule[key].format(*(pair[n] for pair in pairs)) for n, key in enumerate(("en", "zh"))
        )
        fact = facts[i % len(facts)]
        words.append(Word(en, zh, {"fact_en": fact[0], "fact_zh": fact[1]}))
    return words
