"""One entry of `sources:` in a recipe: where rows come from, and how they are to be read.

Says nothing of how many rows of which source a mixture takes beyond `limit` and `weight`: that is
the pipeline's. Unknown keys are errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

WILD = "*?["  # a path with one of these is a pattern


class SourceConfig(BaseModel):
    """A file, a folder or a pattern of files, or a data set of the Hugging Face hub."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        default="", description="Name in reports; the file's or data set's own if not given."
    )
    path: Path | None = Field(
        default=None,
        description="A .jsonl, .json or .parquet file (the first two also .gz or .zst), a folder "
        "of them, or a pattern such as data/*.jsonl; relative to the folder of the recipe.",
    )
    hub: str = Field(
        default="",
        description="A data set of the hub as org/name, or one of the names that are known here.",
    )
    revision: str = Field(
        default="main",
        min_length=1,
        description="Commit, tag or branch of the data set; the report holds the full commit.",
    )
    config: str = Field(default="", description="Which of the data set's configurations.")
    split: str = Field(
        default="train", min_length=1, description="Which split of the data set on the hub."
    )
    files: tuple[str, ...] = Field(
        default=(),
        description="Patterns of the files to read within the data set or the folder, instead of "
        "choosing by config and split.",
    )
    format: str = Field(
        default="auto",
        description="How a row is written; `auto` looks at the first rows and says what it found.",
    )
    licence: str = Field(
        default="",
        description="Licence of the rows, for the model card; the data set's own if not given.",
    )
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Fields to leave out; any other field that would be lost is an error. "
        "messages.weight is the field weight of every message.",
    )
    scores: tuple[str, ...] = Field(
        default=(), description="Fields that hold a number about the row, kept beside it."
    )
    text_field: str = Field(
        default="text",
        min_length=1,
        description="The field that holds the document, for the format `text`.",
    )
    limit: int | None = Field(
        default=None, ge=1, description="At most this many rows, drawn with the seed."
    )
    weight: float = Field(
        default=1.0, gt=0, description="Share in the mixture, relative to the other sources."
    )
    reasoning: Literal["keep", "drop"] = Field(
        default="keep",
        description="Thoughts of the replies: keep them, or leave them out, so that the model "
        "learns to answer at once.",
    )
    arrow_nulls: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="What to do where Parquet merged the keys of tools or arguments: stop, or "
        "drop every key that is null there.",
    )
    convert: Literal["refuse", "convert", "keep"] = Field(
        default="refuse",
        description="Rows in Simplified Chinese: reject them, convert them, or keep them so.",
    )

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        from formosa.data.formats.registry import FORMATS

        if value != "auto" and value not in FORMATS:
            raise ValueError(f"no format {value!r}; there are auto, {', '.join(FORMATS)}")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> SourceConfig:
        if (self.path is None) == (not self.hub):
            raise ValueError("give either path or hub")
        if self.path is not None:
            for name in ("revision", "config", "split"):  # a default written out changes nothing
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} belongs to hub; files chooses within a folder")
            if not self.licence.strip():
                raise ValueError("a path needs its licence, which goes into the model card")
        return self

    @property
    def source(self) -> str:
        """The name in reports."""
        if self.name:
            return self.name
        if self.path is None:
            return self.hub.rpartition("/")[2]
        plain = self.path
        while any(sign in plain.name for sign in WILD):
            plain = plain.parent
        return plain.name.partition(".")[0] or "files"
