"""Sizes of a network from what its files say, and the memory that it needs to run.

Weights are the bytes of the file's tensors where there is one, else parameters times the bits that
llama.cpp's files have on average. The cache is keys and values of every layer in F16, llama.cpp's
default, for one conversation. Gemma's layers that look back a window only keep that much. Buffers
for computing (some hundred megabytes, by batch size) are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from formosa.card.sheet.values import Architecture, File, Memory
from formosa.engines.gguf import FILE_TYPES, GgufFile

TOKENS = "tokenizer.ggml.tokens"
CONTEXTS = (4096, 8192)
F16_BYTES = 2

# Bits for each number of a whole file, embeddings and norms included: of Llama 3.2 3B's files.
BITS = {"BF16": 16.0, "Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.8, "Q4_K_M": 5.0}
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
        quantisation=FILE_TYPES.get(values.get("general.file_type"), "") or _main_type(file),
    )


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
            Memory(kind, int(shape.parameters * bits / 8), True, cache)
            for kind, bits in BITS.items()
            if kind != shape.quantisation
        ]
    return tuple(found)


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
