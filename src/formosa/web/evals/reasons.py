"""A scorer's reason in the reader's language, and the place in the reply that it read.

Reasons are in the log in English, as the scorers wrote them. The common ones are said in Chinese
too; a reason that is not known here stays as it is. What is quoted in one is never translated.

Knows sentences of our scorers, as texts. Knows nothing of how they judge.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from formosa.web.words import Lang

_CUT = "; the reply was cut at the token limit"
_SAID = tuple(
    (re.compile(pattern, re.DOTALL), chinese)
    for pattern, chinese in (
        (r"read (\S+) from “(.*)”; (\S+) is right", "從「{1}」讀出 {0}；正確答案是 {2}"),
        (r"read (\S+); (\S+) is right", "讀出 {0}；正確答案是 {1}"),
        (r"Twinkle Eval reads (\S+); (\S+) is right", "Twinkle Eval 讀出 {0}；正確答案是 {1}"),
        (
            r"there is no closed \\box\{…\} with an answer",
            r"回覆中沒有寫完整、裡面有答案的 \box{{…}}",
        ),
        (
            r"the last box holds no single letter of (\S+): (.*)",
            "最後一個框裡不是 {0} 之中的單一字母：{1}",
        ),
        (r"no words announce an answer", "沒有任何字句說出答案"),
        (r"no words announce a letter", "沒有任何字句說出選項的字母"),
        (r"an empty reply", "回覆是空的"),
        (r"the reply has no text outside its reasoning", "推理之外，回覆沒有任何文字"),
        (r"the calls are among the accepted ones", "呼叫與可接受的答案相符"),
        (r"no call, as it should be; .*", "沒有呼叫任何工具，正應如此"),
        (r"\S+wrong_count — the number of calls is (\d+), expected (\d+)",
         "呼叫了 {0} 次，應該是 {1} 次"),
        (r"\S+wrong_func_name — (.+) was called, expected (.+)", "呼叫了 {0}，應該呼叫 {1}"),
        (r"\S+missing_required — (.+) is required, and missing", "缺少必要的參數 {0}"),
        (r"\S+missing_optional — (.+) may not be left out here", "這裡不能省略參數 {0}"),
        (r"\S+unexpected_param — (.+) is not expected", "多了不該有的參數 {0}"),
        (r"value_error\S* — (\S+): (.+) is not among (\[.*\])",
         "參數 {0} 的值 {1} 不在可接受的值 {2} 之中"),
        (r"value_error:dict_key — (\S+): the key (.+) is missing", "參數 {0} 缺少鍵 {1}"),
        (r"type_error\S* — (\S+): (.+) is not of the type (.+)", "參數 {0} 的值 {1} 不是 {2} 型別"),
        (r"type_error\S* — (\S+): (.+)", "參數 {0} 的型別不對：{1}"),
        (r"\S+cannot_find_match — no call fits answer (\d+), ([^;]+)(.*)",
         "沒有呼叫符合第 {0} 個答案 {1}{2}"),
        (r"\S+decoder_failed — text instead of a call: (.*)", "寫了文字，而不是工具呼叫：{0}"),
        (r"\S+decoder_failed — a malformed call: (.*)", "工具呼叫的格式有誤：{0}"),
        (r"\S+decoder_failed — the arguments of (\S+) are not JSON: (.*)",
         "{0} 的參數不是 JSON：{1}"),
        (r".*no function helps here, but (.+) was called", "這裡沒有適用的函式，卻呼叫了 {0}"),
        (r"(.+); (\S+) is right", "{0}；正確答案是 {1}"),  # log-probabilities, mathematics
    )
)  # fmt: skip


class Place(NamedTuple):
    """A part of a text, as Python counts characters."""

    start: int
    end: int


def sentence(why: str, lang: Lang) -> str:
    """The reason in a sentence; the scorer's own words where there is no better one."""
    if lang == "en":
        return why
    bare = why.removesuffix(_CUT)
    cut = "；回覆在 token 上限處被截斷" if bare != why else ""
    for pattern, chinese in _SAID:
        if match := pattern.fullmatch(bare):
            return chinese.format(*match.groups()) + cut
    return bare + cut


def quoted(why: str) -> str:
    """The words of the reply that a reason says the answer was read from; "" where it says none."""
    match = re.search(r"from “(.+)”", why, re.DOTALL)
    return match[1] if match else ""


def find_quote(text: str, quote: str) -> Place | None:
    """Where in a reply the quoted words stand; the last place, which is the one that counts.

    The scorers quote with full width as ASCII and spaces as one, and cut long quotes off, so
    characters are compared in that form.
    """
    wanted = _normal(quote.removesuffix("…"))[0]
    if not wanted:
        return None
    plain, places = _normal(text)
    at = plain.rfind(wanted)
    if at < 0:
        return None
    return Place(places[at], places[at + len(wanted) - 1] + 1)


def _normal(text: str) -> tuple[str, list[int]]:
    """The text as the scorers compare it, and for each character its place in `text`."""
    made: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for part in unicodedata.normalize("NFKC", character):
            if not part.isspace():  # quotes may have lost or gained some
                made.append(part)
                places.append(place)
    return "".join(made), places
