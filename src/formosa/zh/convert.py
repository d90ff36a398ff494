"""Which script a text is in, and Simplified Chinese as Taiwan would write it.

    script_of("这个软件")        "simplified"
    to_taiwan("这个软件")        Conversion(text="這個軟件", changes=3)

**Script first.** `script_of` counts the characters that only one of the scripts writes (see
`script.py`), in prose: what a text quotes is left out as in `purity.py`, and so is Japanese.
A text with Han characters that both scripts share and no evidence (皇后在台上) is called
"traditional": nothing in it asks for a conversion, and a wrong one is worse than none.

**Traditional text is never converted.** OpenCC reads its input as Simplified and so damages what
is Traditional already: 范先生 becomes 範先生, 里長 裡長, 公布 公佈, 遠征 遠徵. So

- a text with Traditional characters only, or without evidence, comes back as it is;
- a Simplified text is converted whole;
- in a mixed text each sentence goes by its own evidence. In a sentence that is mixed itself, only
  the Simplified-only characters are replaced, in place, and no other one is touched;
- a mixed text that speaks of scripts (簡體, 繁體) shows both on purpose, and stays.

**What OpenCC gets wrong** is put right afterwards, and only in what was converted:
`data/conversion_repairs.tsv` lists some 170 words that OpenCC 1.4.2 writes wrongly (只 as
隻 in 最多只有, 了 as 瞭 in 演示了如何, 發 as 髮 in 延長發明, names such as 范 and 余), each with a
text that shows it. Of 2.4 million Han characters of Taiwanese text that were made Simplified and
converted back, 7,413 differed from the original without these repairs and 5,561 with them; half of
these are a choice that Taiwan leaves open (臺 and 台, 計劃 and 計畫, 佔 and 占).

The default configuration is s2tw, which changes characters. s2twp changes words as well, without a
look at the sentence: 支持率 becomes 支援率, 生命的循環 生命的迴圈, 加拉比特 加拉位元. The words of
`vocabulary.py` know their neighbours and are the better way.

Left alone: code, addresses, tool calls and results in tags, Japanese, placeholders in braces, and
the keys of JSON. Needs the package opencc, which is imported when it is needed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

from formosa.errors import UserError
from formosa.zh.purity import QUOTED, prose
from formosa.zh.script import (
    count_han,
    find_japanese,
    find_simplified,
    find_traditional,
    simplified_only,
    without_japanese,
)

if TYPE_CHECKING:
    from opencc import OpenCC

Script = Literal["traditional", "simplified", "mixed", "none"]

_KEPT = re.compile(
    rf"{QUOTED.pattern}"
    r"|\$?\{\{?[\w\- .]{1,40}\}?\}"  # {name}, {{name}}, ${name}
    r'|(?<=[{,\s])"[^"\n]{1,80}"(?=\s*:)'  # a key of JSON
    "|[\ud800-\udfff]",  # half a character: OpenCC takes none
    re.DOTALL,
)
_SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;\n」』”’）)]*|[。！？!?；;\n]+")
_SPEAKS_OF_SCRIPTS = re.compile(
    "[簡简][體体]|[簡简]化字|[簡简]中|繁[體体]|正[體体](?:字|中文)|simplified chinese",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A text after a rule, and how often the rule changed something.

    Attributes:
        changes: characters that are others now; where words of another length came in, of the
            words that changed. 0 means that the text is the one that went in.
    """

    text: str
    changes: int


@dataclass(frozen=True, slots=True)
class Repair:
    """A word that OpenCC writes wrongly.

    Attributes:
        wrong, right: as OpenCC writes it, and as it is written in Taiwan.
        only_after, only_before: characters; if given, it is repaired only beside one of them.
        not_after, not_before: characters; beside one of them it is another word.
        example: Simplified text in which OpenCC writes `wrong`.
    """

    wrong: str
    right: str
    only_after: str
    only_before: str
    not_after: str
    not_before: str
    example: str


def script_of(text: str) -> Script:
    """The script of a text's prose; "none" where it has no Han characters."""
    text = without_japanese(prose(text))
    if find_simplified(text):
        return "mixed" if find_traditional(text) else "simplified"
    return "traditional" if count_han(text) else "none"


def speaks_of_scripts(text: str) -> bool:
    """Whether the text mentions Simplified or Traditional Chinese as such."""
    return bool(_SPEAKS_OF_SCRIPTS.search(text))


def to_taiwan(text: str, *, converter: str = "s2tw", script: Script | None = None) -> Conversion:
    """`text` in Traditional Chinese as Taiwan writes it; Traditional text as it is.

    Args:
        text: prose, with whatever it quotes.
        converter: OpenCC's configuration, `s2tw` or `s2twp`.
        script: what the text is known to be in, as part of a longer one: 皇后 in a Simplified
            conversation is Simplified. Told by the text itself if not given.

    Raises:
        UserError: opencc is needed and not installed.
    """
    script = script or script_of(text)
    if script not in ("simplified", "mixed"):
        return Conversion(text, 0)
    if script == "mixed" and speaks_of_scripts(text):
        return Conversion(text, 0)
    parts: list[str] = []
    changes = 0
    for piece, free in pieces(text):
        if not free or not count_han(piece):
            parts.append(piece)
            continue
        for unit in [piece] if script == "simplified" else _SENTENCE.findall(piece):
            made = _whole(unit, converter) if script == "simplified" else _one(unit, converter)
            parts.append(made)
            changes += _difference(unit, made)
    return Conversion("".join(parts), changes)


def pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is prose that a rule may change."""
    spans = [match.span() for match in _KEPT.finditer(text)]
    spans = sorted([*spans, *find_japanese(text)])
    end = 0
    for start, stop in spans:
        if start > end:
            yield text[end:start], True
        if stop > end:
            yield text[max(start, end) : stop], False
            end = stop
    if end < len(text):
        yield text[end:], True


@functools.cache
def repairs() -> tuple[Repair, ...]:
    """The whole list, in the order of its file."""
    path = resources.files("formosa.zh").joinpath("data/conversion_repairs.tsv")
    rows = (line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    return tuple(Repair(*row.split("\t")) for row in rows if row)


def _one(sentence: str, converter: str) -> str:
    """A sentence of a mixed text."""
    if not find_simplified(sentence):
        return sentence
    if not find_traditional(sentence):
        return _whole(sentence, converter)
    # All in Simplified first: OpenCC knows 头发, and nothing like 頭发.
    made = _whole(_opencc("t2s").convert(sentence), "s2tw")
    if len(made) != len(sentence):
        return sentence
    table = simplified_only()
    return "".join(
        after if before in table else before for before, after in zip(sentence, made, strict=True)
    )


def _whole(text: str, converter: str) -> str:
    pattern, right = _repairs()
    return pattern.sub(lambda match: right[match.group()], _opencc(converter).convert(text))


def _difference(before: str, after: str) -> int:
    if before == after:
        return 0
    if len(before) == len(after):
        return sum(a != b for a, b in zip(before, after, strict=True))
    return max(1, len(find_simplified(before)) + abs(len(before) - len(after)))


@functools.cache
def _repairs() -> tuple[re.Pattern[str], Mapping[str, str]]:
    """A pattern that finds what is wrong, and what is right instead."""
    forms = []
    for row in sorted(repairs(), key=lambda repair: -len(repair.wrong)):
        after = f"(?=[{row.only_before}])" if row.only_before else ""
        after += f"(?![{row.not_before}])" if row.not_before else ""
        # Looking behind comes last: a pattern that begins with a letter is much faster.
        before = f"(?<=[{row.only_after}]{row.wrong})" if row.only_after else ""
        before += f"(?<![{row.not_after}]{row.wrong})" if row.not_after else ""
        forms.append(row.wrong + after + before)
    return re.compile("|".join(forms)), {row.wrong: row.right for row in repairs()}


@functools.cache
def _opencc(converter: str) -> OpenCC:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise UserError(
            "Converting Simplified Chinese needs the package opencc.",
            "pip install 'formosa-lm[data]'",
        ) from error
    return OpenCC(converter)
