"""Rows that begin alike are computed as one tree: what they share once, then what each has alone.

Rows of tool calls are mostly tools. Where several rows have the same ones (and the same system
message), most of the work would be done again for each; here it is done once:

    tools ─┬─ question 1, call
           ├─ question 2, call        one sequence: the tools and three short branches
           └─ question 3, call

A branch sees the tools and itself, at the positions that it has in a row of its own, so scores,
loss and gradients are those of the rows alone: a test compares them, and `check_branches` tries it
on the very model before a training begins.

Needs torch, imported by functions only.
"""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from formosa.errors import ModelError
from formosa.train.rows import IGNORED, EncodedRow

if TYPE_CHECKING:
    from formosa.train.tokens import TokenStore

COMPARED = 1024  # tokens of a row's beginning: bounds the memory that millions of rows take
PREFIX = 0  # the branch that all others see
PADDING = -1


class Tree(NamedTuple):
    """Rows that share their beginning, as numbers of a store, and the tokens of all together."""

    tokens: int
    rows: list[int]


def before_learnt(row: EncodedRow) -> int:
    """How many tokens may be shared: all before the last one that predicts nothing learnt.

    The token that a branch begins with has no label, since what is before it in the sequence may
    be another branch.
    """
    return next((i for i, label in enumerate(row.labels) if label != IGNORED), len(row.ids)) - 1


def trees(store: TokenStore, room: int) -> list[Tree]:
    """Rows in trees of at most `room` tokens; those of few tokens first.

    Rows are taken in the order of their tokens, so that those which begin alike are neighbours. A
    row joins the tree before it where the tree's rows all share at least half of what stands
    before their first learnt token. Deterministic; no dice.
    """
    prompts = [row.ids[: min(before_learnt(row), COMPARED)] for row in store]
    found: list[Tree] = []
    shared: list[int] = []  # what the rows of the last tree have in common
    longest = 0  # the longest prompt among them
    for row in sorted(range(len(prompts)), key=lambda i: prompts[i]):
        prompt, length = prompts[row], int(store.lengths[row])
        if found:
            tokens, rows = found[-1]
            common = os.path.commonprefix([shared, prompt])
            more = (len(shared) - len(common)) * (len(rows) - 1) + length - len(common)
            if tokens + more <= room and 2 * len(common) >= max(longest, len(prompt)):
                found[-1] = Tree(tokens + more, [*rows, row])
                shared, longest = list(common), max(longest, len(prompt))
                continue
        found.append(Tree(length, [row]))
        shared, longest = prompt, len(prompt)
    return sorted(found, key=lambda tree: tree.tokens)


def tokens_of(rows: Sequence[EncodedRow]) -> int:
    """Tokens of a tree."""
    cut = _cut(rows)
    return cut + sum(len(row.ids) - cut for row in rows)


def _cut(rows: Sequence[EncodedRow]) -> int:
    """How many tokens the rows of a tree share."""
    return len(os.path.commonprefix([row.ids[: before_learnt(row)] for row in rows]))


def collate_trees(trees: Sequence[Sequence[EncodedRow]]) -> dict[str, Any]:
    """The tensors of one batch, a tree to a line: input_ids, labels, position_ids, branches.

    `branches` (lines, length) numbers the parts: PREFIX, 1, 2, …, and PADDING behind them.
    """
    import torch

    lines: dict[str, list[list[int]]] = {
        name: [] for name in ("input_ids", "labels", "position_ids", "branches")
    }
    width = max(tokens_of(rows) for rows in trees)
    for rows in trees:
        cut = _cut(rows)
        parts = [(PREFIX, rows[0].ids[:cut], [IGNORED] * cut, range(cut))]
        parts += [
            (i, row.ids[cut:], [IGNORED, *row.labels[cut + 1 :]], range(cut, len(row.ids)))
            for i, row in enumerate(rows, 1)
        ]
        gap = width - sum(len(ids) for _, ids, _, _ in parts)
        parts.append((PADDING, [0] * gap, [IGNORED] * gap, range(gap)))
        lines["input_ids"].append([token for _, ids, _, _ in parts for token in ids])
        lines["labels"].append([label for _, _, labels, _ in parts for label in labels])
        lines["position_ids"].append([place for *_, places in parts for place in places])
        lines["branches"].append([branch for branch, ids, _, _ in parts for _ in ids])
    return {name: torch.tensor(value) for name, value in lines.items()}


def branch_masks(config: Any, branches: Any, positions: Any) -> Any:
    """What may be seen, as the model wants it: a mask, or one for each type of its layers.

    Args:
        config: the model's.
        branches: (lines, length), of `collate_trees`.
        positions: (lines, length), each token's in its own row.

    Returns:
        Booleans of (lines, 1, length, length), True where row's token sees column's.
    """
    import torch

    seen, sees = branches.unsqueeze(1), branches.unsqueeze(2)
    order = torch.ones(branches.shape[1], branches.shape[1], dtype=torch.bool).tril()
    whole = order.to(branches.device) & ((seen == sees) | (seen == PREFIX))
    masks = {"full_attention": whole.unsqueeze(1)}
    if window := getattr(config, "sliding_window", None):
        near = positions.unsqueeze(2) - positions.unsqueeze(1) < window
        masks["sliding_attention"] = (whole & near).unsqueeze(1)
    types = getattr(config, "layer_types", None)
    if types:
        return {name: masks.get(name, masks["full_attention"]) for name in set(types)}
    return masks.get("sliding_attention", masks["full_attention"])


def check_branches(model: Any) -> None:
    """Try on this very model whether the rows of a tree come to what they come to alone.

    Args:
        model: a causal language model, not yet wrapped or sharded.

    Raises:
        ModelError: they don't.
    """
    import torch

    size = min(model.get_input_embeddings().weight.shape[0], 1000)
    shared = [(7 * i + 1) % size for i in range(24)]
    rows = [
        EncodedRow([*shared, *own], [IGNORED] * 26 + own[2:])
        for own in ([(11 * i + start) % size for i in range(8)] for start in (2, 5))
    ]
    was_training = model.training
    model.eval()

    def last(rows: list[EncodedRow]) -> Any:
        """What the last branch comes to: (8, width)."""
        batch = {name: value.to(model.device) for name, value in collate_trees([rows]).items()}
        masks = branch_masks(model.config, batch["branches"], batch["position_ids"])
        given = {"input_ids": batch["input_ids"], "position_ids": batch["position_ids"]}
        hidden = model.get_decoder()(**given, attention_mask=masks, use_cache=False)[0]
        return hidden[0, -8:].float()

    with torch.no_grad():
        together, alone = last(rows), last(rows[1:])
    model.train(was_training)
    # Bfloat16 rounds otherwise in matrices of another size.
    if float((together - alone).abs().max()) > 0.05 * float(alone.abs().max()):
        raise ModelError(
            f"{type(model).__name__} lets rows that share their beginning read each other, with "
            f"{model.config._attn_implementation} attention.",
            "set train.share_prefix: false, or train.attention: sdpa",
        )
