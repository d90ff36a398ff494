"""Log-probabilities in the shapes of several servers, and which of them belong to the text."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from formosa.engines.logprobs import Ledger, from_columns, from_content
from formosa.engines.protocol import Logprob, TokenLogprob


def token(text: str) -> Logprob:
    return Logprob(TokenLogprob(text, -1.0, text.encode()))


def test_tokens_wait_for_the_text_that_a_server_holds_back() -> None:
    """llama.cpp sends the tokens of what may become a stop text at once, and the text later."""
    ledger = Ledger()
    assert ledger.feed([token("The")], "The") == (token("The"),)
    assert ledger.feed([token(" num")], "") == ()
    assert ledger.feed([token("ber")], " number") == (token(" num"), token("ber"))


def test_the_end_and_a_stop_text_are_no_tokens_of_the_text() -> None:
    ledger = Ledger()
    assert ledger.feed([token("a"), token("<|im_end|>")], "a") == (token("a"),)
    assert ledger.feed([], "") == ()


def test_a_token_that_a_stop_text_cuts_belongs_to_the_text() -> None:
    assert Ledger().feed([token("hello"), token("x")], "hel") == (token("hello"),)


@given(st.lists(st.text(min_size=1), max_size=20), st.data())
def test_every_token_comes_once_and_in_order(texts: list[str], data: st.DataObject) -> None:
    tokens = [token(text) for text in texts]
    whole = "".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    ledger = Ledger()
    handed = list(ledger.feed(tokens, ""))
    for part in parts:
        handed += ledger.feed([], part)
    assert handed == tokens


def test_alternatives_are_best_first_and_no_more_than_were_asked_for() -> None:
    columns = {
        "tokens": ["a"],
        "token_logprobs": [-2.0],
        "top_logprobs": [{"a": -2.0, "b": -0.1, "c": -1.0}],
    }
    [found] = from_columns(columns, 2)
    assert [other.text for other in found.top] == ["b", "c"]
    assert from_columns(columns, 0)[0].top == ()


def test_bytes_are_those_that_the_server_sent_or_the_vocabulary_knows() -> None:
    items = [{"id": 7, "token": "\ufffd", "logprob": -1, "bytes": [229, 143], "top_logprobs": []}]
    assert from_content(items, 1)[0].chosen == TokenLogprob("\ufffd", -1.0, b"\xe5\x8f", 7)
    known = from_content(items, 1, lambda id: b"\xb0" if id == 7 else b"")[0].chosen
    assert known.bytes == b"\xb0"


def test_what_is_no_list_of_tokens_is_none() -> None:
    strange: list[Any] = [None, [], {}, "x", {"tokens": [None], "token_logprobs": ["a"]}]
    for value in strange:
        assert from_columns(value, 1) == ()
    assert from_content(None, 1) == ()
    assert from_content([1, "a"], 1) == ()
