"""The shape of a base that lies on the hub: its config.json, and nothing else of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from formosa.errors import ModelError
from formosa.train.shapes import shape_of
from model_hub import COMMIT, ModelHub, model_hub

REPO = "org/unheard-of"
CONFIG = {
    "model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96, "vocab_size": 100,
}  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    with model_hub(REPO, tmp_path, monkeypatch) as made:
        made.files = {"config.json": json.dumps(CONFIG).encode(), "README.md": b"# x"}
        made.large = {"model.safetensors": (1 << 40, "0" * 64)}
        yield made


@pytest.mark.parametrize("revision", ["", f"@{COMMIT}", "@v1"])
def test_a_shape_costs_one_small_file(hub: ModelHub, revision: str) -> None:
    shape = shape_of(f"hf:{REPO}{revision}")
    assert (shape.name, shape.layers, shape.hidden, shape.kv_heads) == (REPO, 2, 64, 2)
    fetched = {line.rpartition("/")[2] for line in hub.asked if "/resolve/" in line}
    assert fetched == {"config.json"}


def test_what_was_fetched_once_needs_no_hub(hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = shape_of(f"hf:{REPO}@{COMMIT}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert shape_of(f"hf:{REPO}@{COMMIT}") == shape


def test_what_the_hub_refuses_is_a_sentence_with_another_way(hub: ModelHub) -> None:
    hub.refuse = 403, "GatedRepo"
    with pytest.raises(ModelError, match="refused") as caught:
        shape_of(f"hf:{REPO}")
    assert "--shape NAME, one of llama-3.2-1b" in caught.value.hint


def test_a_repository_without_a_configuration_is_a_sentence(hub: ModelHub) -> None:
    del hub.files["config.json"]
    with pytest.raises(ModelError, match=r"has no config\.json"):
        shape_of(f"hf:{REPO}")
