"""Characters that only Simplified Chinese writes, and those that only Traditional Chinese does.

The tables are made from OpenCC's dictionaries by rules that a test holds; `data/*_only.txt` name
origin and licence. Characters that both scripts write are not in it, however often the
mainland uses them: 台 里 干 后 云 只 面 松 are words of their own in Traditional text. So a count
is a lower bound: every character found is Simplified, and some Simplified text (`皇后里面`) has
none.

Japan shortened many characters in the same way (国 学 会), so Japanese is not Simplified Chinese:
a run of characters with two or more kana in it (`日本語の学校へ`) is left out. One kana alone is
decoration in Taiwan (`鮮の味`), and the characters beside it count.

Knows characters, one by one. Knows no words.
"""

from __future__ import annotations

import functools
import re
from importlib import resources

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""The ranges of Han characters, for a character class of `re`. Without marks such as 々 and 〇."""

_KANA = "\u3041-\u3096\u30a1-\u30fa"
_HAN = re.compile(f"[{HAN}]+")
_ANY_KANA = re.compile(f"[{_KANA}]")
_RUN = re.compile(f"[{HAN}{_KANA}\u30fc\u3005]+")


@functools.cache
def simplified_only() -> frozenset[str]:
    """All of them, about 2,600."""
    return _table("simplified_only.txt")


@functools.cache
def traditional_only() -> frozenset[str]:
    """All of them, about 3,100. 乾 著 徵 are none: 乾隆, 著名 and 宫商角徵羽 are Simplified too."""
    return _table("traditional_only.txt")


def count_han(text: str) -> int:
    return sum(map(len, _HAN.findall(text)))


def find_simplified(text: str) -> list[str]:
    """Every Simplified-only character of `text`, in order, repeated as it is repeated."""
    return _simplified().findall(text)


def find_traditional(text: str) -> list[str]:
    """Every Traditional-only character of `text`, in order, repeated as it is repeated."""
    return _traditional().findall(text)


def find_japanese(text: str) -> list[tuple[int, int]]:
    """Where the runs of Han characters and kana with two kana or more begin and end."""
    if not _ANY_KANA.search(text):
        return []
    return [run.span() for run in _RUN.finditer(text) if len(_ANY_KANA.findall(run.group())) > 1]


def without_japanese(text: str) -> str:
    """`text` with a space for each run of Han characters and kana that has two kana or more."""
    parts, end = [], 0
    for start, stop in find_japanese(text):
        parts.append(text[end:start])
        end = stop
    return " ".join([*parts, text[end:]])


@functools.cache
def _simplified() -> re.Pattern[str]:
    return re.compile(f"[{''.join(sorted(simplified_only()))}]")


@functools.cache
def _traditional() -> re.Pattern[str]:
    return re.compile(f"[{''.join(sorted(traditional_only()))}]")


def _table(name: str) -> frozenset[str]:
    text = resources.files("formosa.zh").joinpath(f"data/{name}").read_text("utf-8")
    rows = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset("".join(rows))
