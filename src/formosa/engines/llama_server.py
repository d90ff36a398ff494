"""Start llama.cpp's server inside this process, with settings that fit a shared machine.

Knows xllamacpp's parameters, and how to find out why a start failed. Knows nothing of requests.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from formosa.errors import ModelError, UserError
from formosa.processor import wait_briefly


def version() -> str:
    import xllamacpp

    return str(xllamacpp.__version__)


def start(
    path: Path, context: int, slots: int, threads: int, key: str, adapters: Sequence[Path]
) -> Any:
    wait_briefly()
    try:
        import xllamacpp
    except ImportError as error:
        raise UserError("llama.cpp is not installed.", "pip install 'formosa-lm[llama]'") from error

    def parameters(verbosity: int) -> Any:
        values = xllamacpp.CommonParams()
        values.model.path = str(path)
        values.lora_adapters = [_lora(xllamacpp, adapter) for adapter in adapters]
        values.lora_init_without_apply = True  # each request says which it wants
        values.n_ctx = _padded(context) * slots
        values.n_parallel = slots
        values.cpuparams.n_threads = threads
        values.hostnames = ["127.0.0.1"]
        values.port = 0
        values.api_keys = [key]
        values.ui = False
        values.endpoint_slots = False
        values.warmup = False
        values.cache_ram_mib = 0  # each slot keeps its own last prompt; 8 GB beside it is too much
        values.verbosity = verbosity
        return values

    try:
        return xllamacpp.Server(parameters(-1))
    except RuntimeError as error:
        # It says no more than "failed". Ask once more, and listen to its log.
        reason = _reason(lambda: xllamacpp.Server(parameters(1)))
        raise ModelError(
            f"llama.cpp can't load {path}: {reason}.",
            "check the file's sha256 or fetch it again; with too little memory, "
            "lower --context or --slots",
        ) from error


def _lora(xllamacpp: Any, path: Path) -> Any:
    adapter = xllamacpp.CommonAdapterLoraInfo()
    adapter.path = str(path)
    adapter.scale = 1.0
    return adapter


def _padded(context: int) -> int:
    """llama.cpp rounds a slot's context up to this; saying it keeps the sum exact."""
    return -(-context // 256) * 256


LAST_WORDS = b"exiting due to model loading error"
_LOG_LINE = re.compile(r"^[\d.]+ E \S+:?\s+(?:\S+:\s+)?(.+)$", re.MULTILINE)


def _reason(load: Callable[[], object]) -> str:
    """What llama.cpp writes to standard error while `load` fails."""
    sys.stderr.flush()
    reader, writer = os.pipe()
    saved = os.dup(2)
    try:
        os.dup2(writer, 2)
        os.close(writer)
        with contextlib.suppress(RuntimeError):
            load()
        # A thread of its own writes the log, and may come after the exception.
        log = b""
        while LAST_WORDS not in log and select.select([reader], [], [], 1.0)[0]:
            log += os.read(reader, 65536)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(reader)
    found = _LOG_LINE.search(log.decode(errors="replace"))
    if not found:
        return "it gives no reason"
    return found[1].removeprefix("error loading model: ").rstrip(".")
