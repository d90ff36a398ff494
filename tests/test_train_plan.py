"""`formosa train plan` against published arithmetic, against autograd, and against real runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import formosa
from formosa.errors import ModelError, UserError
from formosa.train.config import TrainConfig
from formosa.train.plan import (
    GIB,
    GPUS,
    OVERHEAD_CPU,
    Setup,
    activation_bytes,
    flops_per_token,
    make_plan,
    memory,
    trained_parameters,
)
from formosa.train.shapes import SHAPES, from_config, from_gguf, shape_of

FULL = TrainConfig(method="full", packing=True, max_tokens=4096, rows_at_once=1, rows_per_step=32)
B3 = SHAPES["llama-3.2-3b"]
H200 = GPUS["h200"]


def changed(config: TrainConfig = FULL, **changes: Any) -> TrainConfig:
    return config.model_copy(update=changes)


# -- shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-3.2-3b", 3_212_749_824),
        ("llama-3.1-8b", 8_030_261_248),
        ("smollm2-135m", 134_515_008),
        ("smollm2-360m", 361_821_120),
        ("smollm2-1.7b", 1_711_376_384),
        ("gemma-3-270m", 268_098_176),
    ],
)
def test_a_known_shape_has_the_published_number_of_parameters(name: str, parameters: int) -> None:
    assert SHAPES[name].parameters == parameters


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("smollm2-135m", "smollm2-135m"),
        ("hf:meta-llama/Llama-3.2-3B@main", "llama-3.2-3b"),
        ("hf:lianghsun/Llama-3.2-3B-F1-Base", "llama-3.2-3b"),
        ("hf:twinkle-ai/Llama-3.2-3B-F1-Instruct@abc", "llama-3.2-3b"),
        ("hf:google/gemma-3-270m-it", "gemma-3-270m"),
    ],
)
def test_the_recipes_bases_are_known_without_the_hub(base: str, name: str) -> None:
    assert shape_of(base).name == name


@pytest.mark.train
def test_a_folder_is_read_from_its_configuration_alone(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=300, hidden_size=48, intermediate_size=80, num_hidden_layers=3,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16)  # fmt: skip
    config.save_pretrained(tmp_path)
    shape = shape_of(str(tmp_path))
    model = LlamaForCausalLM(config)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape.body == sum(p.numel() for p in model.model.parameters()) - shape.head


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "v_proj")])
def test_adapters_are_counted_as_peft_makes_them(targets: Any) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=90, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16)  # fmt: skip
    chosen = targets if isinstance(targets, str) else list(targets)
    adapters = LoraConfig(r=4, target_modules=chosen, task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM(config), adapters)
    made = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert from_config(config.to_dict(), "x").adapters(4, targets) == made


def test_a_gguf_header_is_enough() -> None:
    header = {
        "general.architecture": "llama", "llama.block_count": 30, "llama.embedding_length": 576,
        "llama.feed_forward_length": 1536, "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3, "llama.vocab_size": 49152,
    }  # fmt: skip
    assert from_gguf(header, "x").parameters == SHAPES["smollm2-135m"].parameters
    gemma = {
        "general.architecture": "gemma3", "gemma3.block_count": 18, "gemma3.embedding_length": 640,
        "gemma3.feed_forward_length": 2048, "gemma3.attention.head_count": 4,
        "gemma3.attention.head_count_kv": 1, "gemma3.attention.key_length": 256,
        "tokenizer.ggml.tokens": [""] * 262_144,
    }  # fmt: skip
    assert from_gguf(gemma, "x").parameters == SHAPES["gemma-3-270m"].parameters


@pytest.mark.parametrize(
    ("config", "sentence"),
    [({"model_type": "gpt2"}, "a gpt2 model"), ({"model_type": "llama"}, "is not whole")],
)
def test_another_architecture_is_a_sentence_with_a_way_out(config: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        from_config(config, "x")
    assert "--shape NAME" in caught.value.hint


def test_a_base_that_is_not_here_yet_can_be_planned_by_a_shape(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nbase: runs/none/checkpoint\n", encoding="utf-8")
    done = formosa("train", "plan", recipe, "--cpu")
    assert done.code == 1
    assert "--shape NAME, one of llama-3.2-1b" in done.err
    done = formosa("train", "plan", recipe, "--cpu", "--shape", "llama-3.2-1b", "--json")
    assert done.json["parameters"] == 1_235_814_400


# -- FLOPs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "length", "gigaflops"),
    [
        ("llama-3.2-3b", 2048, 20.3),
        ("llama-3.2-3b", 4096, 21.4),
        ("llama-3.2-3b", 8192, 23.5),
        ("smollm2-135m", 2048, 1.02),
        ("gemma-3-270m", 2048, 1.84),
    ],
)
def test_flops_of_full_training(name: str, length: int, gigaflops: float) -> None:
    """6 · (body + head) + causal attention 6 · layers · heads · head size · T."""
    found = flops_per_token(SHAPES[name], FULL, length=length) / 1e9
    assert found == pytest.approx(gigaflops, rel=5e-3)


def test_scoring_labels_only_saves_what_the_head_costs() -> None:
    """A fifth of the tokens labelled: 9 % of a 3B model, 44 % of one with a large vocabulary."""
    for name, saved in (("llama-3.2-3b", 0.09), ("gemma-3-270m", 0.44)):
        shape = SHAPES[name]
        part = flops_per_token(shape, FULL, scored=0.2, length=2048)
        whole = flops_per_token(shape, FULL, length=2048)
        assert 1 - part / whole == pytest.approx(saved, abs=0.015)


def test_adapters_save_a_third_of_the_matrices() -> None:
    full = flops_per_token(B3, FULL, length=1)
    lora = flops_per_token(B3, changed(method="lora"), length=1)
    assert lora / full == pytest.approx(2 / 3, abs=0.01)


# -- memory --------------------------------------------------------------------------------------


def test_full_training_of_3b_on_one_gpu() -> None:
    """bfloat16 weights 6.4 GB, float32 gradients 12.9, masters and two averages 38.5."""
    need = memory(B3, FULL, Setup(H200), "single")
    assert need.weights == pytest.approx(6.4e9, rel=0.01)
    assert need.gradients == pytest.approx(12.85e9, rel=0.01)
    assert need.optimizer == pytest.approx(38.5e9, rel=0.01)


def test_shards_divide_what_is_kept_and_copies_do_not() -> None:
    one, eight = (memory(B3, FULL, Setup(H200, n), "fsdp") for n in (1, 8))
    assert eight.optimizer == pytest.approx(one.optimizer / 8)
    assert eight.gradients == pytest.approx(one.gradients / 8)
    assert eight.activations == one.activations  # of a device's own rows
    copies = [memory(B3, FULL, Setup(H200, n), "ddp").total for n in (2, 8)]
    assert copies[0] == copies[1] > eight.total


@given(
    rows=st.sampled_from([1, 2, 4]),
    tokens=st.integers(128, 8192),
    method=st.sampled_from(["full", "lora", "qlora"]),
    strategy=st.sampled_from(["single", "ddp", "fsdp", "deepspeed-2", "deepspeed-3"]),
    packing=st.booleans(),
)
def test_more_never_needs_less(
    rows: int, tokens: int, method: str, strategy: Any, packing: bool
) -> None:
    config = changed(rows_at_once=rows, max_tokens=tokens, method=method, packing=packing)
    here = memory(B3, config, Setup(H200, 4), strategy).total
    assert here > 0
    longer = changed(config, max_tokens=2 * tokens)
    assert memory(B3, longer, Setup(H200, 4), strategy).total > here
    fewer = changed(config, activation_checkpointing=True)
    assert memory(B3, fewer, Setup(H200, 4), strategy).total < here
    bigger = memory(SHAPES["llama-3.1-8b"], config, Setup(H200, 4), strategy).total
    assert bigger > here


@pytest.mark.train
@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
@pytest.mark.parametrize(
    ("given", "gemma"),
    [
        ({"method": "lora", "shared": True}, False),
        ({}, False),
        ({"packing": True}, False),
        ({"attention": "eager"}, False),
        ({"precision": "float32"}, False),
        ({"activation_checkpointing": True}, False),
        ({"method": "lora"}, False),
        ({}, True),
        ({"activation_checkpointing": True}, True),
    ],
)
def test_activations_are_what_autograd_saves(given: dict[str, Any], gemma: bool) -> None:
    """Counted: the storages that the forward pass of one block keeps, which are no weights."""
    shared = given.get("shared", False)
    changes = {name: value for name, value in given.items() if name != "shared"}
    config = changed(**{"max_tokens": 256, "packing": False, **changes})
    sizes = {"hidden": 192, "intermediate": 384, "heads": 6, "kv_heads": 2, "head_dim": 32}
    counted = _saved(3, config, sizes, gemma, shared) - _saved(2, config, sizes, gemma, shared)
    kind = "gemma3_text" if gemma else "llama"
    shape = from_config(
        {
            "model_type": kind, "num_hidden_layers": 1, "hidden_size": 192, "vocab_size": 64,
            "intermediate_size": 384, "num_attention_heads": 6, "num_key_value_heads": 2,
            "head_dim": 32,
        },
        "x",
    )  # fmt: skip
    kept, _ = activation_bytes(shape, config, shared=shared)
    assert kept == pytest.approx(counted / config.max_tokens, rel=0.12)


def _saved(
    layers: int, config: TrainConfig, sizes: dict[str, int], gemma: bool, shared: bool
) -> int:
    """Bytes that a forward pass keeps for the backward pass, without weights."""
    import torch
    from transformers import (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        LlamaConfig,
        LlamaForCausalLM,
    )

    kinds = (Gemma3TextConfig, Gemma3ForCausalLM) if gemma else (LlamaConfig, LlamaForCausalLM)
    settings = kinds[0](
        vocab_size=64,
        hidden_size=sizes["hidden"],
        intermediate_size=sizes["intermediate"],
        num_hidden_layers=layers,
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        head_dim=sizes["head_dim"],
        attn_implementation="eager" if config.attention == "eager" else "sdpa",
        pad_token_id=0,
    )
    model: Any = kinds[1](settings).to(getattr(torch, config.precision)).train()
    body = model.model
    if config.activation_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if config.method == "lora":
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
        adapted = get_peft_model(model, adapters, autocast_adapter_dtype=shared)
        adapted.enable_input_require_grads()
        body = adapted.get_base_model().model
    weights = {p.untyped_storage().data_ptr() for p in body.parameters()}
    seen: dict[int, int] = {}
    alive = []

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(value)
        return value

    length = config.max_tokens
    ids = torch.zeros((1, length), dtype=torch.long)
    positions = torch.arange(length)[None]
    if config.packing:
        positions = positions % (length // 2)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        body(input_ids=ids, position_ids=positions, use_cache=False)
    return sum(seen.values())


MEASURED = r"""
import json, re, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from formosa.train.config import TrainConfig
from formosa.train.run import train
here = Path(sys.argv[1])
config = TrainConfig.model_validate(json.loads(sys.argv[2]))
train(config, base=here / "base", rows=here / "rows.jsonl", heldout=here / "none.jsonl",
      folder=here / "run")
# Not getrusage: a process begins with the peak of the one that started it.
print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.train
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_memory_of_a_real_run_is_near_the_plan(tmp_path: Path) -> None:
    """A model of 24 M weights, trained in full on rows of 512 tokens, in a process of its own. The
    overhead is assumed, so the whole is compared, and within a quarter."""
    from tiny import write_tiny_checkpoint

    sizes = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8,
             "num_attention_heads": 8, "num_key_value_heads": 2}  # fmt: skip
    write_tiny_checkpoint(tmp_path / "base", **sizes)
    reply = " ".join(str(i) for i in range(140))
    row = {"messages": [{"role": "user", "content": "count"},
                        {"role": "assistant", "content": reply}]}  # fmt: skip
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 8, encoding="utf-8")
    (tmp_path / "none.jsonl").write_text("", encoding="utf-8")
    config = TrainConfig(
        method="full", max_steps=2, warmup_steps=0, rows_per_step=4, rows_at_once=4,
        max_tokens=512, save_every=100, measure_rows=0,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), config.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout.splitlines()[-1])
    shape = shape_of(str(tmp_path / "base"))
    from formosa.train.plan import CPU_CORE

    planned = memory(shape, config, Setup(CPU_CORE), "single").total
    assert planned == pytest.approx(measured, rel=0.25), (planned / GIB, measured / GIB)
    assert planned > OVERHEAD_CPU * GIB


# -- the plan as a whole -------------------------------------------------------------------------


def test_what_does_not_fit_gets_advice_that_fits() -> None:
    plan = make_plan(B3, FULL, Setup(GPUS["4090"]))
    assert plan["memory"][0]["fits"] is False
    assert plan["advice"][0].startswith("train.activation_checkpointing: true: ")
    assert plan["advice"][-1].startswith("4 devices with parallel.strategy: fsdp")
    assert plan["advice"][-1].endswith(", fits")


def test_time_and_cost_follow_from_tokens(tmp_path: Path) -> None:
    one = make_plan(B3, FULL, Setup(H200, 1, 3.0), tokens=10**9)["run"]
    eight = make_plan(B3, FULL, Setup(H200, 8, 3.0), tokens=10**9)["run"]
    assert one["steps"] == eight["steps"] == math.ceil(math.ceil(10**9 / 4096) / 32)
    assert eight["seconds"][0] == pytest.approx(one["seconds"][0] / 8)
    assert eight["cost"] == pytest.approx(one["cost"])  # the same work at the same share
    # 40 to 50 % of what a chip really gives is 15 to 19 thousand tokens a second
    low, high = one["tokens_per_second"]
    assert low < 15_000 < 19_000 < high


def test_a_limit_of_steps_limits_tokens() -> None:
    run = make_plan(B3, changed(max_steps=10), Setup(H200), tokens=10**9)["run"]
    assert run["steps"] == 10
    assert run["tokens"] == pytest.approx(10 * 32 * 4096, rel=1e-3)


def test_computing_activations_twice_costs_a_third() -> None:
    plain = make_plan(B3, FULL, Setup(H200), tokens=10**8)["run"]
    twice = make_plan(B3, changed(activation_checkpointing=True), Setup(H200), tokens=10**8)["run"]
    assert twice["seconds"][0] / plain["seconds"][0] == pytest.approx(4 / 3)


def test_a_step_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UserError, match="can't be shared by 3 devices") as caught:
        make_plan(B3, FULL, Setup(H200, 3))
    assert "multiple of 3" in caught.value.hint


def test_parameters_that_are_trained() -> None:
    assert trained_parameters(B3, FULL) == B3.parameters
    assert trained_parameters(B3, changed(embeddings="freeze")) == B3.body
    assert trained_parameters(B3, changed(method="lora")) == B3.adapters(16)


def test_the_command_counts_prepared_rows_and_encoded_ones(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nbase: smollm2-135m\n", encoding="utf-8")
    options = ("train", "plan", recipe, "--cpu", "--json", "--runs", tmp_path)
    assert formosa(*options).json["run"] is None
    rows = tmp_path / "x" / "data" / "train.jsonl"
    rows.parent.mkdir(parents=True)
    rows.write_text(("x" * 319 + "\n") * 80, encoding="utf-8")
    found = formosa(*options).json
    assert (found["run"]["sequences"], found["run"]["steps"]) == (80, 10)
    assert found["run"]["tokens_a_pass"] == 8000
    assert found["data"].endswith("train.jsonl, estimated")
    meta = tmp_path / "x" / "train" / "tokens" / "meta.json"
    meta.parent.mkdir(parents=True)
    report = {"tokens": 9000, "trained": 1800, "samples": 80}
    meta.write_text(json.dumps({"report": report}), encoding="utf-8")
    assert formosa(*options).json["run"]["tokens_a_pass"] == 9000
    assert formosa(*options, "--tokens", 5000).json["run"]["tokens_a_pass"] == 5000


def test_what_rows_share_is_planned_once(tmp_path: Path) -> None:
    from formosa.chat.template import ChatTemplate
    from formosa.train.batches import Groups
    from formosa.train.tokens import encode_file
    from tiny import tiny_tokenizer

    config = TrainConfig(share_prefix=True)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nbase: smollm2-135m\ntrain: {share_prefix: true}\n", "utf-8")
    rows = tmp_path / "x" / "data" / "train.jsonl"
    rows.parent.mkdir(parents=True)
    turns = [[{"role": "system", "content": "Be brief, and say what you know. " * 8},
              {"role": "user", "content": f"what is {n}?"},
              {"role": "assistant", "content": f"a {n}"}] for n in range(12)]  # fmt: skip
    rows.write_text("".join(json.dumps({"messages": row}) + "\n" for row in turns), "utf-8")
    options = ("train", "plan", recipe, "--cpu", "--json", "--runs", tmp_path)
    guess = formosa(*options).json
    assert guess["data"].endswith("estimated, as if no beginning were shared")

    folder = tmp_path / "x" / "train" / "tokens"
    store = encode_file(rows, tiny_tokenizer(), ChatTemplate.formosa(), config, folder)
    found, computed = formosa(*options).json, Groups(store, config)
    assert found["data"].endswith("meta.json, beginnings shared")
    assert found["run"]["tokens_a_pass"] == computed.tokens < store.tokens / 2
    assert found["run"]["sequences"] == computed.sequences < 12


def test_the_command_shows_parts_verdict_time_and_advice(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "name: x\nbase: hf:meta-llama/Llama-3.2-3B\n"
        "train: {method: full, max_tokens: 4096, rows_at_once: 1}\n",
        encoding="utf-8",
    )
    done = formosa("train", "plan", recipe, "--gpu", "4090", "--tokens", 10**8,
                   "--price-per-hour", "0.5")  # fmt: skip
    assert done.code == 0
    for word in ("weights", "optimizer", "activations", "fits", "cost", "hours"):
        assert word in done.out, word
    assert "3,212.7 M parameters" in done.err
    assert "to make it fit: " in done.err
    assert "assumed" in done.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--gpu", "h2000"), "The GPU h2000 is not known here."),
        (("--gpu", "h200", "--cpu"), "contradict"),
        (("--gpu", "h200", "--gpus", 3), "can't be shared by 3"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(
    tmp_path: Path, options: tuple[Any, ...], sentence: str
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\nbase: smollm2-135m\n", encoding="utf-8")
    done = formosa("train", "plan", recipe, *options)
    assert done.code == 1
    assert sentence in done.err


def test_the_gpu_that_is_here_is_found_by_the_drivers_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from formosa.train.plan import gpu_here

    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name, key in (
        ("NVIDIA H200", "h200"), ("NVIDIA A100-SXM4-80GB", "a100-80"), ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "4090"), ("NVIDIA H100 80GB HBM3", "h100"),
    ):  # fmt: skip
        smi.write_text(f"#!/bin/sh\necho 'GPU 0: {name} (UUID: GPU-1)'\n", encoding="utf-8")
        smi.chmod(0o755)
        found = gpu_here()
        assert found is not None
        assert found.name == key
