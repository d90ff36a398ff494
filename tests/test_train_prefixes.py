"""Rows that share their beginning: each learns as if it were alone, and the beginning is computed
once."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.errors import ModelError
from formosa.train.batches import Groups
from formosa.train.config import TrainConfig
from formosa.train.packing import collate
from formosa.train.prefixes import (
    PADDING,
    PREFIX,
    before_learnt,
    branch_masks,
    check_branches,
    collate_trees,
    tokens_of,
    trees,
)
from formosa.train.rows import IGNORED, EncodedRow
from test_train_packing import MODELS, VOCABULARY, built

pytestmark = pytest.mark.train
ROOM = 80
CONFIG = TrainConfig(share_prefix=True, max_tokens=ROOM, rows_per_step=2, rows_at_once=2)


def made_row(prompt: Sequence[int], seed: int, *, own: int = 4, learnt: int = 5) -> EncodedRow:
    """A row of a prompt, a question and a learnt reply, of invented tokens."""
    dice = random.Random(seed)
    question = [dice.randrange(1, VOCABULARY) for _ in range(own)]
    reply = [dice.randrange(1, VOCABULARY) for _ in range(learnt)]
    before = [*prompt, *question]
    return EncodedRow([*before, *reply], [IGNORED] * len(before) + reply)


def prompt(seed: int, length: int = 20) -> list[int]:
    dice = random.Random(f"prompt {seed}")
    return [dice.randrange(1, VOCABULARY) for _ in range(length)]


TOOLS, OTHERS = prompt(1), prompt(2, 11)
TREE = [made_row(TOOLS, seed, own=3 + seed, learnt=2 + 2 * seed) for seed in range(3)]
ROWS = [*TREE, made_row(OTHERS, 7), made_row(OTHERS, 8, own=9)]


class Store:
    """Stands for a TokenStore."""

    def __init__(self, rows: Sequence[EncodedRow]) -> None:
        import numpy

        self.rows = rows
        self.lengths = numpy.array([len(row.ids) for row in rows])
        self.tokens = int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __getitem__(self, i: int) -> EncodedRow:
        return self.rows[i]


def store_of(rows: Sequence[EncodedRow]) -> Any:
    return Store(rows)


# Which rows are a tree.


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(1, 30)), max_size=30))
def test_every_row_is_in_one_tree_and_no_tree_is_overfull(
    made: list[tuple[int, int, int]],
) -> None:
    rows = [made_row(prompt(tools), seed, own=own) for tools, seed, own in made]
    found = trees(store_of(rows), ROOM)
    assert sorted(row for tree in found for row in tree.rows) == list(range(len(rows)))
    sizes = [tokens_of([rows[row] for row in tree.rows]) for tree in found]
    assert sizes == [tree.tokens for tree in found] and all(size <= ROOM for size in sizes)
    assert sum(sizes) <= sum(len(row.ids) for row in rows), "sharing never costs tokens"


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(len(ROWS))))
def test_rows_of_the_same_tools_find_each_other_wherever_they_are(order: list[int]) -> None:
    rows = [ROWS[i] for i in order]
    found = {frozenset(order[i] for i in tree.rows) for tree in trees(store_of(rows), ROOM)}
    assert found == {frozenset({0, 1, 2}), frozenset({3, 4})}


def test_rows_that_only_begin_with_the_same_words_stay_alone() -> None:
    """All prompts begin with the same instructions; that is no reason to compute them together."""
    rows = [made_row([*TOOLS[:4], *prompt(seed)], seed) for seed in range(5, 9)]
    assert [len(tree.rows) for tree in trees(store_of(rows), 400)] == [1, 1, 1, 1]


def test_a_tree_that_is_full_is_followed_by_another_of_the_same_tools() -> None:
    rows = [made_row(TOOLS, seed) for seed in range(12)]
    found = trees(store_of(rows), ROOM)
    assert sorted(len(tree.rows) for tree in found) == [6, 6]


def test_short_trees_come_first_so_that_those_of_a_batch_are_alike() -> None:
    sizes = [tree.tokens for tree in trees(store_of(ROWS), ROOM)]
    assert sizes == sorted(sizes)


def test_nothing_learnt_is_shared_nor_the_token_that_predicts_it() -> None:
    """The first token of a branch has no label: before it may stand another branch."""
    same = EncodedRow([1, 2, 3, 4, 5], [IGNORED, IGNORED, IGNORED, 4, 5])
    assert before_learnt(same) == 2
    assert tokens_of([same, same]) == 2 + 3 + 3
    labels = collate_trees([[same, same]])["labels"].tolist()
    assert labels == [[IGNORED, IGNORED, IGNORED, 4, 5, IGNORED, 4, 5]]


def test_a_row_that_is_learnt_from_its_second_token_shares_nothing() -> None:
    row = EncodedRow([1, 2, 3], [IGNORED, 2, 3])
    assert [before_learnt(row), tokens_of([row, row])] == [0, 6]


# What a tree looks like, and who sees what.


def test_a_branch_goes_on_where_the_prefix_ends() -> None:
    batch = {name: value.tolist() for name, value in collate_trees([TREE, ROWS[3:]]).items()}
    lengths = [len(row.ids) - 20 for row in TREE]
    assert batch["position_ids"][0] == [*range(20)] + [
        20 + i for length in lengths for i in range(length)
    ]
    assert batch["branches"][0] == [PREFIX] * 20 + [
        branch for branch, length in enumerate(lengths, 1) for _ in range(length)
    ]
    assert batch["branches"][1].count(PADDING) == tokens_of(TREE) - tokens_of(ROWS[3:])
    assert all(
        label == IGNORED
        for label, branch in zip(batch["labels"][1], batch["branches"][1], strict=True)
        if branch in (PREFIX, PADDING)
    )


def test_every_learnt_token_of_a_row_is_learnt_in_its_tree() -> None:
    labels = collate_trees([ROWS[:3], ROWS[3:]])["labels"]
    assert int((labels != IGNORED).sum()) == sum(row.trained for row in ROWS)


def test_a_branch_sees_the_prefix_and_itself() -> None:
    import torch

    branches = torch.tensor([[PREFIX, PREFIX, 1, 1, 2, PADDING]])
    positions = torch.tensor([[0, 1, 2, 3, 2, 0]])
    seen = branch_masks(object(), branches, positions)[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_a_window_counts_positions_of_the_row_not_places_in_the_tree() -> None:
    import torch

    class Windowed:
        sliding_window = 2
        layer_types = ("sliding_attention", "full_attention")

    branches = torch.tensor([[PREFIX, PREFIX, 1, 1, 2]])
    masks = branch_masks(Windowed(), branches, torch.tensor([[0, 1, 2, 3, 2]]))
    assert masks["sliding_attention"][0, 0, 4].int().tolist() == [0, 1, 0, 0, 1]
    assert masks["full_attention"][0, 0, 4].int().tolist() == [1, 1, 0, 0, 1]


# What is learnt: on the models that we train.


def taught(model: Any, batches: Sequence[dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    """The loss of some batches together, and what it does to every weight."""
    import torch

    from formosa.train.loss import score_labels

    if "forward" not in vars(model):
        score_labels(model, 4096)
    model.zero_grad()
    loss = torch.stack([model(**batch)["loss"] for batch in batches]).sum()
    torch.autograd.backward(loss)
    return float(loss.detach()), {name: w.grad.clone() for name, w in model.named_parameters()}


@MODELS
def test_the_rows_of_a_tree_teach_what_they_teach_alone(build: Callable[[str], Any]) -> None:
    """Loss and every gradient; also with a sliding window that is shorter than the rows."""
    import torch

    model = built(build, "sdpa")
    alone, wanted = taught(model, [collate([[row]]) for row in ROWS])
    together, found = taught(model, [collate_trees([ROWS[:3], ROWS[3:]])])
    assert together == pytest.approx(alone, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


@MODELS
def test_a_model_that_keeps_branches_apart_passes(build: Callable[[str], Any]) -> None:
    model = built(build, "sdpa")
    check_branches(model)
    assert model.training


def test_a_model_that_does_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from formosa.train import prefixes
    from test_train_packing import llama

    model = built(llama, "sdpa")

    def everything(config: Any, branches: Any, positions: Any) -> Any:
        """A mask by which a branch sees what stands before it."""
        import torch

        size = branches.shape[1]
        return torch.ones(size, size, dtype=torch.bool).tril().expand(len(branches), 1, -1, -1)

    monkeypatch.setattr(prefixes, "branch_masks", everything)
    with pytest.raises(ModelError, match="read each other") as caught:
        check_branches(model)
    assert "share_prefix: false" in str(caught.value.hint)


# Batches.


def test_tokens_are_counted_as_they_are_computed() -> None:
    groups = Groups(store_of(ROWS), CONFIG)
    batches = [groups.batch([groups[i]]) for i in range(len(groups))]
    assert sum(batch["tokens"] for batch in batches) == tokens_of(TREE) + tokens_of(ROWS[3:])
    assert groups.tokens == sum(batch["tokens"] for batch in batches) < store_of(ROWS).tokens
    assert (groups.sequences, len(groups)) == (2, 1)
    assert batches[0]["branches"].shape == batches[0]["labels"].shape


def test_the_longest_group_is_the_one_with_most_positions() -> None:
    config = CONFIG.model_copy(update={"rows_at_once": 1})
    groups = Groups(store_of(ROWS), config)
    assert [len(groups[i][0]) for i in groups.longest()] == [3, 2]


def test_an_empty_group_weighs_nothing() -> None:
    batch = Groups(store_of(ROWS), CONFIG).batch([[]])
    assert batch["tokens"] == 0 or set(batch["labels"].flatten().tolist()) == {IGNORED}
    assert set(batch["labels"].flatten().tolist()) == {IGNORED}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"packing": True}, "choose one"),
        ({"attention": "eager"}, "needs sdpa"),
        ({"attention": "flash_attention_2"}, "needs sdpa"),
        ({"objective": "cpt"}, "about conversations"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainConfig(share_prefix=True, **changes)
