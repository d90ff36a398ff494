"""How several processes share one training, and the proof that they do.

Knows the strategies, their settings in the words of transformers' Trainer, and how to look at a
prepared Trainer and say what really runs. Knows nothing of starting processes (launch.py).

    single        one process
    ddp           whole copies of the model; gradients are averaged
    fsdp          weights, gradients and optimizer in shards (FSDP2); float32 shards, computed in
                  bfloat16, checkpoints written by every process in shards
    deepspeed-2   gradients and optimizer in shards (ZeRO-2)
    deepspeed-3   weights too (ZeRO-3)

Why the proof: accelerate turns a wish into something else without a word. FSDP on CPUs becomes
DDP, an environment variable left over from another run turns FSDP on, and a launcher that starts
one process makes every strategy the same. A training that is not what was asked for is refused
before step 1.

On CPUs we make accelerate shard all the same (`Arrangement.begin`), with the gloo backend: slow,
but the path that a GPU takes, so that it can be tested anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from formosa.errors import UserError
from formosa.train.config import TrainConfig
from formosa.train.hardware import Hardware, detect

Strategy = Literal["single", "ddp", "fsdp", "deepspeed-2", "deepspeed-3"]
_WORDS: dict[Strategy, str] = {
    "single": "one process",
    "ddp": "whole copies (DDP)",
    "fsdp": "fully sharded (FSDP2)",
    "deepspeed-2": "optimizer in shards (DeepSpeed ZeRO-2)",
    "deepspeed-3": "fully sharded (DeepSpeed ZeRO-3)",
}


@dataclass(frozen=True)
class Arrangement:
    """How this process takes part."""

    strategy: Strategy
    world: int  # processes, over all machines
    hardware: Hardware
    config: TrainConfig
    from_file: bool = False  # an accelerate configuration file decides the details

    @property
    def sharded(self) -> bool:
        """Whether the strategy itself keeps float32 weights and computes in bfloat16."""
        return self.strategy in ("fsdp", "deepspeed-2", "deepspeed-3")

    @property
    def accumulation(self) -> int:
        """Groups of sequences that each process computes for one step."""
        return self.config.rows_per_step // (self.config.rows_at_once * self.world)

    def arguments(self, layers: Sequence[str]) -> dict[str, Any]:
        """Keyword arguments for TrainingArguments.

        Args:
            layers: class names of the model's blocks (`model._no_split_modules`): the unit of
                sharding.
        """
        config, parallel = self.config, self.config.parallel
        on_cpu = self.hardware.kind == "cpu"
        values: dict[str, Any] = {
            "use_cpu": on_cpu,
            "per_device_train_batch_size": 1,  # a group of sequences
            "gradient_accumulation_steps": self.accumulation,
            "activation_checkpointing": config.activation_checkpointing,
        }
        if self.world > 1:
            values |= {
                "ddp_timeout": parallel.timeout_minutes * 60,
                "ddp_backend": "gloo" if on_cpu else "nccl",
                "ddp_find_unused_parameters": False,
            }
        if self.from_file:
            return values
        if self.strategy == "fsdp":
            # FSDP checkpoints whole blocks itself, in the right order with its own hooks.
            values["activation_checkpointing"] = False
            values["fsdp"] = True
            values["fsdp_config"] = {
                "version": 2,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "transformer_layer_cls_to_wrap": list(layers),
                "reshard_after_forward": parallel.reshard,
                "state_dict_type": "SHARDED_STATE_DICT",
                "activation_checkpointing": config.activation_checkpointing,
                "cpu_offload": parallel.offload,
                "cpu_ram_efficient_loading": False,
            }
        elif self.strategy.startswith("deepspeed"):
            values["deepspeed"] = deepspeed_json(config, stage=int(self.strategy[-1]))
        return values

    def begin(self) -> None:
        """To be called between TrainingArguments and the Trainer.

        accelerate 1.15 asks only distributed GPUs whether they should shard; a distributed CPU is
        given DDP. Its sharding itself works on any device, so the state is told a kind that is
        asked. The device stays the CPU and the backend gloo; `check` looks at what came of it.
        """
        if self.strategy == "fsdp" and self.hardware.kind == "cpu":
            from accelerate.state import PartialState
            from accelerate.utils import DistributedType

            PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    def settle(self, trainer: Any) -> None:
        """To be called between the Trainer and its `train`.

        accelerate would add up the gradients of all processes in bfloat16, and round the loss to
        it; with a thousand processes little would be left. Both stay float32 here.
        """
        if self.strategy == "fsdp" and self.config.precision == "bfloat16" and not self.from_file:
            import torch
            from torch.distributed.fsdp import MixedPrecisionPolicy

            trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=torch.float32
            )

    def check(self, trainer: Any) -> list[str]:
        """What a prepared Trainer really does, in lines for people.

        Raises:
            UserError: it is not what the recipe asked for.
        """
        found = running(trainer)
        wanted = {
            "strategy": self.strategy,
            "processes": self.world,
            "device": self.hardware.kind,
        }
        wrong = [
            f"{what} is {found[what]}, not {value}"
            for what, value in wanted.items()
            if found[what] != value
        ]
        if self.hardware.kind == "cuda" and self.config.precision == "bfloat16":
            mixed = trainer.accelerator.mixed_precision
            if mixed != "bf16" and self.strategy != "single" and not self._in_bfloat16(trainer):
                wrong.append(f"computation is in {mixed} precision, not bfloat16")
        if wrong:
            raise UserError(
                f"The training that was set up is not the one asked for: {'; '.join(wrong)}.",
                "look for ACCELERATE_… variables in the environment and at the file given with "
                "--accelerate-config; nothing was trained",
            )
        return [self.describe()]

    def _in_bfloat16(self, trainer: Any) -> bool:
        import torch

        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        return any(parameter.dtype == torch.bfloat16 for parameter in model.parameters())

    def may_continue(self, mark: str, folder: Path) -> None:
        """Whether a checkpoint with that mark (see `mark`) can be continued from so.

        Raises:
            UserError: its weights and optimizer are kept in another way.
        """
        whole = {"single", "ddp"}
        # Adapters and float32 weights have the same optimizer alone and in copies.
        alike = self.config.method != "full" or self.config.precision == "float32"
        if not mark or mark == self.strategy or (alike and {mark, self.strategy} <= whole):
            return
        raise UserError(
            f"The training in {folder} was begun as {_WORDS.get(mark, mark)}; as "  # type: ignore[call-overload]
            f"{_WORDS[self.strategy]} it can't be continued.",
            "continue it as it was begun (the number of processes may differ), or remove "
            f"{folder / 'train' / 'steps'} to begin again",
        )

    @property
    def mark(self) -> str:
        """What a checkpoint remembers of how its weights and optimizer are kept."""
        return self.strategy

    def describe(self) -> str:
        """Device, processes, strategy, precision and the step's arithmetic, in one line."""
        config = self.config
        device = "processor" if self.hardware.kind == "cpu" else self.hardware.name
        if self.world == 1:
            where = f"one process on the {device}" if device == "processor" else f"one {device}"
        else:
            backend = "gloo" if self.hardware.kind == "cpu" else "NCCL"
            where = f"{self.world} processes, each on a {device} ({backend})"
            where += f", {_WORDS[self.strategy]}"
        counts = f"{config.rows_at_once} at once"
        if self.world > 1:
            counts += f" × {self.world} processes"
        if self.accumulation > 1:
            counts += f" × {self.accumulation} accumulated"
        return (
            f"{where}; {config.precision} computation; {config.rows_per_step} sequences a step "
            f"({counts})"
        )

    def whole_weights(self, trainer: Any) -> dict[str, Any]:
        """All weights on the CPU of the first process, nothing elsewhere. Every process must call
        this, since the shards are sent."""
        state: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        return {k: v.cpu() for k, v in state.items()} if is_first() else {}


def running(trainer: Any) -> dict[str, Any]:
    """What a prepared Trainer is: strategy, processes, device. Looks at the objects themselves."""
    import torch
    from torch.distributed.tensor import DTensor

    model = trainer.model_wrapped
    parameters = [p for p in model.parameters() if p.requires_grad]
    strategy = "single"
    if type(model).__name__ == "DeepSpeedEngine":
        strategy = f"deepspeed-{model.zero_optimization_stage()}"
    elif isinstance(model, torch.nn.parallel.DistributedDataParallel):
        strategy = "ddp"
    elif parameters and all(isinstance(p, DTensor) for p in parameters):
        strategy = "fsdp"
    elif type(model).__name__ == "DataParallel":
        strategy = "dp (one process for several GPUs)"
    return {
        "strategy": strategy,
        "processes": trainer.accelerator.num_processes,
        "device": trainer.accelerator.device.type,
    }


def arrange(
    config: TrainConfig,
    *,
    environment: Mapping[str, str] | None = None,
    hardware: Hardware | None = None,
) -> Arrangement:
    """How this process takes part, from the recipe, the launcher's environment and the hardware.

    Raises:
        UserError: the wish can't be met here; says why and what to change.
    """
    environment = os.environ if environment is None else environment
    hardware = detect() if hardware is None else hardware
    world = int(environment.get("WORLD_SIZE", "1"))
    wish = config.parallel.strategy
    file = _strategy_of_file(environment)
    if file and world == 1:
        raise UserError(
            f"The environment asks for {file}, but this is one process alone.",
            "start it with --launch accelerate --processes N, or unset ACCELERATE_USE_FSDP and "
            "ACCELERATE_USE_DEEPSPEED",
        )
    if file and wish not in ("auto", file):
        raise UserError(
            f"The recipe says parallel.strategy: {wish}, the accelerate configuration says {file}.",
            "make them agree: parallel.strategy: auto lets the file decide",
        )
    strategy: Strategy = file or (_choose(config, world, hardware) if wish == "auto" else wish)
    if world == 1:
        if strategy != "single" and wish not in ("auto", "ddp"):
            raise UserError(
                f"parallel.strategy: {wish} shares one model among several processes, and this "
                "is one process alone.",
                "add --launch accelerate --processes N, or set parallel.strategy: auto",
            )
        strategy = "single"
    _refuse(config, strategy, hardware, world)
    return Arrangement(strategy, world, hardware, config, from_file=file is not None)


def _choose(config: TrainConfig, world: int, hardware: Hardware) -> Strategy:
    """`auto`: all weights on several GPUs are worth sharding; adapters and CPUs are not."""
    if world == 1:
        return "single"
    return "fsdp" if config.method == "full" and hardware.kind == "cuda" else "ddp"


def _strategy_of_file(environment: Mapping[str, str]) -> Strategy | None:
    """What the configuration file given to `accelerate launch` turned on; it tells its processes
    through the environment."""
    if environment.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        if environment.get("FSDP_VERSION", "1") != "2":
            raise UserError(
                "The accelerate configuration asks for FSDP 1, which transformers gives up.",
                "set fsdp_version: 2 in the configuration file",
            )
        return "fsdp"
    if environment.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
        stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        return "deepspeed-3" if stage == "3" else "deepspeed-2"
    return None


def _refuse(config: TrainConfig, strategy: Strategy, hardware: Hardware, world: int) -> None:
    if config.rows_per_step % (config.rows_at_once * world):
        fitting = config.rows_at_once * world
        raise UserError(
            f"train.rows_per_step: {config.rows_per_step} can't be shared by {world} processes "
            f"with train.rows_at_once: {config.rows_at_once}.",
            f"make rows_per_step a multiple of {fitting}, or lower rows_at_once",
        )
    if config.precision == "bfloat16" and not hardware.bfloat16:
        raise UserError(
            f"{hardware.name} does not compute in bfloat16.",
            "set train.precision: float32, or use a GPU of the Ampere generation or later",
        )
    if config.method == "qlora" and hardware.kind == "cpu":
        raise UserError("method: qlora needs a GPU.", "set train.method: lora")
    if config.method == "qlora" and strategy not in ("single", "ddp"):
        raise UserError(
            f"method: qlora can't be sharded by {strategy}: the 4-bit weights are whole.",
            "set train.parallel.strategy: ddp",
        )
    if strategy.startswith("deepspeed"):
        if find_spec("deepspeed") is None:
            raise UserError(
                f"parallel.strategy: {strategy} needs DeepSpeed, which is not installed.",
                "pip install deepspeed, or set parallel.strategy: fsdp, which needs nothing more",
            )
        if hardware.kind == "cpu":
            raise UserError(f"parallel.strategy: {strategy} needs GPUs.", "use fsdp or ddp on CPUs")
    if config.parallel.offload and strategy not in ("fsdp", "deepspeed-2", "deepspeed-3"):
        raise UserError(
            f"parallel.offload does nothing with {strategy}.",
            "it needs several processes and parallel.strategy: fsdp or deepspeed-3",
        )


def deepspeed_json(config: TrainConfig, *, stage: int) -> dict[str, Any]:
    """DeepSpeed's configuration; `auto` values are filled in by transformers from our settings."""
    zero: dict[str, Any] = {
        "stage": stage,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_bucket_size": "auto",
    }
    if stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            # Without it the checkpoint could not be written as safetensors at the end.
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if config.parallel.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
        if stage == 3:
            zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "bf16": {"enabled": config.precision == "bfloat16"},
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def barrier() -> None:
    """Wait until every process is here; nothing in one process."""
    import torch.distributed

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
