"""A checkpoint folder as one GGUF file, a tensor at a time, so memory stays bounded.

Puts together what its neighbours know: `architectures` (settings, names, order of the rows),
`vocabulary` (tokens, template), `native` (quantising below 8 bits), and engines/gguf_levels.py
(which type for which tensor). The package `gguf` (llama.cpp's own) writes the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from formosa.engines.gguf_levels import LEVELS, type_of
from formosa.errors import UserError
from formosa.export.about import Value
from formosa.export.architectures import (
    Tensor,
    add_architecture,
    architecture_of,
    as_stored,
    is_tied,
    long_context_factors,
    tensors_of,
)
from formosa.export.config import Quantisation
from formosa.export.importance import Importance, columns_of
from formosa.export.native import quantise
from formosa.export.shards import Shards
from formosa.export.vocabulary import add_vocabulary
from formosa.files import explain_os_error, read_json

Progress = Callable[[int, int], None]  # tensors written, tensors in all
_PLAIN = ("F32", "F16", "BF16", "Q8_0")  # gguf writes these itself


class Planned(NamedTuple):
    """A tensor of the file that is written: its table of contents comes first."""

    name: str
    shape: tuple[int, ...]  # rows first
    type_name: str
    read: Callable[[], Any]  # gives float32
    importance: Any = None  # of the columns


def write_gguf(
    checkpoint: Path,
    path: Path,
    quantisation: Quantisation,
    *,
    name: str,
    metadata: Mapping[str, Value] | None = None,
    importance: Importance | None = None,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write `checkpoint` to `path`, whole or not at all.

    Args:
        checkpoint: a folder with config.json, safetensors (one file or several), tokenizer and our
            template.
        path: the file to be written; its folder is made.
        quantisation: of the matrices. Norms are always F32.
        name: the model's name inside the file.
        metadata: further values, such as licence and recipe hash, by GGUF key.
        importance: of the columns of its matrices, for levels below 8 bits.
        progress: called after every tensor.

    Raises:
        UserError: an architecture or a tokenizer that isn't known here, a width that the level
            can't store, no xllamacpp for a level below 8 bits, or the disk is full.
    """
    import gguf

    config = read_json(checkpoint / "config.json")
    architecture = architecture_of(config, checkpoint)
    with whole_file(path) as temporary:
        writer = gguf.GGUFWriter(temporary, architecture)
        try:
            writer.add_type(gguf.GGUFType.MODEL)
            writer.add_name(name)
            shapes = Shards(checkpoint).shapes
            count = sum(math.prod(shape) for shape in shapes.values())
            writer.add_size_label(gguf.size_label(count, 0, 0, 0))
            add_architecture(writer, config)
            add_file_type(writer, quantisation)
            add_vocabulary(writer, checkpoint)
            about = importance.about() if importance else {}
            add_values(writer, {**(metadata or {}), **about})
            columns = importance.columns if importance else {}
            _write_tensors(writer, checkpoint, config, quantisation, columns, progress)
        finally:
            writer.close()
    return path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place when the block ends well.

    Raises:
        UserError: the disk is full, or the folder can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def add_file_type(writer: Any, level: Quantisation) -> None:
    """What the file says of its own level."""
    import gguf

    writer.add_file_type(LEVELS[level].file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_values(writer: Any, metadata: Mapping[str, Value]) -> None:
    """Text, whole numbers and lists of texts, by GGUF key."""
    for key, value in metadata.items():
        if isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_array(key, list(value))


def _write_tensors(
    writer: Any,
    checkpoint: Path,
    config: dict[str, Any],
    quantisation: Quantisation,
    columns: Mapping[str, Any],
    progress: Progress,
) -> None:
    import numpy as np

    shards = Shards(checkpoint)
    layers, tied = config["num_hidden_layers"], is_tied(config)
    planned = []
    factors = long_context_factors(config)
    if factors is not None:
        values = np.array(factors, dtype=np.float32)
        planned.append(Planned("rope_freqs.weight", values.shape, "F32", lambda: values))

    def reading(tensor: Tensor) -> Callable[[], Any]:
        return lambda: as_stored(shards.read(tensor.source).float().numpy(), tensor.name, config)

    for tensor in tensors_of(shards.shapes, config, checkpoint):
        kind = type_of(tensor.name, tensor.shape, quantisation, layers=layers, tied=tied)
        noted = columns_of(tensor.source, columns)
        planned.append(Planned(tensor.name, tensor.shape, kind, reading(tensor), noted))
    write_planned(writer, planned, progress)


def write_planned(writer: Any, planned: Sequence[Planned], progress: Progress) -> None:
    """First the table of all tensors, then their data one by one."""
    import gguf
    import numpy as np

    for tensor in planned:
        kind = gguf.GGMLQuantizationType[tensor.type_name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        count = math.prod(tensor.shape) // block * size
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), count, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, tensor in enumerate(planned, start=1):
        values = encoded(tensor.read(), tensor.type_name, tensor.name, tensor.importance)
        writer.write_tensor_data(values)
        progress(done, len(planned))


def encoded(values: Any, type_name: str, name: str, importance: Any = None) -> Any:
    """Float32 numbers as a type of GGUF; `importance` is that of their columns.

    Raises:
        UserError: they are not all numbers, or no xllamacpp for a type below 8 bits.
    """
    import gguf
    import numpy as np
    from gguf.quants import quantize

    if not np.isfinite(values).all():
        raise UserError(
            f"{name} holds numbers that are infinite or not a number.",
            "this checkpoint is damaged, or its training failed: look at its loss",
        )
    if type_name in _PLAIN:
        return quantize(np.ascontiguousarray(values), gguf.GGMLQuantizationType[type_name])
    return quantise(values, type_name, importance)
