"""A GGUF file of a few kilobytes, written by hand: every byte is known, no package is needed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{%- for m in messages -%}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
)
METADATA: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "Tiny 小",
    "general.license": "apache-2.0",
    "general.languages": ["en", "zh"],
    "general.file_type": 7,
    "llama.block_count": 2,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 96,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.vocab_size": 32,
    "tokenizer.ggml.tokens": [f"t{i}" for i in range(31)] + ["台"],
    "tokenizer.ggml.scores": [0.5, 1.5],
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.chat_template": TEMPLATE,
}
# (name, shape, ggml's type, bytes)
TENSORS: list[tuple[str, tuple[int, ...], int, bytes]] = [
    ("token_embd.weight", (64, 32), 8, bytes(range(256)) * 8 + bytes(128)),  # Q8_0: 64 blocks of 34
    ("output_norm.weight", (64,), 0, bytes(256)),
]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def value_bytes(value: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    inner = [value_bytes(item) for item in value]
    kind = inner[0][:4]
    return (
        struct.pack("<I", 9)
        + kind
        + struct.pack("<Q", len(inner))
        + b"".join(item[4:] for item in inner)
    )


def gguf_bytes(
    metadata: Mapping[str, Any] = METADATA,
    tensors: Sequence[tuple[str, tuple[int, ...], int, bytes]] = tuple(TENSORS),
    alignment: int = 32,
) -> bytes:
    """A whole file."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(text(key) + value_bytes(value) for key, value in metadata.items())
    data = b""
    for name, shape, kind, content in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", kind, len(data))
        data += content + bytes(-len(content) % alignment)
    return head + bytes(-len(head) % alignment) + data


def write_gguf_file(path: Path, **changes: Any) -> Path:
    """The tiny file; `changes` as of `gguf_bytes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes(**changes))
    return path
