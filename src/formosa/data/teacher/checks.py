"""What a question, its calls and its answers must keep to. Each check gives a reason, or None.

A value counts as said where it stands in the question: a text in the same characters (whatever
their width and case), a number as digits (whatever its separators, trailing zeros and sign, which
people say in words). Options of an enum need not be said, since people say them in other words, and
true, false and null can't be.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from formosa.chat.message import Message, Tool, ToolCall
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.data.teacher.seeds import Seed
from formosa.data.validate import CONTROL, BadRowError, find_control, validate_row
from formosa.zh.purity import measure

LONGEST = 600  # characters of a question
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SEPARATOR = re.compile(r"(?<=\d),(?=\d{3})")
_QUOTES = (("「", "」"), ("“", "”"), ('"', '"'), ("『", "』"))
DEPTH = 20  # of a schema that is followed


def bare_question(text: str) -> str:
    """The words of a question without the quotation marks that a teacher likes to put."""
    text = text.strip()
    for begin, end in _QUOTES:
        inner = text[len(begin) : -len(end)]
        if text.startswith(begin) and text.endswith(end) and inner and end not in inner:
            return inner.strip()
    return text


def check_question(text: str, seed: Seed) -> Rejection | None:
    """Whether a text is what a user of that language may say."""
    if not text:
        return Rejection("no question", "The teacher wrote nothing.")
    if token := find_control(text):
        return Rejection(CONTROL, f"The question holds the control token {token!r}.")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Rejection("broken text", "The question holds half of a surrogate pair.")
    if len(text) > LONGEST:
        return Rejection("question too long", f"It has {len(text)} characters.")
    for tool in seed.offered:
        # A tool called `search` is a word that people use; `get_weather` is not.
        if tool.name in text and not tool.name.isalpha():
            return Rejection("names a tool", f"The question says {tool.name}.")
    return check_language(text, seed.language, "The question")


def check_language(text: str, language: str, what: str) -> Rejection | None:
    """Whether words are in their language, and zh-TW is pure."""
    han = measure(text).han
    if language != "zh-TW":
        return Rejection("wrong language", f"{what} is not in English.") if han else None
    if not han:
        return Rejection("wrong language", f"{what} is not in Chinese.")
    return check_purity(text, what)


def check_purity(text: str, what: str) -> Rejection | None:
    """Whether words are free of Simplified characters and mainland words."""
    found = measure(text)
    if found.simplified_only:
        return Rejection("simplified", f"{what} has {found.simplified_only} Simplified characters.")
    if found.mainland_terms:
        return Rejection("mainland words", f"{what} says {'、'.join(found.mainland_terms)}.")
    return None


def check_reply(reply: Message, seed: Seed, question: str) -> Rejection | None:
    """Whether a reply does what its seed is about, with values that the question says."""
    row = Row.of((Message("user", question), reply), seed.offered)
    if not reply.tool_calls and not reply.content:
        return Rejection("no reply", "The teacher wrote neither words nor calls.")
    try:
        validate_row(row)
    except BadRowError as error:
        return Rejection(error.reason, f"{error.problem[:1].upper()}{error.problem[1:]}.")
    if wrong := reply.content and check_language(reply.content, seed.language, "The reply"):
        return wrong
    if wrong := check_purity(reply.reasoning, "A thought"):  # which may be in English
        return wrong
    return _check_number(reply, seed) or _check_values(reply.tool_calls, seed, question)


def _check_number(reply: Message, seed: Seed) -> Rejection | None:
    called = Counter(call.name for call in reply.tool_calls)
    names = ", ".join(call.name for call in reply.tool_calls) or "nothing"
    if not seed.calls:
        if called:
            return Rejection("calls a tool", f"No call was due, and it calls {names}.")
        if seed.kind == "missing" and not re.search("[?？]", reply.content):
            return Rejection("does not ask back", f"It does not ask for {seed.left_out}.")
        return None
    each = seed.calls // len(seed.needed)
    due = {offer.tool.name: each for offer in seed.needed}
    if called != due:
        wanted = ", ".join(f"{name} ({count})" for name, count in due.items())
        return Rejection("other calls", f"Due were {wanted}; it calls {names}.")
    for i, call in enumerate(reply.tool_calls):
        if any(call.same(other) for other in reply.tool_calls[:i]):
            return Rejection("calls twice", f"{call.name} is called twice with the same values.")
    return None


def _check_values(calls: Sequence[ToolCall], seed: Seed, question: str) -> Rejection | None:
    tools = {tool.name: tool for tool in seed.offered}
    for call in calls:
        for path, value in unsaid_values(call, tools[call.name], question):
            return Rejection("unsaid value", f"{call.name}: {path} is {value!r}, which is not in "
                             "the question.")  # fmt: skip
    return None


def unsaid_values(call: ToolCall, tool: Tool, question: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of every argument that the question does not say literally."""
    said = _plain(question)
    numbers = {Decimal(text) for text in _NUMBER.findall(said)}
    root = tool.schema()
    for path, value, schema in _leaves(call.values(), root, root, ""):
        if isinstance(value, bool) or value is None or value in _options(schema, root):
            continue
        if isinstance(value, int | float):
            if not _is_said(value, numbers):
                yield path, value
        elif not isinstance(value, str) or not value.strip() or _plain(value) not in said:
            yield path, value


def agree(first: Sequence[ToolCall], second: Sequence[ToolCall]) -> bool:
    """Whether both make the same calls, in any order."""
    left = list(second)
    for call in first:
        match = next((i for i, other in enumerate(left) if call.same(other)), None)
        if match is None:
            return False
        del left[match]
    return not left


def _is_said(value: int | float, numbers: set[Decimal]) -> bool:
    try:
        return abs(Decimal(str(value))) in numbers
    except InvalidOperation:  # not a number
        return False


def _plain(text: str) -> str:
    """The same characters for the same words: of one width and case, numbers without separators,
    white space as one blank."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_SEPARATOR.sub("", text).split())


def _leaves(
    value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """(path, value, its schema) of all values that hold no others; of an empty list, the list."""
    if isinstance(value, dict):
        for key, item in value.items():
            inner = next(
                (
                    found
                    for part in _parts(schema, root)
                    if isinstance(found := (part.get("properties") or {}).get(key), Mapping)
                ),
                {},
            )
            yield from _leaves(item, inner, root, f"{path}.{key}".removeprefix("."))
    elif isinstance(value, list) and value:
        inner = next(
            (
                part["items"]
                for part in _parts(schema, root)
                if isinstance(part.get("items"), Mapping)
            ),
            {},
        )
        for i, item in enumerate(value):
            yield from _leaves(item, inner, root, f"{path}[{i}]")
    else:
        yield path, value, schema


def _options(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for part in _parts(schema, root):
        listed = part.get("enum")
        found += listed if isinstance(listed, list) else []
        found += [part["const"]] if "const" in part else []
    return found


def _parts(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0
) -> Iterator[Mapping[str, Any]]:
    """A schema, and those that it is made of: `anyOf` and the like, `$ref` within the tool."""
    if depth > DEPTH:
        return
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word) or ():
            if isinstance(part, Mapping):
                yield from _parts(part, root, depth + 1)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step) if isinstance(target, Mapping) else None
        if isinstance(target, Mapping):
            yield from _parts(target, root, depth + 1)


def check_answer(answer: Message, seed: Seed) -> Rejection | None:
    """Whether the words after the results are an answer."""
    if answer.tool_calls:
        return Rejection("calls again", "After the results it calls another tool.")
    if not answer.content:
        return Rejection("no answer", "After the results it says nothing.")
    return check_language(answer.content, seed.language, "The answer") or check_purity(
        answer.reasoning, "A thought"
    )


def same_words(question: str) -> str:
    """Equal for questions that differ in nothing that counts."""
    return _plain(question)
