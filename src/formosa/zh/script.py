"""Characters that only Simplified Chinese writes.

The table is made from OpenCC's dictionaries by rules that a test holds: `data/simplified_only.txt`
names origin and licence. Characters that both scripts write are not in it, however often the
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
    text = resources.files("formosa.zh").joinpath("data/simplified_only.txt").read_text("utf-8")
    rows = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset("".join(rows))


def count_han(text: str) -> int:
    return sum(map(len, _HAN.findall(text)))


def find_simplified(text: str) -> list[str]:
    """Every Simplified-only character of `text`, in order, repeated as it is repeated."""
    return _simplified().findall(text)


def without_japanese(text: str) -> str:
    """`text` with a space for each run of Han characters and kana that has two kana or more."""
    if not _ANY_KANA.search(text):
        return text
    return _RUN.sub(
        lambda run: " " if len(_ANY_KANA.findall(run.group())) > 1 else run.group(), text
    )


@functools.cache
def _simplified() -> re.Pattern[str]:
    return re.compile(f"[{''.join(sorted(simplified_only()))}]")
