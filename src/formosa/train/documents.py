"""Continued pre-training: documents become token ids, every one of them learnt.

A document begins with the token that the base knows as the beginning of a text, where there is
one, and ends with its end-of-text token (not with the end of a turn, which is a word of
conversations). One that is longer than the limit goes on in the next piece: a document may be cut
anywhere, since nobody answers in it. Only its first piece begins with the one token, and only its
last ends with the other.

Conversations in a file of continued pre-training are replay, so that a model doesn't lose what it
could do: rendered whole with the template and learnt whole (see `rows.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from formosa.chat.guard import free_mark, marked
from formosa.errors import DataError

# The families' own names for the end of a text.
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>")


def end_of_text(tokenizer: Any) -> str:
    """The token that ends a document.

    Raises:
        DataError: the vocabulary has none.
    """
    vocabulary = tokenizer.get_vocab()
    for token in END_OF_TEXT:
        if token in vocabulary:
            return token
    raise DataError(
        f"The tokenizer has no token that ends a text ({', '.join(END_OF_TEXT)}).",
        "add one to the tokenizer of the base model",
    )


def begin_of_text(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text: one id, or nothing."""
    ids = list(tokenizer.encode("", add_special_tokens=True))
    return ids[:1] if ids and ids[0] == tokenizer.bos_token_id else []


def pieces_of(text: str, control_tokens: Collection[str]) -> list[str]:
    """The text, cut inside words that only spell a control token: `<|endoftext|>` in a page about
    tokenizers is no end of a text."""
    tokens = frozenset(control_tokens)
    if not any(token in text for token in tokens):
        return [text]
    mark = free_mark(text)
    if mark is None:
        raise DataError("a document holds every character that could mark a control token")
    return [piece for piece in str(marked(text, tokens, mark)).split(mark) if piece]


def cut(ids: Sequence[int], limit: int) -> list[list[int]]:
    """Pieces of at most `limit` ids. Each begins with the last id of the one before, so that every
    id but the very first is predicted, once."""
    return [list(ids[i : i + limit]) for i in range(0, len(ids) - 1, limit - 1)]
