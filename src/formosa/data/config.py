"""The `data:` part of a recipe: where rows come from, and how many of what.

Unknown keys are errors; every field says what it means and in which unit.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from formosa.data.synth.generate import DEFAULT_KINDS, DEFAULT_LANGUAGES, check_weights
from formosa.errors import RecipeError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SynthConfig(_Part):
    """Rows from our own generator."""

    rows: int = Field(default=450, ge=0, description="How many training rows to generate.")
    kinds: dict[str, float] = Field(
        default_factory=lambda: dict(DEFAULT_KINDS),
        description="Weight of each kind of conversation; a kind that is not named has none.",
    )
    languages: dict[str, float] = Field(
        default_factory=lambda: dict(DEFAULT_LANGUAGES),
        description="Weight of each language: zh-TW and en.",
    )

    @model_validator(mode="after")
    def _known(self) -> SynthConfig:
        check_weights(self.kinds, self.languages)
        return self


class FileConfig(_Part):
    """Rows from a JSONL file with `messages` and `tools`."""

    path: Path = Field(description="The file; relative to the folder of the recipe.")
    licence: str = Field(min_length=1, description="Licence of the rows; goes into the model card.")
    format: Literal["messages"] = Field(
        default="messages", description="`messages`: the OpenAI shape, one conversation a line."
    )
    name: str = Field(default="", description="Name of the source; the file's name if not given.")
    limit: int | None = Field(
        default=None, ge=1, description="At most this many rows, drawn with the seed."
    )

    @property
    def source(self) -> str:
        return self.name or self.path.stem


class DataConfig(_Part):
    """Everything that decides which rows a model is trained on."""

    seed: int = Field(default=1, ge=0, description="Same seed, same files: same bytes.")
    synth: SynthConfig = Field(
        default_factory=SynthConfig, description="Rows from our own generator."
    )
    files: list[FileConfig] = Field(default_factory=list, description="Rows from JSONL files.")
    heldout: int = Field(
        default=40,
        ge=0,
        description="Rows kept from training, to measure exact calls on; from the generator "
        "(with tools and wordings that training never sees) and from the files, by their size.",
    )
    max_characters: int | None = Field(
        default=None,
        ge=1,
        description="Longer rows are dropped and counted (characters of the rendered row). "
        "The limit in tokens is the trainer's.",
    )
    skip_bad: bool = Field(
        default=False, description="Drop and count bad rows of files, instead of refusing them."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> DataConfig:
        names = [item.source for item in self.files]
        if len(set(names) | {"synth"}) <= len(names):
            raise ValueError("two sources have the same name; give them a `name` each")
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
    known = [name for part in (DataConfig, SynthConfig, FileConfig) for name in part.model_fields]
    near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
    return f"unknown key {place}" + (f", did you mean {near[0]!r}" if near else "")
