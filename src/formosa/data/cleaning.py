"""A row as Taiwan would write it, or the reason why it can't be.

    clean(row, config, policy="convert")     (the row, what was changed by which rule), or Rejection

**Rules**, each counted under its name: `space` (characters removed), `script` (characters converted
from Simplified), `vocabulary` (words), `punctuation` (marks). They change prose: what users and
assistants say and think, system prompts, and documents. Code, addresses, tool calls in tags,
placeholders, names of tools and keys of JSON stay (see `formosa.zh.convert`). So comments in the
code of a converted row stay Simplified; purity does not count them.

**Simplified rows** are refused, converted or kept, as the source says. A row is judged as a whole,
with the descriptions of its tools, since most single messages are too short to tell. Traditional
rows are never converted. A row that is converted and speaks of scripts (請用简体回答) is refused:
its answer would no longer do what its question asks.

**Calls** copy words of the conversation, and must still do so afterwards. So when a row is
converted, the same conversion is applied to all of it: to the strings in arguments, to results of
tools (the strings of JSON, or prose), to descriptions, and to `enum`, `const`, `default` and
`examples` in schemas. Equal strings stay equal. Where a string stood literally in an earlier
message and its conversion alone does not stand in the converted message (OpenCC looks at the
neighbours), the message is converted around it; where even that fails, the row is refused:
`argument lost`.
In rows that are not converted, arguments never change, and no rule changes the places of the text
that a call copies.

**Purity** goes into `scores["purity"]`: 1 − share of Simplified-only characters − share of
characters in mainland words, of all prose but the tools'.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from formosa.chat.message import Message, Tool
from formosa.data.cleaning_config import CleanConfig, Policy
from formosa.data.json_strings import rewrite_strings, strings
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.zh.convert import Script, pieces, speaks_of_scripts, to_taiwan
from formosa.zh.punctuation import to_full_width
from formosa.zh.purity import Purity, measure, prose, total
from formosa.zh.script import count_han, find_simplified, find_traditional, without_japanese
from formosa.zh.vocabulary import find_terms, replace_terms

VERSION = "1"
"""Counts up when the same row would come out differently."""

_INVISIBLE = re.compile("[\ufeff\u200b\u2060]")
_LINE_END = re.compile(r"\r\n?")
_TRAILING = re.compile(r"[ \t\u3000]+(?=\n|\Z)")
_HAN = re.compile(r"[\u3400-\u9fff]")
_TEXTS_OF_A_SCHEMA = {"description", "title", "enum", "const", "default", "examples"}
_SHOWN = 5  # findings named in a rejection


def clean(
    row: Row, config: CleanConfig, *, policy: Policy = "refuse"
) -> tuple[Row, Counter[str]] | Rejection:
    """The row after all rules, with how often each changed something; or why it is left out.

    Raises:
        UserError: a row has to be converted, and opencc is not installed.
    """
    counts: Counter[str] = Counter()
    if config.space:
        row = _each_text(row, lambda text: _tidy(text, counts))
    script, share = _script(row)
    converted = False
    if script in ("simplified", "mixed"):
        if policy == "refuse" and share > config.simplified:
            return Rejection("simplified", _found(row, share))
        if policy == "convert":
            if any(speaks_of_scripts(text) for text in _prose_texts(row)):
                return Rejection(
                    "speaks of scripts", "it is about Simplified or Traditional Chinese itself"
                )
            converted = True
            made = _converted(row, script, config, counts)
            if isinstance(made, Rejection):
                return made
            row = made
    if script == "traditional" or converted:
        row = _set(row, config, counts, words=config.vocabulary == "always" and not converted)
    purity = _purity(row)
    score = _score(purity)
    if score < config.purity:
        return Rejection("impure", f"its purity is {score}: {_findings(purity, row)}")
    return replace(row, scores={**row.scores, "purity": score}), +counts


def scored(row: Row) -> Row:
    """The row as it is, with its purity among its scores."""
    return replace(row, scores={**row.scores, "purity": _score(_purity(row))})


def _tidy(text: str, counts: Counter[str]) -> str:
    made = _TRAILING.sub("", _LINE_END.sub("\n", _INVISIBLE.sub("", text))).strip()
    counts["space"] += len(text) - len(made)
    return made


def _each_text(row: Row, change: Callable[[str], str]) -> Row:
    """The row with `change` applied to what is said and thought in it, or to the document."""
    if row.text:
        return replace(row, text=change(row.text))
    return replace(
        row,
        messages=tuple(
            item
            if item.role == "tool"
            else replace(item, content=change(item.content), reasoning=change(item.reasoning))
            for item in row.messages
        ),
    )


def _prose_texts(row: Row) -> list[str]:
    """What is said and thought, without results of tools."""
    if row.text:
        return [row.text]
    return [
        text
        for item in row.messages
        if item.role != "tool"
        for text in (item.content, item.reasoning)
        if text
    ]


def _script(row: Row) -> tuple[Script, float]:
    """The script of a whole row, and its share of Simplified-only characters."""
    texts = [*_prose_texts(row), *(tool.description for tool in row.tools)]
    text = without_japanese(prose("\n\n".join(texts)))
    han = count_han(text)
    if not han:
        return "none", 0.0
    simplified = len(find_simplified(text))
    if not simplified:
        return "traditional", 0.0
    return ("mixed" if find_traditional(text) else "simplified"), simplified / han


def _converted(
    row: Row, script: Script, config: CleanConfig, counts: Counter[str]
) -> Row | Rejection:
    """The row in Traditional characters, its calls as literal as before."""
    whole: Script | None = "simplified" if script == "simplified" else None

    def taiwan(text: str, counts: Counter[str] = counts) -> str:
        made = to_taiwan(text, converter=config.converter, script=whole)
        counts["script"] += made.changes
        return _words(made.text, counts) if config.vocabulary != "never" else made.text

    def alone(value: str) -> str:
        return taiwan(value, Counter())  # it was counted where it stands

    def result(text: str) -> str:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return taiwan(text)
        return rewrite_strings(text, taiwan)

    if row.text:
        return replace(row, text=taiwan(row.text))
    messages: list[Message] = []
    for item in row.messages:
        change = result if item.role == "tool" else taiwan
        calls = tuple(
            replace(call, arguments=rewrite_strings(call.arguments, taiwan))
            for call in item.tool_calls
        )
        messages.append(
            replace(
                item,
                content=change(item.content),
                reasoning=taiwan(item.reasoning),
                tool_calls=calls,
            )
        )
    copied = [(place, value, alone(value)) for place, value in _copied(row.messages)]
    for place, value, after in copied:
        before = row.messages[place]
        if after not in messages[place].content and before.role != "tool":
            content = after.join(map(alone, before.content.split(value)))
            messages[place] = replace(messages[place], content=content)
    for place, value, after in copied:  # what was put right for one may be wrong for another
        if after not in messages[place].content:
            return _lost(value, place)
    tools = tuple(
        Tool(
            tool.name,
            taiwan(tool.description),
            rewrite_strings(tool.parameters, taiwan, under=_TEXTS_OF_A_SCHEMA),
        )
        for tool in row.tools
    )
    return replace(row, messages=tuple(messages), tools=tools)


def _set(row: Row, config: CleanConfig, counts: Counter[str], *, words: bool) -> Row:
    """The row with full-width marks, and with Taiwan's words if wanted; calls keep their words."""
    if not config.punctuation and not words:
        return row
    values = sorted({value for item in row.messages for value in _values(item)})

    def change(text: str) -> str:
        if words:
            copied = [value for value in values if find_terms(value) and value in text]
            text = _around(text, copied, lambda part: _words(part, counts))
        if config.punctuation:
            made = to_full_width(text, keep=values)
            counts["punctuation"] += made.changes
            text = made.text
        return text

    return _each_text(row, change)


def _words(text: str, counts: Counter[str]) -> str:
    parts = []
    for piece, free in pieces(text):
        made, count = replace_terms(piece) if free else (piece, 0)
        parts.append(made)
        counts["vocabulary"] += count
    return "".join(parts)


def _around(text: str, values: Sequence[str], change: Callable[[str], str]) -> str:
    """`change` applied to what is between the places where one of `values` stands."""
    if not values:
        return change(text)
    longest = sorted(values, key=lambda value: (-len(value), value))
    parts = re.split(f"({'|'.join(map(re.escape, longest))})", text)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))


def _values(message: Message) -> Iterable[str]:
    """The strings in the arguments of a message's calls."""
    for call in message.tool_calls:
        yield from strings(call.values())


def _copied(messages: Sequence[Message]) -> list[tuple[int, str]]:
    """(number of a message, string of a later call that stands literally in it)"""
    return [
        (place, value)
        for i, message in enumerate(messages)
        for value in dict.fromkeys(_values(message))
        if _HAN.search(value)  # nothing else is converted
        for place in range(i)
        if value in messages[place].content
    ]


def _lost(value: str, place: int) -> Rejection:
    return Rejection(
        "argument lost",
        f"the argument {value!r} stood in messages[{place}] and would not after the conversion",
    )


def _purity(row: Row) -> Purity:
    return total(map(measure, _prose_texts(row)))


def _score(purity: Purity) -> float:
    return round(max(0.0, 1.0 - purity.simplified_share - purity.mainland_share), 4)


def _found(row: Row, share: float) -> str:
    return f"{share:.1%} of its Han characters are Simplified: {_findings(_purity(row), row)}"


def _findings(purity: Purity, row: Row) -> str:
    characters = find_simplified(without_japanese(prose("\n\n".join(_prose_texts(row)))))
    found = [*dict.fromkeys(characters)][:_SHOWN] + [*dict.fromkeys(purity.mainland_terms)][:_SHOWN]
    return " ".join(found) or "in the descriptions of its tools"
