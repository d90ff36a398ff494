"""Packed rows: each learns as if it were alone, and every row has its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.errors import ModelError
from formosa.train.config import TrainConfig
from formosa.train.packing import check_apart, collate, groups, packs, sequences
from formosa.train.rows import IGNORED, EncodedRow

LENGTHS = st.lists(st.integers(1, 60), max_size=80)
VOCABULARY = 120


def made_row(length: int, seed: int, *, labelled: float = 0.5) -> EncodedRow:
    dice = random.Random(seed)
    ids = [dice.randrange(1, VOCABULARY) for _ in range(length)]
    labels = [token if dice.random() < labelled else IGNORED for token in ids]
    return EncodedRow(ids, [IGNORED, *labels[1:]])


ROWS = [made_row(length, seed) for seed, length in enumerate((13, 1, 40, 7, 22))]


@given(LENGTHS, st.integers(60, 100))
def test_every_row_is_in_one_pack_and_no_pack_is_overfull(lengths: list[int], room: int) -> None:
    found = packs(lengths, room)
    assert sorted(row for pack in found for row in pack) == list(range(len(lengths)))
    assert all(0 < sum(lengths[row] for row in pack) <= room for pack in found)


@given(LENGTHS)
def test_no_two_packs_could_have_been_one(lengths: list[int]) -> None:
    """A row opens a pack only where none has room: the smallest contents fit nowhere else."""
    sizes = sorted(sum(lengths[row] for row in pack) for pack in packs(lengths, 60))
    assert all(a + b > 60 for a, b in zip(sizes, sizes[1:], strict=False))


def test_the_fullest_pack_that_has_room_is_taken() -> None:
    assert packs([6, 3, 7, 4, 1], 10) == [[2, 1], [0, 3], [4]]


def test_packs_are_the_same_every_time() -> None:
    dice = random.Random(3)
    lengths = [dice.randrange(1, 4096) for _ in range(3000)]
    assert packs(lengths, 4096) == packs(lengths, 4096)
    filled = sum(lengths) / (4096 * len(packs(lengths, 4096)))
    assert filled > 0.98


def test_a_row_that_is_longer_than_a_pack_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="row 1 has 11 tokens"):
        packs([3, 11], 10)


def test_groups_hold_every_row_once_with_little_padding() -> None:
    lengths = (9, 2, 8, 3, 7, 4, 5)
    found = groups(lengths, 2)
    assert [[lengths[row] for row in group] for group in found] == [[2, 3], [4, 5], [7, 8], [9]]


class Store:
    """Stands for a TokenStore."""

    def __init__(self, *lengths: int) -> None:
        import numpy

        self.lengths = numpy.array(lengths)


@pytest.mark.train
def test_a_sequence_is_a_pack_or_a_group() -> None:
    store: Any = Store(20, 5, 12, 16)
    packed = TrainConfig(max_tokens=32, packing=True)
    assert sequences(store, packed) == [[0, 2], [3, 1]]
    apart = TrainConfig(max_tokens=32, rows_at_once=2, rows_per_step=2)
    assert sequences(store, apart) == [[1, 2], [3, 0]]


@pytest.mark.train
def test_a_pack_is_one_line_whose_positions_begin_anew() -> None:
    batch = collate([ROWS[:2], ROWS[3:4]], packed=True, join=True)
    assert batch["attention_mask"] is None
    assert batch["input_ids"].tolist() == [[*ROWS[0].ids, *ROWS[1].ids, *ROWS[3].ids]]
    assert batch["position_ids"].tolist() == [[*range(13), 0, *range(7)]]


@pytest.mark.train
def test_what_is_left_of_a_pack_is_a_document_that_nobody_learns() -> None:
    batch = {
        name: value.tolist()
        for name, value in collate([ROWS[:2], ROWS[3:4]], packed=True, width=16).items()
        if value is not None
    }
    assert [len(line) for line in batch["input_ids"]] == [16, 16]
    assert batch["position_ids"] == [[*range(13), 0, 0, 1], [*range(7), *range(9)]]
    assert batch["labels"][1] == ROWS[3].labels + [IGNORED] * 9


@pytest.mark.train
@pytest.mark.parametrize("packed", [True, False])
def test_the_first_token_of_a_row_is_never_a_label(packed: bool) -> None:
    """Packed, the last token of another row would be asked to predict it."""
    row = EncodedRow([5, 6, 7], [5, 6, 7])
    given = [[row], [row]] if packed else [[row, row]]
    assert collate(given, packed=packed)["labels"].tolist() == [[IGNORED, 6, 7]] * 2


@pytest.mark.train
def test_a_group_is_padded_on_the_left_and_never_labelled_there() -> None:
    batch = {
        name: value.tolist() for name, value in collate([[ROWS[3], ROWS[0]]], width=15).items()
    }
    assert batch["input_ids"][0] == [0] * 8 + ROWS[3].ids
    assert batch["labels"][0] == [IGNORED] * 8 + ROWS[3].labels
    assert batch["attention_mask"][1] == [0] * 2 + [1] * 13
    assert batch["position_ids"][1] == [0, 0, *range(13)]


# Packed is alone: on the models that we train, however they attend.


def llama(attention: str) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(**SHAPE, tie_word_embeddings=True, attn_implementation=attention)
    )


def gemma3(attention: str) -> Any:
    """With its sliding window, smaller than the rows, and one layer that sees everything."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    return Gemma3ForCausalLM(
        Gemma3TextConfig(
            **SHAPE,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            query_pre_attn_scalar=16,
            attn_implementation=attention,
        )
    )


SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "attention_dropout": 0.0,
    "pad_token_id": 0,
}
MODELS = pytest.mark.parametrize("build", [llama, gemma3])
ATTENTIONS = pytest.mark.parametrize("attention", ["sdpa", "eager"])
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def built(build: Callable[[str], Any], attention: str, *, training: bool = True) -> Any:
    import torch

    torch.manual_seed(2)
    return build(attention).train(training)


def logits_of(model: Any, batch: dict[str, Any], **changes: Any) -> Any:
    given = {name: value for name, value in batch.items() if name != "labels"}
    return model(**{**given, "use_cache": False, **changes}).logits


def loss_and_gradients(model: Any, batches: list[dict[str, Any]], *, kept: bool) -> Any:
    """The token-weighted loss of some batches together, and what it does to every weight."""
    import torch

    model.zero_grad()
    total = torch.zeros(())
    tokens = 0
    for batch in batches:
        labels = batch["labels"][:, 1:]
        # The head on the labelled positions only, as in training, or on all of them.
        at = (labels != IGNORED).any(dim=0).nonzero()[:, 0] if kept else slice(None, -1)
        scores = logits_of(model, batch, **({"logits_to_keep": at} if kept else {}))
        scores, wanted = (scores, labels[:, at]) if kept else (scores[:, at], labels)
        total = total + torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        tokens += int((wanted != IGNORED).sum())
    torch.autograd.backward(total / tokens)
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    return float(total.detach()) / tokens, tokens, gradients


@pytest.mark.train
@MODELS
@ATTENTIONS
@MODES
@pytest.mark.parametrize("join", [True, False])
def test_packed_rows_have_the_scores_they_have_alone(
    build: Callable[[str], Any], attention: str, training: bool, join: bool
) -> None:
    import torch

    model = built(build, attention, training=training)
    lines = [ROWS[:3], ROWS[3:]]
    with torch.no_grad():
        together = logits_of(model, collate(lines, packed=True, join=join))
        for row in ROWS:
            alone = logits_of(model, collate([[row]]))[0]
            line, start = _place(row, [[*ROWS]] if join else lines)
            found = together[line, start : start + len(row.ids)]
            torch.testing.assert_close(found, alone, rtol=0, atol=1e-5)


def _place(row: EncodedRow, lines: list[list[EncodedRow]]) -> tuple[int, int]:
    for i, line in enumerate(lines):
        start = 0
        for other in line:
            if other is row:
                return i, start
            start += len(other.ids)
    raise AssertionError


@pytest.mark.train
@MODELS
@ATTENTIONS
@pytest.mark.parametrize("kept", [True, False], ids=["head on labels", "whole head"])
@pytest.mark.parametrize("saving", [True, False], ids=["checkpointed", "kept"])
def test_packed_rows_teach_what_they_teach_alone(
    build: Callable[[str], Any], attention: str, kept: bool, saving: bool
) -> None:
    """Loss and every gradient; also where activations are computed twice."""
    import torch

    model = built(build, attention)
    alone = loss_and_gradients(model, [collate([[row]]) for row in ROWS if row.trained], kept=kept)
    if saving:
        model.activation_checkpointing_enable()
    packed = loss_and_gradients(model, [collate([ROWS], packed=True)], kept=kept)
    assert packed[1] == alone[1] == sum(row.trained for row in ROWS)
    assert packed[0] == pytest.approx(alone[0], rel=1e-5)
    for name, gradient in alone[2].items():
        torch.testing.assert_close(packed[2][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.train
@MODELS
def test_two_packs_at_once_teach_what_they_teach_one_after_the_other(
    build: Callable[[str], Any],
) -> None:
    """Of different lengths: what fills the shorter one up is seen by nobody."""
    import torch

    model = built(build, "sdpa")
    lines = [ROWS[:3], ROWS[3:]]
    apart = loss_and_gradients(model, [collate([line], packed=True) for line in lines], kept=True)
    at_once = loss_and_gradients(model, [collate(lines, packed=True, width=70)], kept=True)
    assert at_once[0] == pytest.approx(apart[0], rel=1e-5)
    for name, gradient in apart[2].items():
        torch.testing.assert_close(at_once[2][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.train
@MODELS
@ATTENTIONS
@pytest.mark.parametrize("leak", ["a mask of ones", "a cache", "no positions"])
def test_the_guard_is_needed(build: Callable[[str], Any], attention: str, leak: str) -> None:
    """Without one word of it rows read each other, in silence. If this test fails, transformers
    has become safer (good), or builds its masks in another way (look at the tests above)."""
    import torch

    model = built(build, attention, training=False)
    batch = collate([ROWS], packed=True)
    changes: dict[str, dict[str, Any]] = {
        "a mask of ones": {"attention_mask": torch.ones_like(batch["input_ids"])},
        "a cache": {"use_cache": True},
        "no positions": {"position_ids": None},
    }
    with torch.no_grad():
        safe = logits_of(model, batch)
        leaky = logits_of(model, batch, **changes[leak])
    first = len(ROWS[0].ids)
    torch.testing.assert_close(safe[0, :first], leaky[0, :first], rtol=0, atol=1e-5)
    assert float((safe - leaky)[0, first:].abs().max()) > 1e-2


@pytest.mark.train
@MODELS
@ATTENTIONS
def test_a_model_that_keeps_rows_apart_passes_the_check(
    build: Callable[[str], Any], attention: str
) -> None:
    model = built(build, attention)
    check_apart(model)
    assert model.training


@pytest.mark.train
@MODELS
@pytest.mark.parametrize("spoilt", [{"use_cache": True}, {"position_ids": None}])
def test_a_model_that_lets_rows_read_each_other_is_refused_before_step_1(
    build: Callable[[str], Any], spoilt: dict[str, Any]
) -> None:
    """As with another version of transformers, or a model with masks of its own."""
    model = built(build, "eager")
    forward = model.forward
    model.forward = lambda **inputs: forward(**{**inputs, **spoilt})
    with pytest.raises(ModelError, match="lets packed rows read each other, with eager") as error:
        check_apart(model)
    assert "packing: false" in error.value.hint
