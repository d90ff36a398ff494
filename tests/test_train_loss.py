"""The loss of labelled positions, in chunks, is the loss of all of them, with its gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.errors import ModelError
from formosa.train.rows import IGNORED

pytestmark = pytest.mark.train

VOCABULARY = 97


def llama(**changes: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
            "initializer_range": 0.1,
            **changes,
        }
    )
    return LlamaForCausalLM(config)


def gemma(**changes: Any) -> Any:
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(1)
    config = Gemma3TextConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "initializer_range": 0.1,
            **changes,
        }
    )
    return Gemma3ForCausalLM(config)


MODELS: dict[str, Callable[[], Any]] = {
    "llama, tied head": llama,
    "llama, own head": lambda: llama(tie_word_embeddings=False),
    "gemma 3": gemma,
    "gemma with soft-capping": lambda: gemma(final_logit_softcapping=3.0),
}


def some_inputs(rows: int = 2, length: int = 12, share: float = 0.5, seed: int = 0) -> Any:
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (rows, length), generator=generator)
    learnt = torch.rand((rows, length), generator=generator) < share
    learnt[0, -1] = True
    return {
        "input_ids": ids,
        "labels": torch.where(learnt, ids, IGNORED),
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(length).expand(rows, -1),
    }


def whole_loss(model: Any, inputs: Any) -> Any:
    """transformers' own way: every position scored, in float32."""
    import torch

    logits = model(**{**inputs, "labels": None}, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), inputs["labels"][:, 1:].flatten(), reduction="sum"
    )


def adapted(model: Any, seed: int = 3, **settings: Any) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    from formosa.checkpoints import quiet_transformers

    torch.manual_seed(seed)
    with quiet_transformers():
        return get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM", **settings))


def gradients(model: Any) -> dict[str, Any]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def same(one: Any, other: Any, *, rtol: float = 1e-5) -> None:
    import torch

    torch.testing.assert_close(one, other, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("head_tokens", [1, 3, 1000])
def test_a_chunked_loss_is_the_whole_loss_with_its_gradients(name: str, head_tokens: int) -> None:
    from formosa.train.loss import score_labels

    model, inputs = MODELS[name](), some_inputs()
    reference = copy.deepcopy(model)
    wanted = whole_loss(reference, inputs)
    wanted.backward()
    score_labels(model, head_tokens)
    loss = model(**inputs)["loss"]
    (loss / 7).backward()  # any factor reaches the gradients

    same(loss, wanted)
    found = {name: gradient * 7 for name, gradient in gradients(model).items()}
    assert found.keys() == gradients(reference).keys()
    for parameter, gradient in gradients(reference).items():
        same(found[parameter], gradient)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 3),
    length=st.integers(2, 20),
    share=st.floats(0, 1),
    head_tokens=st.integers(1, 30),
    seed=st.integers(0, 1000),
)
def test_any_labels_in_any_chunks(
    rows: int, length: int, share: float, head_tokens: int, seed: int
) -> None:
    from formosa.train.loss import score_labels

    model = llama()
    inputs = some_inputs(rows, length, share, seed)
    wanted = whole_loss(model, inputs)
    wanted.backward()
    reference = {name: gradient.clone() for name, gradient in gradients(model).items()}
    model.zero_grad()
    score_labels(model, head_tokens)
    loss = model(**inputs)["loss"]
    loss.backward()
    same(loss, wanted)
    for name, gradient in gradients(model).items():
        same(gradient, reference[name], rtol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("head_tokens", [1, 3, 4096])
def test_a_frozen_head_on_a_processor_passes_the_same_gradients_on(
    precision: str, head_tokens: int
) -> None:
    """Its scores live in memory that is kept; each step finds the numbers of the last one there."""
    import torch
    from torch.nn.functional import cross_entropy

    from formosa.train.loss import score_labels, sum_of_losses

    model = llama().to(getattr(torch, precision))
    model.get_output_embeddings().weight.requires_grad_(False)
    score_labels(model, head_tokens)
    for seed, count in ((0, 7), (1, 2), (2, 9)):
        torch.manual_seed(seed)
        hidden = (8 * torch.randn(count, 32)).to(model.dtype).requires_grad_()
        targets = torch.randint(0, VOCABULARY, (count,))
        scores = model.get_output_embeddings()(hidden).float()
        wanted = cross_entropy(scores, targets, reduction="sum")
        (gradient,) = torch.autograd.grad(wanted, hidden)
        found = sum_of_losses(model, hidden, targets, head_tokens)
        (passed,) = torch.autograd.grad(found / 2, hidden)
        assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
        close = {"float32": 1e-6, "bfloat16": 2e-2}[precision]
        assert torch.allclose(2 * passed, gradient, rtol=close, atol=close)


def test_a_target_that_the_model_thinks_impossible_has_a_finite_loss() -> None:
    from formosa.train.loss import sum_of_losses

    model = llama()
    head = model.get_output_embeddings()
    head.weight.requires_grad_(False)
    hidden = (1e4 * head.weight[:1].clone()).requires_grad_()
    loss = sum_of_losses(model, hidden, head(hidden).argmin(1), 4096)
    assert 100 < float(loss.detach()) < 1e6


@pytest.mark.parametrize("head_tokens", [2, 1000])
def test_packed_documents_learn_as_if_alone(head_tokens: int) -> None:
    """No attention mask, positions that begin again, and no cache: then transformers keeps
    documents apart. The first token of a document is predicted by nothing."""
    import torch

    from formosa.train.loss import score_labels

    model = llama()
    score_labels(model, head_tokens)
    ids = torch.randint(3, VOCABULARY, (1, 12))
    positions = torch.tensor([[*range(5), *range(7)]])
    packed = {"input_ids": ids, "labels": ids.clone(), "position_ids": positions}
    together = model(**packed, attention_mask=None)["loss"]
    alone = []
    for part in (slice(0, 5), slice(5, 12)):
        one = {name: value[:, part] for name, value in packed.items()}
        alone.append(whole_loss(model, {**one, "attention_mask": None}))
    same(together, sum(alone))


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("head_tokens", [2, 1000])
def test_adapters_and_activation_checkpointing_change_nothing(
    checkpointing: bool, head_tokens: int
) -> None:
    from formosa.train.loss import score_labels

    model, inputs = llama(), some_inputs()
    reference = adapted(copy.deepcopy(model), target_modules="all-linear")
    score_labels(model, head_tokens)
    ours = adapted(model, target_modules="all-linear")
    if checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    wanted = whole_loss(reference, inputs)
    wanted.backward()
    ours.train()
    loss = ours(**inputs)["loss"]
    loss.backward()
    same(loss, wanted)
    assert all("lora" in name for name in gradients(ours))
    for name, gradient in gradients(reference).items():
        same(gradients(ours)[name], gradient)


def test_a_head_with_an_adapter_is_scored_with_it() -> None:
    from formosa.train.loss import score_labels

    model, inputs = llama(tie_word_embeddings=False), some_inputs()
    score_labels(model, 2)
    ours = adapted(model, target_modules=["lm_head"], init_lora_weights=False)
    loss = ours(**inputs)["loss"]
    same(loss, whole_loss(ours, inputs))
    loss.backward()
    assert all(gradient.any() for gradient in gradients(ours).values())


def test_the_loss_of_mixed_precision_is_close() -> None:
    """float32 weights under autocast, as several processes train: chunked or not, the same."""
    import torch

    from formosa.train.loss import score_labels

    losses, norms = [], []
    for head_tokens in (3, 1000):
        model = llama()
        score_labels(model, head_tokens)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(**some_inputs())["loss"]
        loss.backward()
        losses.append(float(loss.detach()))
        norms.append(float(torch.nn.utils.get_total_norm(list(gradients(model).values()))))
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    assert norms[0] == pytest.approx(norms[1], rel=2e-2)


def test_nothing_labelled_is_a_loss_of_zero_that_reaches_every_weight() -> None:
    """A process that has no rows left for a step still takes part in it."""
    import torch

    from formosa.train.loss import score_labels

    model, inputs = llama(tie_word_embeddings=False), some_inputs()
    inputs["labels"] = torch.full_like(inputs["labels"], IGNORED)
    score_labels(model, 4)
    loss = model(**inputs)["loss"]
    loss.backward()
    assert float(loss.detach()) == 0
    assert gradients(model).keys() == dict(model.named_parameters()).keys()
    assert all(not gradient.any() for gradient in gradients(model).values())


def test_without_labels_the_model_answers_as_before() -> None:
    import torch

    from formosa.train.loss import score_labels

    model, ids = llama(), some_inputs()["input_ids"]
    wanted = model(ids).logits
    score_labels(model, 4)
    assert torch.equal(model(ids).logits, wanted)
    assert model.generate(ids, max_new_tokens=2, do_sample=False).shape == (2, 14)


def test_scores_that_are_not_understood_are_refused() -> None:
    """Rather than trained on another loss than the model is used with."""
    from formosa.train.loss import score_labels

    model = llama()
    head = model.lm_head
    original = model.forward

    def odd(*args: Any, **kwargs: Any) -> Any:
        output = original(*args, **kwargs)
        output.logits = output.logits * 2
        return output

    model.forward = odd
    assert head is model.lm_head
    with pytest.raises(ModelError, match="treats its scores in a way that is not known here"):
        score_labels(model, 4)
