"""A LoRA adapter for a tiny checkpoint, random and large enough to be noticed, saved by peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def write_tiny_adapter(base: Path, folder: Path, *, seed: int = 1, **changes: Any) -> Path:
    """An adapter folder for `base`; `changes` go into peft's LoraConfig."""
    import torch
    from peft import LoraConfig, get_peft_model

    from formosa.checkpoints import load_weights, quiet_transformers

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 16, "target_modules": ALL, "task_type": "CAUSAL_LM"}
    with quiet_transformers():
        model = get_peft_model(
            load_weights(base, dtype="float32"), LoraConfig(**settings | changes)
        )
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.copy_(torch.randn_like(weight) * 0.05)
                elif "trainable_tokens_delta" in name:
                    weight.add_(torch.randn_like(weight) * 0.1)
        model.save_pretrained(folder)
    return folder


def merged_by_peft(base: Path, adapter: Path) -> dict[str, Any]:
    """What peft makes of it, in float32."""
    from peft import PeftModel

    from formosa.checkpoints import load_weights, quiet_transformers

    with quiet_transformers():
        model = PeftModel.from_pretrained(load_weights(base, dtype="float32"), adapter)
        state = model.merge_and_unload().state_dict()
    return {name: value for name, value in state.items() if name != "lm_head.weight"}
