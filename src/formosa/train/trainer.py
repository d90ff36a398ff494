"""transformers' Trainer with our rows: groups of like length, the head on labelled positions only.

Imported only when a training starts: this module needs torch and transformers.

Why groups: rows of 300 tokens leave a core idle between the small matrices of a 135M model; four
at a time are 1.7 times as fast on two cores. Why of like length and padded on the left: little
padding, and the labelled ends of the rows stand under each other. Why the head on labels only: in
tool-call rows four of five tokens are prompt, and scoring them is a fifth of the work for a 135M
model and more than half for a large vocabulary. `logits_to_keep` is the model's own argument for
it, so wrapped models (DDP, FSDP) work the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from formosa.train.config import TrainConfig
from formosa.train.rows import IGNORED, EncodedRow

COMPLETE = "complete"  # written into a checkpoint last: its presence means "nothing is missing"

OnLog = Callable[[int, dict[str, float]], None]  # step, values
OnStep = Callable[[int, int, Any], None]  # step, last step, model


def labelled_loss(model: Any, inputs: dict[str, Any], items: Any = None) -> torch.Tensor:
    """Cross entropy over the labelled tokens of a group of rows.

    Args:
        model: a causal language model that takes `logits_to_keep`.
        inputs: what `collate` makes, all (rows, length).
        items: labelled tokens of the whole step; the loss is the sum over it, so that every token
            of a step weighs the same whatever row it stands in. None: the mean of this group.
    """
    labels = inputs["labels"][:, 1:]
    positions = (labels != IGNORED).any(dim=0).nonzero()[:, 0]
    output = model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        position_ids=inputs["position_ids"],
        logits_to_keep=positions,
        use_cache=False,
        return_dict=True,
    )
    targets = labels[:, positions]
    total: torch.Tensor = torch.nn.functional.cross_entropy(
        output.logits.float().flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )
    loss: torch.Tensor = total / ((targets != IGNORED).sum() if items is None else items)
    return loss


class RowTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types
    """The Trainer, scoring labelled positions only."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        loss = labelled_loss(model, inputs, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # The gradients of several processes are averaged, and the items were summed over them.
            loss = loss * self.accelerator.num_processes
        return (loss, None) if return_outputs else loss


class Follow(TrainerCallback):  # type: ignore[misc]
    """Tells what happens, marks whole checkpoints, and measures at the chosen steps."""

    def __init__(self, on_log: OnLog, on_step: OnStep) -> None:
        self._on_log = on_log
        self._on_step = on_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            kept = {key: float(logs[key]) for key in ("loss", "learning_rate", "grad_norm")}
            self._on_log(state.global_step, kept)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._on_step(state.global_step, state.max_steps, model)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero:
            (folder / COMPLETE).write_text("", encoding="utf-8")


def arguments(config: TrainConfig, folder: Path) -> TrainingArguments:
    """Our settings in the Trainer's words."""
    on_gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=max(1, config.rows_per_step // config.rows_at_once),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        # bf16 matrices with float32 adapters (or master weights): autocast does it layer by layer.
        bf16=config.precision == "bfloat16",
        use_cpu=not on_gpu,
        seed=config.seed,
        data_seed=config.seed,
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        label_names=["labels"],
    )


def collate(groups: Sequence[Sequence[EncodedRow]]) -> dict[str, torch.Tensor]:
    """One group as tensors, padded on the left; padding is masked and never labelled."""
    (rows,) = groups
    width = max(len(row.ids) for row in rows)
    gaps = [width - len(row.ids) for row in rows]
    pairs = list(zip(gaps, rows, strict=True))
    return {
        "input_ids": torch.tensor([[0] * gap + row.ids for gap, row in pairs]),
        "labels": torch.tensor([[IGNORED] * gap + row.labels for gap, row in pairs]),
        "attention_mask": torch.tensor([[0] * gap + [1] * len(row.ids) for gap, row in pairs]),
        "position_ids": torch.tensor([[0] * gap + [*range(len(row.ids))] for gap, row in pairs]),
    }


def last_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole. Torn ones are removed: the Trainer would
    otherwise count them."""
    whole: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole[int(path.name.removeprefix("checkpoint-"))] = path
        else:
            shutil.rmtree(path)
    return whole[max(whole)] if whole else None
