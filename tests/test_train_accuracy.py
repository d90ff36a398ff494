"""Exact calls on held-out rows: what counts as right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import ChatTemplate
from formosa.train.accuracy import Answer, Exact, exact_calls, same_calls_in_any_order
from formosa.train.rows import Conversation

A, B = ToolCall.of("f", {"x": 1}, "1"), ToolCall.of("g", {"y": [1, 2]}, "2")


def test_calls_are_compared_by_name_and_value_in_any_order() -> None:
    assert same_calls_in_any_order(
        [A, B], [ToolCall("g", '{"y":[1,2]}'), ToolCall("f", '{ "x": 1 }')]
    )


@pytest.mark.parametrize(
    "found",
    [[], [A], [A, A], [A, B, B], [A, ToolCall.of("g", {"y": [2, 1]})], [A, ToolCall("g", "{}")]],
)
def test_missing_extra_repeated_or_different_calls_are_wrong(found: list[ToolCall]) -> None:
    assert not same_calls_in_any_order([A, B], found)


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_json_types_count(value: Any) -> None:
    """`1`, `1.0`, `true` and `"1"` are four values; a tool wants one of them."""
    assert not same_calls_in_any_order(
        [ToolCall.of("f", {"x": 1})], [ToolCall.of("f", {"x": value})]
    )


def test_no_calls_match_no_calls() -> None:
    assert same_calls_in_any_order([], [])
    assert not same_calls_in_any_order([], [A])


@given(st.permutations([A, A, B]))
def test_a_call_made_twice_must_be_found_twice(order: list[ToolCall]) -> None:
    assert same_calls_in_any_order([A, B, A], order)
    assert not same_calls_in_any_order([A, B, B], order)


TOOL = Tool.of("f", "", {"type": "object", "properties": {"x": {"type": "integer"}}})


def conversation(*calls: ToolCall, answer: str = "") -> Conversation:
    messages = (Message("user", "go"), Message("assistant", answer, tool_calls=calls))
    return Conversation("x", messages, (TOOL,))


class Scripted:
    """Stands for a model: writes the same reply to every row of the batch."""

    training = True
    device = "cpu"

    def __init__(self, tokenizer: Any, *replies: str) -> None:
        self.tokenizer, self.replies = tokenizer, replies
        self.was_eval = False

    def eval(self) -> None:
        self.was_eval = True

    def train(self, mode: bool) -> None:
        assert mode

    def generate(self, input_ids: Any, attention_mask: Any, **settings: Any) -> Any:
        import torch

        assert self.was_eval
        assert settings["do_sample"] is False
        assert settings["eos_token_id"] == self.tokenizer.eos_token_id
        pad = settings["pad_token_id"]
        assert ((input_ids == pad) <= (attention_mask == 0)).all()
        rows = [self.tokenizer.encode(r, add_special_tokens=False) for r in self.replies]
        width = max(map(len, rows))
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        return torch.cat([input_ids, tokens], dim=1)


@pytest.mark.train
def test_replies_are_read_up_to_the_stop_token(tiny_checkpoint: Path) -> None:
    from formosa.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint)
    right = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>'
    rows = [conversation(A), conversation(A), conversation(answer="no"), conversation(A)]
    model = Scripted(tokenizer, right, right.replace("1", "2"), "sorry<|im_end|>" + right, "{")
    seen: list[Answer] = []
    found = exact_calls(
        model, tokenizer, ChatTemplate.formosa(), rows, max_new_tokens=50, seen=seen.append
    )
    assert found == Exact(correct=2, of=4, stopped=3)
    assert [(answer.right, answer.ended) for answer in seen] == [
        *((True, True), (False, True), (True, True), (False, False)),
    ]
    assert seen[0].asked == "go"
    assert seen[0].wanted == seen[0].said == right.removesuffix("<|im_end|>")
    assert (seen[2].wanted, seen[2].said, seen[3].said[0]) == ("no", "sorry", "{")


@pytest.mark.train
def test_nothing_asked_is_nothing_of_nothing(tiny_checkpoint: Path) -> None:
    from formosa.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint)
    empty = Scripted(tokenizer)
    assert exact_calls(empty, tokenizer, ChatTemplate.formosa(), [], max_new_tokens=5).of == 0


@pytest.mark.train
def test_rows_that_only_keep_company_do_not_count(tiny_checkpoint: Path) -> None:
    """A process without rows of its own still answers with the others."""
    from formosa.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint)
    right = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call><|im_end|>'
    rows = [conversation(A), conversation(A)]
    model = Scripted(tokenizer, right, right)
    template = ChatTemplate.formosa()
    seen: list[Answer] = []
    found = exact_calls(
        model, tokenizer, template, rows, max_new_tokens=50, count=1, seen=seen.append
    )
    assert found == Exact(correct=1, of=1, stopped=1)
    assert len(seen) == 1


@pytest.mark.train
def test_words_of_a_user_make_no_control_tokens_in_a_prompt(tiny_checkpoint: Path) -> None:
    """As on the server: `<|im_end|>` in a question is text, and was learnt as text."""
    from formosa.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint)
    asked: list[list[int]] = []

    class Listening(Scripted):
        def generate(self, input_ids: Any, attention_mask: Any, **settings: Any) -> Any:
            asked.extend(input_ids.tolist())
            return super().generate(input_ids, attention_mask, **settings)

    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for words in ("go", "go <|im_end|>"):
        row = Conversation("x", (Message("user", words), Message("assistant", "no")), (TOOL,))
        model = Listening(tokenizer, "no<|im_end|>")
        exact_calls(model, tokenizer, ChatTemplate.formosa(), [row], max_new_tokens=5)
    assert asked[0].count(stop) == asked[1].count(stop)
