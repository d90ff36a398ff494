"""The answer in a reply to a question of mathematics.

The last `\\boxed{…}` that is closed and not empty counts: models try things in boxes before they
are done. Without one, what stands behind the last words that announce an answer, up to the end of
its line. Nothing else: not the last number of the text, which is right often enough by chance to
hide that a model does not follow the format.

Knows LaTeX's braces. Knows nothing of what expressions mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 500  # characters; what is longer is no answer


class Found(NamedTuple):
    """The answer, or None; and where it stood, or why there is none."""

    answer: str | None
    where: str


_BOX = re.compile(r"\\f?box(?:ed)?\s{0,3}\{")
_ANNOUNCED = re.compile(
    r"(?:final answer is|answer is|answer:|答案是|答案為|答案为|答案：|答案:|####)[\s:：]{0,5}",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\s{0,5}I hope it is correct.*$", re.IGNORECASE)
_PLACEHOLDER = "ANSWER"  # stands in the prompt: a reply that repeats it has answered nothing


def find_answer(text: str) -> Found:
    """The answer that a reply gives."""
    for start, end in reversed(_boxes(text)):
        # One is cut here, so that many boxes in each other don't take quadratic time.
        box = text[start : min(end, start + LONGEST + 1)]
        if box.strip() not in ("", _PLACEHOLDER):
            return _checked(box, "the last box")
    for start in reversed([match.end() for match in _ANNOUNCED.finditer(text)]):
        line = text[start : start + 2 * LONGEST].split("\n", 1)[0]
        answer = _bare(_AFTER.sub("", line))
        if answer and answer != _PLACEHOLDER:
            return _checked(answer, "what is announced as the answer")
    return Found(None, "there is no closed box with an answer, and no words announce one")


def boxed(text: str) -> Iterator[str]:
    """What stands in each `\\boxed{…}` that is closed, in the order in which they open."""
    for start, end in _boxes(text):
        yield text[start:end]


def _boxes(text: str) -> list[tuple[int, int]]:
    """Where the content of each closed box begins and ends."""
    close = _closing_braces(text)
    starts = [match.end() for match in _BOX.finditer(text)]
    return [(start, close[start - 1]) for start in starts if start - 1 in close]


def _closing_braces(text: str) -> dict[int, int]:
    """Place of each `{` that is closed → place of its `}`. `\\{` and `\\}` are no braces."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match.group() == "{":
            opened.append(match.start())
        elif match.group() == "}" and opened:
            pairs[opened.pop()] = match.start()
    return pairs


def _checked(answer: str, where: str) -> Found:
    if len(answer) > LONGEST:
        return Found(None, f"{where} has more than {LONGEST} characters")
    return Found(_unbraced(answer), where)


def _unbraced(answer: str) -> str:
    """`{5}` as `5`: to math-verify, braces around an interval or a word make it another thing."""
    answer = answer.strip()
    while answer.startswith("{") and _closing_braces(answer).get(0) == len(answer) - 1:
        answer = answer[1:-1].strip()
    return answer


def _bare(words: str) -> str:
    """Without the dollars, stars and full stop around an answer in a sentence."""
    words = words.strip().rstrip(".。 ").strip("*").strip().rstrip(".。 ")
    for before, after in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if words.startswith(before) and words.endswith(after) and len(words) > len(before) * 2:
            words = words[len(before) : -len(after)]
    return words.strip()


def plain(answer: str) -> str:
    """The answer without what does not change its meaning: blanks, `\\left`, dollars.

    Two answers that are equal so are equal; others may be, too.
    """
    for word, same in (
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\,", ""),
        ("\\ ", ""),
        ("\\$", ""),
        ("$", ""),
        ("dfrac", "frac"),
        ("tfrac", "frac"),
    ):
        answer = answer.replace(word, same)
    return re.sub(r"\s+", "", answer).rstrip(".")


_WHOLE = re.compile(r"-?\d{1,3}(?:,\d{3})+|-?\d+")


def whole_number(answer: str) -> int | None:
    """The integer that the answer is, if it is nothing else; `1,000` is a thousand."""
    text = plain(answer)
    if len(text) <= 40 and text.isascii() and _WHOLE.fullmatch(text):
        return int(text.replace(",", ""))
    return None
