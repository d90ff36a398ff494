"""What a format is, and what it makes of a row.

A `Format` is a description: its fields, how to see that a row is written so, and a function from
the row to a `Draft`. A `Reader` is a format made ready for one source: with the fields to ignore,
the fields that are scores, and whatever lies beside the data (a list of tools, a schema).

A field is read, ignored by the recipe, left out by the format for a reason that it tells
(`leaves`), or it is an error. Fields that are null or empty are not missed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, Tool
from formosa.data.formats.problems import DROPPED, EMPTY, FormatError, RowError
from formosa.data.formats.turns import in_order
from formosa.data.sources.record import Record
from formosa.errors import DataError, MessageError

LANGUAGES = {"", "zh-TW", "en"}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a row says, before anybody cleaned or checked it: a conversation, or a document."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    text: str = ""
    id: str = ""
    kind: str = ""
    language: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a source says about how its rows are read.

    Attributes:
        ignore: names of fields; `messages.weight` is the field of every item of the list.
        scores: names of fields that hold a number, kept beside the row.
        text_field: where the format `text` finds the document.
        folder: where the source's files lie.
        reasoning: whether the thoughts of replies are kept.
    """

    ignore: frozenset[str] = frozenset()
    scores: tuple[str, ...] = ()
    text_field: str = "text"
    folder: Path | None = None
    reasoning: bool = True


Row = Mapping[str, Any]
Convert = Callable[[Row, Any], Draft]


def _setting_itself(setting: Setting) -> Any:
    return setting


def _no_mark(value: Row) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Format:
    """One way of writing rows.

    Attributes:
        name: as in a recipe.
        about: one line for people.
        fields: names that `convert` reads.
        fits: whether a row has the shape, whatever else it has.
        convert: the row and what `prepare` gave, to a draft whose messages may lack ids.
        leaves: names of fields that carry nothing to learn; left out, and said so.
        marks: whether a row shows what only this format has; one of the first rows must.
        beats: formats of which this is a special case.
        explode: the rows that one record holds, each with where it is; None where it is one.
        prepare: made once for a source from its setting; raises DataError where something that
            belongs beside the data is missing.
    """

    name: str
    about: str
    fields: frozenset[str]
    fits: Callable[[Row], bool]
    convert: Convert
    leaves: frozenset[str] = frozenset()
    marks: Callable[[Row], bool] = _no_mark
    beats: frozenset[str] = frozenset()
    explode: Callable[[Row, str], Iterator[tuple[str, Row]]] | None = None
    prepare: Callable[[Setting], Any] = _setting_itself

    def read(self, value: Any, where: str, *, ignore: frozenset[str] = frozenset()) -> Draft:
        """One row, where nothing but fields to ignore has to be said. See `Reader.read`."""
        return Reader(self, Setting(ignore=ignore)).read(value, where)

    def unknown(self, value: Row, setting: Setting) -> list[str]:
        """Names of fields that would be dropped from a row."""
        known = self.fields | self.leaves | set(setting.scores)
        return [
            name
            for name, item in value.items()
            if name not in known and item not in (None, "", [], {})
        ]


class Reader:
    """A format made ready for one source.

    Raises:
        DataError: something that the format needs beside the data is missing.
    """

    def __init__(self, format: Format, setting: Setting = Setting()) -> None:
        self.format = format
        self.setting = setting
        self._given = format.prepare(setting)

    def read(self, value: Any, where: str) -> Draft:
        """The draft of one row.

        Raises:
            FormatError: it does not fit, or a field would be dropped. `where` begins the sentence.
        """
        name = self.format.name
        try:
            if not isinstance(value, Mapping):
                problem = f"a row must be an object, not {type(value).__name__}"
                raise FormatError.at(where, problem, reason=f"no {name} row")
            value = adapted(value, self.setting)
            scores = {key: value[key] for key in self.setting.scores if value.get(key) is not None}
            value = {key: item for key, item in value.items() if key not in scores}
            if not self.format.fits(value):
                raise FormatError.at(where, f"not in the format {name}", reason=f"no {name} row")
            if unknown := self.format.unknown(value, self.setting):
                raise _dropped(unknown, where)
            draft = _whole(self.format.convert(value, self._given), scores)
            return draft if self.setting.reasoning else _without_thoughts(draft)
        except MessageError as error:
            reason = error.reason if isinstance(error, RowError) else f"no {name} row"
            raise FormatError.at(where, error.message, reason=reason) from error
        except RecursionError as error:
            raise FormatError.at(where, "nested too deeply", reason=f"no {name} row") from error

    def rows(self, record: Record) -> Iterator[tuple[str, Draft | DataError]]:
        """Every row of a record with where it is: the draft, or what is wrong."""
        if isinstance(record.value, DataError):
            yield record.where, record.value
            return
        parts: Iterable[tuple[str, Any]] = [(record.where, record.value)]
        if self.format.explode and isinstance(record.value, Mapping):
            parts = self.format.explode(record.value, record.where)
        for where, value in parts:
            try:
                yield where, self.read(value, where)
            except DataError as error:
                yield where, error


def adapted(value: Row, setting: Setting) -> Row:
    """The row without the fields to ignore, and with the document under `text`.

    Raises:
        MessageError: there is another `text` beside the field that holds the document.
    """
    value = without(value, setting.ignore)
    name = setting.text_field
    if name == "text" or name not in value:
        return value
    if value.get("text"):
        raise MessageError("text", f"stands beside {name}, which is to be the document")
    return {key: item for key, item in value.items() if key not in (name, "text")} | {
        "text": value[name]
    }


def without(value: Row, ignore: Iterable[str]) -> Row:
    """The row without the fields to ignore."""
    result = dict(value)
    for name in ignore:
        first, dot, rest = name.partition(".")
        if name in result or not dot:
            result.pop(name, None)
        elif isinstance(result.get(first), Mapping):
            result[first] = without(result[first], [rest])
        elif isinstance(result.get(first), list):
            result[first] = [
                without(item, [rest]) if isinstance(item, Mapping) else item
                for item in result[first]
            ]
    return result


def _dropped(names: list[str], where: str) -> FormatError:
    listed = ", ".join(names)
    return FormatError.at(
        where,
        f"{'fields' if len(names) > 1 else 'the field'} {listed} would be dropped",
        reason=DROPPED,
        hint=f"keep rows without {'them' if len(names) > 1 else 'it'} by adding to the source in "
        f"the recipe: ignore: [{listed}]",
    )


def _whole(draft: Draft, scores: Mapping[str, Any]) -> Draft:
    """The draft with messages in order, scores as numbers, and nothing that can't be sent."""
    if bool(draft.messages) == bool(draft.text):
        raise RowError("", "messages beside a text" if draft.text else "the row is empty", EMPTY)
    messages = in_order(draft.messages)
    tools = draft.tools
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        tools = tuple(dict.fromkeys(tools))  # offered twice in the same words: once is enough
        if len(tools) > len(set(names)):
            double = next(name for name in names if names.count(name) > 1)
            raise MessageError("tools", f"two different tools are called {double!r}")
    for i, message in enumerate(messages):
        message.check(f"messages[{i}]")
        if message.name and message.role != "tool":
            raise RowError(f"messages[{i}].name", "names of speakers would be dropped", DROPPED)
        texts = (message.content, message.reasoning, message.tool_call_id, message.name)
        calls = (text for call in message.tool_calls for text in (call.name, call.arguments))
        _refuse_surrogates((*texts, *calls), f"messages[{i}]")
    for i, tool in enumerate(tools):
        tool.schema()
        _refuse_surrogates((tool.name, tool.description, tool.parameters), f"tools[{i}]")
    _refuse_surrogates((draft.text, draft.id, draft.kind), "text")
    if draft.language not in LANGUAGES:
        raise MessageError("language", f"must be zh-TW or en, not {draft.language!r}")
    numbers = {**draft.scores, **scores}
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise MessageError(name, f"a score must be a number, not {type(number).__name__}")
    return replace(
        draft,
        messages=messages,
        tools=tools,
        scores={name: float(number) for name, number in numbers.items()},
    )


def _without_thoughts(draft: Draft) -> Draft:
    """The draft with its replies as they are said at once."""
    return replace(draft, messages=tuple(replace(item, reasoning="") for item in draft.messages))


def _refuse_surrogates(texts: Iterable[str], path: str) -> None:
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RowError(
                path, "holds half a character (a lone surrogate)", "half a character"
            ) from error
