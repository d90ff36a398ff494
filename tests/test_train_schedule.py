"""The learning rate over the steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formosa.train.config import TrainConfig
from formosa.train.schedule import rate, steps_of


def rates(steps: int = 10, **settings: object) -> list[float]:
    config = TrainConfig.model_validate({"warmup_steps": 2, **settings})
    return [rate(config, step, steps) for step in range(steps + 1)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "stable"])
def test_the_rate_rises_in_a_line_to_its_peak(schedule: str) -> None:
    """No step is wasted on a rate of 0."""
    assert rates(schedule=schedule)[:3] == [0.5, 1.0, 1.0]
    assert rates(schedule=schedule, warmup_steps=4)[:4] == [0.25, 0.5, 0.75, 1.0]


def test_the_ends_of_the_schedules() -> None:
    assert rates(schedule="cosine")[-1] == pytest.approx(0)
    assert rates(schedule="linear", final_rate=0.1)[-1] == pytest.approx(0.1)
    assert rates(schedule="constant")[2:] == [1.0] * 9


def test_a_stable_rate_stays_and_then_falls_in_a_line() -> None:
    """A night's training that is ended early, or continued, differs only in its last steps."""
    whole = rates(steps=102, schedule="stable", decay_share=0.1)
    assert whole[2:91] == [1.0] * 89
    assert whole[-1] == pytest.approx(0)
    falls = [a - b for a, b in zip(whole[91:], whole[92:], strict=False)]
    assert falls == pytest.approx([falls[0]] * len(falls))
    longer = rates(steps=400, schedule="stable", decay_share=0.1)
    assert longer[:90] == whole[:90]
    assert rates(schedule="stable", final_rate=0.1)[-1] == pytest.approx(0.1)


def test_the_middles_of_the_schedules() -> None:
    assert rates(schedule="cosine", final_rate=0.2)[6] == pytest.approx(0.6)
    assert rates(schedule="linear")[6] == pytest.approx(0.5)
    assert rates(schedule="cosine")[4] > rates(schedule="linear")[4]


@given(
    st.sampled_from(["cosine", "linear"]),
    st.integers(0, 20),
    st.integers(1, 50),
    st.floats(0, 1),
)
def test_after_the_peak_the_rate_only_falls_and_never_below_its_end(
    schedule: str, warmup: int, steps: int, final: float
) -> None:
    values = rates(warmup + steps, schedule=schedule, warmup_steps=warmup, final_rate=final)
    after = values[warmup:]
    assert after[0] == 1.0
    assert all(a >= b - 1e-12 for a, b in zip(after, after[1:], strict=False))
    assert all(final - 1e-12 <= value <= 1 for value in after)


def test_the_cosine_is_the_one_of_transformers() -> None:
    pytest.importorskip("torch")
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, 2, 10)
    found = []
    for _ in range(10):
        found.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates()[2:10] == pytest.approx(found[2:]), "after the warm-up"


@pytest.mark.parametrize(
    ("settings", "batches", "accumulation", "steps"),
    [
        ({"epochs": 1}, 8, 2, 4),
        ({"epochs": 1}, 9, 2, 5),
        ({"epochs": 2}, 9, 2, 10),
        ({"epochs": 0.5}, 9, 2, 3),
        ({"epochs": 1, "max_steps": 3}, 9, 2, 3),
        ({"epochs": 1, "max_steps": 100}, 9, 2, 5),
    ],
)
def test_a_training_ends_with_its_epochs_or_its_steps_whichever_is_first(
    settings: dict[str, float], batches: int, accumulation: int, steps: int
) -> None:
    """transformers alone would go on for more epochs until max_steps are reached."""
    config = TrainConfig.model_validate({"warmup_steps": 0, **settings})
    assert steps_of(config, batches, accumulation) == steps
