"""transformers' Trainer with our batches, loss, optimizer and schedule.

Imported only when a training starts: this module needs torch and transformers.

What is rented: accumulation, wrapping for several processes, clipping, checkpoints, hooks. What is
ours: which groups of sequences a step has (batches.py), the loss at labelled positions (loss.py),
float32 masters (optimizer.py), the rate (schedule.py), and that a loss that isn't a number stops
the training before it reaches the weights.

Why groups: rows of 300 tokens leave a core idle between the small matrices of a 135M model; four
at a time are 1.7 times as fast on two cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from transformers import Trainer, TrainingArguments

from formosa.errors import UserError
from formosa.train.batches import Groups, Order, loader
from formosa.train.config import TrainConfig
from formosa.train.loss import labelled
from formosa.train.optimizer import MasterAdamW, decay_groups
from formosa.train.parallel import Arrangement
from formosa.train.schedule import rate


class Counted(NamedTuple):
    """What a step computes, over all processes."""

    tokens: int  # read, without padding
    learnt: int


class RowTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """The Trainer, on groups of sequences.

    Args:
        config: the recipe's `train:` part.
        groups: what is trained on.
        order: in which order, in this process.
        others: what the Trainer itself wants.
    """

    def __init__(self, config: TrainConfig, groups: Groups, order: Order, **others: Any) -> None:
        self._config, self._groups, self._order = config, groups, order
        self.masters: MasterAdamW | None = None
        self.counted = Counted(0, 0)  # of the step that runs
        super().__init__(train_dataset=groups, **others)
        self.loss_is_scaled_for_ga = True  # by the step's labelled tokens

    def get_train_dataloader(self) -> Any:
        """Our own order, shared among the processes already: accelerate must not share it again."""
        return loader(self._groups, self._order, pinned=self.args.dataloader_pin_memory)

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: Any
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """The batches of a step, and how many labelled tokens they have in all processes."""
        batches = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        tokens = sum(batch.pop("tokens") for batch in batches)
        learnt = sum(int(labelled(batch).sum()) for batch in batches)
        counts = torch.tensor([tokens, learnt], device=device)
        if self.args.world_size > 1:
            counts = self.accelerator.gather(counts).view(-1, 2).sum(dim=0)
        self.counted = Counted(*counts.tolist())
        return batches, counts[1]

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum over the labelled tokens by the step's number of them: every token of a step
        weighs the same, whatever row, group or process it is in."""
        given = {name: value for name, value in inputs.items() if value is not None}
        loss = model(**given)["loss"] / num_items_in_batch
        # The gradients of several processes are averaged; the tokens were counted over all.
        loss = loss * self.args.world_size
        return (loss, None) if return_outputs else loss

    def _run_epoch(self, **arguments: Any) -> None:
        """Nothing, where the last step is behind us: a training killed while its checkpoint was
        written continues after it, and the Trainer would take one step too many."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(**arguments)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """As before, in the types as before: peft turns adapters that it loads into float32, and
        then no masters would be made for them."""
        types = {name: parameter.dtype for name, parameter in self.model.named_parameters()}
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for name, parameter in self.model.named_parameters():
            if parameter.dtype != types.get(name, parameter.dtype):
                parameter.data = parameter.data.to(types[name])

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW; with float32 masters where weights are bfloat16."""
        self.optimizer: Any
        if self.optimizer is None:
            groups = decay_groups(model or self.model, self._config.weight_decay)
            wishes = {"lr": self._config.learning_rate, "betas": self._config.betas}
            parameters = [p for group in groups for p in group["params"]]
            if any(p.dtype != torch.float32 for p in parameters):
                self.masters = MasterAdamW(groups, **wishes)  # type: ignore[arg-type]
                self.optimizer = self.masters
            else:
                self.optimizer = torch.optim.AdamW(groups, fused=True, **wishes)  # type: ignore[arg-type]
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Our schedule, as torch's object, whose state goes into checkpoints."""
        self.lr_scheduler: Any
        if self.lr_scheduler is None:
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer if optimizer is None else optimizer,
                lambda step: rate(self._config, step, num_training_steps),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _clip_grad_norm(self, model: Any) -> Any:
        """The norm of the gradients before they are clipped.

        Raises:
            UserError: it isn't finite. No weight has been touched.
        """
        norm: Any
        if self.masters is not None:
            norm = torch.nn.utils.clip_grad_norm_(
                list(self.masters.trained), self.args.max_grad_norm
            )
        else:
            norm = super()._clip_grad_norm(model)  # None of DeepSpeed's
        if norm is not None and not math.isfinite(float(norm)):
            raise not_finite(self.state.global_step + 1)
        return norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's figure ignores the head and the attention."""
        return 0


def not_finite(step: int) -> UserError:
    return UserError(
        f"The loss of step {step} is no number: the training went astray. "
        "The checkpoints before it are whole.",
        "lower train.learning_rate (or set train.precision: float32) and run again; "
        "formosa data inspect shows the rows",
    )


def arguments(
    config: TrainConfig,
    folder: str,
    shared: Arrangement,
    layers: list[str],
    *,
    steps: int,
    autocast: bool,
) -> TrainingArguments:
    """Our settings in the Trainer's words.

    Args:
        config: the recipe's `train:` part.
        folder: where checkpoints go.
        shared: how processes share the training.
        layers: names of the model's blocks.
        steps: how many there are.
        autocast: whether float32 weights are computed in bfloat16.
    """
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=autocast,
        tf32=True if on_gpu else None,
        seed=config.seed,
        data_seed=config.seed,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=None,  # old ones go when the new one is whole (checkpoint.py)
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would hide what must stop the training
        report_to=[],  # reporters.py: our own numbers, and only those
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        label_names=["labels"],
        **shared.arguments(layers),
    )
