"""A LoRA adapter in GGUF form, written without numpy: random, and large enough to be noticed."""

from __future__ import annotations

import random
import struct
from pathlib import Path

RANK = 2
ALIGNMENT = 32


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def write_lora(
    path: Path, *, architecture: str = "llama", tensor: str = "blk.29.ffn_down", rows: int = 576,
    columns: int = 1536, seed: int = 1, size: float = 1.0,
) -> Path:  # fmt: skip
    """An adapter for one matrix of SmolLM2-135M."""
    values = {
        "general.type": "adapter",
        "general.architecture": architecture,
        "adapter.type": "lora",
    }
    header = b"".join(_text(k) + struct.pack("<I", 8) + _text(v) for k, v in values.items())
    header += _text("adapter.lora.alpha") + struct.pack("<If", 6, float(RANK))
    draw = random.Random(seed)
    infos, data = b"", b""
    for part, shape in (("a", (columns, RANK)), ("b", (RANK, rows))):
        infos += _text(f"{tensor}.weight.lora_{part}") + struct.pack("<I2Q", 2, *shape)
        infos += struct.pack("<IQ", 0, len(data))
        count = shape[0] * shape[1]
        data += struct.pack(f"<{count}f", *(draw.gauss(0, size) for _ in range(count)))
        data += bytes(-len(data) % ALIGNMENT)
    start = b"GGUF" + struct.pack("<IQQ", 3, 2, len(values) + 1) + header + infos
    path.write_bytes(start + bytes(-len(start) % ALIGNMENT) + data)
    return path
