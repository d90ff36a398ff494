"""The loss of a group of rows, and the checkpoints a training may continue from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formosa.train.rows import IGNORED, EncodedRow

pytestmark = pytest.mark.train

SHORT = EncodedRow([5, 6, 7, 8], [IGNORED, IGNORED, 7, 8])
LONG = EncodedRow(list(range(10, 30)), [IGNORED] * 8 + [18, 19] + [IGNORED] * 5 + [*range(25, 30)])


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Any:
    from formosa.checkpoints import load_weights

    return load_weights(tiny_checkpoint, dtype="float32").eval()


def loss_of(model: Any, *rows: EncodedRow, items: int | None = None) -> float:
    import torch

    from formosa.train.trainer import collate, labelled_loss

    with torch.no_grad():
        return float(labelled_loss(model, collate([rows]), items))


def test_a_row_learns_the_same_in_company_as_alone(model: Any) -> None:
    """Padding on the left is masked, and positions begin at the row's first token."""
    together = loss_of(model, SHORT, LONG, items=1)
    alone = loss_of(model, SHORT, items=1) + loss_of(model, LONG, items=1)
    assert together == pytest.approx(alone, rel=1e-4)


def test_every_labelled_token_of_a_step_weighs_the_same(model: Any) -> None:
    tokens = SHORT.trained + LONG.trained
    assert loss_of(model, SHORT, LONG) == pytest.approx(loss_of(model, SHORT, LONG, items=tokens))
    halves = loss_of(model, SHORT, items=tokens) + loss_of(model, LONG, items=tokens)
    assert loss_of(model, SHORT, LONG) == pytest.approx(halves, rel=1e-4)


def test_the_head_on_labels_gives_the_loss_of_the_whole_head(model: Any) -> None:
    import torch

    with torch.no_grad():
        logits = model(torch.tensor([LONG.ids])).logits[0, :-1]
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(LONG.labels[1:]))
    assert loss_of(model, LONG) == pytest.approx(float(wanted), rel=1e-4)


def test_words_that_are_not_labelled_do_not_count(model: Any) -> None:
    """The last token's own prediction has no label, and neither has a prompt."""
    prompt_only = EncodedRow(SHORT.ids, [IGNORED, IGNORED, IGNORED, 8])
    assert loss_of(model, prompt_only, items=1) < loss_of(model, SHORT, items=1)


def test_a_group_is_padded_on_the_left_and_never_labelled_there() -> None:
    from formosa.train.trainer import collate

    batch = {name: value.tolist() for name, value in collate([[SHORT, LONG]]).items()}
    gap = len(LONG.ids) - len(SHORT.ids)
    assert batch["input_ids"][0][gap:] == SHORT.ids
    assert batch["labels"][0] == [IGNORED] * gap + SHORT.labels
    assert batch["attention_mask"][0] == [0] * gap + [1] * len(SHORT.ids)
    assert batch["position_ids"][0][gap:] == [0, 1, 2, 3]
    assert batch["position_ids"][1] == list(range(len(LONG.ids)))


def test_only_whole_checkpoints_are_continued_from(tmp_path: Path) -> None:
    from formosa.train.trainer import COMPLETE, last_complete

    assert last_complete(tmp_path / "nothing") is None
    for step in (2, 10, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}" / COMPLETE).touch()
    assert last_complete(tmp_path) == tmp_path / "checkpoint-10", "by number, not by name"
    assert not (tmp_path / "checkpoint-12").exists(), "a torn one would be counted by the Trainer"
