"""The order of the groups: the same for one process and for many, whole epochs, no row twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.train.batches import Groups, Order
from formosa.train.config import TrainConfig
from formosa.train.rows import IGNORED
from train_rows import CONFIG, changed, write_rows

pytestmark = pytest.mark.train


def in_epoch(order: Order, epoch: int = 0) -> list[int | None]:
    order.set_epoch(epoch)
    return [group for batch in order for group in batch]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 9), st.integers(0, 3))
def test_processes_share_the_order_of_one(
    groups: int, processes: int, seed: int, epoch: int
) -> None:
    """Step by step they hold the same groups, so the gradients of a step are the same."""
    alone = in_epoch(Order(groups, seed=seed), epoch)
    assert sorted(group for group in alone if group is not None) == list(range(groups))
    orders = [
        Order(groups, seed=seed, process=rank, processes=processes) for rank in range(processes)
    ]
    parts = [in_epoch(order, epoch) for order in orders]
    assert {len(part) for part in parts} == {len(orders[0])}, "all take equally many steps"
    together = [group for round_ in zip(*parts, strict=True) for group in round_]
    assert [group for group in together if group is not None] == alone
    assert together[len(alone) :] == [None] * (len(together) - len(alone))


def test_every_epoch_and_every_seed_has_its_own_order() -> None:
    orders = {
        tuple(in_epoch(Order(20, seed=seed), epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(orders) == 9
    assert in_epoch(Order(20, seed=1), 2) == in_epoch(Order(20, seed=1), 2)


def test_the_order_leaves_the_dice_of_the_model_alone() -> None:
    import torch

    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    in_epoch(Order(20, seed=1))
    assert torch.equal(torch.rand(3), wanted)


@pytest.fixture(scope="module")
def store(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from formosa.train.run import encode

    folder = tmp_path_factory.mktemp("store")
    rows = write_rows(folder / "rows.jsonl", 10)
    return encode(CONFIG, base=tiny_checkpoint, rows=rows, folder=folder)


@pytest.mark.parametrize(
    "config",
    [CONFIG, changed(packing=True, max_tokens=900), changed(packing=True, rows_at_once=1)],
)
def test_every_row_is_in_one_group(store: Any, config: TrainConfig) -> None:
    groups = Groups(store, config)
    rows = [row for i in range(len(groups)) for pack in groups[i] for row in pack]
    assert sorted(map(len, (row.ids for row in rows))) == sorted(store.lengths.tolist())
    assert sum(groups.batch([groups[i]])["tokens"] for i in range(len(groups))) == store.tokens


def test_the_longest_groups_come_first_in_a_trial(store: Any) -> None:
    groups = Groups(store, CONFIG)
    sizes = [groups.batch([groups[i]])["input_ids"].numel() for i in groups.longest()]
    assert sizes == sorted(sizes, reverse=True)
    packed = Groups(store, changed(packing=True, max_tokens=900))
    sizes = [packed.batch([packed[i]])["input_ids"].numel() for i in packed.longest()]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("packing", [False, True])
def test_an_empty_group_has_nothing_to_learn(store: Any, packing: bool) -> None:
    groups = Groups(store, changed(packing=packing))
    batch = groups.batch([groups[None]])
    assert batch["tokens"] == 0
    assert (batch["labels"] == IGNORED).all()


def test_compiled_packs_have_one_shape(store: Any) -> None:
    """A compiled model is made anew for every new shape."""
    groups = Groups(store, changed(packing=True, compile=True, max_tokens=900))
    shapes = {groups.batch([groups[i]])["input_ids"].shape[1] for i in range(len(groups))}
    assert shapes == {900}


def test_flash_attention_gets_packs_in_one_row(store: Any) -> None:
    groups = Groups(store, changed(packing=True, max_tokens=900), join=True)
    assert groups.batch([groups[0]])["input_ids"].shape[0] == 1
    assert groups.batch([groups[0]])["attention_mask"] is None
