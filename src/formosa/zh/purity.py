"""How much of a text is Simplified Chinese, and how much mainland vocabulary.

    purity = measure(reply)
    purity.simplified_share, purity.mainland_share, purity.mainland_terms

**What is counted** is prose: `prose(text)` leaves out what a text quotes rather than says, which is

- code in ``` fences (also one that was never closed, as in a reply that was cut) and in single
  backticks: identifiers, paths and output that has to stay as it is;
- addresses (https://…), up to the first character that is not ASCII;
- tool calls and tool responses in their tags (`<tool_call>…`), since arguments repeat what a schema
  or another party wrote.

JSON outside of a fence or tag counts: a model asked to answer in JSON chose its words. Words in
「…」 count as well; a text that explains mainland words is rare, and one that uses them with marks
is not. Japanese does not count (see `script.py`). Whoever wants everything counted passes
`quoted=True`.

Both shares are of the Han characters that were counted, so that 視頻 in ten characters is 0.2, and
both are lower bounds. A text without Han characters has the share 0 of both: English is pure.

Pure and linear: some 100 MB a minute on one core. Knows nothing of where the text came from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from formosa.zh.script import count_han, find_simplified, without_japanese
from formosa.zh.vocabulary import find_terms

QUOTED = re.compile(
    r"```.*?(?:```|\Z)"
    r"|`[^`\n]+`"
    r"|https?://[!-~]+"
    r"|<(?P<tag>tool_call|tool_response|tools)>.*?(?:</(?P=tag)>|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Purity:
    """What was counted in one text, or in several added up.

    Attributes:
        han: Han characters.
        simplified_only: those of them that only Simplified Chinese writes.
        mainland_terms: the words found, in order, in Traditional characters; repeated as found.
    """

    han: int = 0
    simplified_only: int = 0
    mainland_terms: tuple[str, ...] = ()

    @property
    def simplified_share(self) -> float:
        """Of 1: Simplified-only characters among the Han characters."""
        return self.simplified_only / self.han if self.han else 0.0

    @property
    def mainland_han(self) -> int:
        """How many Han characters are in mainland words."""
        return sum(map(count_han, self.mainland_terms))

    @property
    def mainland_share(self) -> float:
        """Of 1: Han characters in mainland words among the Han characters."""
        return self.mainland_han / self.han if self.han else 0.0

    @property
    def pure(self) -> bool:
        """Whether nothing was found."""
        return not self.simplified_only and not self.mainland_terms

    def __add__(self, other: Purity) -> Purity:
        return total((self, other))


def measure(text: str, *, quoted: bool = False) -> Purity:
    """Count `text`; with `quoted`, code, addresses and tool calls as well."""
    text = without_japanese(text if quoted else prose(text))
    return Purity(count_han(text), len(find_simplified(text)), find_terms(text))


def total(parts: Iterable[Purity]) -> Purity:
    """The counts of all parts together; a long text weighs more than a short one."""
    han = simplified = 0
    words: list[str] = []
    for part in parts:
        han += part.han
        simplified += part.simplified_only
        words += part.mainland_terms
    return Purity(han, simplified, tuple(words))


def prose(text: str) -> str:
    """`text` with a line break in place of all that it quotes: see above."""
    return QUOTED.sub("\n", text)
