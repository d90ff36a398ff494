"""A LoRA adapter as a GGUF file, which llama.cpp adds to its base while it runs.

Ten megabytes instead of another model, and several of them on one base. The matrices go through
unchanged, except that rows of q and k follow the order in which llama.cpp's Llama keeps them.
Trained rows of the embeddings and whole tensors have no place in such a file: those are refused,
and a merge holds them.

Source: llama.cpp's convert_lora_to_gguf.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from formosa.engines.gguf_levels import AdapterLevel
from formosa.errors import UserError
from formosa.export.about import Value
from formosa.export.architectures import architecture_of, permuted, tensors_of
from formosa.export.gguf import Planned, Progress, add_values, whole_file, write_planned
from formosa.export.lora import Adapter
from formosa.files import read_json


def write_adapter(
    base: Path,
    adapter: Path,
    path: Path,
    *,
    name: str,
    level: AdapterLevel = "F32",
    template: str = "",
    metadata: Mapping[str, Value] | None = None,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write an adapter to `path`, whole or not at all.

    Args:
        base: the folder with the base's config.json.
        adapter: a folder that peft saved.
        path: the GGUF file to be written.
        name: the adapter's name inside the file.
        level: how its numbers are stored; F16 is half as large, and keeps three digits of each.
        template: the chat template that it was trained with; the base's own may be another.
        metadata: further values by GGUF key.
        progress: called after every tensor.

    Raises:
        ModelError: no adapter, or a damaged one.
        UserError: an architecture or a kind of adapter that can't be written so.
    """
    import gguf

    config = read_json(base / "config.json")
    architecture = architecture_of(config, base)
    found = Adapter(adapter)
    if found.rows or found.whole:
        first, *others = (*found.rows, *found.whole)
        also = f"{first} and {len(others)} more" if others else first
        raise UserError(
            f"{adapter} also changes {also}, which an adapter in GGUF form can't hold.",
            f"merge it instead: formosa export merge {base} {adapter} merged",
        )
    if len({_alpha(found, source) for source in found.pairs}) > 1:
        raise UserError(
            f"{adapter} scales its layers differently, which an adapter in GGUF form can't say.",
            f"merge it instead: formosa export merge {base} {adapter} merged",
        )
    shapes = dict.fromkeys(found.pairs, (0, 0))
    planned = []
    for tensor in tensors_of(shapes, config, base):
        pair = found.pairs[tensor.source]
        for side, source in (("a", pair.a), ("b", pair.b)):
            label = f"{tensor.name}.lora_{side}"
            read = _reading(found, source, tensor.name if side == "b" else "", config)
            planned.append(Planned(label, found.shape(source), level, read))
    with whole_file(path) as temporary:
        writer = gguf.GGUFWriter(temporary, architecture)
        try:
            writer.add_type(gguf.GGUFType.ADAPTER)
            writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
            writer.add_name(name)
            alpha = _alpha(found, next(iter(found.pairs)))
            writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
            if template:
                writer.add_chat_template(template)
            add_values(writer, metadata or {})
            write_planned(writer, planned, progress)
        finally:
            writer.close()
    return path


def _alpha(found: Adapter, source: str) -> float:
    """llama.cpp's scale is alpha / r, so this holds also what rsLoRA does differently."""
    pair = found.pairs[source]
    return round(pair.scale * found.shape(pair.a)[0], 6)


def _reading(found: Adapter, source: str, name: str, config: dict[str, Any]) -> Callable[[], Any]:
    def read() -> Any:
        values = found.read(source).numpy()
        return permuted(values, name, config) if config["model_type"] == "llama" else values

    return read
