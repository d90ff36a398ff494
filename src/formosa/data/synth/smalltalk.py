"""Ordinary questions with their answers: a model must not call a tool for everything.

`chat.yaml` holds them in both languages. `{country}` is a word of words/, `{country.capital}`
what belongs to it; `{a}` and `{b}` are small numbers with their `{sum}` (also `{larger}`),
`{product}` and `{twice}`. `not` names the domains whose tools could be called for it after all.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from formosa.data.synth import grammars
from formosa.data.synth.stage import LANGUAGE_KEYS, Stage
from formosa.data.synth.words import Word, read_yaml, word_list

HOLE = re.compile(r"{(\w+)(?:\.(\w+))?}")


@dataclass(frozen=True, slots=True)
class Talk:
    """A question, its reply, and the domains that could answer it, too."""

    question: str
    reply: str
    domains: frozenset[str]


@functools.cache
def _talks(language: str, held_out: bool) -> tuple[Talk, ...]:
    """What can be talked about; every sixth is kept for the held-out split."""
    talks = []
    for i, entry in enumerate(read_yaml("chat.yaml")):
        text = entry.get(LANGUAGE_KEYS[language])
        if text and (i % 6 == 5) == held_out:
            question, _, reply = text.partition(" | ")
            talks.append(Talk(question, reply, frozenset(entry.get("not", ()))))
    return tuple(talks)


def small_talk(stage: Stage) -> Talk:
    """One of them, with words and numbers filled in. Those with holes come more often."""
    talks = _talks(stage.language, stage.held_out)
    talk: Talk = stage.pick(talks)
    if "{" not in talk.question:
        talk = stage.pick(talks)
    first, second = 3 + stage.rng.randrange(70), 2 + stage.rng.randrange(18)
    numbers = {
        "a": first, "b": second, "sum": first + second, "product": first * second,
        "larger": first + second, "twice": 2 * first,
    }  # fmt: skip
    words: dict[str, Word] = {}
    made: dict[str, str] = {}

    def fill(match: re.Match[str]) -> str:
        name, attribute = match.group(1), match.group(2) or ""
        if name in numbers:
            return str(numbers[name])
        if name in grammars.GRAMMARS:
            if name not in made:
                made[name] = grammars.GRAMMARS[name](stage.rng, stage.scene.zh)
            return made[name]
        if name not in words:
            words[name] = stage.pick(word_list(name))
        word = words[name]
        if attribute:
            return word.attribute(attribute, zh=stage.scene.zh)
        return word.zh if stage.scene.zh else word.en

    question, reply = HOLE.sub(fill, talk.question), HOLE.sub(fill, talk.reply)
    return Talk(question, reply, talk.domains)


def courtesy(stage: Stage) -> Talk:
    """Thanks or a greeting, and what is said to it."""
    said, _, reply = stage.pick((*stage.phrases("thanks"), *stage.phrases("greeting"))).partition(
        " | "
    )
    return Talk(said, reply, frozenset())
