"""Which rows are computed together, and their tensors.

Packed: several rows share a sequence of `max_tokens` without seeing each other. Attention is kept
apart by the positions, which begin anew with every row: transformers builds the block mask from
them, but **only** where there is no attention mask and no cache (`use_cache=False`). With either,
rows leak into each other in silence; tests show both. Flash attention finds the borders only in a
batch of one row: there, packs are joined.

Not packed: groups of like length, padded on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from formosa.errors import ModelError
from formosa.train.config import TrainConfig
from formosa.train.rows import IGNORED, EncodedRow

if TYPE_CHECKING:
    from formosa.train.tokens import TokenStore


def sequences(store: TokenStore, config: TrainConfig) -> list[list[int]]:
    """The rows of each sequence that is computed together, as numbers of `store`.

    With packing: a pack each. Without: groups of `rows_at_once` rows of like length.
    """
    lengths = store.lengths.tolist()
    if config.packing:
        return packs(lengths, config.max_tokens)
    return groups(lengths, config.rows_at_once)


def packs(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Rows in as few packs as best-fit needs: the longest first, each where the least is left.

    Deterministic; no dice. Near-linear: the free rooms are the bits of one number, so the
    smallest that fits is found in a few machine words.

    Args:
        lengths: tokens of each row, none above `room`.
        room: tokens of a pack.
    """
    found: list[list[int]] = []
    open_packs: dict[int, list[int]] = {}  # room left → packs
    rooms = 0  # bit n: there is a pack with n tokens left
    for row in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[row]
        if length > room:
            raise ValueError(f"row {row} has {length} tokens; a pack holds {room}")
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            waiting = open_packs[left]
            pack = waiting.pop()
            if not waiting:
                rooms &= ~(1 << left)
            found[pack].append(row)
        else:
            left, pack = room, len(found)
            found.append([row])
        left -= length
        if left:
            open_packs.setdefault(left, []).append(pack)
            rooms |= 1 << left
    return found


def groups(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Groups of `size` rows of like length, so that little of a batch is padding."""
    ordered = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [ordered[i : i + size] for i in range(0, len(ordered), size)]


def collate(
    sequences: Sequence[Sequence[EncodedRow]],
    *,
    packed: bool = False,
    join: bool = False,
    width: int | None = None,
) -> dict[str, Any]:
    """The tensors of one batch: input_ids, labels, position_ids, attention_mask.

    `attention_mask` is None when packed, and must stay so. The first token of a row has no label:
    nothing of its own row predicts it.

    Args:
        sequences: not packed: one group of rows. Packed: packs of rows.
        packed: which of both.
        join: all packs in one row of the batch, for flash attention.
        width: at least so many tokens wide; compiled models want one shape.
    """
    if not packed:
        (rows,) = sequences
        return _padded(rows, width or 0)
    lines = [[row for pack in sequences for row in pack]] if join else sequences
    return _packed(lines, width or 0)


def check_apart(model: Any) -> None:
    """Try on this very model whether packed rows are kept apart: two rows in a pack, and again
    with another first row. What the second one comes to must be the same, nearly to the bit.

    Which versions and kinds of attention keep rows apart is nothing to rely on; this takes two
    calls of some tokens.

    Args:
        model: a causal language model, not yet wrapped or sharded.

    Raises:
        ModelError: the second row sees the first.
    """
    import torch

    size = min(model.get_input_embeddings().weight.shape[0], 1000)
    rows = [[(7 * i + start) % size for i in range(16)] for start in (1, 2, 3)]
    was_training = model.training
    model.eval()
    found = []
    with torch.no_grad():
        for first in rows[:2]:
            batch = collate([[EncodedRow(ids, ids) for ids in (first, rows[2])]], packed=True)
            place = {name: batch[name].to(model.device) for name in ("input_ids", "position_ids")}
            found.append(model(**place, use_cache=False).logits[0, 16:].float())
    model.train(was_training)
    one, other = found
    if float((one - other).abs().max()) > 1e-3 * float(one.abs().max()):
        raise ModelError(
            f"{type(model).__name__} lets packed rows read each other, with "
            f"{model.config._attn_implementation} attention.",
            "set train.packing: false, or train.attention: sdpa",
        )


def _packed(lines: Sequence[Sequence[EncodedRow]], width: int) -> dict[str, Any]:
    """What is left of a line is a document of its own, without labels."""
    import torch

    width = max(width, *(sum(len(row.ids) for row in line) for line in lines))
    tails = [width - sum(len(row.ids) for row in line) for line in lines]
    pairs = list(zip(lines, tails, strict=True))
    return {
        "input_ids": torch.tensor(
            [[token for row in line for token in row.ids] + [0] * tail for line, tail in pairs]
        ),
        "labels": torch.tensor(
            [
                [label for row in line for label in (IGNORED, *row.labels[1:])] + [IGNORED] * tail
                for line, tail in pairs
            ]
        ),
        "position_ids": torch.tensor(
            [
                [i for row in line for i in range(len(row.ids))] + [*range(tail)]
                for line, tail in pairs
            ]
        ),
        "attention_mask": None,
    }


def _padded(rows: Sequence[EncodedRow], width: int) -> dict[str, Any]:
    import torch

    width = max(width, *(len(row.ids) for row in rows))
    pairs = [(width - len(row.ids), row) for row in rows]
    return {
        "input_ids": torch.tensor([[0] * gap + row.ids for gap, row in pairs]),
        "labels": torch.tensor([[IGNORED] * (gap + 1) + row.labels[1:] for gap, row in pairs]),
        "attention_mask": torch.tensor([[0] * gap + [1] * len(row.ids) for gap, row in pairs]),
        "position_ids": torch.tensor([[0] * gap + [*range(len(row.ids))] for gap, row in pairs]),
    }
