"""Exact-call accuracy: how often a reply to a held-out row holds exactly the right calls.

The loss of a tool-call set falls to almost nothing within one pass (brackets, keys and copied names
are nearly free), so it can't say whether calls are right. This can: the model answers each row
greedily up to where the row's assistant speaks for the first time, and the calls are compared by
name and JSON value, whatever their order. A row without calls is right when none was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from formosa.chat.message import Message, ToolCall
from formosa.chat.parser import parse_reply
from formosa.chat.template import ChatTemplate
from formosa.train.rows import Conversation, encode, group_rows

GROUP = 4  # rows measured together


class Exact(NamedTuple):
    """Right replies out of all that were asked."""

    correct: int
    of: int


def same_calls_in_any_order(wanted: Sequence[ToolCall], found: Sequence[ToolCall]) -> bool:
    """Whether both hold equal calls, in any order."""
    left = list(found)
    for call in wanted:
        match = next((other for other in left if call.same(other)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def exact_calls(
    model: Any,
    tokenizer: Any,
    template: ChatTemplate,
    rows: Sequence[Conversation],
    *,
    max_new_tokens: int,
) -> Exact:
    """Ask every row and count the exact ones. One batch, padded on the left."""
    import torch

    asked = [(row, first) for row in rows if (first := _first_reply(row.messages)) is not None]
    if not asked:
        return Exact(0, 0)
    prompts = [
        tokenizer.encode(template.prompt(row.messages[:i], row.tools), add_special_tokens=False)
        for row, i in asked
    ]
    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    was_training = model.training
    model.eval()
    with torch.no_grad():
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    model.train(was_training)
    correct = 0
    for (row, i), tokens in zip(asked, output[:, width:].tolist(), strict=True):
        if tokenizer.eos_token_id in tokens:
            tokens = tokens[: tokens.index(tokenizer.eos_token_id)]
        text = tokenizer.decode(tokens, skip_special_tokens=False)
        reply = parse_reply(text, calls=bool(row.tools))
        right = not reply.defects and same_calls_in_any_order(
            row.messages[i].tool_calls, reply.message.tool_calls
        )
        correct += right
    return Exact(correct, len(asked))


def held_out_loss(
    model: Any, tokenizer: Any, template: ChatTemplate, rows: Sequence[Conversation]
) -> float:
    """Mean cross entropy of the assistant's tokens, over all rows together."""
    import torch

    from formosa.train.trainer import collate, labelled_loss

    encoded = [encode(template.render(row.messages, row.tools), tokenizer) for row in rows]
    total = tokens = 0.0
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for group in group_rows(encoded, GROUP):
            inputs = {name: value.to(model.device) for name, value in collate([group]).items()}
            trained = sum(row.trained for row in group)
            total += float(labelled_loss(model, inputs)) * trained
            tokens += trained
    model.train(was_training)
    return total / max(tokens, 1.0)


def _first_reply(messages: Sequence[Message]) -> int | None:
    return next((i for i, message in enumerate(messages) if message.role == "assistant"), None)
