"""Which answers of a log hold a text: in the reply, its reasoning, or its tool calls.

The file is searched as bytes, block by block, for the text as JSON spells it. A line in which it
occurs is parsed, to see that it stands in a reply and not in a reason or a key; unless that is
plain already: the reply is what stands between two keys, and what is no part of any key in it was
written by the model. Letters A to Z are found in either case.

Knows logs. Knows nothing of questions.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from formosa.errors import LogError
from formosa.results.index import LogIndex
from formosa.results.log import Record

BLOCK = 1 << 22  # bytes that are searched at a time
_REPLY = b',"reply":{"text":"'
# All that a reply's record may hold but what the model wrote, ids and numbers.
_KEYS = (
    b'{"text":"","message":{"role":"assistant","content":"","reasoning_content":"","tool_calls":'
    b'[{"id":"call_","type":"function","function":{"name":"","arguments":""}}]},"finish":"stop",'
    b'"finish":"length","finish":"tool_calls","finish":"content_filter","usage":[,],"usage":null}'
)
_LOWER = {ord("A") + i: ord("a") + i for i in range(26)}


def lowered(text: str) -> str:
    """A to Z as a to z, and nothing else changed."""
    return text.translate(_LOWER)


def holding(index: LogIndex, text: str) -> set[int]:
    """The rows whose reply holds `text`.

    Raises:
        LogError: the file can't be read any more.
    """
    wanted = lowered(text)
    needles = {
        json.dumps(wanted, ensure_ascii=ascii)[1:-1].encode("utf-8", "surrogatepass").lower()
        for ascii in (False, True)  # a line with half a surrogate pair is written in ASCII
    }
    order = sorted(range(len(index)), key=index.offset.__getitem__)
    offsets = [index.offset[row] for row in order]
    plain = {needle: _no_key(needle) for needle in needles}
    found: set[int] = set()
    for place, line, at, needle in _lines(index, needles):
        known = bisect_right(offsets, place) - 1
        if known < 0 or offsets[known] != place:
            continue  # the line of an answer that was asked again, or of none
        if (plain[needle] and _is_plain(line, at, needle)) or _holds(line, wanted):
            found.add(order[known])
    return found


def _lines(index: LogIndex, needles: set[bytes]) -> Iterator[tuple[int, bytes, int, bytes]]:
    """Every line in whose bytes a needle occurs: its place, the line, where in it, and which."""
    try:
        with index.path.open("rb") as file:
            begin, end = 0, index.version[1]
            while begin < end:
                block = file.read(min(BLOCK, end - begin)) + file.readline()
                if not block:
                    return
                low = block.lower()
                for needle in needles:
                    at = low.find(needle)
                    while at >= 0:
                        first = block.rfind(b"\n", 0, at) + 1
                        last = block.find(b"\n", at)
                        last = len(block) if last < 0 else last
                        yield begin + first, block[first:last], at - first, needle
                        at = low.find(needle, last)
                begin += len(block)
    except OSError as error:
        raise LogError(f"Cannot read {index.path}: {error.strerror or error}.") from error


def _no_key(needle: bytes) -> bool:
    """Whether no key, number or fixed value of a reply's record can hold the needle."""
    return needle not in _KEYS and not re.search(rb"\d", needle.replace(b"\\u", b""))


def _is_plain(line: bytes, at: int, needle: bytes) -> bool:
    """Whether what is at this place of a line is surely the model's, without parsing the line."""
    begin = line.find(_REPLY)
    return (
        0 < begin < at < line.find(b',"error":', begin)
        and b',"logprobs":[' not in line
        and b',"defects":[' not in line
        # Ids of calls may be any words of a server.
        and (b" " in needle or not needle.isascii() or b',"tool_calls":[' not in line)
    )


def _holds(line: bytes, wanted: str) -> bool:
    try:
        record: Record = json.loads(line)
        return any(wanted in lowered(text) for text in reply_texts(record))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False  # damaged: said when the answer is opened


def reply_texts(record: Record) -> Iterator[str]:
    """Everything the model wrote in an answer: texts that may repeat each other."""
    reply: Any = record.get("reply") or {}
    message = reply.get("message") or {}
    for text in (reply.get("text"), message.get("content"), message.get("reasoning_content")):
        if isinstance(text, str):
            yield text
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield str(function.get("name") or "")
        yield str(function.get("arguments") or "")
