"""Find the chosen letter in free text: two readings, `box` and `pattern`.

`box` trusts only `\\box{B}` or `\\boxed{B}`; the last one counts. `pattern` also takes what people
write. Its forms have three ranks, and the last place of the best rank that occurs counts:

    1. the answer is announced    答案是 B · 故選 B · The answer is (B) · Answer: B · a box
    2. an option is judged        選項 B 正確 · B is the correct answer
    3. a line of its own          B · (b) · B. 臺北 (unless several options are listed so)

Neither ever takes just any capital letter.

Tolerated: full-width letters and punctuation, spaces, `\\text{}` and its kin, `$`, bold, brackets,
lower case where the letter stands alone (in a box, brackets or at the end of a line), the option's
text after the letter, traditional and simplified Chinese. Not tolerated: two letters (`答案是 A 或
B`), a negation (`答案不是 A`), a letter that no option has, a box that was never closed.

Knows text and letters. Knows nothing of which answer is right.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple


class Reading(NamedTuple):
    """The letter that was read, or None; and the words it was read from, or why nothing was."""

    letter: str | None
    where: str


# What stands in the instruction itself: a reply that only repeats it has chosen nothing.
_PLACEHOLDERS = {"選項", "选项", "答案", "option", "options", "letter", "answer", "choice", "…", ""}
# The backslash may be missing or doubled: JSON and Markdown eat and multiply them.
_BOX = re.compile(r"(?<![A-Za-z])\\{0,4}f?box(?:ed)? ?\{", re.IGNORECASE)
_LONGEST_BOX = 500  # characters; more than that is no option
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|rm|bf)\b\s*")
_DECORATION = re.compile(r"[{}$*_`\"'“”‘’「」『』【】\[\]()\s]+")
_MARKS = re.compile(r"[*_`\"“”「」『』【】\[\]()$]")
_EVIDENCE = 60  # characters of the text that a reading quotes


@functools.lru_cache(maxsize=8)  # both readings of a reply begin so
def _normal(text: str) -> str:
    """Full-width forms as ASCII, runs of spaces as one, empty lines away.

    The patterns below allow a few spaces between words, not any number: every place of a long run
    of them would be tried as the beginning of a match, which is quadratic work.
    """
    text = re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFKC", text))
    return re.sub(r" ?\n\s*", "\n", text).strip()


def read_box(text: str, letters: str) -> Reading:
    """The letter in the last box of `text`; `letters` are those of the options, as in `ABCD`."""
    boxes = [box for box in _boxes(_normal(text)) if not box.empty]
    if not boxes:
        return Reading(None, r"there is no closed \box{…} with an answer")
    letter = boxes[-1].letter(letters)
    if letter is None:
        return Reading(None, f"the last box holds no single letter of {letters}: {boxes[-1].quote}")
    return Reading(letter, boxes[-1].quote)


def read_pattern(text: str, letters: str) -> Reading:
    """The letter where `text` announces its answer; `letters` as for `read_box`."""
    text = _normal(text)
    announced = [
        (box.start, Reading(letter, box.quote))
        for box in _boxes(text)
        if (letter := box.letter(letters))
    ]
    announced += _matches(_announcements(letters), text)
    if found := announced or list(_matches(_judgements(letters), text)):
        return max(found, key=lambda place: place[0])[1]
    return _own_line(text, letters) or Reading(None, "no words announce an answer")


class _Box(NamedTuple):
    start: int
    whole: str
    inside: str

    @property
    def bare(self) -> str:
        return _DECORATION.sub(" ", _WRAPPER.sub("", self.inside)).strip()

    @property
    def empty(self) -> bool:
        return self.bare.lower() in _PLACEHOLDERS

    @property
    def quote(self) -> str:
        return _quote(self.whole)

    def letter(self, letters: str) -> str | None:
        """The letter of `B`, `b`, `(B)`, `\\text{B}`, `B. 臺北`, `選項 B`; None for all else."""
        match = _boxed(letters).fullmatch(self.bare)
        return match["letter"].upper() if match else None


def _boxes(text: str) -> Iterator[_Box]:
    """Every box that is closed; braces in it may be nested. One pass over the braces."""
    closing: dict[int, int] = {}
    still_open: list[int] = []
    for brace in re.finditer("[{}]", text):
        if brace.group() == "{":
            still_open.append(brace.start())
        elif still_open:
            closing[still_open.pop()] = brace.start()
    for match in _BOX.finditer(text):
        close = closing.get(match.end() - 1)
        if close is not None and close - match.end() <= _LONGEST_BOX:
            inside = text[match.end() : close]
            yield _Box(match.start(), text[match.start() : close + 1], inside)


def _matches(patterns: tuple[re.Pattern[str], ...], text: str) -> Iterator[tuple[int, Reading]]:
    # `**B**`, `(B)` and `「B」` say no more than B. One mark becomes one space: positions stay.
    plain = _MARKS.sub(" ", text)
    for pattern in patterns:
        for match in pattern.finditer(plain):
            letter, start, end = match["letter"], match.start("letter"), match.end("letter")
            if letter.islower() and not _stands_apart(text, end):
                continue  # "the answer is a city"
            if letter == "I" and re.match(r"\s+[a-z]", plain[end:]):
                continue  # "the answer is I think"
            yield start, Reading(letter.upper(), _quote(text[match.start() : match.end()]))


def _stands_apart(text: str, end: int) -> bool:
    """Whether a mark closes the letter before `end`, or its line ends there."""
    return bool(_MARKS.match(text, end)) or not text[end:].split("\n", 1)[0].strip(" .。")


def _own_line(text: str, letters: str) -> Reading | None:
    """The letter of a reply whose answer is a line of its own.

    Lines that name several letters are a list, not an answer.
    """
    matches = [_line(letters).fullmatch(line.strip()) for line in text.splitlines()]
    lines = [match for match in matches if match]
    # A `B` that follows the line `A: …` is the list going on, cut before its text.
    listed = [
        before is not None and bool(before["text"]) and _follows(match, before)
        for before, match in zip([None, *matches], matches, strict=False)
        if match
    ]
    alone = [
        m for m, is_listed in zip(lines, listed, strict=True) if not m["text"] and not is_listed
    ]
    for group in (alone, lines):
        chosen = {match["letter"].upper() for match in group}
        if len(chosen) == 1:
            return Reading(chosen.pop(), _quote(group[-1].group()))
        if group:
            return None
    return None


def _follows(match: re.Match[str], before: re.Match[str]) -> bool:
    return ord(match["letter"].upper()) == ord(before["letter"].upper()) + 1


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _EVIDENCE else text[:_EVIDENCE] + "…"


_OPTION = "(?:選項|选项|[Oo]ption|[Cc]hoice|[Ll]etter)"
_AND = r"(?:[、,/&]|和|與|与|或|及|跟|and\b|or\b)"


def _compile(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a pattern in which a space stands for any gap between words, none included."""
    return re.compile(pattern.replace(" ", r"\s{0,6}"), flags)


def _letter(letters: str) -> str:
    return f"(?P<letter>[{letters}{letters.lower()}])"


@functools.cache
def _boxed(letters: str) -> re.Pattern[str]:
    # After the letter: nothing; a separator and the option's text; or that text in Chinese.
    # A letter with nothing between (`A型`) is part of a text, and two letters are no answer.
    return _compile(
        rf"(?:{_OPTION} |(?:答案|[Aa]nswer) (?:是|為|为|is)? :? )?{_letter(letters)}"
        rf"(?! {_AND} {_OPTION}? [A-Za-z](?![A-Za-z]))"
        r"(?: [.:,。、].*|\s[^\x00-\x7f].*)?",
        re.DOTALL,
    )


@functools.cache
def _line(letters: str) -> re.Pattern[str]:
    return _compile(
        rf"[\s*_`(\[「【]*{_letter(letters)}[\s*_`)\]」】]*"
        r"(?:[.:。、)]?[\s*_`]*|(?:[.:、)]|(?<=\*\*|.\))) (?P<text>\S.*))"
    )


def _answer(letters: str) -> str:
    """A letter that is said: not the beginning of a word, and not one of two (`A 或 B`).

    `A, B 是錯的` does say A: what follows the second letter begins another clause.
    """
    clause = r"(?:是|為|为|不|錯|错|則|则|is\b|was\b)"
    return (
        rf"{_OPTION}? {_letter(letters)}(?![A-Za-z0-9'’])"
        rf"(?! {_AND} {_OPTION}? [A-Z](?![A-Za-z])(?! {clause}))"
    )


@functools.cache
def _announcements(letters: str) -> tuple[re.Pattern[str], ...]:
    letter = _answer(letters)
    noun = "(?:答案|解答|正解|選項|选项|選擇|选择|答)"
    verb = "(?:(?:應該|应该|應當|应当|應|应|就|即)?(?:是|為|为|選|选))"
    person = "(?:我們|我们|我|故|因此|所以|於是|于是|應該|应该|應|应|[本此][題题]|[這这][題题])"
    modal = "(?:會|会|要|將|将|應該|应该|應|应)"
    choose = "(?:選擇|选择|選|选)"
    answer = (
        "(?i:ans(?:wer)?(?: to (?:this|the) question)?"
        "|(?:correct|right|best) (?:option|choice|one))"
    )
    be = "(?i:is|(?:would|should|must) be)"
    return (
        # 答案是 B · 正確答案應該為:B · 答案:選項 B
        _compile(f"{noun} (?:{verb} :?|:) {letter}"),
        # 我會選擇 B · 因此選 B · 故選 B, and a line that begins with 選 B
        _compile(f"{person} {modal}? {choose} :? {letter}"),
        _compile(f"^ {choose} :? {letter}", re.MULTILINE),
        # the (correct) answer (to this question) is B · Answer: B · the best option would be (B)
        _compile(rf"\b{answer} (?:{be}\b :?|:) {letter}"),
        # <answer>B</answer>, as reasoning models are trained to write
        _compile(f"(?i:<answer>) {letter} (?=</)"),
        # I choose B · we would select option B
        _compile(
            rf"\b(?:I|[Ww]e)\b ['’]?(?:would|will|d|ll)? (?:choose|select|pick|go with) {letter}"
        ),
    )


@functools.cache
def _judgements(letters: str) -> tuple[re.Pattern[str], ...]:
    letter = f"(?<![A-Za-z0-9]){_answer(letters)}"
    # 對 and 適合 alone are also verbs (`A 對 B 的影響`), so they need a 最 before them.
    right = "(?:最?(?:正確|正确)|最(?:恰當|恰当|適合|适合|適當|适当|合適|合适|符合|佳|好|對|对))"
    return (
        _compile(rf"{letter} 才?(?:是|為|为)? {right}(?!率|性|[^。\n]{{0,6}}[嗎吗?])"),
        _compile(f"{letter} 才?(?:是|為|为) 答案"),
        _compile(f"{letter} 才?是[對对]的(?![嗎吗?])"),
        _compile(rf"{letter} (?:is|would be) (?:the)? (?:most)? (?:correct|right|best|answer)\b"),
    )
