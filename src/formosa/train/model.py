"""The model as it is trained: precision, attention, adapters, what is frozen.

    full, one process       bfloat16 weights; float32 masters in the optimizer (optimizer.py)
    full, several           float32 weights, computed in bfloat16 (autocast, FSDP2, DeepSpeed)
    lora, one process       bfloat16 base and adapters; float32 masters of the adapters
    lora, several           bfloat16 base, float32 adapters, autocast
    qlora                   a base of 4 bits (bitsandbytes, a GPU), adapters as with lora

With `precision: float32` everything is float32.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from formosa.checkpoints import load_weights, quiet_transformers
from formosa.errors import UserError
from formosa.train.config import TrainConfig
from formosa.train.packing import check_apart
from formosa.train.prefixes import check_branches
from formosa.train.special_tokens import PreparedTokenizer, adapter_rows, prepare_model
from formosa.train.start import begin_with
from formosa.wheels import Say

COMPILERS = ("g++", "clang++")


def trained_model(
    config: TrainConfig,
    base: Path,
    tokenizer: Any,
    prepared: PreparedTokenizer,
    *,
    processes: int = 1,
    say: Say = lambda line: None,
) -> Any:
    """The base, loaded and dressed for training.

    Args:
        config: the recipe's `train:` part.
        base: a checkpoint folder.
        tokenizer: after `prepare_tokenizer`.
        prepared: what that said.
        processes: that train together.
        say: told what was done to the vocabulary.

    Raises:
        UserError: the machine lacks what the recipe asks for.
        ModelError: the model's scores can't be computed here.
    """
    from formosa.train.loss import score_labels

    attention = attention_of(config)
    quantised = _four_bits() if config.method == "qlora" else None
    # Shared by several processes, weights that are trained are float32 themselves: gradients are
    # averaged before an optimizer could put masters beside them.
    rounded = config.precision == "bfloat16" and (config.method != "full" or processes == 1)
    model = load_weights(
        base,
        dtype="bfloat16" if rounded else "float32",
        attention=attention,
        quantisation=quantised,
    )
    done = prepare_model(model, tokenizer, prepared)
    for line in done.lines():
        say(line)
    score_labels(model, config.head_tokens)
    if config.packing and not attention.startswith("flash"):  # which computes on a GPU only
        check_apart(model)
    if config.share_prefix:
        check_branches(model)
    if config.method == "full":
        if config.embeddings == "freeze":
            if done.tokens:
                raise UserError(
                    f"embeddings: freeze would leave {', '.join(done.tokens)} as they are, which "
                    "the base never learnt.",
                    "set train.embeddings: auto",
                )
            model.get_input_embeddings().weight.requires_grad_(False)
            model.get_output_embeddings().weight.requires_grad_(False)
    else:
        model = _with_adapters(config, model, adapter_rows(model, done), processes)
    if config.compile:
        # Packs have one width; rows have as many as there are lengths, and share one program.
        _compile(model, dynamic=None if config.packing else True)
    return model


def _with_adapters(config: TrainConfig, model: Any, rows: dict[str, Any], processes: int) -> Any:
    from peft import LoraConfig, get_peft_model

    settings = config.lora
    _check_targets(model, settings.targets)
    with quiet_transformers():
        adapters = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            lora_dropout=settings.dropout,
            target_modules=settings.targets
            if isinstance(settings.targets, str)
            else list(settings.targets),
            task_type="CAUSAL_LM",
            **rows,
        )
        # In one process the optimizer keeps float32 masters of bfloat16 adapters: no autocast, and
        # no activations that go to float32 and back in every layer.
        adapted = get_peft_model(model, adapters, autocast_adapter_dtype=processes > 1)
    if settings.start is not None:
        begin_with(adapted, settings.start)
    return adapted


def _check_targets(model: Any, targets: str | Sequence[str]) -> None:
    """Names of layers, as the recipe gives them, must be those of this model."""
    if isinstance(targets, str):
        return
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if _linear(module)}
    if unknown := sorted(set(targets) - names):
        raise UserError(
            f"lora.targets names {', '.join(unknown)}, which this model doesn't have.",
            f"its linear layers: {', '.join(sorted(names))}",
        )


def _linear(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear)


def attention_of(config: TrainConfig) -> str:
    """The attention that is used, in transformers' words.

    Raises:
        UserError: flash attention was asked for and isn't there.
    """
    import torch

    on_gpu = torch.cuda.is_available()
    packages = {"flash_attention_3": "flash_attn_interface", "flash_attention_2": "flash_attn"}
    if config.attention in packages:
        package = packages[config.attention]
        if not on_gpu or find_spec(package) is None:
            why = f"the package {package}, which is not installed" if on_gpu else "a GPU"
            raise UserError(
                f"attention: {config.attention} needs {why}.", "set train.attention: auto"
            )
        return config.attention
    if config.attention == "auto":
        if on_gpu and config.precision == "bfloat16" and not config.share_prefix:
            for name, package in packages.items():
                if find_spec(package) is not None:
                    return name
        return "sdpa"
    return config.attention


def _four_bits() -> Any:
    """bitsandbytes' settings for a base in 4 bits.

    Raises:
        UserError: there is no GPU, or the package is missing.
    """
    import torch

    if not torch.cuda.is_available():
        raise UserError(
            "method: qlora needs an NVIDIA GPU: the 4-bit arithmetic exists only there.",
            "set train.method: lora",
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "method: qlora needs bitsandbytes, which is not installed.", "pip install bitsandbytes"
        )
    from transformers import BitsAndBytesConfig

    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # the weights are loaded there
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _compile(model: Any, *, dynamic: bool | None) -> None:
    """Compile block by block: all blocks share one program, and nothing outside them (labels,
    chunks of the head) breaks it.

    Raises:
        UserError: there is no compiler. A GPU's program needs one for C, a processor's for C++.
    """
    named = os.environ.get("CXX")
    if not any(map(shutil.which, (named,) if named else COMPILERS)):
        raise UserError(
            f"compile: true needs a C++ compiler ({named or ', '.join(COMPILERS)}); none is here.",
            "install one (apt install g++), or set train.compile: false",
        )
    blocks = set(getattr(model, "_no_split_modules", None) or ())
    for module in model.modules():
        if type(module).__name__ in blocks:
            module.compile(dynamic=dynamic)
