"""A conversation becomes token ids and labels, in one rendering, with every check before step 1.

The text is cut at the borders of what the assistant wrote, and each piece is encoded by itself:
at those borders a server's prompt ends and the generation begins, so the ids of training are the
ids of serving. Labels are the ids of the assistant's pieces (the stop token is one of them), and
`IGNORED` elsewhere.

Rows are never cut. One that is longer than the limit is refused or dropped, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate, Rendered
from formosa.errors import DataError, MessageError
from formosa.files import read_jsonl

IGNORED = -100  # the label that torch's cross entropy leaves out


class Conversation(NamedTuple):
    """A row as it is read from a file; `where` names its line for people."""

    where: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Token ids and labels of the same length."""

    ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """How many tokens the model learns to write."""
        return sum(label != IGNORED for label in self.labels)


class EncodedRows(NamedTuple):
    """What came of the rows; `dropped` counts the reasons."""

    rows: list[EncodedRow]
    dropped: Counter[str]

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)

    @property
    def trained(self) -> int:
        return sum(row.trained for row in self.rows)


def read_conversations(path: Path) -> Iterator[Conversation]:
    """The rows of a prepared JSONL file.

    Raises:
        DataError: a row holds no conversation; the sentence names file and line.
    """
    for line, value in read_jsonl(path):
        where = f"{path}:{line}"
        if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
            raise DataError(f"{where} has no list of messages.")
        try:
            messages = tuple(
                Message.from_openai(message, f"messages[{i}]")
                for i, message in enumerate(value["messages"])
            )
            tools = tuple(
                Tool.from_openai(tool, f"tools[{i}]")
                for i, tool in enumerate(value.get("tools") or ())
            )
        except MessageError as error:
            raise DataError(f"{where}: {error.message}") from error
        yield Conversation(where, messages, tools)


def encode(rendered: Rendered, tokenizer: Any) -> EncodedRow:
    """Ids and labels of rendered text; nothing follows the assistant's last word."""
    ids: list[int] = []
    labels: list[int] = []
    position = 0
    for start, end in rendered.spans:
        before = tokenizer.encode(rendered.text[position:start], add_special_tokens=False)
        words = tokenizer.encode(rendered.text[start:end], add_special_tokens=False)
        ids += before + words
        labels += [IGNORED] * len(before) + words
        position = end
    return EncodedRow(ids, labels)


def encode_rows(
    conversations: Iterable[Conversation],
    tokenizer: Any,
    template: ChatTemplate,
    *,
    max_tokens: int,
    overlong: Literal["raise", "drop"] = "raise",
) -> EncodedRows:
    """Encode every row and check it.

    Raises:
        DataError: nothing to train on is left; a row has no assistant's turn; its stop token is
            not trained; or it is too long and `overlong` says raise.
    """
    stop = tokenizer.encode(template.stop, add_special_tokens=False)
    if len(stop) != 1:
        raise DataError(f"The stop token {template.stop!r} is not one token of this tokenizer.")
    result = EncodedRows([], Counter())
    for where, messages, tools in conversations:
        rendered = template.render(messages, tools)
        _check_prefix(where, messages, tools, rendered, template)
        row = encode(rendered, tokenizer)
        if not row.trained:
            raise DataError(
                f"{where} has nothing to learn: no assistant's turn.",
                "remove the row, or prepare the data again",
            )
        if row.labels[-1] != stop[0]:
            raise DataError(f"{where} would never teach the model to stop.")
        if len(row.ids) > max_tokens:
            if overlong == "raise":
                raise DataError(
                    f"{where} has {len(row.ids)} tokens; the recipe allows {max_tokens}.",
                    "raise train.max_tokens, or set train.overlong: drop",
                )
            result.dropped["overlong"] += 1
            continue
        result.rows.append(row)
    if not result.rows:
        raise DataError("No row is left to train on.", "look at them: formosa data inspect FILE")
    return result


def group_rows(rows: Sequence[EncodedRow], size: int) -> list[list[EncodedRow]]:
    """Groups of `size` rows of like length, so that little of a batch is padding."""
    ordered = sorted(rows, key=lambda row: len(row.ids))
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def _check_prefix(
    where: str,
    messages: tuple[Message, ...],
    tools: tuple[Tool, ...],
    rendered: Rendered,
    template: ChatTemplate,
) -> None:
    """What a server would be asked must be the very beginning of what is trained."""
    for i, message in enumerate(messages):
        if message.role == "assistant":
            prompt = template.prompt(messages[:i], tools)
            if not rendered.text.startswith(prompt):
                raise DataError(
                    f"{where}: the template writes messages[:{i}] differently when asked to "
                    "answer them, so the model would be trained on another text than it is served."
                )
