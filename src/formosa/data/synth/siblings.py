"""Questions that want several tools of a family: the same values once, for all of them.

shared    "Find the area and the circumference of a circle of 5 cm"      a call of each tool
crossed   "… of two circles of 5 and 8 cm"                               of each, for each value
apart     "Find the area of a circle of 5 cm, and the circumference of one of 8 cm"
also      "Find the area of a circle of 5 cm. I need the circumference, too."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from formosa.data.synth.asking import ENDINGS, Asked, ask, joined, pieces
from formosa.data.synth.families import Family, wanting
from formosa.data.synth.slots import RETRIES, Draw, Scene, join_words
from formosa.data.synth.specs import ToolSpec
from formosa.data.synth.wording import choose, holes, parse_wording

FORMS = ("shared",) * 3 + ("crossed",) + ("apart",) * 3 + ("also",)
MOST = 3  # values of a crossed question


def ask_siblings(
    specs: Sequence[ToolSpec], scene: Scene, also: Sequence[str], *, held_out: bool
) -> tuple[str, list[Asked]]:
    """One question, and what it asks of each tool.

    Args:
        specs: two or more tools of one family, in the order in which they are named.
        scene: language and dice.
        also: sentences that want `{it}` for what was said before.
        held_out: the split, for the ways of asking.

    Raises:
        ValueError: they are of no family.
    """
    family = specs[0].family
    if family is None:
        raise ValueError(f"{specs[0].name} is of no family")
    form = FORMS[scene.rng.randrange(len(FORMS))]
    if form == "apart":
        return _apart(specs, family, scene, held_out)
    if form == "also":
        return _also(specs, family, scene, also, held_out)
    return _together(specs, family, scene, held_out, crossed=form == "crossed")


def _together(
    specs: Sequence[ToolSpec], family: Family, scene: Scene, held_out: bool, *, crossed: bool
) -> tuple[str, list[Asked]]:
    ways = family.wordings(scene.language, held_out=held_out)
    way = ways[scene.rng.randrange(len(ways))]
    wanted = [family.asks[spec.name][scene.zh] for spec in specs]
    required = list(dict.fromkeys(name for spec in specs for name in spec.required))
    parts = choose(wanting(way, wanted, zh=scene.zh), scene.rng, required=required, optional=0.4)
    every = {item.name: spec for spec in specs for item in spec.parameters}
    draws: dict[str, Draw] = {}
    varied: list[Draw] = []
    slot = every[family.vary].parameter(family.vary).slot if crossed else None
    if slot is not None and family.vary in holes(way):
        count = 2 + (scene.rng.random() < 0.2 and len(specs) < MOST)
        for _ in range(count + RETRIES):
            draw = slot.draw(scene)
            if len(varied) < count and all(draw.value != other.value for other in varied):
                varied.append(draw)
        words = join_words([draw.text for draw in varied], zh=scene.zh)
        draws[family.vary] = Draw(None, words)
    text = joined(pieces(every, parts, scene, draws), scene)
    literal = isinstance(parts[0], str)
    each = [{**draws, family.vary: value} for value in varied] or [draws]
    return text, [
        Asked(spec, text, _own(spec, settled), literal) for settled in each for spec in specs
    ]


def _own(spec: ToolSpec, draws: Mapping[str, Draw]) -> dict[str, Draw]:
    """Those of the tool's own parameters."""
    own = {item.name for item in spec.parameters}
    return {name: draw for name, draw in draws.items() if name in own}


def _apart(
    specs: Sequence[ToolSpec], family: Family, scene: Scene, held_out: bool
) -> tuple[str, list[Asked]]:
    """A whole question for the first, and short ones for the others."""
    first = specs[0]
    asked = [ask(first, scene, first.wordings(scene.language, held_out=held_out), optional=0.2)]
    text = asked[0].text.rstrip(ENDINGS)
    ending = asked[0].text[len(text) :] or ("。" if scene.zh else ".")
    other = family.other[scene.zh]
    for spec in specs[1:]:
        way = wanting(other, [family.asks[spec.name][scene.zh]], zh=scene.zh)
        new = set(holes(way))
        kept = {name: draw for name, draw in asked[0].draws.items() if name not in new}
        following = ask(spec, scene, [way], fixed=_own(spec, kept))
        asked.append(following)
        words = following.text
        if following.literal_start and not scene.zh:
            words = words[:1].lower() + words[1:]
        text += ("，" if scene.zh else ", ") + words
    return text + ending, asked


def _also(
    specs: Sequence[ToolSpec],
    family: Family,
    scene: Scene,
    also: Sequence[str],
    held_out: bool,
) -> tuple[str, list[Asked]]:
    """A whole question for the first, and a sentence that wants the rest of the same."""
    first, *others = specs
    asked = [ask(first, scene, first.wordings(scene.language, held_out=held_out), optional=0.2)]
    sentence = parse_wording(also[scene.rng.randrange(len(also))])
    wanted = [family.asks[spec.name][scene.zh] for spec in others]
    every = {item.name: spec for spec in others for item in spec.parameters}
    draws = dict(asked[0].draws)
    parts = choose(wanting(sentence, wanted, zh=scene.zh), scene.rng, required=tuple(every))
    added = joined(pieces(every, parts, scene, draws), scene)
    asked += [Asked(spec, added, _own(spec, draws)) for spec in others]
    return asked[0].text + ("" if scene.zh else " ") + added, asked
