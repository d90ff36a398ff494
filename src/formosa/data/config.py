"""The `data:` part of a recipe: where rows come from, how many of what, and what happens to them.

Unknown keys are errors; every field says what it means and in which unit. The parts are written
where they are used: `sources/config.py`, `synth/config.py`, `cleaning_config.py`.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from formosa.data.cleaning_config import (
    CleanConfig,
    DecontaminationConfig,
    DuplicateConfig,
    QualityConfig,
)
from formosa.data.sources.config import SourceConfig
from formosa.data.synth.config import SynthConfig
from formosa.errors import RecipeError


class MixtureConfig(BaseModel):
    """How many rows of each source are trained on, by the sources' weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = Field(
        default=None,
        ge=1,
        description="Training rows in all. Without it as many as the weights allow: the scarcest "
        "source decides, or with `repeat` the richest.",
    )
    repeat: bool = Field(
        default=False,
        description="Whether a source with too few rows gives them several times. If not, it gives "
        "what it has, and the others no more than their share.",
    )


class DataConfig(BaseModel):
    """Everything that decides which rows a model is trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=1, ge=0, description="Same seed, same files: same bytes.")
    synth: SynthConfig = Field(
        default_factory=SynthConfig,
        description="Rows from our own generator; none where only `sources` are given.",
    )
    sources: list[SourceConfig] = Field(
        default_factory=list, description="Rows from files and from data sets of the hub."
    )
    mixture: MixtureConfig | None = Field(
        default=None, description="Draw rows by the sources' weights. null: every row is used."
    )
    heldout: int = Field(
        default=40,
        ge=0,
        description="Rows kept from training, to measure exact calls on; from the generator "
        "(with tools and wordings that training never sees) and from the sources, by their size "
        "or, in a mixture, by their weight.",
    )
    clean: CleanConfig = Field(
        default_factory=CleanConfig, description="Script, punctuation, vocabulary of sources' rows."
    )
    quality: QualityConfig = Field(
        default_factory=QualityConfig, description="Which of the sources' rows are not learnt."
    )
    duplicates: DuplicateConfig = Field(
        default_factory=DuplicateConfig, description="Which rows say the same as an earlier one."
    )
    decontaminate: DecontaminationConfig = Field(
        default_factory=DecontaminationConfig,
        description="Rows that a benchmark asks are left out, whatever they come from.",
    )
    max_characters: int | None = Field(
        default=None,
        ge=1,
        description="Longer rows are left out (characters of all their texts, without what a "
        "template adds). The limit in tokens is the trainer's.",
    )
    skip_bad: bool = Field(
        default=False,
        description="Leave out and count rows that cannot be read or trained on, instead of "
        "stopping at the first.",
    )
    rejects: int | None = Field(
        default=1000,
        ge=0,
        description="Refused rows that rejects.jsonl keeps, of each source and reason; all are "
        "counted. null: all are kept.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if "files" in value:
            raise ValueError("`files` is called `sources` now, with the same keys")
        if value.get("sources") and "synth" not in value:
            return {**value, "synth": {"rows": 0}}  # who names sources wants those
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> DataConfig:
        names = [item.source for item in self.sources]
        if len(set(names) | {"synth"}) <= len(names):
            raise ValueError("two sources have the same name; give them a `name` each")
        weights = [self.synth.weight, *(source.weight for source in self.sources)]
        if self.mixture is None and any(weight != 1 for weight in weights):
            raise ValueError("a weight is for a mixture; add `mixture: {}` (or leave weights out)")
        return self


def load_data_config(path: Path) -> DataConfig:
    """The `data:` part of a YAML file, or the whole file where it has no such key.

    Raises:
        RecipeError: not readable, not YAML, or it doesn't fit; names the field and a near key.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read {path}: {error}.") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}.") from error
    prefix = ""
    if isinstance(value, dict) and "data" in value:
        value, prefix = value["data"], "data."
    try:
        return DataConfig.model_validate({} if value is None else value)
    except ValidationError as error:
        problems = [_explain(item, prefix) for item in error.errors(include_url=False)]
        raise RecipeError(f"{path}: {'; '.join(problems)}.") from error


def _explain(item: Any, prefix: str) -> str:
    place = prefix + ".".join(map(str, item["loc"]))
    if item["type"] != "extra_forbidden":
        return f"{place.rstrip('.') or 'the file'}: {item['msg'].removeprefix('Value error, ')}"
    near = difflib.get_close_matches(str(item["loc"][-1]), list(_keys(DataConfig)), n=1)
    return f"unknown key {place}" + (f", did you mean {near[0]!r}" if near else "")


def _keys(part: type[BaseModel]) -> Iterator[str]:
    """The names of all fields, and of those below them."""
    for name, info in part.model_fields.items():
        yield name
        for kind in (info.annotation, *typing.get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _keys(kind)
