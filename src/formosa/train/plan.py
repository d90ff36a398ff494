"""What a training needs, before anything loads: memory by part, FLOPs, steps, time and cost.

Arithmetic only: no torch, no weights. Where a number is an assumption it is named one.

Memory of a part is what our own loop keeps there:

    weights      bfloat16 for computation in one process; float32 where copies or shards are shared
    gradients    float32, of what is trained
    optimizer    AdamW's two averages, and float32 masters of bfloat16 weights
    activations  what the backward pass needs, counted from transformers 5.23's Llama and Gemma 3
                 blocks by looking at the tensors that autograd saved (a test counts them again)
    scores       `head_tokens` positions × vocabulary × 10 bytes
    overhead     the runtime, its buffers and fragmentation: an assumption

FLOPs of a trained token: 6 × weights that it passes + causal attention of 6 × layers × heads ×
head size × length. Weights that are frozen cost 4 instead of 6. Computing activations twice adds
a third; MFU is told without it. Sources: Kaplan et al. 2020 (arXiv 2001.08361, section 2.1),
Chowdhery et al. 2022 (arXiv 2204.02311, appendix B); Korthikanti et al. 2022 (arXiv 2205.05198).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from formosa.errors import UserError
from formosa.train.config import TrainConfig
from formosa.train.shapes import Shape

GIB = 1024**3
Strategy = Literal["single", "ddp", "fsdp", "deepspeed-2", "deepspeed-3"]


@dataclass(frozen=True)
class Device:
    """What one device offers. Peaks are dense bfloat16 rates of the makers' data sheets."""

    name: str
    memory: float  # GiB that the driver reports
    teraflops: float
    low: float  # assumed share of the peak, for models of a billion weights and more
    high: float
    gpu: bool = True


GPUS = {
    device.name: device
    for device in (
        Device("b200", 178, 2250, 0.25, 0.45),
        Device("h200", 139, 989, 0.30, 0.50),
        Device("h100", 79, 989, 0.30, 0.50),
        Device("a100-80", 79, 312, 0.40, 0.60),
        Device("a100-40", 39, 312, 0.40, 0.60),
        Device("l40s", 44, 362, 0.25, 0.45),
        Device("l4", 22, 121, 0.25, 0.45),
        Device("a10g", 22, 70, 0.30, 0.50),
        Device("5090", 31, 209, 0.30, 0.50),
        Device("4090", 23.5, 165, 0.30, 0.55),
        Device("3090", 23.5, 71, 0.30, 0.55),
    )
}
# Measured: 190 to 204 tokens a core-second of SmolLM2-135M on an AMD EPYC with avx512_bf16, which
# is 0.16 to 0.2 TFLOP/s. Others without bfloat16 instructions reach a third.
CPU_CORE = Device("cpu core", 0, 0.2, 0.4, 1.0, gpu=False)
SMALL = 5e8  # below so many weights a GPU waits for launches: half the share is assumed
OVERHEAD_GPU = 1.5  # GiB: CUDA context, NCCL, workspaces
OVERHEAD_CPU = 0.6  # GiB: Python, torch, transformers
FRAGMENTATION = 0.06  # of all parts: what allocators keep beside what is in use
TEMPORARY = 0.15  # of the activations: those of a block that are not kept


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by part."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    scores: float
    overhead: float

    @property
    def total(self) -> float:
        return float(sum(asdict(self).values()))


@dataclass(frozen=True)
class Setup:
    """The devices of a plan."""

    device: Device
    devices: int = 1
    price_per_hour: float | None = None  # of one device, or of the whole machine on a CPU
    cores: int = 1  # of the processor; GPUs ignore it


def trained_parameters(shape: Shape, config: TrainConfig) -> int:
    """Numbers that the optimizer changes."""
    if config.method != "full":
        return shape.adapters(config.lora.rank, config.lora.targets)
    if config.embeddings == "freeze":
        return shape.body + (0 if shape.tied else shape.head)
    return shape.parameters


def activation_bytes(
    shape: Shape, config: TrainConfig, *, shared: bool = False
) -> tuple[float, float]:
    """(bytes a token keeps in every block, bytes of one block while it is computed).

    Counted with bfloat16 weights and sdpa: 16 bytes for each number of the hidden size (two norms
    in float32), 8 of the feed-forward's, 4 of queries and of keys and values. `shared`: several
    processes, where what is trained is float32 and computed in bfloat16 by autocast.
    """
    hidden, query = shape.hidden, shape.heads * shape.head_dim
    key = shape.kv_heads * shape.head_dim
    each = {"h": 16.0, "i": 8.0, "q": 4.0, "k": 4.0}
    if shape.gemma:  # norms around both halves, and of queries and keys
        each |= {"h": 36.0, "q": 12.0, "k": 12.0}
    if shared and config.method == "full":  # float32 between the matrices
        each["h"] += 10
    elif shared:  # float32 adapters see their inputs in float32
        each["h"] += 12
        each["i"] += 2
        each["q"] += 4
    if config.precision == "float32":
        each = {name: value * 2 for name, value in each.items()}
        each["h"] = 40.0 if shape.gemma else 24.0
    block = each["h"] * hidden + each["i"] * shape.intermediate + each["q"] * query
    block += each["k"] * key + 4 * shape.heads
    if config.attention == "eager":
        block += 6 * shape.heads * config.max_tokens + 4 * (query - key)
    elif config.packing and not config.attention.startswith("flash"):
        block += 2 * config.max_tokens + 4 * (query - key)  # a mask, and keys for every head
    if config.activation_checkpointing:
        return 2.0 * hidden, block
    return block, 0.0


def memory(shape: Shape, config: TrainConfig, setup: Setup, strategy: Strategy) -> Memory:
    """What one process needs of its device's memory."""
    parameters, trained = shape.parameters, trained_parameters(shape, config)
    frozen = parameters if config.method != "full" else parameters - trained
    half = config.precision == "bfloat16"
    devices = setup.devices if strategy != "single" else 1
    sharded = devices if strategy in ("fsdp", "deepspeed-3") else 1
    held = devices if strategy in ("fsdp", "deepspeed-2", "deepspeed-3") else 1
    extra = 0.0  # gathered for a while
    base = 2 if half else 4
    if config.method == "qlora":
        linear = shape.layers * sum(a * b for a, b in shape.linears.values())
        weights = 0.55 * linear + 2 * (parameters - linear) + 4 * trained
        gradients, optimizer = 4.0 * trained, 8.0 * trained
    elif config.method == "lora":
        weights = (base * frozen + 4 * trained) / sharded
        gradients, optimizer = 4.0 * trained / held, 8.0 * trained / held
    elif not half:
        weights = 4 * parameters / sharded
        gradients, optimizer = 4.0 * trained / held, 8.0 * trained / held
    elif strategy == "single":  # MasterAdamW
        weights, gradients, optimizer = 2.0 * parameters, 4.0 * trained, 12.0 * trained
    elif strategy == "ddp":  # float32 weights, bfloat16 copies by autocast, gradient buckets
        weights, gradients, optimizer = 6.0 * parameters, 8.0 * trained, 8.0 * trained
    elif strategy == "fsdp":
        weights, gradients = 4.0 * parameters / sharded, 4.0 * trained / sharded
        optimizer = 8.0 * trained / sharded
    else:  # DeepSpeed: bfloat16 weights and gradients, float32 masters
        weights = 2.0 * parameters / sharded
        gradients, optimizer = 2.0 * trained / held, 12.0 * trained / held
    if strategy in ("fsdp", "deepspeed-3"):
        block = sum(a * b for a, b in shape.linears.values())
        gathered = 2 * block + shape.head * (1 if shape.tied else 2)
        if not config.parallel.reshard and strategy == "fsdp":
            gathered = parameters
        extra = base * gathered + 4 * block  # and one block's gradients before they are spread
    if config.parallel.offload and strategy in ("fsdp", "deepspeed-2", "deepspeed-3"):
        optimizer = 0.0
        if strategy != "deepspeed-2":
            weights = gradients = 0.0
    tokens = config.max_tokens * config.rows_at_once
    autocast = half and (strategy == "ddp" or (strategy != "single" and config.method != "full"))
    kept, once = activation_bytes(shape, config, shared=autocast)
    activations = tokens * (shape.layers * kept + once)
    activations += tokens * 12 * shape.hidden  # embeddings and the last norm
    scores = min(config.head_tokens, tokens) * shape.vocabulary * 10
    parts = weights + extra + gradients + optimizer + activations + scores
    fixed = OVERHEAD_GPU if setup.device.gpu else OVERHEAD_CPU
    overhead = fixed * GIB + FRAGMENTATION * parts + TEMPORARY * activations
    return Memory(weights + extra, gradients, optimizer, activations, scores, overhead)


def flops_per_token(
    shape: Shape, config: TrainConfig, *, scored: float = 1.0, length: int | None = None
) -> float:
    """Floating-point operations that one token of training needs, without recomputation.

    Args:
        shape: of the model.
        config: the recipe's `train:` part.
        scored: share of the tokens that have a label; only those pass the head.
        length: tokens of a sequence, for the attention; the recipe's longest if not given.
    """
    length = config.max_tokens if length is None else length
    through = shape.body + scored * shape.head
    if config.method == "full":
        matrices = 6.0 * through
    else:
        matrices = 4.0 * through + 6.0 * shape.adapters(config.lora.rank, config.lora.targets)
    return matrices + 6.0 * shape.layers * shape.heads * shape.head_dim * length


def strategies(config: TrainConfig, setup: Setup) -> list[Strategy]:
    """Those that the plan compares, the recipe's own first."""
    if setup.devices == 1:
        return ["single"]
    wish = config.parallel.strategy
    if wish == "auto":
        wish = "fsdp" if config.method == "full" and setup.device.gpu else "ddp"
    others: list[Strategy] = ["ddp", "fsdp"] if config.method != "qlora" else ["ddp"]
    return [wish, *(other for other in others if other != wish)]


def make_plan(
    shape: Shape,
    config: TrainConfig,
    setup: Setup,
    *,
    tokens: int | None = None,
    rows: int | None = None,
    scored: float = 1.0,
) -> dict[str, Any]:
    """Everything the plan says, as a JSON value. Bytes, FLOPs, seconds.

    Args:
        shape: of the base.
        config: the recipe's `train:` part.
        setup: the devices.
        tokens: of one pass over the data; None if unknown.
        rows: of the data; None if unknown.
        scored: share of the tokens that have a label.

    Raises:
        UserError: the step can't be shared evenly by so many devices.
    """
    share = config.rows_at_once * setup.devices
    if config.rows_per_step % share:
        raise UserError(
            f"train.rows_per_step: {config.rows_per_step} can't be shared by {setup.devices} "
            f"devices with train.rows_at_once: {config.rows_at_once}.",
            f"make rows_per_step a multiple of {share}, or lower rows_at_once",
        )
    room = setup.device.memory * GIB
    options = []
    for strategy in strategies(config, setup):
        need = memory(shape, config, setup, strategy)
        options.append(
            {
                "strategy": strategy,
                "parts": asdict(need),
                "total": need.total,
                "fits": need.total <= room if room else None,
            }
        )
    chosen = options[0]
    per_token = flops_per_token(shape, config, scored=scored)
    plan: dict[str, Any] = {
        "schema": 1,
        "model": shape.name,
        "parameters": shape.parameters,
        "trained": trained_parameters(shape, config),
        "device": setup.device.name,
        "devices": setup.devices,
        "device_memory": room or None,
        "memory": options,
        "advice": [] if chosen["fits"] in (True, None) else advice(shape, config, setup),
        "flops_per_token": per_token,
        "run": None,
    }
    if tokens is not None:
        plan["run"] = _run(shape, config, setup, tokens, rows, per_token)
    return plan


def _run(
    shape: Shape,
    config: TrainConfig,
    setup: Setup,
    tokens: int,
    rows: int | None,
    per_token: float,
) -> dict[str, Any]:
    packs = math.ceil(tokens / config.max_tokens)
    sequences = packs if config.packing or rows is None else rows
    steps_a_pass = max(1, math.ceil(sequences / config.rows_per_step))
    steps = math.ceil(steps_a_pass * config.epochs)
    if config.max_steps is not None:
        steps = min(steps, config.max_steps)
    trained_tokens = tokens * steps / steps_a_pass
    work = per_token * trained_tokens
    if config.activation_checkpointing:
        work *= 4 / 3
    device = setup.device
    rate = device.teraflops * 1e12 * (setup.devices if device.gpu else setup.cores)
    low, high = device.low, device.high
    if device.gpu and shape.parameters < SMALL:
        low, high = low / 2, high / 2
    seconds = [work / (rate * share) for share in (high, low)]
    units = setup.devices if device.gpu else 1
    cost = None
    if setup.price_per_hour is not None:
        cost = [s / 3600 * units * setup.price_per_hour for s in seconds]
    return {
        "tokens_a_pass": tokens,
        "sequences": sequences,
        "steps": steps,
        "tokens": round(trained_tokens),
        "flops": work,
        "utilisation": [low, high],
        "tokens_per_second": [trained_tokens / s for s in reversed(seconds)],
        "seconds": seconds,
        "cost": cost,
    }


def advice(shape: Shape, config: TrainConfig, setup: Setup) -> list[str]:
    """Changes that make it fit, the mildest first; each with what it would need then."""
    changes: list[tuple[str, Mapping[str, Any], int]] = []
    if config.rows_at_once > 1:
        changes.append(("train.rows_at_once: 1", {"rows_at_once": 1}, setup.devices))
    if not config.activation_checkpointing:
        changes.append(
            (
                "train.activation_checkpointing: true",
                {"activation_checkpointing": True, "rows_at_once": 1},
                setup.devices,
            )
        )
    smaller = {"activation_checkpointing": True, "rows_at_once": 1, "head_tokens": 512}
    if config.head_tokens > 512:
        changes.append(("and train.head_tokens: 512", smaller, setup.devices))
    if config.method == "full" and setup.device.gpu:
        changes += [
            (f"{devices} devices with parallel.strategy: fsdp", smaller, devices)
            for devices in (2, 4, 8, 16, 32)
            if devices > setup.devices
        ]
    if config.method == "full":
        changes.append(("train.method: lora", {**smaller, "method": "lora"}, setup.devices))
    if config.method != "qlora" and setup.device.gpu:
        changes.append(("train.method: qlora", {**smaller, "method": "qlora"}, setup.devices))
    found = []
    for words, values, devices in changes:
        changed = config.model_copy(update=dict(values))
        there = replace(setup, devices=devices)
        strategy: Strategy = "single" if devices == 1 else "ddp"
        if changed.method == "full" and devices > 1:
            strategy = "fsdp"
        need = memory(shape, changed, there, strategy).total
        fits = need <= setup.device.memory * GIB
        found.append(f"{words}: {need / GIB:.1f} GiB a device{', fits' if fits else ''}")
        if fits:
            break
    return found


def table(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Memory by part and strategy, in GiB, for people."""
    options: Sequence[Mapping[str, Any]] = plan["memory"]
    names = [*options[0]["parts"], "total"]
    rows = []
    for name in names:
        row: dict[str, Any] = {"GiB a device": name}
        for option in options:
            value = option["total"] if name == "total" else option["parts"][name]
            row[option["strategy"]] = f"{value / GIB:.2f}"
        rows.append(row)
    verdict: dict[str, Any] = {"GiB a device": "fits"}
    for option in options:
        verdict[option["strategy"]] = {True: "yes", False: "no", None: "?"}[option["fits"]]
    return [*rows, verdict]


def gpu_here() -> Device | None:
    """The kind of the first GPU that the driver of this machine lists, if it is known here."""
    from formosa.train.hardware import gpus_of_driver

    for name in gpus_of_driver():
        low = name.lower().replace(" ", "-")
        for key, device in GPUS.items():
            words = key.split("-")
            if words[0] in low and (len(words) == 1 or words[1] in low):
                return device
    return None
