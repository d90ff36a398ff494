"""Whether replies to held-out rows begin as calls where they should, and only there.

The loss of calls says nothing of calls that should not be made, and exact calls are few and slow to
count. What is asked first decides: which token the model would write first, greedily, where the
row's assistant speaks for the first time (behind the row's own reasoning, if it has any). BFCL
calls the two sides relevance and irrelevance.

A reply begins as a call when that token is the first one of `<tool_call>`; where the tag is no
token of its own, another word with the same beginning counts as a call, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from formosa.chat.tags import CALL, END_THINK
from formosa.chat.template import ChatTemplate
from formosa.train.accuracy import first_reply, prompt_ids, written_reply
from formosa.train.rows import Conversation, control_tokens, encode_texts


class Relevance(NamedTuple):
    """Counts of rows.

    Attributes:
        missed: replies that begin as words though the row calls; `calls` rows do.
        needless: replies that begin as calls though the row calls nothing; `others` don't.
    """

    missed: int
    calls: int
    needless: int
    others: int


class Beginning(NamedTuple):
    """Where a row's reply begins: the ids before it, and whether it should be a call."""

    ids: list[int]
    calls: bool


def beginnings(
    tokenizer: Any, template: ChatTemplate, rows: Sequence[Conversation], max_tokens: int
) -> list[Beginning]:
    """Of the rows with tools that begin with a call, or make none at all.

    Args:
        tokenizer: of the model.
        template: how conversations are written.
        rows: held-out ones.
        max_tokens: longer beginnings are left out, as the rows are whose loss is measured.
    """
    control = control_tokens(tokenizer)
    found = []
    for row in rows:
        i = first_reply(row.messages)
        if i is None or not row.tools:
            continue
        calls, words = bool(row.messages[i].tool_calls), row.messages[i].content
        if calls and words.strip():  # words, then calls: both beginnings are right
            continue
        thought, end, _ = written_reply(template, row, i).rpartition(END_THINK)
        ids = prompt_ids(tokenizer, template, control, row, i)
        if end:
            ids += encode_texts(tokenizer, [thought + end + "\n\n"])[0]
        if len(ids) <= max_tokens:
            found.append(Beginning(ids, calls))
    return found


def call_token(tokenizer: Any) -> int:
    """The id that a call begins with."""
    return int(encode_texts(tokenizer, [CALL])[0][0])


def relevance(
    model: Any, begun: Sequence[Beginning], count: int, *, call: int, padding: int
) -> Relevance:
    """Ask for the likeliest first token of each. One batch, padded on the left.

    Args:
        model: a causal language model in evaluation mode.
        begun: what is asked.
        count: how many of them count; the others only keep other processes company.
        call: the id that a call begins with.
        padding: the id of what is no token.
    """
    import torch

    width = max(len(item.ids) for item in begun)
    ids = torch.tensor([[padding] * (width - len(b.ids)) + b.ids for b in begun])
    mask = torch.tensor([[0] * (width - len(b.ids)) + [1] * len(b.ids) for b in begun])
    with torch.no_grad():
        scores = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(model.device),
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]
    likeliest = scores.argmax(-1).tolist()
    pairs = [(item.calls, token == call) for item, token in zip(begun, likeliest, strict=True)]
    counted = pairs[:count]
    return Relevance(
        missed=sum(wanted and not made for wanted, made in counted),
        calls=sum(wanted for wanted, _ in counted),
        needless=sum(made and not wanted for wanted, made in counted),
        others=sum(not wanted for wanted, _ in counted),
    )
