"""Words around a name that don't belong to the value: "the movie Titanic" is Titanic.

A model that only ever meets names alone copies what stands beside them, too.
"""

from __future__ import annotations

import functools
import re

from formosa.data.synth.slots import Draw, Scene, bare
from formosa.data.synth.words import read_yaml

SHARES = (0.2, 0.3)  # of the names that can have words around them, in English and zh-TW
# What a name follows that is counted, possessed or quoted already.
BOUND = re.compile(
    r"(?:\b(?:the|an?|my|our|your|his|her|their|this|that|each|every|any|some|no|of|one|two|three"
    r"|four|five|six|seven|eight|nine|ten)|[\"'「《〈(:：\d]|[一二兩三四五六七八九十個的])\s*$",
    re.IGNORECASE,
)
OPEN = re.compile(r"[\s,.?!，。？！、]")  # what may follow in English, so "'s" and "-based" don't


@functools.cache
def forms(of: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words around a name of a list, in English and in zh-TW; `{}` is the name."""
    for entry in read_yaml("around.yaml"):
        if of in entry["lists"]:
            return tuple(entry["en"]), tuple(entry["zh"])
    return (), ()


def around(draw: Draw, before: str, after: str, scene: Scene) -> str:
    """The words of a draw, now and then with more around them.

    Args:
        draw: the value and its words.
        before: the question's own words before it; "" where a value or nothing stands there.
        after: those behind it, likewise.
        scene: language and dice.
    """
    options = forms(draw.of)[scene.zh] if draw.of else ()
    if not options or not before.strip() or not after.strip() or bare(draw.text) != draw.value:
        return draw.text
    if BOUND.search(before) or not (scene.zh or OPEN.match(after)):
        return draw.text
    if scene.rng.random() >= SHARES[scene.zh]:
        return draw.text
    if any(_said(form, before, after) for form in options):
        return draw.text
    return options[scene.rng.randrange(len(options))].format(draw.value)


def _said(form: str, before: str, after: str) -> bool:
    """Whether the question's own words say what the form adds."""
    near = (before[-30:] + " " + after[:30]).lower()
    if form.isascii():
        nouns = [word.strip("'\"") for word in form.lower().split()]
        return any(len(noun) > 3 and noun.rstrip("s") in near for noun in nouns)
    head, _, tail = form.partition("{}")
    return any(sign in near for sign in (head + tail) if sign not in "這個的一")
