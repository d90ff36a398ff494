"""Options that say which engine answers and how it is started, for commands that open a model."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from formosa.chat.template import FAMILIES
from formosa.errors import UserError

_LOADED = (
    click.option("--engine", type=click.Choice(["llama", "vllm"]), default="llama",
                 show_default=True, help="llama.cpp in this process, or vLLM in its own."),
    click.option("--context", default=4096, show_default=True, type=click.IntRange(min=16),
                 help="Tokens of prompt and reply together, for each slot."),
    click.option("--slots", type=click.IntRange(min=1),
                 help="Replies at the same time; more wait.  [default: 4; 32 with vLLM]"),
    click.option("--threads", type=click.IntRange(min=1),
                 help="CPU threads.  [default: all cores]"),
    click.option("--adapter", "adapters", multiple=True, metavar="NAME=PATH",
                 help="A LoRA adapter, served under its own name: a GGUF file, with vLLM a PEFT "
                 "folder. May be repeated."),
    click.option("--template", type=click.Choice(sorted(FAMILIES)),
                 help="Formosa's format with this family's control tokens, not the model's own."),
    click.option("--hold-calls/--free-calls", default=None,
                 help="Hold calls to the schemas of their tools, by a grammar: names, types and "
                 "required arguments are then always right, and no call comes twice.  [default: "
                 "free; held where no model is named]"),
)  # fmt: skip

_VLLM = (
    click.option("--vllm-python", metavar="PATH",
                 help="Interpreter that has vLLM.  [default: $FORMOSA_VLLM_PYTHON, or this one]"),
    click.option("--tensor-parallel", default=1, show_default=True, type=click.IntRange(min=1),
                 help="GPUs that share each layer."),
    click.option("--pipeline-parallel", default=1, show_default=True, type=click.IntRange(min=1),
                 help="Groups of GPUs that share the layers; for several machines."),
    click.option("--data-parallel", default=1, show_default=True, type=click.IntRange(min=1),
                 help="Copies of the model."),
    click.option("--executor", type=click.Choice(["ray", "mp"]),
                 help="ray: on the machines of a running Ray cluster."),
    click.option("--dtype", metavar="NAME", help="bfloat16, float16 …  [default: the model's]"),
    click.option("--quantization", metavar="NAME", help="fp8, awq …  [default: the model's]"),
    click.option("--gpu-memory", type=click.FloatRange(0, 1, min_open=True),
                 help="Share of each GPU's memory to use."),
    click.option("--vllm-arg", "vllm_args", multiple=True, metavar="ARG",
                 help="One more argument for vLLM, as it is. May be repeated."),
)  # fmt: skip


def engine_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command gets them as one argument, `engine`, for `open_chat`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **values: Any) -> Any:
        return function(*args, engine=_keywords(values), **values)

    for option in reversed(_LOADED + _VLLM):
        wrapped = option(wrapped)
    return wrapped


def vllm_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add those of vLLM alone; the command gets `vllm`: VllmOptions, None where none was given."""

    @functools.wraps(function)
    def wrapped(*args: Any, **values: Any) -> Any:
        vllm = _taken(values)
        options = None
        if _given(vllm):
            from formosa.engines.vllm_command import VllmOptions

            options = VllmOptions(**vllm)
        return function(*args, vllm=options, **values)

    for option in reversed(_VLLM):
        wrapped = option(wrapped)
    return wrapped


def _taken(values: dict[str, Any]) -> dict[str, Any]:
    """Takes vLLM's out of `values`; gives the keyword arguments of `VllmOptions`."""
    names = ("tensor_parallel", "pipeline_parallel", "data_parallel", "executor", "dtype",
             "quantization", "gpu_memory")  # fmt: skip
    return {
        "python": values.pop("vllm_python"),
        "extra": tuple(values.pop("vllm_args")),
        **{name: values.pop(name) for name in names},
    }


def _given(vllm: dict[str, Any]) -> bool:
    return any(value not in (None, 1, ()) for value in vllm.values())


def _keywords(values: dict[str, Any]) -> dict[str, Any]:
    """Takes what is ours out of `values`; gives the keyword arguments of `open_chat`."""
    engine = values.pop("engine")
    vllm = _taken(values)
    keywords = {
        "engine": engine,
        "context": values.pop("context"),
        "slots": values.pop("slots") or (32 if engine == "vllm" else 4),
        "threads": values.pop("threads"),
        "adapters": _adapters(values.pop("adapters")),
        "template": values.pop("template"),
        "held": values.pop("hold_calls"),  # None: as the command thinks best
    }
    if engine == "vllm":
        from formosa.engines.vllm_command import VllmOptions

        keywords["vllm"] = VllmOptions(threads=keywords["threads"], **vllm)
    elif _given(vllm):
        raise click.UsageError("These options are vLLM's: add --engine vllm.")
    return keywords


def _adapters(given: tuple[str, ...]) -> dict[str, Path]:
    adapters = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UserError(f"--adapter {text} names no file.", "write --adapter NAME=PATH")
        if name in adapters:
            raise UserError(f"Two adapters are called {name}.", "give each its own name")
        adapters[name] = Path(path)
    return adapters
