"""What llama.cpp must be told of an architecture, and how it keeps the numbers.

Two families: Llama (also SmolLM and others of `model_type: llama`) and the text model of Gemma 3.
Names of tensors come from gguf's own map.

    llama   rows of q and k of each head interleaved by halves; long-context factors as a tensor
    gemma3  norms hold weight + 1; a sliding window with rotary settings of its own

Source: llama.cpp's convert_hf_to_gguf.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from formosa.errors import UserError

Config = Mapping[str, Any]
ARCHITECTURES = {"llama": "llama", "gemma3_text": "gemma3"}  # by transformers' model_type


class Tensor(NamedTuple):
    """One that the file will hold."""

    name: str  # llama.cpp's name
    source: str  # the checkpoint's name
    shape: tuple[int, ...]


def architecture_of(config: Config, checkpoint: Path) -> str:
    """llama.cpp's name of a checkpoint's architecture.

    Raises:
        UserError: one that can't be written here.
    """
    model_type = config.get("model_type")
    found = ARCHITECTURES.get(str(model_type))
    if found is None:
        raise UserError(
            f"{checkpoint} is a {model_type} model; only the Llama architecture and the text model "
            "of Gemma 3 can be written as GGUF.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    if found == "gemma3":
        scale = config.get("query_pre_attn_scalar", 256)
        unlike = scale != heads_of(config)[2] or config.get("use_bidirectional_attention")
        if unlike or config.get("final_logit_softcapping"):
            raise UserError(
                f"{checkpoint} scales, caps or looks at things as llama.cpp's Gemma 3 does not.",
                "convert it with llama.cpp's convert_hf_to_gguf.py",
            )
    return found


def heads_of(config: Config) -> tuple[int, int, int]:
    """How many heads ask, how many keys there are, and the width of each."""
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    return heads, config.get("num_key_value_heads") or heads, width


def add_architecture(writer: Any, config: Config) -> None:
    """Everything that llama.cpp reads before it can build the model."""
    heads, keys, width = heads_of(config)
    gemma = config.get("model_type") == "gemma3_text"
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    if gemma:
        _add_sliding_window(writer, config)
    else:
        writer.add_rope_dimension_count(width)
        writer.add_vocab_size(config["vocab_size"])


def _add_sliding_window(writer: Any, config: Config) -> None:
    import gguf

    writer.add_sliding_window(config["sliding_window"])
    period = _period(config)
    if period != 6:  # which llama.cpp takes for granted
        writer.add_sliding_window_pattern(period)
    local = _rope(config, "sliding_attention", "rope_local_base_freq")["rope_theta"]
    if local != 10_000.0:  # which llama.cpp takes for granted
        writer.add_rope_freq_base_swa(local)
    rope = _rope(config)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def _period(config: Config) -> int:
    """Every how manieth layer looks at everything, and not only at the window."""
    layers = list(config.get("layer_types") or ())
    if not layers:
        return int(config.get("sliding_window_pattern", 6))
    whole = "full_attention"
    period = layers.index(whole) + 1 if whole in layers else 6
    if layers != [
        whole if (i + 1) % period == 0 else "sliding_attention" for i in range(len(layers))
    ]:
        raise UserError("Layers that look at everything must come at equal distances for GGUF.")
    return period


def _rope(
    config: Config, layers: str = "full_attention", older: str = "rope_theta"
) -> dict[str, Any]:
    """The rotary settings of a kind of layer, wherever the version of transformers that wrote them
    put them."""
    values = config.get("rope_parameters") or {}
    if layers in values:
        values = values[layers]
    elif older == "rope_theta":
        values = values or config.get("rope_scaling") or {}
    usual = 1_000_000.0 if config.get("model_type") == "gemma3_text" else 10_000.0
    theta = config.get(older, usual if older == "rope_theta" else 10_000.0)
    return {"rope_theta": theta, "rope_type": "default", **values}


def is_tied(config: Config) -> bool:
    """Whether the embedding is the output, too. Gemma's always is unless it says otherwise."""
    return bool(config.get("tie_word_embeddings", config.get("model_type") == "gemma3_text"))


def tensors_of(
    shapes: Mapping[str, tuple[int, ...]], config: Config, checkpoint: Path
) -> Iterator[Tensor]:
    """What the file will hold, in the checkpoint's order.

    Raises:
        UserError: a tensor that llama.cpp does not know.
    """
    import gguf

    kind = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[
        ARCHITECTURES[config["model_type"]]
    ]
    names = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    for source, shape in shapes.items():
        if source == "lm_head.weight" and is_tied(config):
            continue  # llama.cpp uses the embedding
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UserError(f"{checkpoint} holds a tensor unknown to llama.cpp: {source}.")
        yield Tensor(name, source, shape)


def as_stored(values: Any, name: str, config: Config) -> Any:
    """A tensor's numbers (float32) as llama.cpp keeps them."""
    if config.get("model_type") == "gemma3_text":
        return values + 1 if name.endswith("_norm.weight") else values
    return permuted(values, name, config)


def permuted(values: Any, name: str, config: Config) -> Any:
    """llama.cpp's Llama keeps the two halves of each rotary head interleaved; transformers does
    not. Other tensors stay as they are."""
    heads, keys, _ = heads_of(config)
    if name.endswith(("attn_k.weight", "attn_k.bias")):
        heads = keys
    elif not name.endswith(("attn_q.weight", "attn_q.bias")):
        return values
    rows = values.shape[0]
    halves = values.reshape(heads, 2, rows // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def long_context_factors(config: Config) -> list[float] | None:
    """Llama 3.1's slowed-down frequencies, as a factor for each (arXiv 2407.21783, section 3.4)."""
    rope = _rope(config)
    if rope["rope_type"] in ("default", "linear"):
        return None
    if rope["rope_type"] != "llama3":
        raise UserError(
            f"Rotary settings of type {rope['rope_type']} can't be written as GGUF here.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    _, _, width = heads_of(config)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    trained = rope["original_max_position_embeddings"]
    factors = []
    for i in range(0, width, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / width)
        if wavelength < trained / high:
            factors.append(1.0)
        elif wavelength > trained / low:
            factors.append(float(rope["factor"]))
        else:
            smooth = (trained / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return factors
