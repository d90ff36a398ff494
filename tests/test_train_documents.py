"""Continued pre-training: documents and replayed conversations, every word learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.message import Message
from formosa.chat.template import ChatTemplate
from formosa.errors import DataError
from formosa.train.documents import begin_of_text, cut, end_of_text, pieces_of
from formosa.train.packing import packs
from formosa.train.rows import (
    IGNORED,
    Conversation,
    Document,
    EncodedRow,
    Row,
    RowEncoder,
    RowSettings,
)
from formosa.train.tokens import encode_file

TEMPLATE = ChatTemplate.formosa()
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tiny import tiny_tokenizer

    return tiny_tokenizer()


def encoded(tokenizer: Any, *rows: Row, max_tokens: int = 500, **settings: Any) -> list[EncodedRow]:
    encoder = RowEncoder(tokenizer, TEMPLATE, RowSettings("cpt", max_tokens, **settings))
    return [row for outcome in encoder.encode(rows) for row in outcome.rows]


@pytest.mark.train
@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80), st.integers(2, 40))
def test_pieces_of_a_document_are_the_document(tokenizer: Any, text: str, limit: int) -> None:
    rows = encoded(tokenizer, Document("a:1", text), max_tokens=limit)
    whole = [*tokenizer.encode(text, add_special_tokens=False),
             tokenizer.convert_tokens_to_ids("<|endoftext|>")]  # fmt: skip
    assert [token for row in rows for token in row.labels[1:]] == whole[1:], "each learnt once"
    assert all(2 <= len(row.ids) <= limit for row in rows)
    assert all(row.labels == [IGNORED, *row.ids[1:]] for row in rows)


@pytest.mark.train
def test_a_document_ends_with_the_end_of_a_text_and_not_of_a_turn(tokenizer: Any) -> None:
    (row,) = encoded(tokenizer, Document("a:1", "臺灣的天氣。"))
    assert tokenizer.decode(row.ids) == "臺灣的天氣。<|endoftext|>"


@pytest.mark.train
def test_a_document_begins_as_the_tokenizer_begins_a_text(tokenizer: Any) -> None:
    from tokenizers import processors

    from tiny import tiny_tokenizer

    assert begin_of_text(tokenizer) == [], "SmolLM2 begins with nothing, though it names a token"
    other = tiny_tokenizer()
    begin = other.convert_tokens_to_ids("<|im_start|>")
    other.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", begin)]
    )
    first, second = encoded(other, Document("a:1", "word " * 30), max_tokens=40)[:2]
    assert first.ids[0] == begin
    assert begin not in second.ids, "only the first piece of a document is a beginning"


@pytest.mark.train
@pytest.mark.parametrize("token", CONTROL)
def test_a_text_about_control_tokens_holds_none(tokenizer: Any, token: str) -> None:
    (row,) = encoded(tokenizer, Document("a:1", f"{token} ends a text, says the page. {token}"))
    number = tokenizer.convert_tokens_to_ids(token)
    assert row.ids.count(number) == (token == "<|endoftext|>")
    assert tokenizer.decode(row.ids).startswith(f"{token} ends a text")


@given(st.lists(st.sampled_from([*CONTROL, "<|im", "x", "\n", "_end|>"]), max_size=8).map("".join))
def test_pieces_spell_no_token_and_lose_no_character(text: str) -> None:
    pieces = pieces_of(text, CONTROL)
    assert "".join(pieces) == text
    assert not any(token in piece for token in CONTROL for piece in pieces)


@given(st.lists(st.integers(), max_size=40), st.integers(2, 12))
def test_a_cut_lets_every_token_be_predicted_once(ids: list[int], limit: int) -> None:
    parts = cut(ids, limit)
    assert [number for part in parts for number in part[1:]] == ids[1:]
    assert all(2 <= len(part) <= limit for part in parts)
    assert all(a[-1] == b[0] for a, b in zip(parts, parts[1:], strict=False))


@pytest.mark.train
def test_a_vocabulary_without_an_end_is_refused() -> None:
    class Bare:
        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(DataError, match="no token that ends a text"):
        end_of_text(Bare())


@pytest.mark.train
def test_a_conversation_is_replayed_whole_and_learnt_whole(tokenizer: Any) -> None:
    messages = (Message("system", "Be brief."), Message("user", "hi"), Message("assistant", "yo"))
    (row,) = encoded(tokenizer, Conversation("a:1", messages, ()))
    assert tokenizer.decode(row.ids) == TEMPLATE.render(messages).text.removesuffix("\n")
    assert row.labels == [IGNORED, *row.ids[1:]]


@pytest.mark.train
def test_a_conversation_is_not_cut_like_a_document(tokenizer: Any) -> None:
    messages = (Message("user", "hi " * 40), Message("assistant", "yo"))
    with pytest.raises(DataError, match="a:1 has"):
        encoded(tokenizer, Conversation("a:1", messages, ()), max_tokens=30)
    rows = encoded(
        tokenizer,
        Conversation("a:1", messages, ()),
        Document("a:2", "short"),
        max_tokens=30,
        overlong="drop",
    )
    assert len(rows) == 1


@pytest.mark.train
def test_documents_of_a_file_are_stored_and_packed(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    texts = ["臺北市。" * n for n in (1, 40, 2, 3)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    said: list[str] = []
    settings = RowSettings("cpt", 64)
    store = encode_file(path, tokenizer, TEMPLATE, settings, tmp_path / "tokens", said.append)
    assert (store.report.read, store.report.split) == (4, 1)
    assert store.trained == store.tokens - len(store)
    assert sum(map(len, packs(store.lengths.tolist(), 64))) == len(store)
    assert said[0].startswith("4 rows: 3 whole, 1 split, 0 dropped")
