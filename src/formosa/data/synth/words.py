"""The word lists of `words.yaml`: names of things in both languages, with attributes."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib import resources
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


@functools.cache
def _lists() -> dict[str, Any]:
    value: dict[str, Any] = read_yaml("words.yaml")
    return value


@functools.cache
def word_list(name: str) -> tuple[Word, ...]:
    """The entries of one list.

    Raises:
        ValueError: there is no such list.
    """
    lists = _lists()
    if name not in lists or name == "attributes":
        raise ValueError(f"no slot or word list {name!r}")
    heads = lists["attributes"].get(name, [])
    entries = []
    for line in lists[name]:
        en, zh, *rest = (part.strip() for part in line.split(" | "))
        entries.append(Word(en, zh, dict(zip(heads, rest, strict=True))))
    return tuple(entries)
