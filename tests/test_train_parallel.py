"""Which training several processes make, what is refused, and that a different one is noticed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import formosa
from formosa.errors import UserError
from formosa.train.config import TrainConfig
from formosa.train.hardware import Hardware, detect, gpus_of_driver
from formosa.train.parallel import Arrangement, arrange, deepspeed_json, running

CPU = Hardware("cpu", 1, "cpu", True)
GPU = Hardware("cuda", 8, "NVIDIA H200", True)
OLD = Hardware("cuda", 8, "Tesla T4", False)
FULL = {"method": "full", "rows_per_step": 32, "rows_at_once": 1}


def config(strategy: str = "auto", **changes: Any) -> TrainConfig:
    parallel = {"strategy": strategy, **changes.pop("parallel", {})}
    return TrainConfig.model_validate({**FULL, **changes, "parallel": parallel})


def arranged(
    given: TrainConfig, world: int = 8, hardware: Hardware = GPU, **environment: str
) -> Arrangement:
    return arrange(given, environment={"WORLD_SIZE": str(world), **environment}, hardware=hardware)


# -- what is chosen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "world", "hardware", "strategy"),
    [
        (config(), 1, GPU, "single"),
        (config(), 8, GPU, "fsdp"),
        (config(method="lora"), 8, GPU, "ddp"),
        (config(), 2, CPU, "ddp"),
        (config("ddp"), 1, CPU, "single"),
        (config("ddp"), 8, GPU, "ddp"),
        (config("fsdp"), 2, CPU, "fsdp"),
        (config(method="qlora"), 8, GPU, "ddp"),
    ],
)
def test_auto_and_named_strategies(
    given: TrainConfig, world: int, hardware: Hardware, strategy: str
) -> None:
    assert arranged(given, world, hardware).strategy == strategy


def test_a_step_is_the_same_whatever_the_number_of_processes() -> None:
    for world, accumulated in ((1, 32), (2, 16), (8, 4), (32, 1)):
        assert arranged(config(), world).accumulation == accumulated


def test_the_settings_of_sharding_are_said_in_full() -> None:
    """Nothing is left to a default of accelerate that another version may change."""
    values = arranged(config(activation_checkpointing=True)).arguments(["LlamaDecoderLayer"])
    assert values["fsdp"] is True
    assert values["fsdp_config"] == {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"],
        "reshard_after_forward": True,
        "state_dict_type": "SHARDED_STATE_DICT",
        "activation_checkpointing": True,
        "cpu_offload": False,
        "cpu_ram_efficient_loading": False,
    }
    assert values["activation_checkpointing"] is False  # not twice
    assert values["ddp_backend"] == "nccl"
    assert values["ddp_timeout"] == 1800


def test_one_process_and_copies_have_no_sharding() -> None:
    for given, world in ((config(), 1), (config("ddp"), 8)):
        values = arranged(given, world).arguments(["X"])
        assert not {"fsdp", "deepspeed"} & values.keys()
    assert arranged(config(), 2, CPU).arguments(["X"])["ddp_backend"] == "gloo"


@pytest.mark.train
def test_the_settings_are_ones_that_transformers_takes(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    values = arranged(config(activation_checkpointing=True), 1, CPU).arguments(["X"])
    assert TrainingArguments(output_dir=str(tmp_path), **values).activation_checkpointing
    from accelerate.utils import FullyShardedDataParallelPlugin

    shards = arranged(config("fsdp"), 2, CPU).arguments(["X"])
    made = TrainingArguments(output_dir=str(tmp_path), **{**shards, "ddp_backend": None})
    assert made.fsdp_plugin_args is not None
    plugin = FullyShardedDataParallelPlugin(**made.fsdp_plugin_args)
    assert plugin.fsdp_version == 2
    assert "SHARDED_STATE_DICT" in str(plugin.state_dict_type)


def test_deepspeed_is_told_stage_precision_and_that_weights_are_gathered_at_the_end() -> None:
    three = deepspeed_json(config(parallel={"offload": True}), stage=3)
    assert three["zero_optimization"]["stage"] == 3
    assert three["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True
    assert three["zero_optimization"]["offload_param"]["device"] == "cpu"
    assert three["bf16"] == {"enabled": True}
    two = deepspeed_json(config(precision="float32"), stage=2)
    assert "offload_optimizer" not in two["zero_optimization"]
    assert two["bf16"] == {"enabled": False}


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "world", "hardware", "sentence"),
    [
        (config("fsdp"), 1, GPU, "one process alone"),
        (config("deepspeed-3"), 8, GPU, "needs DeepSpeed, which is not installed"),
        (config(), 3, GPU, "rows_per_step: 32 can't be shared by 3 processes"),
        (config(), 8, OLD, "Tesla T4 does not compute in bfloat16"),
        (config(method="qlora"), 1, CPU, "qlora needs a GPU"),
        (config("fsdp", method="qlora"), 8, GPU, "the 4-bit weights are whole"),
        (config("ddp", parallel={"offload": True}), 8, GPU, "offload does nothing with ddp"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_change(
    given: TrainConfig, world: int, hardware: Hardware, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        arranged(given, world, hardware)
    assert caught.value.hint


def test_float32_is_the_way_out_of_an_old_gpu() -> None:
    assert arranged(config(precision="float32"), 8, OLD).strategy == "fsdp"


def test_a_file_of_accelerate_decides_unless_the_recipe_says_otherwise() -> None:
    on = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    found = arranged(config(), 2, GPU, **on)
    assert (found.strategy, found.from_file) == ("fsdp", True)
    assert "fsdp_config" not in found.arguments(["X"])
    with pytest.raises(UserError, match="recipe says parallel.strategy: ddp, .* says fsdp"):
        arranged(config("ddp"), 2, GPU, **on)
    with pytest.raises(UserError, match="FSDP 1"):
        arranged(config(), 2, GPU, ACCELERATE_USE_FSDP="true")
    zero = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}
    with pytest.raises(UserError, match="deepspeed-3 needs DeepSpeed"):
        arranged(config(), 2, GPU, **zero)


def test_a_variable_left_over_from_another_run_is_not_obeyed_by_one_process() -> None:
    with pytest.raises(UserError, match="asks for fsdp, but this is one process alone"):
        arranged(config(), 1, GPU, ACCELERATE_USE_FSDP="true", FSDP_VERSION="2")


# -- what really runs ----------------------------------------------------------------------------


def trainer_of(model: Any, processes: int, device: str, mixed: str = "bf16") -> Any:
    accelerator = SimpleNamespace(
        num_processes=processes,
        device=SimpleNamespace(type=device),
        mixed_precision=mixed,
        unwrap_model=lambda found: found,
    )
    return SimpleNamespace(model_wrapped=model, accelerator=accelerator)


@pytest.mark.train
def test_another_training_than_the_one_asked_for_is_refused_before_step_1() -> None:
    """accelerate 1.15 runs a configuration of FSDP on CPUs as DDP, and says nothing."""
    import torch

    plain = torch.nn.Linear(2, 2)
    assert running(trainer_of(plain, 1, "cpu"))["strategy"] == "single"
    with pytest.raises(UserError) as caught:
        arranged(config("fsdp"), 2, CPU).check(trainer_of(plain, 2, "cpu"))
    assert "strategy is single, not fsdp" in caught.value.message
    assert "nothing was trained" in caught.value.hint
    with pytest.raises(UserError, match="processes is 1, not 2; device is cpu, not cuda"):
        arranged(config("ddp"), 2, GPU).check(trainer_of(_pretending_to_be_ddp(plain), 1, "cpu"))


def _pretending_to_be_ddp(module: Any) -> Any:
    import torch

    copy = torch.nn.parallel.DistributedDataParallel.__new__(
        torch.nn.parallel.DistributedDataParallel
    )
    torch.nn.Module.__init__(copy)
    copy.module = module
    return copy


@pytest.mark.train
def test_a_computation_in_another_precision_is_refused() -> None:
    import torch

    model = _pretending_to_be_ddp(torch.nn.Linear(2, 2))
    with pytest.raises(UserError, match="computation is in no precision, not bfloat16"):
        arranged(config("ddp"), 8, GPU).check(trainer_of(model, 8, "cuda", mixed="no"))
    (line,) = arranged(config("ddp"), 8, GPU).check(trainer_of(model, 8, "cuda"))
    assert line == (
        "8 processes, each on a NVIDIA H200 (NCCL), whole copies (DDP); bfloat16 computation; "
        "32 sequences a step (1 at once × 8 processes × 4 accumulated)"
    )


def test_one_process_is_described_in_a_line() -> None:
    words = arranged(config(rows_per_step=4, rows_at_once=4), 1, CPU).describe()
    assert words == (
        "one process on the processor; bfloat16 computation; 4 sequences a step (4 at once)"
    )


@pytest.mark.parametrize(
    ("begun", "world", "changes", "fine"),
    [
        ("fsdp", 8, {}, True),
        ("fsdp", 1, {}, False),
        ("single", 8, {}, False),
        ("single", 2, {"method": "lora"}, True),
        ("ddp", 1, {"method": "lora"}, True),
        ("ddp", 1, {"precision": "float32"}, True),
        ("ddp", 1, {}, False),  # float32 weights there, masters here
        ("", 1, {}, True),  # of a version that did not note it
    ],
)
def test_a_checkpoint_is_continued_only_by_who_can_read_it(
    begun: str, world: int, changes: dict[str, Any], fine: bool
) -> None:
    shared = arranged(config(**changes), world)
    if fine:
        shared.may_continue(begun, Path("runs/x"))
        return
    with pytest.raises(UserError, match="it can't be continued") as caught:
        shared.may_continue(begun, Path("runs/x"))
    assert "runs/x/train/steps" in caught.value.hint


# -- hardware ------------------------------------------------------------------------------------


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose driver lists a GPU."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n", encoding="utf-8")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return smi


@pytest.mark.train
def test_a_gpu_that_torch_cannot_see_is_refused(driver: Path) -> None:
    """Otherwise a training takes a hundred times as long, and nobody is told."""
    with pytest.raises(UserError, match="has NVIDIA H200, but torch .* can't see it") as caught:
        detect()
    assert "CUDA_VISIBLE_DEVICES=-1" in caught.value.hint


@pytest.mark.train
@pytest.mark.parametrize("hidden", ["", "-1", " none "])
def test_who_hides_the_gpu_trains_on_the_processor(
    driver: Path, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert detect() == CPU


@pytest.mark.parametrize("script", ["exit 9\n", "echo 'No devices were found'\n", ""])
def test_a_driver_without_gpus_is_no_gpu(driver: Path, script: str) -> None:
    driver.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    assert gpus_of_driver() == []


def test_a_machine_without_a_driver_has_no_gpu(tmp_path: Path) -> None:
    assert gpus_of_driver({"PATH": str(tmp_path)}) == []


# -- the commands --------------------------------------------------------------------------------


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nbase: smollm2-135m\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("command", [("run",), ("train", "sft"), ("train", "cpt")])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--processes", 2), "need --launch accelerate"),
        (("--launch", "accelerate", "--processes", 1), "shares nothing"),
        (("--launch", "accelerate", "--processes", 4, "--machines", 2), "need the address"),
    ],
)
def test_options_that_contradict_each_other_are_one_sentence(
    recipe: Path, tmp_path: Path, command: tuple[str, ...], options: tuple[Any, ...], sentence: str
) -> None:
    done = formosa(*command, recipe, "--runs", tmp_path / "runs", *options)
    assert done.code == 1
    assert sentence in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("command", "other"), [("sft", "cpt"), ("cpt", "sft")])
def test_a_recipe_of_the_other_objective_is_refused_with_the_right_command(
    recipe: Path, tmp_path: Path, command: str, other: str
) -> None:
    with recipe.open("a") as file:
        file.write(f"train: {{objective: {other}}}\n")
    done = formosa("train", command, recipe, "--runs", tmp_path / "runs")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: {recipe} says train.objective: {other}.\n\nhint: formosa train {other} {recipe}\n"
    )
