"""Supervised fine-tuning: rows in, a merged checkpoint and its story out.

    FOLDER/train/log.jsonl       one object a step: loss, rate; and the measurements
    FOLDER/train/summary.json    what a card needs to know
    FOLDER/train/steps/          checkpoints to continue from, removed at the end
    FOLDER/checkpoint/           safetensors + tokenizer + template, adapters merged
    FOLDER/checkpoint/adapter/   the adapters alone (LoRA)

A run that was killed continues from the last whole checkpoint with the same rows in the same order.
"""

from __future__ import annotations

import copy
import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from formosa.chat.template import ChatTemplate
from formosa.checkpoints import (
    PROVENANCE,
    family_of,
    load_tokenizer,
    load_weights,
    provenance,
    quiet_transformers,
    set_stop_token,
)
from formosa.errors import UserError
from formosa.files import JsonLines, read_jsonl, write_json, write_text
from formosa.train.accuracy import exact_calls, held_out_loss
from formosa.train.config import TrainConfig
from formosa.train.rows import (
    Conversation,
    EncodedRows,
    encode_rows,
    group_rows,
    read_conversations,
)

Say = Callable[[str], None]
Progress = Callable[[int, int, float], None]  # step, steps, loss


def require_training() -> None:
    """Raise unless the packages of `formosa-lm[train]` are there.

    Raises:
        UserError: one is missing; the hint says how to install them.
    """
    from importlib.util import find_spec

    names = ("torch", "transformers", "peft", "accelerate", "gguf")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UserError(
            f"Training needs {', '.join(missing)}, which is not installed.",
            "pip install 'formosa-lm[train]'",
        )


def train_sft(
    config: TrainConfig,
    *,
    base: Path,
    rows: Path,
    heldout: Path,
    folder: Path,
    say: Say = lambda line: None,
    progress: Progress = lambda step, steps, loss: None,
) -> dict[str, Any]:
    """Fine-tune `base` on the JSONL file `rows`; return (and write) the summary.

    Args:
        config: the recipe's `train:` part.
        base: a checkpoint folder.
        rows: prepared training rows.
        heldout: prepared rows that are measured and never trained.
        folder: the run folder.
        say: gets lines for people.
        progress: called after every step.

    Raises:
        DataError: the rows don't fit; nothing was trained.
        UserError: a package is missing, or the base fits no family of control tokens.
    """
    require_training()
    tokenizer = load_tokenizer(base)
    template = ChatTemplate.formosa(family_of(tokenizer))
    encoded = encode_rows(
        read_conversations(rows),
        tokenizer,
        template,
        max_tokens=config.max_tokens,
        overlong=config.overlong,
    )
    say(
        f"{len(encoded.rows)} rows, {encoded.tokens:,} tokens, {encoded.trained:,} of them learnt"
        + "".join(f"; {count} dropped: {why}" for why, count in encoded.dropped.items())
    )
    run = _Run(config, base, folder, tokenizer, template, encoded, say, progress)
    run.measured_rows = list(read_conversations(heldout))
    summary = run.train()
    run.save(summary)
    return summary


class _Run:
    """One training, from loaded weights to the written checkpoint."""

    def __init__(
        self,
        config: TrainConfig,
        base: Path,
        folder: Path,
        tokenizer: Any,
        template: ChatTemplate,
        encoded: EncodedRows,
        say: Say,
        progress: Progress,
    ) -> None:
        self.config, self.base, self.folder = config, base, folder
        self.tokenizer, self.template, self.encoded = tokenizer, template, encoded
        self.say, self.progress = say, progress
        self.measured_rows: list[Conversation] = []
        self.steps = folder / "train" / "steps"
        self.log_path = folder / "train" / "log.jsonl"

    def train(self) -> dict[str, Any]:
        from transformers import set_seed

        from formosa.train.trainer import Follow, RowTrainer, arguments, collate, last_complete

        set_seed(self.config.seed)
        model = self._model()
        resume = last_complete(self.steps)
        started_at = int(resume.name.removeprefix("checkpoint-")) if resume else 0
        if resume:
            self.say(f"continuing after step {started_at}")
        self._cut_log(started_at)
        with JsonLines(self.log_path, sync=False) as log, quiet_transformers():
            started = time.monotonic()
            seconds_before = self._seconds_so_far()

            def on_log(step: int, values: dict[str, float]) -> None:
                seconds = round(seconds_before + time.monotonic() - started, 1)
                log.append({"type": "step", "step": step, **values, "seconds": seconds})
                self.progress(step, trainer.state.max_steps, values["loss"])

            def on_step(step: int, last: int, current: Any) -> None:
                if step % self.config.measure_every == 0 or step == last:
                    log.append({"type": "measured", "step": step, **self._measure(current)})

            trainer = RowTrainer(
                model=model,
                args=arguments(self.config, self.steps),
                train_dataset=group_rows(self.encoded.rows, self.config.rows_at_once),
                data_collator=collate,
                callbacks=[Follow(on_log, on_step)],
            )
            trainer.remove_callback(_printer())
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        self.model = trainer.model
        return self._summary(trainer.state.global_step, float(trainer.state.epoch or 0))

    def _model(self) -> Any:
        lora = self.config.method == "lora"
        # Full tuning needs float32 weights: bfloat16 ones would lose small updates.
        model = load_weights(self.base, dtype=self.config.precision if lora else "float32")
        set_stop_token(model, self.tokenizer)
        if not lora:
            return model
        from peft import LoraConfig, get_peft_model

        settings = self.config.lora
        adapters = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with quiet_transformers():
            return get_peft_model(model, adapters)

    def _measure(self, model: Any) -> dict[str, Any]:
        """Loss and exact calls on the held-out rows."""
        merged = self._merged_copy(model)
        loss = held_out_loss(merged, self.tokenizer, self.template, self.measured_rows)
        asked = self.measured_rows[: self.config.measure_rows]
        exact = exact_calls(
            merged,
            self.tokenizer,
            self.template,
            asked,
            max_new_tokens=self.config.measure_tokens,
        )
        self.say(f"held-out loss {loss:.3f}, exact calls {exact.correct} of {exact.of}")
        return {"loss": round(loss, 4), "exact_call": exact._asdict()}

    def _merged_copy(self, model: Any) -> Any:
        """The model as it will be shipped. Adapters beside every layer cost half as much time
        again, and merging them in place could not be undone to the bit."""
        if self.config.method != "lora":
            return model
        with quiet_transformers():
            return copy.deepcopy(model).merge_and_unload()

    def _cut_log(self, step: int) -> None:
        """Forget what the killed run logged after the checkpoint that this one continues from."""
        records = self._records()
        kept = [record for record in records if record["step"] <= step] if step else []
        if len(kept) != len(records):
            self.log_path.unlink()
            with JsonLines(self.log_path, sync=False) as log:
                for record in kept:
                    log.append(record)

    def _records(self) -> list[dict[str, Any]]:
        return [r for _, r in read_jsonl(self.log_path)] if self.log_path.exists() else []

    def _seconds_so_far(self) -> float:
        return max((float(r.get("seconds", 0)) for r in self._records()), default=0.0)

    def _summary(self, steps: int, epochs: float) -> dict[str, Any]:
        records = self._records()
        losses = [r["loss"] for r in records if r["type"] == "step"]
        config = self.config
        return {
            "schema": 1,
            "base": provenance(self.base).get("made_from", {"name": self.base.name}),
            "method": config.method,
            "rows": len(self.encoded.rows),
            "dropped": dict(self.encoded.dropped),
            "tokens": self.encoded.tokens,
            "trained_tokens": self.encoded.trained,
            "steps": steps,
            "epochs": round(epochs, 3),
            "rows_per_step": config.rows_per_step,
            "learning_rate": config.learning_rate,
            "lora": config.lora.model_dump() if config.method == "lora" else None,
            "seed": config.seed,
            "loss": {"first": losses[0], "last": losses[-1]} if losses else None,
            "heldout": [
                {key: r[key] for key in ("step", "loss", "exact_call")}
                for r in records
                if r["type"] == "measured"
            ],
            "seconds": self._seconds_so_far(),
            "hardware": hardware(),
            "versions": versions("torch", "transformers", "peft", "accelerate"),
            "template_sha256": self.template.sha256,
        }

    def save(self, summary: dict[str, Any]) -> None:
        """Write the checkpoint whole: into a folder beside it, which is then renamed."""
        target = self.folder / "checkpoint"
        making = self.folder / ".checkpoint.writing"
        shutil.rmtree(making, ignore_errors=True)
        with quiet_transformers():
            self._save_weights(making)
            self.tokenizer.save_pretrained(making)
        # transformers writes the template where it likes; the bytes are what must not differ.
        write_text(making / "chat_template.jinja", self.template.source)
        source = provenance(self.base)
        write_json(making / PROVENANCE, {**source, "trained": {"seed": self.config.seed}})
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
        write_json(self.folder / "train" / "summary.json", summary)
        shutil.rmtree(self.steps, ignore_errors=True)

    def _save_weights(self, folder: Path) -> None:
        import torch

        if self.config.method == "lora":
            from peft import PeftModel

            self.model.save_pretrained(folder / "adapter")
            # Merge in float32: base + adapter is rounded once, not twice.
            whole = load_weights(self.base, dtype="float32")
            set_stop_token(whole, self.tokenizer)
            merged = PeftModel.from_pretrained(whole, folder / "adapter").merge_and_unload()
        else:
            merged = self.model
        merged.to(torch.bfloat16).save_pretrained(folder)


def _printer() -> Any:
    """The callback that prints every log line to standard output, which is for data here."""
    from transformers import PrinterCallback

    return PrinterCallback


def hardware() -> str:
    """The machine in words: processor, cores that may be used, GPUs."""
    import torch

    from formosa.engines.llama import usable_cores

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((ln.split(":", 1)[1].strip() for ln in lines if "model name" in ln), name)
    words = f"{name}, {usable_cores()} cores"
    if torch.cuda.is_available():
        words += f", {torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}"
    return words


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of the packages that made a result."""
    return {name: importlib.metadata.version(name) for name in packages}
