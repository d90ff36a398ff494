"""The loss: cross entropy at labelled positions only, scored a bounded number at a time.

Imported only when a training starts: this module needs torch.

Why labelled positions only: in tool-call rows four of five tokens are prompt, and scoring them is
a fifth of the work for a 135M model and more than half for a large vocabulary. Why a bounded
number: scores of a 262k vocabulary take 10 bytes each with their gradients; a packed sequence of
documents has a label everywhere.

It happens inside the model's own `forward`, so whatever wraps the model (adapters, DDP, FSDP,
activation checkpointing) sees one call that returns a loss.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from formosa.errors import ModelError
from formosa.train.prefixes import branch_masks
from formosa.train.rows import IGNORED

Shape = Callable[[torch.Tensor], torch.Tensor]  # what a model does to its scores after the head
AT_ONCE = 256  # positions in kept memory: 400 MB of scores for a vocabulary of 262k


def labelled(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Which positions (rows, length - 1) predict a labelled token of their own document.

    A position 0 begins a row or a packed document: nothing before it belongs to it.
    """
    return (inputs["labels"][:, 1:] != IGNORED) & (inputs["position_ids"][:, 1:] != 0)


def score_labels(model: Any, head_tokens: int) -> None:
    """Let `model(..., labels=...)` return `{"loss": sum over the labelled tokens}`.

    Args:
        model: a causal language model, not yet wrapped. Without labels it works as before.
        head_tokens: positions that are scored at once.

    Raises:
        ModelError: the model treats its scores in a way that isn't known here.
    """
    whole = type(model).forward  # not bound: copies of the model must answer with their own weights

    @wraps(whole)
    def forward(self: Any, *args: Any, labels: Any = None, **inputs: Any) -> Any:
        if labels is None:
            return whole(self, *args, **inputs)
        given = {name: value for name, value in inputs.items() if value is not None}
        if (branches := given.pop("branches", None)) is not None:
            masks = branch_masks(self.config, branches, given["position_ids"])
            given["attention_mask"] = masks
        hidden = self.get_decoder()(*args, **{**given, "use_cache": False, "return_dict": True})[0]
        return {"loss": _loss(self, hidden, {**given, "labels": labels}, head_tokens)}

    _compare(model)
    model.forward = MethodType(forward, model)


def _loss(
    model: Any, hidden: torch.Tensor, inputs: dict[str, torch.Tensor], head_tokens: int
) -> torch.Tensor:
    chosen = labelled(inputs)
    targets = inputs["labels"][:, 1:][chosen]
    scored = hidden[:, :-1][chosen]
    if not len(targets):  # all of it prompt: the loss is 0, and every weight still has its part
        scored, targets = hidden[:1, :1].flatten(0, 1) * 0, targets.new_zeros(1)
        return sum_of_losses(model, scored, targets, head_tokens) * 0
    return sum_of_losses(model, scored, targets, head_tokens)


def sum_of_losses(
    model: Any, hidden: torch.Tensor, targets: torch.Tensor, head_tokens: int
) -> torch.Tensor:
    """Sum of the cross entropies of `targets` (n), predicted from `hidden` (n, width)."""
    head, shape = model.get_output_embeddings(), shape_of(model.config)

    def part(hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return cross_entropy(shape(head(hidden)).float(), targets, reduction="sum")

    training = torch.is_grad_enabled()
    plain = training and _plain(head)
    if len(targets) <= head_tokens and not (plain and _in_kept_memory(hidden, head.weight, shape)):
        return part(hidden, targets)
    if plain:
        in_chunks: Any = _Chunks.apply
        total: torch.Tensor = in_chunks(hidden, head.weight, targets, shape, head_tokens)
        return total
    losses = []
    for start in range(0, len(targets), head_tokens):
        chunk = hidden[start : start + head_tokens], targets[start : start + head_tokens]
        losses.append(checkpoint(part, *chunk, use_reentrant=False) if training else part(*chunk))
    return torch.stack(losses).sum()


def _plain(head: Any) -> bool:
    """Whether a head is its weight alone: no adapter, and not in shards that only a call joins."""
    return type(head) is torch.nn.Linear and getattr(head, "bias", None) is None and _whole(head)


def _whole(head: Any) -> bool:
    return bool(head.weight.numel() > 0)


class _Chunks(torch.autograd.Function):
    """Scores, loss and gradients of one chunk after the other: no chunk's scores are kept, and
    none is scored twice (as checkpointing would). The head's gradient is summed in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        shape: Shape,
        size: int,
    ) -> torch.Tensor:
        device, dtype = hidden.device.type, hidden.dtype
        if _in_kept_memory(hidden, weight, shape):
            total, of_hidden = _of_frozen_head(hidden, weight, targets, min(size, AT_ONCE))
            ctx.gradients = (of_hidden, None)
            return total
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        head = weight.detach().to(dtype).requires_grad_(weight.requires_grad)
        of_head = torch.zeros_like(weight, dtype=torch.float32) if head.requires_grad else None
        of_hidden = torch.empty_like(hidden)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        with torch.enable_grad(), torch.autocast(device, enabled=False):
            for start in range(0, len(targets), size):
                chunk = slice(start, start + size)
                given = hidden[chunk].detach().to(dtype).requires_grad_()
                scores = shape(linear(given, head)).float()
                loss = cross_entropy(scores, targets[chunk], reduction="sum")
                wanted = (given, head) if of_head is not None else (given,)
                gradients = torch.autograd.grad(loss, wanted)
                of_hidden[chunk] = gradients[0]
                if of_head is not None:
                    of_head += gradients[1]
                total += loss.detach()
        ctx.gradients = (of_hidden, None if of_head is None else of_head.to(weight.dtype))
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        of_hidden, of_head = ctx.gradients
        (scale,) = outer
        of_head = None if of_head is None else of_head * scale
        return of_hidden * scale, of_head, None, None, None


def shape_of(config: Any) -> Shape:
    """What the model does to its scores: soft-capping (Gemma 2), a scale (Granite, Cohere)."""
    cap = getattr(config, "final_logit_softcapping", None)
    scale = getattr(config, "logit_scale", None) or 1 / (getattr(config, "logits_scaling", 0) or 1)
    if cap is not None:
        return lambda scores: torch.tanh(scores / cap) * cap
    if scale != 1:
        return lambda scores: scores * scale
    return _as_they_are


def _as_they_are(scores: torch.Tensor) -> torch.Tensor:
    return scores


def _in_kept_memory(hidden: torch.Tensor, weight: torch.Tensor, shape: Shape) -> bool:
    """On a processor, with a head that isn't trained and whose scores are taken as they are. A
    GPU's memory is kept by torch itself."""
    mixed = torch.is_autocast_enabled(hidden.device.type) or hidden.dtype != weight.dtype
    frozen = shape is _as_they_are and not weight.requires_grad
    return hidden.device.type == "cpu" and frozen and not mixed


def _of_frozen_head(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss and its gradient by `hidden`, of a head that is not trained.

    Everything as wide as the vocabulary is computed in memory that is kept from step to step: the
    scores of 280 positions of Gemma take 150 MB, twice that in float32, and the system takes longer
    to hand such memory over than the processor to fill it.
    """
    of_hidden = torch.empty_like(hidden)
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for start in range(0, len(targets), size):
        chunk = slice(start, start + size)
        given, wanted = hidden[chunk], targets[chunk].unsqueeze(1)
        scores = _room("scores", len(given), len(weight), weight.dtype)
        shares = _room("shares", len(given), len(weight), torch.float32)
        torch.mm(given, weight.t(), out=scores)
        of_target = scores.gather(1, wanted).float()
        highest = scores.amax(1, keepdim=True).float()
        torch.softmax(shares.copy_(scores), 1, out=shares)
        # The highest share is 1 / sum(exp(score - highest)), and never too small for a logarithm.
        total += (highest - shares.amax(1, keepdim=True).log() - of_target).sum()
        shares.scatter_add_(1, wanted, -torch.ones_like(of_target))
        torch.mm(scores.copy_(shares), weight, out=of_hidden[chunk])
    return total, of_hidden


_rooms: dict[tuple[str, torch.dtype], torch.Tensor] = {}


def _room(name: str, rows: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """The processor's memory for (rows, width) numbers, the same each time; it grows when asked
    for more."""
    key = name, dtype
    kept = _rooms.get(key)
    if kept is None or kept.numel() < rows * width:
        _rooms[key] = kept = torch.empty(rows * width, dtype=dtype)
    return kept[: rows * width].view(rows, width)


@torch.no_grad()
def _compare(model: Any) -> None:
    """Refuse a model whose own scores aren't what is trained here."""
    ids = torch.tensor([[1, 2, 3]], device=model.device)
    attention = model.config._attn_implementation
    model.config._attn_implementation = "sdpa"  # flash attention can't compute where it is loaded
    try:
        wanted = model(input_ids=ids, use_cache=False).logits
        hidden = model.get_decoder()(input_ids=ids, use_cache=False)[0]
    finally:
        model.config._attn_implementation = attention
    found = shape_of(model.config)(model.get_output_embeddings()(hidden))
    if not torch.allclose(wanted.float(), found.float(), rtol=1e-2, atol=1e-2):
        raise ModelError(
            f"{type(model).__name__} treats its scores in a way that is not known here, "
            "so its loss would be wrong."
        )
