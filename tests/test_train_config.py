"""What can't go together in the `train:` part of a recipe is refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from formosa.train.config import TrainConfig

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rows_per_step": 6, "rows_at_once": 4}, "rows_per_step (6) is no multiple of rows_at_once"),
    ({"max_steps": 4, "warmup_steps": 4}, "leaves nothing of max_steps"),
    ({"schedule": "constant", "final_rate": 0.1}, "schedule: constant keeps the peak"),
    ({"method": "qlora", "precision": "float32"}, "computes in bfloat16"),
    ({"method": "lora", "embeddings": "train"}, "leaves the embeddings as they are"),
    ({"attention": "flash_attention_2", "precision": "float32"}, "needs sdpa"),
    ({"objective": "cpt", "best": "exact_call"}, "best: exact_call needs conversations"),
    ({"objective": "cpt", "thinking": "drop"}, "learns every word"),
    ({"best": "exact_call", "measure_rows": 0}, "measure_rows is 0"),
    ({"lora": {"targets": []}}, "names no layer"),
    ({"attention": "magic"}, "Input should be"),
    ({"final_rate": 1.5}, "less than or equal to 1"),
    ({"betas": [0.9, 1.0]}, "less than 1"),
    ({"epoch": 3}, "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_the_impossible_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as error:
        TrainConfig.model_validate(values)
    (problem,) = error.value.errors()
    assert sentence in problem["msg"]


def test_what_is_written_out_reads_back() -> None:
    """A run folder keeps its recipe with every default."""
    for values in ({}, {"schedule": "constant"}, {"method": "full", "embeddings": "freeze"}):
        config = TrainConfig.model_validate(values)
        assert TrainConfig.model_validate(config.model_dump()) == config
        assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_every_field_is_explained() -> None:
    for name, field in TrainConfig.model_fields.items():
        explained = field.description or getattr(field.annotation, "__doc__", None)
        if name not in {"epochs", "max_steps"}:
            assert explained, name
