"""Rows become token ids and labels, in one rendering, with every check before step 1.

    samples.py     which turns are learnt, behind which history
    rendering.py   where text is cut, so that the ids of training are the ids of serving
    documents.py   text for continued pre-training
    tokens.py      the ids of millions of rows, on the disk

Labels are the ids of what is learnt (the stop token is one of them), and `IGNORED` elsewhere. Rows
are never cut inside a turn. Rows stream: some hundreds at a time are encoded together, which is
what the tokenizer's threads like.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import DataError, MessageError
from formosa.files import read_jsonl
from formosa.train import samples
from formosa.train.config import TrainConfig
from formosa.train.documents import begin_of_text, cut, end_of_text, pieces_of
from formosa.train.rendering import Guard, Piece
from formosa.train.samples import Sample

IGNORED = -100  # the label that torch's cross entropy leaves out
CHUNK = 256  # rows encoded together


class Conversation(NamedTuple):
    """A row as it is read from a file; `where` names its line for people."""

    where: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]


class Document(NamedTuple):
    """A row of continued pre-training: text without roles."""

    where: str
    text: str


Row = Conversation | Document


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """Token ids and labels of the same length."""

    ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """How many tokens the model learns to write."""
        return sum(label != IGNORED for label in self.labels)


class RowSettings(NamedTuple):
    """The part of a training's settings that decides ids and labels."""

    objective: Literal["sft", "cpt"] = "sft"
    max_tokens: int = 1024
    overlong: Literal["raise", "drop", "split"] = "raise"
    thinking: Literal["keep", "drop"] = "keep"

    @classmethod
    def of(cls, config: TrainConfig) -> RowSettings:
        return cls(config.objective, config.max_tokens, config.overlong, config.thinking)


class Outcome(NamedTuple):
    """What became of a row.

    Attributes:
        where: its line in the file.
        rows: what is trained; none when it was dropped.
        tokens: of its longest sample, before anything was done about the length.
        dropped: why nothing of it is trained, in a word or two; "" if something is.
        lost_turns: turns of the assistant that fit nowhere, though others of the row do.
        guarded: it spells a control token, and was cut so that it stays words.
        separated: its turns are samples of their own, since a server would read the earlier ones
            with other ids than the model writes.
    """

    where: str
    rows: tuple[EncodedRow, ...]
    tokens: int
    dropped: str = ""
    lost_turns: int = 0
    guarded: bool = False
    separated: bool = False


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a prepared JSONL file: conversations, or documents (`text`).

    Raises:
        DataError: a row is neither; the sentence names file and line.
    """
    for line, value in read_jsonl(path):
        where = f"{path}:{line}"
        if isinstance(value, dict) and isinstance(value.get("text"), str) and value["text"]:
            yield Document(where, value["text"])
            continue
        if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
            raise DataError(f"{where} has no list of messages.")
        try:
            messages = tuple(
                Message.from_openai(message, f"messages[{i}]")
                for i, message in enumerate(value["messages"])
            )
            tools = tuple(
                Tool.from_openai(tool, f"tools[{i}]")
                for i, tool in enumerate(_tools(value.get("tools")))
            )
        except MessageError as error:
            raise DataError(f"{where}: {error.message}") from error
        yield Conversation(where, messages, tools)


def _tools(value: Any) -> Sequence[Any]:
    """A list of tools, which may be written as the JSON text of one."""
    if value in (None, ""):
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise MessageError("tools", f"not JSON: {error}") from error
    if not isinstance(value, list):
        raise MessageError("tools", "must be a list")
    return value


class RowEncoder:
    """Turns rows into ids and labels, checking every one.

    Args:
        tokenizer: transformers', with the template's control tokens.
        template: how conversations are written.
        settings: lengths and policies.

    Raises:
        DataError: the template's stop text is not one token of this tokenizer.
    """

    def __init__(self, tokenizer: Any, template: ChatTemplate, settings: RowSettings) -> None:
        self.tokenizer, self.template, self.settings = tokenizer, template, settings
        self._control = control_tokens(tokenizer)
        self._guard = Guard(template, self._control)
        stop = encode_texts(tokenizer, [template.stop])[0]
        if len(stop) != 1 and settings.objective == "sft":
            raise DataError(f"The stop token {template.stop!r} is not one token of this tokenizer.")
        self._turns = len(stop) == 1
        self._stop = stop[0] if stop else -1

    def encode(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """What becomes of every row, in order.

        Raises:
            DataError: a row can't be trained on; the sentence names it.
        """
        for chunk in _chunks(rows, CHUNK):
            spoken = iter(self._conversations([r for r in chunk if isinstance(r, Conversation)]))
            written = iter(self._documents([r for r in chunk if isinstance(r, Document)]))
            for row in chunk:
                yield next(written if isinstance(row, Document) else spoken)

    def _documents(self, rows: Sequence[Document]) -> list[Outcome]:
        if not rows:
            return []
        if self.settings.objective == "sft":
            raise DataError(
                f"{rows[0].where} is a document, not a conversation.",
                "set train.objective: cpt, or leave documents out of the mixture",
            )
        begin = begin_of_text(self.tokenizer)
        end = self.tokenizer.convert_tokens_to_ids(end_of_text(self.tokenizer))
        texts = [pieces_of(row.text, self._control) for row in rows]
        encoded = iter(encode_texts(self.tokenizer, [text for found in texts for text in found]))
        outcomes = []
        for row, found in zip(rows, texts, strict=True):
            ids = [*begin, *(token for _ in found for token in next(encoded)), end]
            parts = tuple(
                EncodedRow(part, [IGNORED, *part[1:]])
                for part in cut(ids, self.settings.max_tokens)
            )
            outcomes.append(Outcome(row.where, parts, len(ids), guarded=len(found) > 1))
        return outcomes

    def _conversations(self, rows: Sequence[Conversation]) -> list[Outcome]:
        if rows and not self._turns:
            raise DataError(
                f"{rows[0].where} is a conversation, and the base has no tokens for turns.",
                "set train.family, or leave conversations out of the mixture",
            )
        made = [self._samples(row) for row in rows]
        pieces = [
            self._pieces(row.where, sample)
            for row, found in zip(rows, made, strict=True)
            for sample in found
        ]
        encoded = iter(self._encode(pieces))
        outcomes = []
        position = 0
        for row, found in zip(rows, made, strict=True):
            mine = [next(encoded) for _ in found]
            cut = pieces[position : position + len(found)]
            position += len(found)
            outcomes.append(self._outcome(row, found, cut, mine))
        return outcomes

    def _samples(self, row: Conversation) -> list[Sample]:
        whole = samples.whole(row.messages, row.tools)
        if not whole.learnt:
            raise DataError(
                f"{row.where} has nothing to learn: no assistant's turn.",
                "remove the row, or prepare the data again",
            )
        if self.settings.thinking == "drop" and self.settings.objective == "sft":
            return samples.without_earlier_thinking(row.messages, row.tools)
        return [whole]

    def _outcome(
        self,
        row: Conversation,
        found: list[Sample],
        pieces: list[list[Piece]],
        encoded: list[tuple[EncodedRow, bool]],
    ) -> Outcome:
        limit = self.settings.max_tokens
        longest = max(len(each.ids) for each, _ in encoded)
        guarded = any(
            len(cut) > 2 * len(sample.learnt) for sample, cut in zip(found, pieces, strict=True)
        )
        separated = any(not same for _, same in encoded)
        if separated:  # earlier turns read otherwise than written: each gets the prompt as served
            found = [
                each
                for sample, (_, same) in zip(found, encoded, strict=True)
                for each in ([sample] if same else samples.turn_by_turn(sample))
            ]
            encoded = self._encode([self._pieces(row.where, sample) for sample in found])
        rows: list[EncodedRow] = []
        lost = dropped = 0
        for sample, (each, _) in zip(found, encoded, strict=True):
            if len(each.ids) <= limit:
                rows.append(each)
            elif self.settings.overlong == "raise":
                raise DataError(
                    f"{row.where} has {len(each.ids)} tokens; the recipe allows {limit}.",
                    "raise train.max_tokens, or set train.overlong: drop (or split)",
                )
            elif self.settings.overlong == "drop":
                dropped += len(sample.learnt)
            else:
                parts, missing = samples.split(sample, limit, self._length)
                lost += missing
                again = self._encode([self._pieces(row.where, part) for part in parts])
                for part, (short, _) in zip(parts, again, strict=True):
                    if len(short.ids) <= limit:
                        rows.append(short)
                    else:  # merged across a border that looked safe
                        lost += len(part.learnt)
        for each in rows:
            self._check_stop(row.where, each)
        # A row of which nothing is left is counted as a row, not by its turns.
        why, lost = ("", lost + dropped) if rows else ("overlong", 0)
        return Outcome(row.where, tuple(rows), longest, why, lost, guarded, separated)

    def _pieces(self, where: str, sample: Sample) -> list[Piece]:
        try:
            return self._guard.pieces(sample)
        except (DataError, MessageError) as error:
            raise DataError(f"{where}: {error.message}", error.hint) from error

    def _encode(self, found: Sequence[Sequence[Piece]]) -> list[tuple[EncodedRow, bool]]:
        """Each sample's ids and labels, and whether a server's prompt has the same ids."""
        texts = [piece.text for pieces in found for piece in pieces]
        encoded = iter(encode_texts(self.tokenizer, texts))
        # The history of the last turn as a server reads it: not cut where a turn was learnt.
        served = [_as_served(pieces) for pieces in found]
        read = iter(encode_texts(self.tokenizer, [text for parts in served for text in parts]))
        everything = self.settings.objective == "cpt"
        result = []
        for pieces, parts in zip(found, served, strict=True):
            ids: list[int] = []
            labels: list[int] = []
            for piece in pieces:
                tokens = next(encoded)
                ids += tokens
                labels += tokens if piece.learnt or everything else [IGNORED] * len(tokens)
            labels[0] = IGNORED
            history = [token for _ in parts for token in next(read)]
            same = everything or ids[: len(history)] == history
            result.append((EncodedRow(ids, labels), same))
        return result

    def _length(self, messages: Sequence[Message], tools: Sequence[Tool]) -> int:
        """Tokens of a conversation, rendered whole."""
        if not messages and not tools:
            return 1  # a token that begins every text, where the family has one
        texts = self._guard.texts(messages, tools)
        return sum(map(len, encode_texts(self.tokenizer, texts)))

    def _check_stop(self, where: str, row: EncodedRow) -> None:
        """Every learnt turn must end in the stop token, learnt with it."""
        if self.settings.objective == "cpt":
            return
        ends = zip(row.labels, [*row.labels[1:], IGNORED], strict=True)
        if any(mine not in (IGNORED, self._stop) and after == IGNORED for mine, after in ends):
            raise DataError(f"{where} would never teach the model to stop.")


def _as_served(pieces: Sequence[Piece]) -> list[str]:
    """The text before the last learnt turn, joined where only learning had cut it; nothing where
    there is but one learnt turn."""
    last = max((i for i, piece in enumerate(pieces) if not piece.learnt), default=0)
    if not any(piece.learnt for piece in pieces[:last]):
        return []
    texts: list[str] = []
    before = None
    for piece in pieces[: last + 1]:
        if piece.learnt == before or before is None:
            texts.append(piece.text)
        else:
            texts[-1] += piece.text
        before = piece.learnt
    return texts


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, control tokens read as such and nothing added."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return [list(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    fast.no_truncation()  # a tokenizer.json may bring both
    fast.no_padding()
    found = fast.encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in found]


def control_tokens(tokenizer: Any) -> frozenset[str]:
    """The tokens that a server keeps out of messages: the same rule, from the same file."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return frozenset(map(str, tokenizer.all_special_tokens))
    return Vocabulary.from_tokenizer(json.loads(fast.to_str())).control_tokens


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while chunk := list(itertools.islice(waiting, size)):
        yield chunk
