"""Tokens per second of a training step on this machine, variant by variant. Prints a table.

    python benchmarks/training_step.py [--tokens 300] [--steps 6]

SmolLM2-135M with LoRA rank 16 on all linear layers, forward and backward, rows of one length of
which the last sixth is labelled, as in tool-call rows. The first line is what `formosa train` does;
the others show what each of its choices is worth. Peak memory is of the whole process so far.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")


class Variant(NamedTuple):
    name: str
    rows: int = 4
    autocast: bool = True
    labelled_head: bool = True
    lora: bool = True


VARIANTS = (
    Variant("formosa: 4 rows, head on labels"),
    Variant("1 row at a time", rows=1),
    Variant("head on every position", labelled_head=False),
    Variant("no autocast (float32 adapters)", autocast=False),
    Variant("all weights, 4 rows", lora=False),
)


def measure(variant: Variant, tokens: int, steps: int) -> tuple[float, float]:
    """Tokens per second of wall time, and per second of CPU time."""
    import torch
    from peft import LoraConfig, get_peft_model

    from formosa.checkpoints import checkpoint_folder, load_weights, quiet_transformers
    from formosa.models import resolve
    from formosa.train.rows import IGNORED
    from formosa.train.trainer import labelled_loss

    folder = checkpoint_folder(resolve("smollm2-135m"), say=print)
    model: Any = load_weights(folder, dtype="bfloat16")
    if variant.lora:
        with quiet_transformers():
            settings = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
            model = get_peft_model(model, settings)
    model.train()
    ids = torch.randint(100, 40_000, (variant.rows, tokens))
    labels = ids.clone()
    labels[:, : tokens * 5 // 6] = IGNORED
    inputs = {
        "input_ids": ids,
        "labels": labels,
        "attention_mask": torch.ones_like(ids),
        "position_ids": torch.arange(tokens).expand(variant.rows, -1),
    }
    wall = cpu = 0.0
    for step in range(-1, steps):  # the first is not counted
        wall_started, cpu_started = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=variant.autocast):
            if variant.labelled_head:
                loss = labelled_loss(model, inputs)
            else:
                loss = model(**inputs, use_cache=False).loss
        loss.backward()  # type: ignore[no-untyped-call]  # torch 2.13 leaves it so
        if step >= 0:
            wall += time.perf_counter() - wall_started
            cpu += time.process_time() - cpu_started
    count = steps * variant.rows * tokens
    return count / wall, count / cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    print(f"{'variant':<36}{'tokens/s':>10}{'tokens/CPU-s':>14}{'peak GB':>9}")
    for variant in VARIANTS:
        wall, cpu = measure(variant, arguments.tokens, arguments.steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{variant.name:<36}{wall:>10.0f}{cpu:>14.0f}{peak:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
