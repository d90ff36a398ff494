"""Checkpoints: those a killed training continues from, and the one it leaves.

    FOLDER/train/steps/checkpoint-N/   model, optimizer and dice after step N; `complete` is
                                       written last, when every process has written its part
    FOLDER/train/best/                 what was trained, at the best measurement
    FOLDER/checkpoint/                 safetensors + tokenizer + template, adapters merged
    FOLDER/checkpoint/adapter/         the adapters alone

Needs torch, imported by functions only.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from formosa.checkpoints import PROVENANCE, load_weights, provenance, quiet_transformers
from formosa.files import read_json, write_json, write_text
from formosa.train.parallel import Arrangement, barrier, is_first
from formosa.train.special_tokens import PreparedTokenizer, prepare_model

COMPLETE = "complete"
SHARD = "4GB"  # of weights in one file: what is held twice while they are written


def last_complete(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole. Torn ones are removed."""
    whole: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).exists():
            whole[step_of(path)] = path
        elif is_first():
            shutil.rmtree(path, ignore_errors=True)
    return whole[max(whole)] if whole else None


def mark_of(checkpoint: Path) -> str:
    """How the weights of a whole checkpoint are kept."""
    return (checkpoint / COMPLETE).read_text(encoding="utf-8")


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def finish_step(folder: Path, step: int, keep: int, mark: str = "") -> None:
    """Mark the checkpoint of a step as whole once all processes wrote it; only then let older ones
    go. Called by every process. `mark` says how its weights are kept (parallel.py)."""
    barrier()
    if not is_first():
        return
    (folder / f"checkpoint-{step}" / COMPLETE).write_text(mark, encoding="utf-8")
    whole = sorted(
        (path for path in folder.glob("checkpoint-*") if (path / COMPLETE).exists()), key=step_of
    )
    for path in whole[:-keep]:
        (path / COMPLETE).unlink()  # first: a torn removal is no whole checkpoint
        shutil.rmtree(path)


def write_trained(trainer: Any, shared: Arrangement, folder: Path) -> None:
    """What was trained, as it is now: the adapters, or all weights in bfloat16. Called by every
    process; the first one writes, whole or not at all."""
    making = folder.with_name(f".{folder.name}.writing")
    state = _state(trainer, shared)
    if not is_first():
        return
    shutil.rmtree(making, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model)
    with quiet_transformers():
        if hasattr(model, "peft_config"):
            model.save_pretrained(making / "adapter", state_dict=state, save_embedding_layers=False)
        else:
            import torch

            # Rounded or gathered, tied weights are tensors of their own: the head would be written
            # beside the embeddings that it is.
            tied = model.config.tie_word_embeddings and getattr(model, "_tied_weights_keys", None)
            rounded = {
                name: value.to(torch.bfloat16)
                for name, value in state.items()
                if name not in (tied or ())
            }
            model.save_pretrained(making, state_dict=rounded, max_shard_size=SHARD)
            config = read_json(making / "config.json")
            write_json(making / "config.json", {**config, "dtype": "bfloat16"})
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


def _state(trainer: Any, shared: Arrangement) -> dict[str, Any]:
    """All weights, adapters in float32 where the optimizer has them so."""
    if shared.world > 1:
        return shared.whole_weights(trainer)
    model = trainer.model
    masters = trainer.masters.unrounded() if trainer.masters else []
    exact = {id(rounded): master for rounded, master in masters}
    if not hasattr(model, "peft_config"):
        return dict(model.state_dict())  # bfloat16 is what is written
    parameters = {id(p): name for name, p in model.named_parameters()}
    renamed = {parameters[key]: master.detach() for key, master in exact.items()}
    return {**model.state_dict(), **renamed}


def write_checkpoint(
    trained: Path,
    target: Path,
    *,
    base: Path,
    tokenizer: Any,
    prepared: PreparedTokenizer,
    about: dict[str, Any],
) -> None:
    """The folder that everything after training reads, whole or not at all.

    Args:
        trained: what `write_trained` left.
        target: the folder.
        base: what adapters are merged into.
        tokenizer: of the model.
        prepared: what `prepare_tokenizer` said.
        about: goes into its provenance.
    """
    making = target.with_name(f".{target.name}.writing")
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(trained, making)
    with quiet_transformers():
        if (making / "adapter").exists():
            merged = merged_model(base, making / "adapter", tokenizer, prepared)
            merged.save_pretrained(making, max_shard_size=SHARD)
        tokenizer.save_pretrained(making)
    # transformers writes the template where it likes; the bytes are what must not differ.
    write_text(making / "chat_template.jinja", prepared.template.source)
    write_json(making / PROVENANCE, {**provenance(base), "trained": about})
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)


def merged_model(base: Path, adapter: Path, tokenizer: Any, prepared: PreparedTokenizer) -> Any:
    """The base with its adapters merged, in bfloat16. Each sum is made in float32 and rounded
    once; only one layer is in float32 at a time."""
    import torch
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    model = load_weights(base, dtype="bfloat16")
    prepare_model(model, tokenizer, prepared)
    with quiet_transformers():
        adapted = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        for module in adapted.modules():
            if isinstance(module, LoraLayer):
                for name in module.active_adapters:
                    weight = module.get_base_layer().weight
                    change = module.get_delta_weight(name)
                    weight.copy_(weight.float() + change.float())
                    module.lora_B[name].weight.zero_()
    with quiet_transformers():
        return adapted.merge_and_unload()
