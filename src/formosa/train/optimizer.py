"""AdamW on float32 copies of bfloat16 weights.

Imported only when a training starts: this module needs torch.

A bfloat16 weight of 0.05 can't change by less than 1e-4, and most updates are smaller: pure
bfloat16 training loses them. So the model computes with bfloat16 weights (no autocast, no copies
in every layer), and the optimizer keeps float32 ones beside its averages, updates those and rounds
them into the model once a step. Gradients of several groups are added up in float32, too: each
leaves the model the moment it is complete. 14 bytes for each weight that is trained, 18 with the
float32 gradients.

In one process only. With several, gradients are averaged by the wrapper (DDP, FSDP, DeepSpeed)
before they may leave the model; there the weights themselves are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

Groups = list[dict[str, Any]]


def decay_groups(model: torch.nn.Module, weight_decay: float) -> Groups:
    """The trained parameters in two groups: matrices decay; norms, biases and embeddings don't.

    A head that is tied to the embeddings is one of them.
    """
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim >= 2 and id(p) not in embeddings]
    chosen = {id(p) for p in decayed}
    others = [p for p in trained if id(p) not in chosen]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class MasterAdamW(torch.optim.AdamW):
    """AdamW whose parameters are float32 masters of the model's own.

    Parameters that are float32 already are their own masters. The state holds the masters, so
    that a training continues to the bit.
    """

    def __init__(
        self, groups: Groups, *, lr: float, betas: tuple[float, float], eps: float = 1e-8
    ) -> None:
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []  # model's, master
        self._gradients: dict[int, torch.Tensor] = {}  # float32, by pair; kept between steps
        self._filled: set[int] = set()  # pairs that got a gradient in this step
        super().__init__(
            [{**group, "params": [self._master(p) for p in group["params"]]} for group in groups],
            lr=lr,
            betas=betas,
            eps=eps,
            fused=True,
        )

    def _master(self, parameter: torch.Tensor) -> torch.Tensor:
        if parameter.dtype == torch.float32:
            return parameter
        number = len(self._pairs)
        master = torch.nn.Parameter(parameter.detach().float(), requires_grad=False)
        self._pairs.append((parameter, master))
        hook: Any = parameter.register_post_accumulate_grad_hook
        hook(lambda p: self._collect(number, p))
        return master

    def _collect(self, number: int, parameter: torch.Tensor) -> None:
        """Add the model's gradient to the master's, and let go of it."""
        gradient = parameter.grad
        assert gradient is not None
        if number in self._filled:
            self._gradients[number].add_(gradient)
        else:
            if number in self._gradients:
                self._gradients[number].copy_(gradient)
            else:
                self._gradients[number] = gradient.float()
            self._filled.add(number)
            self._pairs[number][1].grad = self._gradients[number]
        parameter.grad = None

    @property
    def trained(self) -> Iterable[torch.Tensor]:
        """What has the gradients: masters, and float32 parameters of the model."""
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss: float | None = super().step(closure)
        self._round()
        self.zero_grad()
        return loss

    def _round(self) -> None:
        if self._pairs:
            models, masters = zip(*self._pairs, strict=True)
            torch._foreach_copy_(models, masters)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        self._filled.clear()

    def unrounded(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The model's rounded parameters, each with its float32 master."""
        return list(self._pairs)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "masters": [master for _, master in self._pairs]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = {key: value for key, value in state_dict.items() if key != "masters"}
        super().load_state_dict(rest)
        for (_, master), saved in zip(self._pairs, state_dict["masters"], strict=True):
            master.copy_(saved)
        self._round()
