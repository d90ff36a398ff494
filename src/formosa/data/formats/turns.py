"""Messages of a row put in order, the same way for every format.

Calls get ids that are unique in the row, results are given to the calls that wait for one in
order, several results in one text are taken apart, and an R1-style `<think>…</think>` at the
beginning of a reply becomes its reasoning. What can only be guessed is refused: a think block that
never closes, a second one, a result that no call waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from formosa.chat.message import Message, ToolCall, with_call_ids
from formosa.chat.tags import END_THINK, THINK
from formosa.data.formats import spelling
from formosa.data.formats.problems import THOUGHTS, RowError

_BLOCK_AT_LINE = re.compile(rf"^[ \t]*(?:{re.escape(THINK)}|{re.escape(END_THINK)})", re.MULTILINE)


def in_order(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages as a row holds them.

    Raises:
        MessageError: with the path of the message that does not fit.
    """
    ordered: list[Message] = []
    for message in _joined(messages):
        if message.role == "system" and not message.content:
            continue  # many sets have an empty one in every row
        if message.role == "assistant":
            message = with_thoughts(message, f"messages[{len(ordered)}]")
        ordered.append(message)
    return tuple(_with_ids(_results_apart(ordered)))


def with_thoughts(message: Message, path: str) -> Message:
    """The message with the think block at its beginning as reasoning.

    Raises:
        MessageError: the block never closes, closes without opening, or is not the only one.
    """
    reasoning, content = split_thoughts(message.content, f"{path}.content")
    if not reasoning:
        return message if content == message.content else replace(message, content=content)
    if message.reasoning and message.reasoning.strip() != reasoning:
        raise RowError(f"{path}.content", "holds thoughts beside those in reasoning", THOUGHTS)
    return replace(message, reasoning=reasoning, content=content)


def split_thoughts(text: str, path: str) -> tuple[str, str]:
    """A reply as (thoughts, what follows); no thoughts where it has no think block.

    A tag within a line is a word of the reply; at the beginning of a line it would be read as one.

    Raises:
        MessageError: as `with_thoughts`.
    """
    if THINK not in text and END_THINK not in text:
        return "", text
    start = text.lstrip()
    if start.startswith(THINK):
        thoughts, closed, rest = start[len(THINK) :].partition(END_THINK)
        if not closed:
            raise RowError(path, "a think block that never closes", THOUGHTS)
        if THINK in thoughts or _BLOCK_AT_LINE.search(rest):
            raise RowError(path, "more than one think block", THOUGHTS)
        return thoughts.strip(), rest.lstrip()
    if THINK not in text:
        raise RowError(path, f"{END_THINK} without {THINK}", THOUGHTS)
    if _BLOCK_AT_LINE.search(text):
        raise RowError(path, "a think block that is not at the beginning", THOUGHTS)
    return "", text


def _joined(messages: Iterable[Message]) -> list[Message]:
    """Calls that stand in a turn of their own, put to the words or calls just before them."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        if before is None or before.role != "assistant" or message.role != "assistant":
            joined.append(message)
        elif message.tool_calls and not message.content and not message.reasoning:
            joined[-1] = replace(before, tool_calls=before.tool_calls + message.tool_calls)
        else:
            raise RowError(
                f"messages[{len(joined)}]", "a second reply in a row", "two replies in a row"
            )
    return joined


def _results_apart(messages: Sequence[Message]) -> list[Message]:
    """One result for each call, where one text holds the list of all of them."""
    apart: list[Message] = []
    for i, message in enumerate(messages):
        before = messages[i - 1] if i else message
        alone = i + 1 == len(messages) or messages[i + 1].role != "tool"
        count = len(before.tool_calls)
        if message.role != "tool" or message.tool_call_id or count < 2 or not alone:
            apart.append(message)
            continue
        try:
            texts = spelling.items(message.content)
        except ValueError:
            texts = []
        if len(texts) != count:
            raise RowError(
                f"messages[{i}]", f"one result for {count} calls", "results do not match calls"
            )
        apart += [replace(message, content=text) for text in texts]
    return apart


def _with_ids(messages: Sequence[Message]) -> list[Message]:
    taken = {call.id for message in messages for call in message.tool_calls if call.id}
    result: list[Message] = []
    number, waiting = 0, list[str]()
    for i, message in enumerate(messages):
        if message.role == "assistant":
            calls: list[ToolCall] = []
            for call in message.tool_calls:
                while not call.id and f"call_{number}" in taken:
                    number += 1
                calls += with_call_ids([call], number)
                number += not call.id
            waiting = [call.id for call in calls]
            message = replace(message, tool_calls=tuple(calls))
        elif message.role == "tool":
            wanted = message.tool_call_id or (waiting[0] if waiting else "")
            if wanted not in waiting:
                problem = f"answers no call{f' {wanted!r}' if wanted else ''}"
                raise RowError(
                    f"messages[{i}]", f"a tool's result that {problem}", "result without call"
                )
            waiting.remove(wanted)
            message = replace(message, tool_call_id=wanted)
        else:
            waiting = []
        result.append(message)
    return result
