"""Families: tools that take the same values and tell different things of them.

    - family: circle_measures
      parameters:                       # of all its tools, written as in `domains/`
        radius: num 1..60 step 0.5 | Radius in cm | 半徑（公分）
        density: num 0.5..9 step 0.5 | Density in g/cm³ | 密度（公克/立方公分）
      tools:     # what is asked for | in zh-TW | does | in zh-TW | doc | in zh-TW
        circle_area: the area | 面積 | compute areas | 計算面積 | Area of a circle | 計算圓面積
        disc_weight: the weight at {density} g/cm³ | 密度{density}公克/立方公分時的重量 | …
      en: ["What is {it} of a circle with a radius of {radius} cm?", …]
      zh: ["半徑{radius}公分的圓，{it}是多少？", …]
      other: and {it} of one of {radius} cm | 還有半徑{radius}公分的{it}
      vary: radius

Each of its tools is a tool of the catalogue, with its own words in place of `{it}`. A parameter
that only the words of some tools name belongs to those alone. What a family adds: a question may
want "the area and the circumference", which is two calls with the same values, of both of two
circles, which is four, or the area of one circle and the circumference of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formosa.data.synth.slots import separators
from formosa.data.synth.wording import Hole, Maybe, OneOf, Part, Wording, holes, parse_wording

IT = Hole("it")
FIELDS = {"family", "parameters", "tools", "en", "zh", "other", "vary"}
COLUMNS = 6  # of a tool's line


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """What the tools of a family share. Wordings have `{it}` where what is wanted is named."""

    name: str
    en: tuple[Wording, ...]
    zh: tuple[Wording, ...]
    other: tuple[Wording, Wording]
    vary: str
    asks: Mapping[str, tuple[Wording, Wording]]  # by the tool's name

    def wordings(self, language: str, *, held_out: bool) -> tuple[Wording, ...]:
        """The ways of asking of one split, as `ToolSpec.wordings` splits them."""
        ways = self.zh if language == "zh-TW" else self.en
        return ways[-1:] if held_out else ways[:-1]


def read_family(entry: Mapping[str, Any]) -> tuple[Family, list[dict[str, Any]]]:
    """A family, and its tools as entries of a catalogue file.

    Raises:
        ValueError: it contradicts itself; the sentence begins with the family's name.
    """
    try:
        return _read_family(entry)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"family {entry.get('family')}: {error}") from error


def _read_family(entry: Mapping[str, Any]) -> tuple[Family, list[dict[str, Any]]]:
    if set(entry) != FIELDS:
        raise ValueError(f"the fields are {sorted(FIELDS)}, not {sorted(entry)}")
    lines: dict[str, list[str]] = {}
    for name, text in entry["tools"].items():
        lines[name] = [part.strip() for part in text.split(" | ")]
        if len(lines[name]) != COLUMNS:
            raise ValueError(f"{name} has {len(lines[name])} columns instead of {COLUMNS}")
    if len(lines) < 2:
        raise ValueError("needs two tools")
    ways = {
        language: [parse_wording(text) for text in entry[language]] for language in ("en", "zh")
    }
    others = [text.strip() for text in entry["other"].split(" | ")]
    for way in (*ways["en"], *ways["zh"], *map(parse_wording, others)):
        if list(holes(way)).count("it") != 1:
            raise ValueError("every way of asking has {it} once")
    asks = {name: (parse_wording(line[0]), parse_wording(line[1])) for name, line in lines.items()}
    other = (parse_wording(others[0]), parse_wording(others[1]))
    family = Family(
        entry["family"], tuple(ways["en"]), tuple(ways["zh"]), other, entry["vary"], asks
    )
    shared = {name for way in (*ways["en"], *ways["zh"]) for name in holes(way)}
    owned = {
        tool: {name for ask in pair for name in holes(ask)} - shared for tool, pair in asks.items()
    }
    tools = []
    for name, line in lines.items():
        foreign = set().union(*(owned[tool] for tool in owned if tool != name)) - owned[name]
        more = " | ".join(text.replace("{it}", line[i]) for i, text in enumerate(others))
        tools.append(
            {
                "name": name,
                "does": f"{line[2]} | {line[3]}",
                "doc": f"{line[4]} | {line[5]}",
                "parameters": {
                    key: text
                    for key, text in entry["parameters"].items()
                    if key.partition("=")[0].rstrip("?") not in foreign
                },
                "en": [text.replace("{it}", line[0]) for text in entry["en"]],
                "zh": [text.replace("{it}", line[1]) for text in entry["zh"]],
                "vary": entry["vary"],
                "more": more,
            }
        )
    return family, tools


def wanting(wording: Wording, wanted: Sequence[Wording], *, zh: bool) -> Wording:
    """The wording with "the area and the circumference" in place of `{it}`."""
    return tuple(_filled(wording, _listed(wanted, zh)))


def _listed(wanted: Sequence[Wording], zh: bool) -> Wording:
    parts: list[Part] = []
    for words, between in zip(wanted, separators(len(wanted), zh=zh), strict=True):
        parts += [*words, between]
    return tuple(parts[:-1])


def _filled(wording: Wording, words: Wording) -> Iterator[Part]:
    for part in wording:
        if part == IT:
            yield from words
        elif isinstance(part, Maybe):
            yield Maybe(tuple(_filled(part.parts, words)))
        elif isinstance(part, OneOf):
            yield OneOf(tuple(tuple(_filled(option, words)) for option in part.options))
        else:
            yield part
