"""Which rows should not be learnt, each for one named reason.

    judge(row, config)      Rejection("cut off", "…"), or None for a good row

The reasons, in the order in which they are looked for (the first one counts):

    no question             the user's first turn says nothing
    no answer after thinking, reply too short, reply too long, thought too long
    broken characters       replacement and control characters, text of a wrong encoding
    leaked marker           control tokens and prompt markers of any model family
    cut off                 a fence or tag that was never closed, a sentence without an end
    repeated lines, repeated text       loops
    boilerplate             "as an AI language model", another model's name
    refusal                 where no tools are offered
    wrong language, thought in another language
    value from nowhere      an argument that nobody named
    tool without description
    personal data, too many emojis

Replies and thoughts are judged, since these are learnt; of the user's words only what says nothing
or is broken. Documents are judged by what texts show by themselves. With tools, to decline (and to
do so "as an AI") is what a row teaches, so refusals count only where none are offered.

What a text shows by itself is in `text_defects.py`, what its words show in `phrases.py`; here is
what that means in a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from formosa.chat.message import Tool
from formosa.data import phrases, text_defects
from formosa.data.cleaning_config import QualityConfig
from formosa.data.named_values import Named
from formosa.data.rejects import Rejection
from formosa.data.rows import Row

VERSION = "1"
"""Counts up when other rows would be refused."""

Filter = Callable[[Row, QualityConfig], Rejection | None]


def judge(row: Row, config: QualityConfig) -> Rejection | None:
    """Why the row should not be learnt; None for a good one."""
    for each in _DOCUMENT if row.text else _CONVERSATION:
        if rejection := each(row, config):
            return rejection
    return None


def _lengths(row: Row, config: QualityConfig) -> Rejection | None:
    first = next((item.content for item in row.messages if item.role == "user"), "")
    if len(first.strip()) < config.shortest_question:
        return Rejection("no question", f"The user's first turn is {first[:40]!r}.")
    replies = [item for item in row.messages if item.role == "assistant"]
    last = replies[-1] if replies else None
    if last and not last.tool_calls:
        length = len(last.content.strip())
        if config.only_thought and last.reasoning.strip() and not length:
            return Rejection("no answer after thinking", "The last turn thinks and says nothing.")
        if length < config.shortest_reply:
            return Rejection("reply too short", f"The last reply is {last.content[:40]!r}.")
    for reason, longest, length in (
        ("reply too long", config.longest_reply, max((len(i.content) for i in replies), default=0)),
        (
            "thought too long",
            config.longest_thought,
            max((len(i.reasoning) for i in replies), default=0),
        ),
    ):
        if longest is not None and length > longest:
            return Rejection(reason, f"{length:,} characters, {longest:,} are allowed.")
    return None


def _broken(row: Row, config: QualityConfig) -> Rejection | None:
    if config.broken_characters is None:
        return None
    found = [item for text in _all_texts(row) for item in text_defects.broken(text)]
    if len(found) <= config.broken_characters:
        return None
    shown = " ".join(ascii(item) for item in dict.fromkeys(found[:5]))
    return Rejection("broken characters", f"{len(found)} of them: {shown}.")


def _markers(row: Row, config: QualityConfig) -> Rejection | None:
    for text in _all_texts(row) if config.markers else ():
        if found := text_defects.marker(text):
            return Rejection("leaked marker", f"{found!r} stands in a text.")
    return None


def _cut(row: Row, config: QualityConfig) -> Rejection | None:
    for text in _learnt(row):
        if config.unfinished and (what := text_defects.unclosed(text)):
            return Rejection("cut off", f"A {what} is never closed.")
    last = row.messages[-1].content if row.messages else ""
    if config.sentence_end and len(last) >= 200 and text_defects.ends_in_sentence(last):
        return Rejection("cut off", f"The last reply ends with {last[-20:]!r}.")
    return None


def _loops(row: Row, config: QualityConfig) -> Rejection | None:
    for text in _learnt(row):
        if config.repeated_lines is not None:
            share = text_defects.repeated_lines(text)
            if share > config.repeated_lines:
                return Rejection("repeated lines", f"{share:.0%} of its lines stood there before.")
        if config.repeated_runs is not None:
            share = text_defects.repeated_runs(text)
            if share > config.repeated_runs:
                return Rejection("repeated text", f"{share:.0%} of it stood there before.")
    return None


def _words(row: Row, config: QualityConfig) -> Rejection | None:
    replies = [text_defects.without_code(text) for text in _replies(row)]
    for text in replies if config.boilerplate else ():
        if found := phrases.BOILERPLATE.search(text):
            return Rejection("boilerplate", f"A reply says {found.group()!r}.")
    for text in replies if config.boilerplate and not row.tools else ():
        if found := phrases.AS_AN_AI.search(text):
            return Rejection("boilerplate", f"A reply says {found.group()!r}.")
    for text in replies if config.refusals and not row.tools else ():
        if found := phrases.REFUSAL.search(text):
            return Rejection("refusal", f"A reply begins with {found.group()!r}.")
    return None


def _languages(row: Row, config: QualityConfig) -> Rejection | None:
    if not config.reply_language and not config.thought_language:
        return None
    asked = [item.content for item in row.messages if item.role in ("user", "system")]
    if any(map(phrases.SPEAKS_OF_LANGUAGE.search, asked)):
        return None
    question = ""
    for item in row.messages:
        if item.role == "user":
            question = phrases.language_of(item.content)
        elif item.role == "assistant" and question:
            reply, thought = phrases.language_of(item.content), phrases.language_of(item.reasoning)
            if config.reply_language and reply and reply != question:
                return Rejection("wrong language", f"A question in {question}, a reply in {reply}.")
            if config.thought_language and thought and thought != question:
                return Rejection(
                    "thought in another language",
                    f"A question in {question}, a thought in {thought}.",
                )
    return None


def _grounding(row: Row, config: QualityConfig) -> Rejection | None:
    if config.grounding == "off":
        return None
    known = {tool.name: set(_known(tool.schema())) for tool in row.tools}
    for i, item in enumerate(row.messages):
        named = Named(before.content for before in row.messages[:i]) if item.tool_calls else None
        for call in item.tool_calls:
            for value in _leaves(call.values()):
                number = isinstance(value, int | float)
                if number and (config.grounding == "strings" or value in (0, 1)):
                    continue
                if value == "" or value in known.get(call.name, ()):
                    continue
                if named and not named.has(value):
                    return Rejection(
                        "value from nowhere", f"{call.name} gets {value!r}, which nobody named."
                    )
    return None


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _known(schema: Any) -> Iterator[Any]:
    """The values that a schema names itself."""
    if isinstance(schema, dict):
        for key, item in schema.items():
            if key in ("enum", "const", "default", "examples"):
                yield from (leaf for leaf in _leaves(item) if isinstance(leaf, str | int | float))
            yield from _known(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _known(item)


def _tools(row: Row, config: QualityConfig) -> Rejection | None:
    def empty(tool: Tool) -> bool:
        return not tool.description.strip()

    if config.tool_descriptions and (found := next(filter(empty, row.tools), None)):
        return Rejection("tool without description", f"Nothing says what {found.name} does.")
    return None


def _people(row: Row, config: QualityConfig) -> Rejection | None:
    for text in _all_texts(row) if config.personal_data else ():
        if found := text_defects.personal(text):
            return Rejection("personal data", f"It holds what looks like an {found}.")
    return None


def _emojis(row: Row, config: QualityConfig) -> Rejection | None:
    for text in _replies(row) if config.emojis is not None else ():
        count = text_defects.emojis(text)
        if config.emojis is not None and count >= 5 and count > config.emojis * len(text):
            return Rejection("too many emojis", f"{count} in {len(text)} characters.")
    return None


def _replies(row: Row) -> Iterator[str]:
    if row.text:
        yield row.text
    yield from (item.content for item in row.messages if item.role == "assistant" and item.content)


def _learnt(row: Row) -> Iterator[str]:
    """Replies and thoughts, or the document."""
    yield from _replies(row)
    yield from (item.reasoning for item in row.messages if item.reasoning)


def _all_texts(row: Row) -> Iterator[str]:
    """Every text that the model reads, arguments as they read without escapes."""
    yield from _learnt(row)
    for item in row.messages:
        if item.role != "assistant":
            yield item.content
        for call in item.tool_calls:
            yield json.dumps(call.values(), ensure_ascii=False)


_DOCUMENT: tuple[Filter, ...] = (_broken, _markers, _loops, _people)
_CONVERSATION: tuple[Filter, ...] = (
    _lengths, _broken, _markers, _cut, _loops, _words, _languages, _grounding, _tools, _people,
    _emojis,
)  # fmt: skip
