"""Defects that one text shows by itself: cut off, in a loop, mis-decoded, full of markers.

    without_code(text)       the text as prose, for rules on what is said
    unclosed(text)           "code fence", "<think>", … that was opened and never closed; ""
    repeated_lines(text), repeated_runs(text)     shares of 1
    broken(text)             characters that no author wrote
    marker(text)             a prompt marker or control token; ""
    personal(text)           a piece of personal data; ""

Each is linear in the text. Knows texts. Knows nothing of rows and of settings.
"""

from __future__ import annotations

import re

from formosa.zh.script import count_han

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_TAGS = ("think", "tool_call", "tool_response", "answer")
_LETTERS = re.compile(r"[^\W_]")
_SPACE = re.compile(r"\s+")
_RUN = 20
_MOST = 8000  # characters of the end of a text that are searched for loops

# Latin-1 read as UTF-8 leaves such pairs; GBK read as UTF-8 leaves the words at the end.
_BROKEN = re.compile(
    "[\ufffd\ue000-\uf8ff\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
    "|[\u00c2\u00c3][\u00a0-\u00bf]"
    "|\u00e2\u20ac[\u2122\u0153\u201c\u201d\u02dc\u00a6\u201a\u00a2]"
    "|\u00ef\u00bb\u00bf|锟斤拷|烫烫烫|屯屯屯|\u00e6[\u02c6\u0153\u2014\u2013\u00a5\u00af]"
)
_MARKER = re.compile(
    r"<\|[\w .:/-]{1,40}\|>|<[｜\uff5c][^<>\n]{1,40}[｜\uff5c]>"
    r"|<(?:start_of_turn|end_of_turn|bos|eos)>|</?s>(?=\s|\Z|<|\[)"
    r"|\[/?INST\]|<</?SYS>>|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|^#{2,3} ?(?:Human|Assistant|User|System|Instruction|Response|Input|指令|回應|輸入)[:：]"
    r"|^(?:Human|USER|ASSISTANT)[:：] "
    r"|\A\s*(?:Assistant|AI|Bot|ChatGPT|GPT|Response|Output|助理|助手|回答者)[:：]"
    r"|</?(?:think|tool_call|tool_response|tool_calls|function_call|functioncall)>",
    re.MULTILINE,
)
_PERSONAL = re.compile(
    r"(?<![A-Za-z0-9])(?P<id>[A-Z][1289]\d{8})(?!\d)"
    r"|(?<![\d.])(?P<phone>(?:\+886[ -]?9|09)\d{2}[ -]?\d{3}[ -]?\d{3})(?!\d)"
    r"|(?P<mail>[\w.+-]{1,64}@(?P<host>[\w-]{1,63}(?:\.[\w-]{1,63})+))",
    re.ASCII,
)
_NOBODY = re.compile(
    r"(?:^|\.)(?:example(?:\.\w+)*|test|invalid|localhost|domain\.com|email\.com)$", re.IGNORECASE
)
_INVENTED = {"0912345678", "0900000000", "0987654321", "0911111111", "0922222222", "0912000000"}
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff\u2b50\u2b55]")


def without_code(text: str) -> str:
    """The text without fenced and inline code; an open fence goes to the end."""
    if "`" not in text and "~" not in text:
        return text
    parts, end, fence = [], 0, ""
    for match in _FENCE.finditer(text):
        mark, rest = match.group(1), match.group(2)
        if not fence:
            parts.append(text[end : match.start()])
            fence = mark
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence, end = "", match.end()
    if not fence:
        parts.append(text[end:])
    return _INLINE.sub(" ", "\n".join(parts))


def unclosed(text: str) -> str:
    """What was opened and never closed: "code fence" or a tag; "" if nothing was."""
    fence = ""
    for match in _FENCE.finditer(text):
        mark, rest = match.group(1), match.group(2)
        if not fence:
            fence = mark if "`" not in rest else ""
        elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
    if fence:
        return "code fence"
    prose = without_code(text)
    for tag in _TAGS:
        if prose.count(f"<{tag}>") > prose.count(f"</{tag}>"):
            return f"<{tag}>"
    return ""


def ends_in_sentence(text: str) -> bool:
    """Whether the last line is a long sentence without an end, as where a reply was cut."""
    last = text.rstrip().rsplit("\n", 1)[-1].strip()
    if len(last) < 20 or not last or last[0] in "|-*#>0123456789":
        return False
    return bool(re.match(r"[^\W_]|[,，、；;]", last[-1]))


def repeated_lines(text: str) -> float:
    """Of the lines with 10 letters or more (a Han character is two), the share that stood there
    before; 0 below 8 lines."""
    lines = [line.strip() for line in without_code(text).splitlines()]
    if len(lines) < 8:  # as most texts: nothing has to be counted
        return 0.0
    lines = [line for line in lines if len(_LETTERS.findall(line)) + count_han(line) >= 10]
    return 1 - len(set(lines)) / len(lines) if len(lines) >= 8 else 0.0


def repeated_runs(text: str) -> float:
    """Of the runs of 20 characters, the share that stood there before; 0 below 200 characters."""
    text = _SPACE.sub(" ", without_code(text)[-_MOST:])
    count = len(text) - _RUN + 1
    if len(text) < 200:
        return 0.0
    return 1 - len({text[i : i + _RUN] for i in range(count)}) / count


def broken(text: str) -> list[str]:
    """Replacement, control and private characters, and pairs that come from a wrong encoding."""
    return _BROKEN.findall(text)


def marker(text: str) -> str:
    """A control token or prompt marker of some model family outside of code, or ""."""
    found = _MARKER.search(without_code(text))
    return found.group().strip() if found else ""


def personal(text: str) -> str:
    """A kind of personal data that the text holds, or ""."""
    for match in _PERSONAL.finditer(text):
        if match["id"] and valid_id(match["id"]):
            return "identity number"
        if match["phone"] and re.sub(r"\D", "", match["phone"]) not in _INVENTED:
            return "mobile phone number"
        if match["mail"] and not _NOBODY.search(match["host"]):
            return "e-mail address"
    return ""


def valid_id(number: str) -> bool:
    """Whether a Taiwanese identity number (A123456789, also of residents) has its check digit."""
    order = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
    if not re.fullmatch(r"[A-Z][1289]\d{8}", number):
        return False
    letter = order.index(number[0]) + 10
    digits = [letter // 10, letter % 10, *map(int, number[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(a * b for a, b in zip(digits, weights, strict=True)) % 10 == 0


def emojis(text: str) -> int:
    return len(_EMOJI.findall(text))
