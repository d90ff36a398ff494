"""How the model is dressed for training, and what the machine can't do said in one sentence."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import UserError
from formosa.train.config import LoraConfig, TrainConfig
from formosa.train.model import attention_of, trained_model
from tiny_adapter import write_tiny_adapter
from train_rows import CONFIG, changed

pytestmark = pytest.mark.train


def dressed(base: Path, config: TrainConfig = CONFIG, processes: int = 1) -> Any:
    from formosa.checkpoints import load_tokenizer
    from formosa.train.special_tokens import prepare_tokenizer

    tokenizer = load_tokenizer(base, own_format=False)
    prepared = prepare_tokenizer(tokenizer)
    return trained_model(config, base, tokenizer, prepared, processes=processes)


def types(model: Any, *, trained: bool) -> set[str]:
    return {str(p.dtype)[6:] for p in model.parameters() if p.requires_grad == trained}


@pytest.mark.parametrize(
    ("values", "processes", "trained", "frozen"),
    [
        ({"method": "full"}, 1, {"bfloat16"}, set()),
        ({"method": "full"}, 2, {"float32"}, set()),
        ({"method": "full", "embeddings": "freeze"}, 1, {"bfloat16"}, {"bfloat16"}),
        ({"method": "lora"}, 1, {"bfloat16"}, {"bfloat16"}),
        ({"method": "lora"}, 2, {"float32"}, {"bfloat16"}),
        ({"method": "lora", "precision": "float32"}, 1, {"float32"}, {"float32"}),
        ({"method": "full", "precision": "float32"}, 1, {"float32"}, set()),
    ],
)
def test_what_is_trained_in_which_precision(
    tiny_checkpoint: Path,
    values: dict[str, Any],
    processes: int,
    trained: set[str],
    frozen: set[str],
) -> None:
    """Several processes average gradients before float32 masters could collect them, so there the
    weights themselves are float32."""
    config = changed(**{"precision": "bfloat16", **values})
    model = dressed(tiny_checkpoint, config, processes)
    assert types(model, trained=True) == trained
    assert types(model, trained=False) == frozen


def test_an_adapter_to_begin_with_is_there_before_the_first_step(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    start = str(write_tiny_adapter(tiny_checkpoint, tmp_path / "a"))
    for named, changes in ((None, False), (start, True)):
        config = changed(lora=LoraConfig(rank=4, alpha=8, start=named))
        model = dressed(tiny_checkpoint, config)
        assert all(
            bool(p.abs().sum()) == changes for n, p in model.named_parameters() if "lora_B" in n
        )


def test_a_copy_answers_with_its_own_weights(tiny_checkpoint: Path) -> None:
    """Held-out rows are measured on a merged copy of the model."""
    import copy

    import torch

    model = dressed(tiny_checkpoint, changed(method="full"))
    ids = torch.arange(3, 9)[None]
    before = model(ids).logits
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.norm.weight.mul_(2)
    assert torch.equal(model(ids).logits, before)
    assert not torch.allclose(other(ids).logits, before)
    assert not torch.allclose(
        other(ids, labels=ids, position_ids=torch.arange(6)[None])["loss"],
        model(ids, labels=ids, position_ids=torch.arange(6)[None])["loss"],
    )


def test_four_bits_need_a_gpu(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = changed(method="qlora", precision="bfloat16")
    with pytest.raises(UserError) as error:
        dressed(tiny_checkpoint, config)
    assert "needs an NVIDIA GPU" in error.value.message
    assert error.value.hint == "set train.method: lora"


def test_four_bits_need_their_package(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    import formosa.train.model as module

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        dressed(tiny_checkpoint, changed(method="qlora", precision="bfloat16"))
    assert error.value.hint == "pip install bitsandbytes"


def test_flash_attention_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import formosa.train.model as module

    auto = TrainConfig()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert attention_of(auto) == "sdpa"
    wish = TrainConfig(attention="flash_attention_2")
    with pytest.raises(UserError, match="attention: flash_attention_2 needs a GPU"):
        attention_of(wish)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert attention_of(auto) == "sdpa"
    with pytest.raises(UserError, match="the package flash_attn, which is not installed"):
        attention_of(wish)
    monkeypatch.setattr(module, "find_spec", lambda name: name if name == "flash_attn" else None)
    assert attention_of(auto) == attention_of(wish) == "flash_attention_2"
    assert attention_of(TrainConfig(precision="float32")) == "sdpa"


# -- other places for the curves ------------------------------------------------------------------


def test_a_missing_reporter_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import formosa.train.reporters as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        module.require_reporters(["trackio"])
    assert error.value.hint == "pip install trackio"
    module.require_reporters([])


def test_no_curve_leaves_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """trackio sends to the hub when this variable is set, whatever it is told."""
    import formosa.train.reporters as module

    monkeypatch.setattr(module, "find_spec", lambda name: name)
    monkeypatch.setenv("TRACKIO_SPACE_ID", "somebody/curves")
    with pytest.raises(UserError, match="would send the curves to the hub"):
        module.require_reporters(["trackio"])


def test_trackio_gets_the_numbers_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through its own names; a stand-in notes them, since the package is large."""
    import sys
    from types import ModuleType

    from formosa.train.reporters import Reporters

    told: list[Any] = []
    stand_in: Any = ModuleType("trackio")
    stand_in.init = lambda **settings: told.append(settings)
    stand_in.log = lambda values, step: told.append((step, values))
    stand_in.finish = lambda: told.append("finished")
    monkeypatch.setitem(sys.modules, "trackio", stand_in)
    reporters = Reporters(["trackio"], tmp_path, "mini")
    reporters.record({"type": "step", "step": 3, "loss": 1.5, "tokens": 7})
    exact = {"correct": 1, "of": 4, "stopped": 4}
    begun = {"missed": 1, "calls": 5, "needless": 3, "others": 4}
    counts = {"exact_call": exact, "relevance": begun}
    reporters.record({"type": "measured", "step": 3, "loss": 2.0, **counts})
    reporters.record({"type": "best", "step": 3, "by": "loss", "value": 2.0})
    reporters.close()
    assert told == [
        {"project": "formosa", "name": "mini", "resume": "allow"},
        (3, {"train/loss": 1.5}),
        (
            3,
            {
                "heldout/loss": 2.0,
                "heldout/exact_call": 0.25,
                "heldout/needless_calls": 0.75,
                "heldout/missed_calls": 0.2,
            },
        ),
        "finished",
    ]


def test_packing_with_a_model_that_lets_rows_see_each_other_is_refused(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at on the very model: what transformers does with positions may change."""
    import formosa.train.model as module
    from formosa.errors import ModelError

    asked: list[Any] = []
    monkeypatch.setattr(module, "check_apart", asked.append)
    dressed(tiny_checkpoint, changed(packing=True))
    dressed(tiny_checkpoint, changed(packing=False))
    assert len(asked) == 1

    def leak(model: Any) -> None:
        raise ModelError("they do")

    monkeypatch.setattr(module, "check_apart", leak)
    with pytest.raises(ModelError):
        dressed(tiny_checkpoint, changed(packing=True))


def test_the_head_is_compared_though_attention_needs_a_gpu(tiny_checkpoint: Path) -> None:
    """Weights are loaded into the machine's memory first, where flash attention can't compute."""
    from formosa.checkpoints import load_weights
    from formosa.train.loss import score_labels

    model = load_weights(tiny_checkpoint, dtype="bfloat16")
    model.config._attn_implementation = "flash_attention_2"
    score_labels(model, 100)
    assert model.config._attn_implementation == "flash_attention_2"


def test_compiled_rows_of_every_length_have_the_loss_of_the_model(tiny_checkpoint: Path) -> None:
    """One program for all lengths: only the first one is slow."""
    import torch

    def losses(config: TrainConfig) -> list[float]:
        torch.manual_seed(0)
        model = dressed(tiny_checkpoint, config)
        found = []
        for length in (24, 31, 40):
            ids = torch.arange(5, 5 + 2 * length).view(2, length)
            places = torch.arange(length).expand(2, length)
            loss = model(input_ids=ids, labels=ids, position_ids=places)["loss"]
            loss.backward()
            found.append(float(loss.detach()))
        return found

    plain = losses(changed(method="lora", precision="float32"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about what it imports
        compiled = losses(changed(method="lora", precision="float32", compile=True))
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_compiling_without_a_compiler_is_a_sentence(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/g++")
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler \(/nowhere/g\+\+\)") as caught:
        dressed(tiny_checkpoint, changed(method="lora", compile=True))
    assert "train.compile: false" in caught.value.hint
