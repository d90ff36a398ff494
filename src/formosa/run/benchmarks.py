"""The texts and tools of evaluation tasks, as what training rows must not hold.

`data.decontaminate.benchmarks` names the tasks, as `formosa eval tasks` does; without it they are
the tasks that the recipe's `eval:` part asks, and mini-zh-tw. A task is always taken whole: that
only some of its questions are asked today is no reason to train on the others.

A benchmark that can't be fetched is an error, and never left out in silence: the model card says
what the rows were compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from formosa.data.config import DataConfig
from formosa.data.decontaminate import Benchmark
from formosa.errors import FormosaError, RecipeError
from formosa.evals.config import EvalConfig
from formosa.evals.mini import NAME as MINI
from formosa.evals.registry import load_task
from formosa.evals.task import Sample, Task
from formosa.wheels import Say

KEY = "data.decontaminate.benchmarks"
# Attributes of a sample's content that hold the question alone, without the words that ask it.
_QUESTIONS = ("question", "text")
_OPTIONS = ("options", "right", "wrong")


def benchmark_names(data: DataConfig, evals: EvalConfig | None = None) -> list[str]:
    """The tasks whose questions must not be trained on, each once.

    Args:
        data: the recipe's `data:` part.
        evals: its `eval:` part; None where the file has nothing but data.
    """
    if data.decontaminate.benchmarks is not None:
        return list(dict.fromkeys(data.decontaminate.benchmarks))
    asked = [task.name for task in evals.tasks] if evals else []
    return list(dict.fromkeys([*asked, MINI]))


def evals_in(path: Path) -> EvalConfig | None:
    """The `eval:` part of a file that `load_data_config` has read; None where the file is no
    recipe but has nothing than data.

    Raises:
        RecipeError: it has such a part, and it doesn't fit.
    """
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict) or not {"base", "eval"} & value.keys():
        return None
    try:
        return EvalConfig.model_validate(value.get("eval") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{path}: eval.{place}: {first['msg']}.") from error


def load_benchmarks(names: Sequence[str], *, say: Say | None = None) -> list[Benchmark]:
    """The texts and tools of these tasks, in order.

    Raises:
        RecipeError: one is not known, or its data can't be had; names the recipe's key.
    """
    found = []
    for name in names:
        try:
            task = load_task(name, say=say)
        except FormosaError as error:
            raise RecipeError(
                f"Rows can't be compared with the benchmark {name}: {error.message}",
                f"make it reachable ({error.hint or 'see formosa eval tasks'}), or leave it out "
                f"of {KEY}: [...] and the model card will not name it",
            ) from error
        found.append(benchmark_of(task))
    return found


def benchmark_of(task: Task[Any]) -> Benchmark:
    """What of a task must not be in a training row: its questions, options and tools.

    Of what a task asks, the words that it puts around every question say nothing. So the question
    is taken from the sample where it stands there alone, else from the user's turns.
    """
    texts: dict[str, None] = {}
    tools: dict[tuple[str, str], None] = {}
    for sample in task.samples:
        asked = task.ask(sample, 0, 0)
        own = list(_own_texts(sample))
        said = [item.content for item in asked.messages if item.role in ("user", "assistant")]
        texts.update(dict.fromkeys(text for text in own or said if text.strip()))
        tools.update(dict.fromkeys((tool.name, tool.description) for tool in asked.tools))
        tools.update(dict.fromkeys(_own_tools(sample)))
    return Benchmark(task.name, tuple(texts), tuple(tools), private=task.private)


def _own_tools(sample: Sample[Any]) -> Iterator[tuple[str, str]]:
    """Tools as the data have them: shown to a model, BFCL's have other names and a note more."""
    for function in getattr(sample.content, "functions", ()):
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            yield function["name"], str(function.get("description") or "")


def _own_texts(sample: Sample[Any]) -> Iterator[str]:
    content = sample.content
    for name in _QUESTIONS:
        text = getattr(content, name, None)
        if isinstance(text, str) and text.strip():
            yield text
            break
    else:
        return
    parts: list[str] = []
    for name in _OPTIONS:
        value = getattr(content, name, ())
        if isinstance(value, str):
            parts.append(value)
        elif isinstance(value, tuple | list):
            parts += [item for item in value if isinstance(item, str)]
    if parts:
        yield "\n".join(parts)
