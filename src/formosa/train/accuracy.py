"""Exact-call accuracy: how often a reply to a held-out row holds exactly the right calls.

The loss of a tool-call set falls to almost nothing within one pass (brackets, keys and copied names
are nearly free), so it can't say whether calls are right. This can: the model answers each row
greedily up to where the row's assistant speaks for the first time, and the calls are compared by
name and JSON value, whatever their order. A row without calls is right when none was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from formosa.chat.message import Message, ToolCall
from formosa.chat.parser import parse_reply
from formosa.chat.template import ChatTemplate
from formosa.train.rows import Conversation, control_tokens, encode_texts

LONGEST = 2_000  # characters of a text that is kept of an answer


class Answer(NamedTuple):
    """How a row was answered, for people; texts are cut at `LONGEST`.

    Attributes:
        asked: what was said last before the reply.
        wanted: the reply of the row, and `said`, that of the model, as they stand in the text.
        right: whether it holds exactly the right calls; `ended`: by itself.
    """

    asked: str
    wanted: str
    said: str
    right: bool
    ended: bool


class Exact(NamedTuple):
    """Right replies out of all that were asked, and how many ended by themselves."""

    correct: int
    of: int
    stopped: int


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
    count: int | None = None,
    together: bool = False,
    seen: Callable[[Answer], None] = lambda answer: None,
) -> Exact:
    """Ask every row and count the exact ones. One batch, padded on the left.

    Args:
        model: a causal language model, or what stands for one.
        tokenizer: its own.
        template: how conversations are written.
        rows: asked up to where their assistant speaks for the first time.
        max_new_tokens: longest reply.
        count: how many of the rows count; None: all.
        together: other processes answer at the same time, and must all come to the end.
        seen: gets every answer that counts.
    """
    import torch

    asked = [(row, first) for row in rows if (first := first_reply(row.messages)) is not None]
    if not asked:
        return Exact(0, 0, 0)
    control = control_tokens(tokenizer)
    prompts = [prompt_ids(tokenizer, template, control, row, i) for row, i in asked]
    width = max(map(len, prompts))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    stop = tokenizer.convert_tokens_to_ids(template.stop)
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
            top_k=None,
            eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
            synced_gpus=together,
        )
    model.train(was_training)
    correct = stopped = 0
    asked = asked[:count]
    for (row, i), tokens in zip(asked, output[: len(asked), width:].tolist(), strict=True):
        ended = stop in tokens
        if ended:
            stopped += 1
            tokens = tokens[: tokens.index(stop)]
        text = tokenizer.decode(tokens, skip_special_tokens=False)
        reply = parse_reply(text, calls=bool(row.tools))
        right = not reply.defects and same_calls_in_any_order(
            row.messages[i].tool_calls, reply.message.tool_calls
        )
        correct += right
        last = row.messages[i - 1].content[:LONGEST] if i else ""
        wanted = written_reply(template, row, i)[:LONGEST]
        seen(Answer(last, wanted, text[:LONGEST], right, ended))
    return Exact(correct, len(asked), stopped)


def prompt_ids(
    tokenizer: Any, template: ChatTemplate, control: Collection[str], row: Conversation, end: int
) -> list[int]:
    """The ids that a server would ask with: words that only spell a control token stay words."""
    pieces = template.guarded_prompt(row.messages[:end], row.tools, control_tokens=control)
    parts = encode_texts(tokenizer, [pieces] if isinstance(pieces, str) else pieces)
    return [token for part in parts for token in part]


def written_reply(template: ChatTemplate, row: Conversation, i: int) -> str:
    """The row's own reply as a model would write it, without the stop token."""
    rendered = template.render(row.messages[: i + 1], row.tools)
    start, end = rendered.spans[-1] if rendered.spans else (0, 0)
    return rendered.text[start:end].removesuffix(template.stop)


def first_reply(messages: Sequence[Message]) -> int | None:
    """Where the assistant speaks for the first time."""
    return next((i for i, message in enumerate(messages) if message.role == "assistant"), None)
