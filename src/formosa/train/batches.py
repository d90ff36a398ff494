"""Which sequences each step computes, and in which process: one order for all.

Needs torch, imported by functions only.

An epoch's order depends on the seed and the epoch alone. Process r of n takes every n-th group
from the r-th on, so that a step holds the same groups whatever n is, and the losses are those of
one process. Where the groups can't be shared evenly, the last ones are empty: they take part in
what all processes do together, and weigh nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from formosa.train.config import TrainConfig
from formosa.train.packing import collate, sequences
from formosa.train.prefixes import collate_trees, tokens_of, trees
from formosa.train.rows import IGNORED, EncodedRow
from formosa.train.tokens import TokenStore


class Groups:
    """Groups of sequences that are computed together, read from the store when they are needed.

    Args:
        store: the encoded rows.
        config: the recipe's `train:` part.
        join: packs are joined into one row, as flash attention wants them.

    Attributes:
        sequences: how many there are.
        tokens: of all of them; fewer than the rows have where their beginnings are shared.
    """

    def __init__(self, store: TokenStore, config: TrainConfig, *, join: bool = False) -> None:
        self._store, self._config, self._join = store, config, join
        self.tokens = store.tokens
        if config.share_prefix:
            grown = trees(store, config.max_tokens)
            self.tokens = sum(tree.tokens for tree in grown)
            found = [tree.rows for tree in grown]
        else:
            found = sequences(store, config)
        self.sequences = len(found)
        self._shared = config.packing or config.share_prefix
        size = config.rows_at_once if self._shared else 1
        # Rows alone: what was found is a group already. Packs and trees: several make one.
        self._groups = [found[i : i + size] for i in range(0, len(found), size)]

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, i: int | None) -> list[list[EncodedRow]]:
        """The packs of a group, or the rows of a group as its only one; none for None."""
        if i is None:
            return []
        return [[self._store[row] for row in rows] for rows in self._groups[i]]

    def longest(self) -> list[int]:
        """Group numbers, the one with most positions first."""
        lengths = self._store.lengths

        def positions(i: int) -> int:
            if self._config.share_prefix:
                return len(self._groups[i]) * max(tokens_of(rows) for rows in self[i])
            rows = [[int(lengths[row]) for row in rows] for rows in self._groups[i]]
            if self._config.packing:
                return len(rows) * max(map(sum, rows))
            return len(rows[0]) * max(rows[0])

        return sorted(range(len(self)), key=lambda i: (-positions(i), i))

    def batch(self, groups: Sequence[list[list[EncodedRow]]]) -> dict[str, Any]:
        """The tensors of one group, and how many tokens it has without its padding."""
        (packs,) = groups
        config = self._config
        if config.share_prefix:
            tokens = sum(tokens_of(rows) for rows in packs)
        else:
            tokens = sum(len(row.ids) for pack in packs for row in pack)
        if not packs:
            packs = [[EncodedRow([0, 0], [IGNORED, IGNORED])]]
        if config.share_prefix:
            return {**collate_trees(packs), "tokens": tokens}
        width = config.max_tokens if config.compile and config.packing and not self._join else None
        made = collate(packs, packed=config.packing, join=self._join, width=width)
        return {**made, "tokens": tokens}


class Order:
    """The batches of one process: a sampler of group numbers, None for an empty group."""

    def __init__(
        self,
        groups: int,
        *,
        seed: int,
        process: int = 0,
        processes: int = 1,
        only: Sequence[int] | None = None,
    ) -> None:
        self._groups, self._seed = groups, seed
        self._process, self._processes = process, processes
        self._only = only  # these in this order, for a trial
        self._epoch = 0

    @property
    def batch_sampler(self) -> Order:
        """Where transformers looks for what has epochs."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        count = self._groups if self._only is None else len(self._only)
        return -(-count // self._processes)

    def __iter__(self) -> Iterator[list[int | None]]:
        order: list[int | None] = [*(self._only if self._only is not None else self._shuffled())]
        order += [None] * (len(self) * self._processes - len(order))
        for group in order[self._process :: self._processes]:
            yield [group]

    def _shuffled(self) -> list[int]:
        import torch

        dice = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return list(torch.randperm(self._groups, generator=dice).tolist())


def loader(groups: Groups, order: Order, *, pinned: bool = False) -> Any:
    """torch's loader over one process's batches."""
    import torch
    from torch.utils.data import DataLoader

    # With dice of its own: the model's are left alone, so that an epoch that begins in a continued
    # training throws what it threw in a whole one.
    return DataLoader(
        groups,  # type: ignore[arg-type]  # a sequence with holes
        batch_sampler=order,
        collate_fn=groups.batch,
        generator=torch.Generator().manual_seed(0),
        pin_memory=pinned,
    )
