"""Words of mainland China, and what Taiwan says instead.

The list is `data/mainland_terms.tsv`: some 250 words that a reader in Taiwan notices at once,
mostly of computing, with places, people and daily life. It is a measure and not a dictionary; a
word is in it only if finding it means something.

**Left out** are words that are good in Taiwan in another sense, since no list can tell the senses
apart: 質量 (the mass of a body), 程序 (a procedure), 數據 and 數字 (figures), 水平 (horizontal),
項目 (an item), 菜單 (of a restaurant), 對象 (a partner), 土豆 (a peanut), 窗口 (who is in charge),
指針 (of a clock), 隊列 (of soldiers), 接口 (of pipes), 登錄 and 註銷 (in a register), 設置 (to set
up), 搜索 (of the police), 高考 (an examination of officials), 渠道 (a canal), 反饋 (in control
theory), 地鐵 (of other countries), 智能 (智能障礙), 信號, 代碼, 文本, 合同, 音頻, 沙特; besides,
優化, 數據集, 枚舉, 點擊 and 顏值, which Taiwan took over; 存儲 and 複印, which its laws write.
Where a longer word has one sense only, that word is in the list instead: 數據庫, 高質量, 默認值,
應用程序.

**Boundaries.** Chinese has no spaces: 電視頻道 is no 視頻, 相信息息相關 no 信息. A word says which
characters may not stand right before and right after it. That removes what we could think of, not
all: one word in a long text proves nothing, a share of them does.

Each word is found in both scripts, and named in Traditional characters. Words found do not overlap;
the longest one counts (數據庫 in 關係數據庫). Knows words. Knows nothing of sentences.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Term:
    """A word of the mainland.

    Attributes:
        traditional: the word in Traditional characters, by which it is named.
        simplified: the same in Simplified ones; may be equal.
        taiwan: what Taiwan says.
        not_after: characters; right after one of them this is not the word.
        not_before: characters; right before one of them this is not the word.
        note: the reason for these, or for the absence of a shorter word.
    """

    traditional: str
    simplified: str
    taiwan: str
    not_after: str = ""
    not_before: str = ""
    note: str = ""


@functools.cache
def terms() -> tuple[Term, ...]:
    """The whole list, in the order of its file."""
    text = resources.files("formosa.zh").joinpath("data/mainland_terms.tsv").read_text("utf-8")
    rows = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Term(*row.split("\t")) for row in rows)


def find_terms(text: str) -> tuple[str, ...]:
    """Every mainland word in `text`, in order, repeated as it is repeated, in Traditional."""
    pattern, names = _compiled()
    return tuple(names[found] for found in pattern.findall(text))


def replace_terms(text: str) -> tuple[str, int]:
    """`text` with what Taiwan says for every mainland word, and how many words that were."""
    pattern, names = _compiled()
    taiwan = _taiwan()
    return pattern.subn(lambda match: taiwan[names[match.group()]], text)


@functools.cache
def _taiwan() -> Mapping[str, str]:
    return {term.traditional: term.taiwan for term in terms()}


@functools.cache
def _compiled() -> tuple[re.Pattern[str], Mapping[str, str]]:
    names: dict[str, str] = {}
    forms: dict[str, str] = {}
    for term in terms():
        for word in {term.traditional, term.simplified}:
            names[word] = term.traditional
            # The look behind comes last, so that a pattern begins with a letter: `re` then skips
            # to the next place where some word can begin, which is twenty times faster.
            before = f"(?<![{term.not_after}]{word})" if term.not_after else ""
            after = f"(?![{term.not_before}])" if term.not_before else ""
            forms[word] = word + after + before
    longest_first = sorted(forms, key=lambda word: (-len(word), word))
    return re.compile("|".join(forms[word] for word in longest_first)), names
