"""One training row: a conversation with the tools it was offered, and the JSONL of it.

Arguments and schemas stay JSON *text* in memory and in the file. A typed column can then never
merge one tool's keys into another's, and the spelling a model learns is the spelling in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.chat.message import Message, Tool, json_text
from formosa.errors import DataError, MessageError
from formosa.files import replacing, sha256_json

LANGUAGES = ("zh-TW", "en")
FIELDS = {"id", "source", "kind", "language", "messages", "tools"}


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation with its tools.

    Attributes:
        id: unique within its file; made from the content where the file gives none.
        source: the file or generator it came from.
        kind: what it shows (`single`, `parallel`, …); "" where nobody said.
        language: the language of the user's words: `zh-TW` or `en`.
    """

    id: str
    source: str
    kind: str
    language: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    @classmethod
    def from_json(cls, value: Any, where: str, *, source: str = "") -> Row:
        """A row from one decoded JSONL line.

        `tools` may be missing, a list, or the JSON text of a list. A field that nobody knows is
        an error: it would be dropped in silence.

        Raises:
            DataError: `where` (as in `rows.jsonl:7`) and the path of what does not fit.
        """
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: a row must be an object, not {type(value).__name__}.")
        unknown = sorted(set(value) - FIELDS)
        if unknown:
            raise DataError(
                f"{where}: unknown field {unknown[0]!r}.",
                f"a row has {', '.join(sorted(FIELDS))}",
            )
        try:
            messages = tuple(
                Message.from_openai(item, f"messages[{i}]")
                for i, item in enumerate(_list(value.get("messages"), "messages"))
            )
            tools = tuple(
                Tool.from_openai(item, f"tools[{i}]")
                for i, item in enumerate(_list(value.get("tools") or [], "tools"))
            )
        except MessageError as error:
            raise DataError(f"{where}: {error.message}.") from error
        if not messages:
            raise DataError(f"{where}: messages is empty.")
        texts = {name: value.get(name) or "" for name in ("id", "source", "kind", "language")}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise DataError(f"{where}: {name} must be text, not {type(text).__name__}.")
        language = texts["language"] or guess_language(messages)
        if language not in LANGUAGES:
            raise DataError(f"{where}: language must be one of {', '.join(LANGUAGES)}.")
        row_id = texts["id"] or sha256_json(content_key(messages, tools))[:16]
        return cls(row_id, texts["source"] or source, texts["kind"], language, messages, tools)

    def to_json(self) -> dict[str, Any]:
        """The shape of one JSONL line; `from_json` of it is this row again."""
        return {
            "id": self.id,
            "source": self.source,
            "kind": self.kind,
            "language": self.language,
            "messages": [message.to_openai() for message in self.messages],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters,
                    },
                }
                for tool in self.tools
            ],
        }

    @property
    def question(self) -> str:
        """All that the user said, one turn a line: what must not be in two splits."""
        return "\n".join(item.content.strip() for item in self.messages if item.role == "user")

    def content_sha256(self) -> str:
        """Equal for rows that would train the same; id, source and kind don't count."""
        return sha256_json(content_key(self.messages, self.tools))


def content_key(messages: Iterable[Message], tools: Iterable[Tool]) -> list[Any]:
    return [
        [message.to_openai() for message in messages],
        [[tool.name, tool.description, tool.parameters] for tool in tools],
    ]


def guess_language(messages: Iterable[Message]) -> str:
    """`zh-TW` where the user wrote any CJK ideograph, else `en`."""
    text = "".join(item.content for item in messages if item.role == "user")
    return "zh-TW" if any("\u4e00" <= character <= "\u9fff" for character in text) else "en"


def scan_rows(path: Path, *, source: str = "") -> Iterator[tuple[str, Row | DataError]]:
    """Every line of a JSONL file: where it is (`rows.jsonl:7`), and the row or what is wrong.

    Blank lines are skipped. The last line need not end in a newline: the file may come from
    anybody's editor.

    Raises:
        DataError: there is no such file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror or error}.",
            "paths in a recipe are relative to the folder of the recipe",
        ) from error
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                yield where, Row.from_json(json.loads(line), where, source=source or path.stem)
            except DataError as error:
                yield where, error
            except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or too deep
                reason = "nested too deeply" if isinstance(error, RecursionError) else error
                yield where, DataError(f"{where}: not JSON: {reason}.")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSONL file.

    Raises:
        DataError: no such file, or a line that is no row; the sentence names the line.
    """
    for _, item in scan_rows(path):
        if isinstance(item, DataError):
            raise item
        yield item


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Replace `path` with the rows, whole or not at all; return how many there were."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(json_text(row.to_json()).encode("utf-8") + b"\n")
            count += 1
    return count


def _list(value: Any, path: str) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise MessageError(path, f"not JSON: {error}") from error
    if not isinstance(value, list):
        raise MessageError(path, "must be a list")
    return value
