"""Sizes of a network from what its files say, and the memory that it needs to run.

Weights are the bytes of the file where there is one. Else they are what a file would have whose
tensors get the types that llama.cpp gives them at that level (engines/gguf_levels.py, which is
compared with real files); for a network that is not laid out as Llama's, the number of its
parameters times the bits that Llama 3.2 3B gets so. The cache is keys and values of every layer in
F16, llama.cpp's default, for one conversation. Gemma's layers that look back a window only keep
that much. Buffers for computing (some hundred megabytes, by batch size) are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from formosa.card.sheet.values import Architecture, File, Memory
from formosa.engines.gguf import FILE_TYPES, GgufFile
from formosa.engines.gguf_levels import Quantisation, file_bytes
from formosa.errors import UserError

TOKENS = "tokenizer.ggml.tokens"
CONTEXTS = (4096, 8192)
F16_BYTES = 2

USUAL: tuple[Quantisation, ...] = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
LLAMA_3B = Architecture(
    name="llama", parameters=3_212_749_888, layers=28, hidden=3072, heads=24, kv_heads=(8,),
    head_dim=128, vocabulary=128_256, intermediate=8192, tied=True,
)  # fmt: skip
NEAR = 0.01  # share of the parameters that norms and biases of other families may be
_LARGEST = 1 << 48  # nothing real is larger, and figures stay printable


def of_gguf(file: GgufFile) -> Architecture:
    """From a GGUF file's header. Values of a wrong type count as missing."""
    values = file.metadata
    name = _text(values.get("general.architecture"))

    def number(key: str) -> int | None:
        return _number(values.get(f"{name}.{key}"))

    heads, hidden = number("attention.head_count"), number("embedding_length")
    layers = number("block_count")
    of_layers = values.get(f"{name}.attention.head_count_kv")
    kv = _numbers(of_layers) if isinstance(of_layers, list) else _numbers([of_layers])
    window = number("attention.sliding_window") or 0
    return Architecture(
        name=name,
        parameters=file.parameters or None,
        context=number("context_length"),
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv or ((heads,) if heads else ()),
        head_dim=number("attention.key_length") or _divided(hidden, heads),
        vocabulary=number("vocab_size") or file.lengths.get(TOKENS),
        window=window,
        window_every=6 if name.startswith("gemma3") and window else 1,
        quantisation=quantisation_of(file),
        intermediate=number("feed_forward_length"),
        tied=all(tensor.name != "output.weight" for tensor in file.tensors),
    )


def quantisation_of(file: GgufFile) -> str:
    """What the file says of itself, or the type of most of its numbers."""
    return FILE_TYPES.get(file.metadata.get("general.file_type"), "") or _main_type(file)


def _main_type(file: GgufFile) -> str:
    """The type that most of the numbers have."""
    counts: dict[str, int] = {}
    for tensor in file.tensors:
        counts[tensor.kind] = counts.get(tensor.kind, 0) + tensor.numbers
    return max(counts, key=lambda kind: counts[kind], default="")


def of_config(config: Mapping[str, Any], parameters: int | None = None) -> Architecture:
    """From a checkpoint's `config.json`; Gemma 3 with pictures has its text model's inside."""
    inner = config.get("text_config")
    text = {**config, **inner} if isinstance(inner, Mapping) else config
    names = config.get("architectures")
    heads, hidden = _number(text.get("num_attention_heads")), _number(text.get("hidden_size"))
    window = _number(text.get("sliding_window")) or 0
    gemma = _text(text.get("model_type")).startswith("gemma3")
    every = _number(text.get("sliding_window_pattern")) or 6
    kv = _number(text.get("num_key_value_heads")) or heads
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", gemma))
    kind = _text(text.get("torch_dtype") or text.get("dtype")).removeprefix("torch.")
    return Architecture(
        name=_text(names[0])
        if isinstance(names, list) and names
        else _text(text["model_type"])
        if "model_type" in text
        else "",
        parameters=parameters,
        context=_number(text.get("max_position_embeddings")),
        layers=_number(text.get("num_hidden_layers")),
        hidden=hidden,
        heads=heads,
        kv_heads=(kv,) if kv else (),
        head_dim=_number(text.get("head_dim")) or _divided(hidden, heads),
        vocabulary=_number(text.get("vocab_size")),
        window=window if gemma else 0,
        window_every=every if gemma and window else 1,
        quantisation={"bfloat16": "BF16", "float16": "F16", "float32": "F32"}.get(kind, ""),
        intermediate=_number(text.get("intermediate_size")),
        tied=bool(tied) if "vocab_size" in text else None,
    )


def memory_of(shape: Architecture, files: Iterable[File] = ()) -> tuple[Memory, ...]:
    """One entry for each file of weights that is there; without a GGUF file also what the usual
    quantisations would need."""
    cache = {tokens: bytes for tokens in _contexts(shape) if (bytes := cache_bytes(shape, tokens))}
    weights = [
        file for file in files if file.bytes and file.name.endswith((".gguf", ".safetensors"))
    ]
    found = [
        Memory(file.quantisation or "?", file.bytes or 0, False, cache, file.name)
        for file in weights
        if file.name.endswith(".gguf") and not _is_part(file.name)
    ]
    if parts := [file for file in weights if file.name.endswith(".gguf") and _is_part(file.name)]:
        total = sum(file.bytes or 0 for file in parts)
        found.append(Memory(parts[0].quantisation or "?", total, False, cache, parts[0].name))
    if found:
        return tuple(found)
    tensors = [file for file in weights if "adapter" not in file.name]
    if tensors:
        total = sum(file.bytes or 0 for file in tensors)
        found.append(Memory(shape.quantisation or "safetensors", total, False, cache))
    if shape.parameters:
        found += [
            Memory(level, weights_at(shape, level), True, cache)
            for level in USUAL
            if level != shape.quantisation
        ]
    return tuple(found)


def weights_at(shape: Architecture, level: Quantisation) -> int:
    """Bytes of a file at a level, tensor by tensor; 0 where the number of parameters is missing."""
    if (found := _by_tensor(shape, level)) is not None:
        return found
    whole = _by_tensor(LLAMA_3B, level)
    assert whole and LLAMA_3B.parameters
    return round((shape.parameters or 0) * whole / LLAMA_3B.parameters)


def _by_tensor(shape: Architecture, level: Quantisation) -> int | None:
    """None where a size is missing, or the sizes do not add up to the parameters."""
    sizes = (shape.layers, shape.hidden, shape.heads, shape.head_dim, shape.vocabulary)
    if not all(sizes) or not shape.intermediate or len(shape.kv_heads) != 1 or shape.tied is None:
        return None
    layers, hidden, heads, width, vocabulary = (size or 0 for size in sizes)
    if layers > 10_000:
        return None
    key = shape.kv_heads[0] * width
    tensors = {"token_embd.weight": (vocabulary, hidden), "output_norm.weight": (hidden,)}
    if not shape.tied:
        tensors["output.weight"] = (vocabulary, hidden)
    for layer in range(layers):
        block = {
            "attn_norm": (hidden,),
            "ffn_norm": (hidden,),
            "attn_q": (heads * width, hidden),
            "attn_k": (key, hidden),
            "attn_v": (key, hidden),
            "attn_output": (hidden, heads * width),
            "ffn_gate": (shape.intermediate, hidden),
            "ffn_up": (shape.intermediate, hidden),
            "ffn_down": (hidden, shape.intermediate),
        }
        tensors |= {f"blk.{layer}.{name}.weight": size for name, size in block.items()}
    numbers = sum(math.prod(size) for size in tensors.values())
    if shape.parameters and abs(numbers - shape.parameters) > NEAR * shape.parameters:
        return None
    try:
        return file_bytes(tensors, level, layers=layers, tied=shape.tied)
    except UserError:  # a width that the level can't store
        return None


def _is_part(name: str) -> bool:
    """Whether it is one of several, as in `x-00001-of-00003.gguf`."""
    return "-of-0" in name


def _contexts(shape: Architecture) -> list[int]:
    longest = shape.context or 0
    return sorted({tokens for tokens in (*CONTEXTS, longest) if 0 < tokens <= longest})


def cache_bytes(shape: Architecture, tokens: int) -> int | None:
    """Keys and values of one conversation of so many tokens; None where a size is missing."""
    if not (shape.layers and shape.kv_heads and shape.head_dim):
        return None
    per_layer = 2 * shape.head_dim * F16_BYTES
    if len(shape.kv_heads) > 1:  # each layer has its own number
        return per_layer * sum(shape.kv_heads) * tokens
    far = shape.layers // shape.window_every
    near = (shape.layers - far) * min(tokens, shape.window) if shape.window else 0
    return per_layer * shape.kv_heads[0] * (far * tokens + near)


def _text(value: Any) -> str:
    return value[:100] if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value < _LARGEST else None


def _numbers(values: list[Any]) -> tuple[int, ...]:
    return tuple(number for value in values[:10_000] if (number := _number(value)))


def _divided(a: int | None, b: int | None) -> int | None:
    return a // b if a and b else None
