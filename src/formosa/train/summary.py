"""What is known of a training when it is done: FOLDER/train/summary.json, for cards and people."""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
from pathlib import Path
from typing import Any

from formosa.checkpoints import provenance
from formosa.processor import usable_cores
from formosa.train.config import TrainConfig
from formosa.train.log import Log
from formosa.train.special_tokens import PreparedTokenizer
from formosa.train.start import digest_of
from formosa.train.tokens import TokenStore

MEASURED = ("step", "loss", "call_loss", "exact_call", "relevance")  # of held-out rows


def summary_of(
    config: TrainConfig,
    base: Path,
    store: TokenStore,
    prepared: PreparedTokenizer,
    log: Log,
    *,
    steps: int,
    epochs: float,
    processes: int,
) -> dict[str, Any]:
    """The summary; speeds in tokens per second over all processes, memory of the first one."""
    done = log.of("step")
    best = log.of("best")
    losses = [record["loss"] for record in done]
    return {
        "schema": 1,
        "base": provenance(base).get("made_from", {"name": base.name}),
        "objective": config.objective,
        "method": config.method,
        "rows": len(store),
        "dropped": dict(store.dropped),
        "tokens": store.tokens,
        "trained_tokens": store.trained,
        "encoded": {k: v for k, v in store.report.to_json().items() if k != "shown"},
        "packing": config.packing,
        "share_prefix": config.share_prefix,
        "steps": steps,
        "epochs": round(epochs, 3),
        "rows_per_step": config.rows_per_step,
        "learning_rate": config.learning_rate,
        "schedule": config.schedule,
        "precision": config.precision,
        "lora": config.lora.model_dump(mode="json", exclude_none=True)
        if config.method != "full"
        else None,
        "start_sha256": digest_of(config.lora.start) if config.lora.start else None,
        "seed": config.seed,
        "processes": processes,
        "added_tokens": list(prepared.added),
        "loss": {"first": losses[0], "last": losses[-1]} if losses else None,
        "heldout": [{key: r[key] for key in MEASURED if key in r} for r in log.of("measured")],
        "best": {key: best[-1][key] for key in ("step", "by", "value")} if best else None,
        "seconds": log.seconds,
        "tokens_per_second": statistics.median(r["tokens_per_second"] for r in done)
        if done
        else None,
        "peak_memory_gb": max((r["peak_memory_gb"] for r in done), default=None),
        "hardware": hardware(),
        "versions": versions("torch", "transformers", "peft", "accelerate"),
        "template_sha256": prepared.template.sha256,
    }


def hardware() -> str:
    """The machine in words: processor, cores that may be used, GPUs."""
    import torch

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
