"""Updates smaller than a bfloat16 step are kept; norms and embeddings don't decay."""

from __future__ import annotations

import io
from typing import Any

import pytest

pytestmark = pytest.mark.train


def weights(dtype: str, *, seed: int = 0) -> Any:
    import torch

    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(4, 8, generator=generator).to(torch.bfloat16)
    return torch.nn.Parameter(values.to(getattr(torch, dtype)))


def backward(loss: Any) -> None:
    loss.backward()


def optimizer(parameter: Any, rate: float = 1e-5, decay: float = 0.0) -> Any:
    from formosa.train.optimizer import MasterAdamW

    groups = [{"params": [parameter], "weight_decay": decay}]
    return MasterAdamW(groups, lr=rate, betas=(0.9, 0.99))


def learn(parameter: Any, target: Any) -> None:
    """One backward pass of a loss whose gradient is exact in bfloat16."""
    (parameter.float() - target).sign().mul(0.5).mul(parameter.float()).sum().backward()


def test_many_small_updates_are_not_lost() -> None:
    """A rate of 1e-5 is a hundredth of half a bfloat16 step of most weights: rounding after every
    step would move nothing. A hundred steps move all of them, as in float32."""
    import torch

    rounded, exact, lossy = weights("bfloat16"), weights("float32"), weights("bfloat16")
    start = exact.detach().clone()
    ours, reference = optimizer(rounded), torch.optim.AdamW([exact], lr=1e-5, weight_decay=0)
    plain = torch.optim.AdamW([lossy], lr=1e-5, weight_decay=0)
    target = torch.full_like(start, 100.0)
    for _ in range(100):
        for parameter, stepper in ((rounded, ours), (exact, reference), (lossy, plain)):
            learn(parameter, target)
            stepper.step()
            stepper.zero_grad()
    (pair,) = ours.unrounded()
    torch.testing.assert_close(pair[1].detach(), exact.detach(), rtol=1e-6, atol=1e-7)
    assert torch.equal(rounded, pair[1].to(torch.bfloat16))
    assert (exact - start).abs().min() > 9e-4
    assert (lossy.float() == start).float().mean() > 0.5, "which is why there are masters"


def test_gradients_of_a_step_are_added_up_in_float32() -> None:
    """256 + 1 is 256 in bfloat16."""
    import torch

    parameter = torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    ours = optimizer(parameter)
    backward((parameter * 256).sum())
    for _ in range(3):
        backward((parameter * 1).sum())
    assert parameter.grad is None, "it was let go of"
    trained: Any = next(iter(ours.trained))
    assert trained.grad.tolist() == [259.0, 259.0]
    ours.step()
    assert not hasattr(trained.grad, "tolist"), "let go of, after the step"
    backward(parameter.sum())
    assert trained.grad.tolist() == [1.0, 1.0], "nothing is left of the step before"


def test_float32_parameters_are_their_own_masters() -> None:
    import torch

    one, other = weights("float32"), weights("float32")
    ours, reference = (
        optimizer(one, 1e-2, 0.1),
        torch.optim.AdamW([other], 1e-2, (0.9, 0.99), 1e-8, 0.1),
    )
    assert ours.unrounded() == []
    for _ in range(3):
        for parameter, stepper in ((one, ours), (other, reference)):
            learn(parameter, 0.3)
            stepper.step()
            stepper.zero_grad()
    torch.testing.assert_close(one, other)


def test_a_saved_optimizer_continues_to_the_bit() -> None:
    import torch

    one = weights("bfloat16")
    ours = optimizer(one, 1e-3, 0.1)
    for _ in range(5):
        learn(one, 0.3)
        ours.step()
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    other = weights("bfloat16", seed=9)
    again = optimizer(other, 1e-3, 0.1)
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(one, other), "the model's weights come from the masters"
    for _ in range(5):
        for parameter, stepper in ((one, ours), (other, again)):
            learn(parameter, 0.3)
            stepper.step()
    assert torch.equal(ours.unrounded()[0][1], again.unrounded()[0][1])


def test_a_parameter_without_a_gradient_stays() -> None:
    import torch

    used, unused = weights("bfloat16"), weights("bfloat16", seed=5)
    from formosa.train.optimizer import MasterAdamW

    ours = MasterAdamW([{"params": [used, unused], "weight_decay": 0.5}], lr=0.1, betas=(0.9, 0.9))
    both = (used + unused).sum()
    both.backward()
    ours.step()
    kept = unused.detach().clone()
    used.sum().backward()
    ours.step()
    assert torch.equal(unused, kept)


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    """A tied head is the embeddings."""
    import torch

    from formosa.train.optimizer import decay_groups
    from test_train_loss import llama

    model = llama(attention_bias=True)
    model.model.layers[0].mlp.up_proj.weight.requires_grad = False
    decayed, others = decay_groups(model, 0.1)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(names[id(p)].endswith("proj.weight") for p in decayed["params"])
    kept = {names[id(p)] for p in others["params"]}
    assert "model.embed_tokens.weight" in kept
    assert "model.norm.weight" in kept
    assert "model.layers.0.self_attn.q_proj.bias" in kept
    all_of_them = len(decayed["params"]) + len(others["params"])
    assert all_of_them == len(list(model.parameters())) - 1, "frozen ones are in neither"
    assert isinstance(decayed["params"][0], torch.nn.Parameter)
