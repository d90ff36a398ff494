"""llama.cpp's own functions, out of the library that xllamacpp ships: quantising, and logits.

Called through ctypes, since the wheel has no Python names for them. Nothing here knows the layout
of llama.cpp's structures, which changes from release to release: parameters are fetched as defaults
into a block that is large enough and handed on unread, and tokens are evaluated one at a time,
which is also what happens when a model writes.

`ggml_quantize_chunk` gave the same bytes as llama.cpp's own tool in 272 of 272 tensors of
SmolLM2-135M.
"""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from formosa.errors import ModelError, UserError
from formosa.processor import wait_briefly

_WINDOW = 512  # tokens: the context that llama.cpp gives by default


class _Opaque(ctypes.Structure):
    """A structure of llama.cpp, by value; larger than any of them is."""

    _fields_ = (("bytes", ctypes.c_ubyte * 2048),)


_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_silent = _Log(lambda level, text, data: None)  # kept alive: llama.cpp keeps its address
_pointer, _int32, _int64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
_floats = ctypes.POINTER(ctypes.c_float)


@functools.cache
def _library() -> Any:
    wait_briefly()
    try:
        import xllamacpp.xllamacpp as module
    except ImportError as error:
        raise UserError(
            "Quantising below 8 bits and measuring files need llama.cpp, which is not installed.",
            "pip install 'formosa-lm[llama]'",
        ) from error
    library = ctypes.CDLL(str(module.__file__))
    signatures: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "ggml_quantize_chunk": (
            ctypes.c_size_t,
            (ctypes.c_int, _pointer, _pointer, _int64, _int64, _int64, _pointer),
        ),
        "llama_log_set": (None, (_Log, _pointer)),
        "llama_log_get": (None, (_pointer, _pointer)),
        "llama_backend_init": (None, ()),
        "llama_model_default_params": (_Opaque, ()),
        "llama_context_default_params": (_Opaque, ()),
        "llama_model_load_from_file": (_pointer, (ctypes.c_char_p, _Opaque)),
        "llama_init_from_model": (_pointer, (_pointer, _Opaque)),
        "llama_set_n_threads": (None, (_pointer, _int32, _int32)),
        "llama_model_get_vocab": (_pointer, (_pointer,)),
        "llama_vocab_n_tokens": (_int32, (_pointer,)),
        "llama_batch_get_one": (_Opaque, (_pointer, _int32)),
        "llama_decode": (_int32, (_pointer, _Opaque)),
        "llama_get_logits_ith": (_floats, (_pointer, _int32)),
        "llama_free": (None, (_pointer,)),
        "llama_model_free": (None, (_pointer,)),
    }
    try:
        for name, (result, arguments) in signatures.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, list(arguments)
    except AttributeError as error:
        raise UserError(
            f"This release of xllamacpp lacks a function of llama.cpp: {error}.",
            "pip install --upgrade 'formosa-lm[llama]'",
        ) from error
    return library


def quantise(values: Any, type_name: str, importance: Any = None) -> Any:
    """Rows of float32 numbers as blocks of `type_name`, by llama.cpp's own code.

    Args:
        values: a numpy array of two dimensions; its width fits the type's blocks.
        type_name: as in `gguf_levels.BLOCK`.
        importance: of the columns, one number each; all alike if left out.

    Returns:
        A numpy array of bytes, one row for each row.

    Raises:
        UserError: xllamacpp is not installed.
    """
    import gguf
    import numpy as np

    kind = gguf.GGMLQuantizationType[type_name]
    values = np.ascontiguousarray(values, dtype=np.float32)
    rows, columns = values.shape
    block, size = gguf.GGML_QUANT_SIZES[kind]
    target = np.empty((rows, columns // block * size), dtype=np.uint8)
    weights = None if importance is None else np.ascontiguousarray(importance, dtype=np.float32)
    if weights is not None and weights.shape != (columns,):
        raise RuntimeError(f"{weights.shape} numbers for the importance of {columns} columns")
    where = None if weights is None else weights.ctypes.data
    written = _library().ggml_quantize_chunk(
        int(kind), values.ctypes.data, target.ctypes.data, 0, rows, columns, where
    )
    if written != target.nbytes:  # a bug in one of the two tables of block sizes
        raise RuntimeError(f"llama.cpp wrote {written} bytes of {type_name}, not {target.nbytes}")
    return target


def read_logits(path: Path, ids: Sequence[int], *, threads: int = 1) -> Iterator[tuple[Any, float]]:
    """What a GGUF file thinks comes next, after each of the tokens.

    Args:
        path: the file.
        ids: at most 512 tokens.
        threads: CPU threads.

    Yields:
        The logits after that token (a numpy array, valid until the next one is asked for), and the
        seconds that it took.

    Raises:
        ModelError: llama.cpp can't load the file.
        UserError: xllamacpp is not installed.
    """
    import numpy as np

    if len(ids) > _WINDOW:
        raise ValueError(f"{len(ids)} tokens are more than {_WINDOW}")
    library = _library()
    with _quiet(library):
        library.llama_backend_init()
        model = library.llama_model_load_from_file(
            os.fsencode(path), library.llama_model_default_params()
        )
        if not model:
            raise ModelError(
                f"llama.cpp can't load {path}.", "check the file's sha256, or export it again"
            )
        context = None
        try:
            context = library.llama_init_from_model(model, library.llama_context_default_params())
            if not context:
                raise ModelError(f"llama.cpp has no memory to run {path}.")
            library.llama_set_n_threads(context, threads, threads)
            size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
            for token in ids:
                one = (_int32 * 1)(token)
                started = time.perf_counter()
                if library.llama_decode(context, library.llama_batch_get_one(one, 1)) != 0:
                    raise ModelError(f"llama.cpp can't evaluate token {token} with {path}.")
                logits = library.llama_get_logits_ith(context, -1)  # waits for the result
                seconds = time.perf_counter() - started
                yield np.ctypeslib.as_array(logits, shape=(size,)), seconds
        finally:
            if context:
                library.llama_free(context)
            library.llama_model_free(model)


class _quiet:  # noqa: N801 - reads as the verb that it is
    """llama.cpp's log is silent in the block, and as before after it."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def __enter__(self) -> None:
        self._callback, self._data = _pointer(), _pointer()
        self._library.llama_log_get(ctypes.byref(self._callback), ctypes.byref(self._data))
        self._library.llama_log_set(_silent, None)

    def __exit__(self, *_: object) -> None:
        before = ctypes.cast(self._callback, _Log) if self._callback else _Log()
        self._library.llama_log_set(before, self._data)
