"""A recipe: one YAML file that says how a model is made, served, measured and described.

Read strictly. A mistyped key, a key given twice or a value of the wrong type stops a run before it
starts, with the line and, for a key, the nearest right one.
"""

from __future__ import annotations

import difflib
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from formosa.data.config import DataConfig
from formosa.errors import RecipeError
from formosa.evals.config import EvalConfig
from formosa.export.config import ExportConfig
from formosa.train.config import TrainConfig


class ServeConfig(BaseModel):
    """How the exported model is tried out with its tools."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context: int = Field(2048, ge=256, description="Tokens of prompt and reply together")
    hold_calls: bool = Field(False, description="Hold calls to the schemas of their tools")


class Recipe(BaseModel):
    """Everything that decides what comes out of `formosa run`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w][\w.-]*$", description="Name of the run folder and the model")
    base: str = Field(description="The model to start from; see `formosa models ls`")
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    export: ExportConfig = ExportConfig()
    serve: ServeConfig = ServeConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _adapter_is_trained(self) -> Self:
        if self.export.adapter is not None and self.train.method == "full":
            raise ValueError(
                "export.adapter: nothing is trained as an adapter with train.method: full"
            )
        return self


Place = tuple[str | int, ...]
Origins = dict[Place, str]  # where each key and item was written: "recipe.yaml:12", "--set a.b=1"

HINT = "nothing was run; mend the recipe first"
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: the YAML file.
        changes: values that replace the file's, such as `train.lora.rank=8`; items of a list are
            counted from 0: `data.sources.0.limit=100`.

    Raises:
        RecipeError: it can't be read, or doesn't fit; one line for every problem, with its place.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(
            f"There is no recipe {path}.", "start from one that works: recipes/mini.yaml"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} can't be read: {error}.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
        if not isinstance(value, dict):
            raise RecipeError(f"{path} is not a recipe: it must be a mapping of keys to values.")
        lines: dict[Place, int] = {}
        if problem := _note_lines(node, (), lines):
            line, sentence = problem
            raise RecipeError(f"{path}:{line}: {sentence}", HINT)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise RecipeError(f"{where} is not valid YAML: {what}.") from error
    except ValueError as error:  # such as the date 2026-13-45
        raise RecipeError(f"{path} holds an impossible value: {error}.") from error
    except RecursionError as error:
        raise RecipeError(f"{path} is nested too deeply.") from error
    origins: Origins = {place: f"{path}:{line}" for place, line in lines.items()}
    for change in changes:
        _apply(change, value, origins)
    return _checked(value, path, origins)


def _checked(value: Mapping[str, Any], path: Path, origins: Origins) -> Recipe:
    try:
        recipe = Recipe.model_validate(value)
    except pydantic.ValidationError as error:
        problems = [_explain(item, path, origins) for item in error.errors(include_url=False)]
        raise RecipeError("\n".join(problems), HINT) from error
    if problems := [
        f"{origins.get(place, f'{path}:1')}: {_dotted(place)}: {sentence}"
        for place, sentence in _odd_values(value, recipe.model_dump(), ())
    ]:
        raise RecipeError("\n".join(problems), HINT)
    return recipe


def _apply(change: str, value: Any, origins: Origins) -> None:
    """Put one `KEY=VALUE` into the recipe's value."""
    key, equals, text = change.partition("=")
    steps = [step for step in re.split(r"\.|\[(\d+)\]\.?", key.strip()) if step]
    if not equals or not steps:
        raise RecipeError(
            f"--set {change}: write KEY=VALUE.", "for example --set train.learning_rate=1e-5"
        )
    origin = f"--set {change}"
    place: Place = ()
    here = value
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        at: str | int = step
        if isinstance(here, list):
            if not step.isdigit() or int(step) >= len(here):
                raise RecipeError(
                    f"{origin}: {_dotted(place)} has {len(here)} items, counted from 0; "
                    f"{step!r} is none of them."
                )
            at = int(step)
        elif not isinstance(here, dict):
            raise RecipeError(f"{origin}: {_dotted(place)} is no mapping of keys to values.")
        place = (*place, at)
        if following is None:
            origins[place] = origin
            here[at] = _typed(text, place, origin)
        elif isinstance(here, dict) and here.get(at) is None:
            origins[place] = origin
            here[at] = {}
        here = here[at]


def _typed(text: str, place: Place, origin: str) -> Any:
    """The value as the schema wants it: a revision like 12345678 stays text."""
    if _annotation(place) is str:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{origin}: the value is not valid YAML.") from error


def smoke(recipe: Recipe) -> Recipe:
    """The same life in miniature: few rows of each source, two steps, few questions. Everything
    that can fail for its kind fails here; nothing is learnt. Its run folder is another one."""
    data, train, questions = recipe.data, recipe.train, recipe.eval
    fewer: dict[str, Any] = {
        "heldout": min(data.heldout, 4),
        "synth": data.synth.model_copy(update={"rows": min(data.synth.rows, 24)}),
        "sources": [
            source.model_copy(update={"limit": min(source.limit or 24, 24)})
            for source in data.sources
        ],
    }
    if data.mixture is not None:
        rows = min(data.mixture.rows or 64, 64)
        fewer["mixture"] = data.mixture.model_copy(update={"rows": rows})
    shorter = {
        "max_steps": min(train.max_steps or 2, 2),
        "epochs": max(train.epochs, 2),  # so few rows may be one step
        "warmup_steps": min(train.warmup_steps, 1),
        "measure_rows": min(train.measure_rows, 2),
        "measure_tokens": min(train.measure_tokens, 16),
        "save_every": 1,
        "measure_every": 2,
    }
    tasks = [
        task.model_copy(update={"limit": min(task.limit or 2, 2), "base_limit": None, "repeats": 1})
        for task in questions.tasks
    ]
    asked = {"tasks": tasks, "max_tokens": min(questions.max_tokens, 64)}
    return recipe.model_copy(
        update={
            "name": f"{recipe.name}-smoke",
            "data": data.model_copy(update=fewer),
            "train": train.model_copy(update=shorter),
            "eval": questions.model_copy(update=asked),
        }
    )


def dump_recipe(recipe: Recipe) -> str:
    """The recipe with every default written out, as YAML that reads back to an equal one."""
    value = recipe.model_dump(mode="json")
    return yaml.safe_dump(value, allow_unicode=True, sort_keys=False)


def _note_lines(
    node: yaml.Node | None, place: Place, lines: dict[Place, int]
) -> tuple[int, str] | None:
    """Note the line of every key and item; return (line, problem) of the first key that is given
    twice or is no text."""
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            inner = (*place, str(key.value))
            line = key.start_mark.line + 1
            if key.tag not in _KEY_TAGS:  # `on` and `no` are truth values in YAML, `1` is a number
                return line, f"the key {_dotted(inner)!r} is read as no text; put it in quotes."
            if inner in lines:
                return line, f"the key {_dotted(inner)!r} is given twice."
            lines[inner] = line
            if found := _note_lines(item, inner, lines):
                return found
    elif isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            lines[(*place, i)] = item.start_mark.line + 1
            if found := _note_lines(item, (*place, i), lines):
                return found
    return None


def _odd_values(given: Any, checked: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Values that pydantic takes and no person means: `epochs: yes` is 1 to it."""
    if isinstance(given, dict) and isinstance(checked, dict):
        for key, item in given.items():
            yield from _odd_values(item, checked.get(key), (*place, key))
    elif isinstance(given, list) and isinstance(checked, list):
        for i, (item, result) in enumerate(zip(given, checked, strict=False)):
            yield from _odd_values(item, result, (*place, i))
    elif isinstance(given, bool) and not isinstance(checked, bool):
        yield place, "yes, no, true and false are no numbers."
    elif isinstance(checked, float) and not math.isfinite(checked):
        yield place, "input should be a finite number."


def _explain(item: Any, path: Path, origins: Origins) -> str:
    place: Place = item["loc"]
    known = next((place[:n] for n in range(len(place), 0, -1) if place[:n] in origins), ())
    where = origins[known] if known else str(path)
    if item["type"] == "extra_forbidden":
        names = _keys_at(Recipe, place[:-1])
        near = difflib.get_close_matches(str(place[-1]), names, n=1, cutoff=0.4)
        advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}."
        return f"{where}: unknown key {_dotted(place)!r}; {advice}"
    if item["type"] == "missing":
        return f"{where}: the key {_dotted(place)!r} is missing."
    if item["type"] in ("model_type", "dict_type"):
        return f"{where}: {_dotted(place)}: must be a mapping of keys to values."
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {_dotted(place)}: {message[:1].lower()}{message[1:]}."


def _keys_at(model: Any, place: Place) -> list[str]:
    """The keys that the schema knows at a place of the recipe."""
    for step in place:
        if isinstance(step, int):
            continue
        field = getattr(model, "model_fields", {}).get(step)
        if field is None:
            return []
        candidates = [field.annotation, *typing.get_args(field.annotation)]
        model = next((c for c in candidates if hasattr(c, "model_fields")), None)
    return list(getattr(model, "model_fields", {}))


def _annotation(place: Place) -> Any:
    """The type that the schema has for a place; None if it knows none."""
    model: Any = Recipe
    found: Any = None
    for step in place:
        if isinstance(step, int):
            found = None
            continue
        field = getattr(model, "model_fields", {}).get(step)
        if field is None:
            return None
        found = field.annotation
        union = typing.get_origin(found) in (typing.Union, types.UnionType)
        candidates = typing.get_args(found) if union else (found,)
        model = next((c for c in candidates if hasattr(c, "model_fields")), None)
        if str in candidates:
            found = str
    return found


def _dotted(place: Place) -> str:
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
