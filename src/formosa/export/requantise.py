"""A GGUF file at another level, without its checkpoint.

Copies every value and list of the header; only the tensors change, one at a time. Going down from
F16 or F32 loses what the level loses; from a file of few bits it loses twice, which is refused
unless asked for.

A file made so from F16 holds the same bytes as one made from the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from formosa.engines.gguf import FILE_TYPES, read_metadata
from formosa.engines.gguf_levels import type_of
from formosa.errors import ModelError, UserError
from formosa.export.config import Quantisation
from formosa.export.gguf import Planned, Progress, add_file_type, whole_file, write_planned

_WHOLE = ("F32", "F16", "BF16", "Q8_0")  # little enough is lost in these to go on from
_OURS = ("general.file_type", "general.quantization_version")


def quantise_gguf(
    source: Path,
    target: Path,
    level: Quantisation,
    *,
    twice: bool = False,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write `source` at `level` to `target`, whole or not at all.

    Args:
        source: a GGUF file of a model.
        target: the file to be written.
        level: what to write.
        twice: go on from a file that has few bits already.
        progress: called after every tensor.

    Raises:
        ModelError: the source is damaged, in several parts, or no model.
        UserError: it has few bits already, the level can't store its widths, no xllamacpp, or the
            disk is full.
    """
    import gguf

    about = read_metadata(source)
    _check(source, target, about, twice)
    try:
        reader = gguf.GGUFReader(source)
    except (ValueError, LookupError) as error:
        raise ModelError(f"{source} is not a whole GGUF file: {error}.") from error
    architecture = about["general.architecture"]
    layers = about.get(f"{architecture}.block_count", 0)
    names = {tensor.name for tensor in reader.tensors}
    planned = []
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        kind = type_of(tensor.name, shape, level, layers=layers, tied="output.weight" not in names)
        planned.append(Planned(tensor.name, shape, kind, _reading(tensor)))
    with whole_file(target) as temporary:
        writer = gguf.GGUFWriter(temporary, architecture)
        try:
            _copy_header(writer, reader, level)
            write_planned(writer, planned, progress)
        finally:
            writer.close()
    return target


def _check(source: Path, target: Path, about: dict[str, Any], twice: bool) -> None:
    if about.get("general.type", "model") != "model" or "general.architecture" not in about:
        raise ModelError(
            f"{source} is no model, but {about.get('general.type', 'something else')}."
        )
    if about.get("split.count", 1) > 1:
        raise ModelError(
            f"{source} is one of several parts of a model.", "join them with llama.cpp's gguf-split"
        )
    level = FILE_TYPES.get(about.get("general.file_type"), "unknown")
    if level not in _WHOLE and not twice:
        raise UserError(
            f"{source.name} is {level} already: what it lost stays lost, and more would go.",
            "start from the F16 file or from the checkpoint, or say --twice",
        )
    if target.exists() and source.samefile(target):
        raise UserError("The new file can't take the place of the one it is made from.")


def _reading(tensor: Any) -> Callable[[], Any]:
    from gguf.quants import dequantize

    return lambda: dequantize(tensor.data, tensor.tensor_type)


def _copy_header(writer: Any, reader: Any, level: Quantisation) -> None:
    """Every value as it is and where it is, except what the level changes."""
    import gguf

    said = False
    for key, field in reader.fields.items():
        if key.startswith(("GGUF.", "split.")) or key == gguf.Keys.General.ARCHITECTURE:
            continue  # which the writer says itself
        if key in _OURS:
            if not said:
                add_file_type(writer, level)
            said = True
            continue
        kind = field.types[0]
        inside = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        if inside is None or field.data:  # gguf can't write a list of nothing
            writer.add_key_value(key, field.contents(), kind, sub_type=inside)
    if not said:
        add_file_type(writer, level)
