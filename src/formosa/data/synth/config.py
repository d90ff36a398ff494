"""The `synth:` part of a recipe: how many generated rows, of what, and how.

Unknown keys are errors. Knows what the generator can do; `formosa.data.config` joins it with the
rest of a recipe.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from formosa.data.synth.generate import DEFAULT_KINDS, DEFAULT_LANGUAGES, check_weights
from formosa.data.synth.stage import CHINESE_DOCS


class SynthConfig(BaseModel):
    """Rows from our own generator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(default=450, ge=0, description="How many training rows to generate.")
    weight: float = Field(
        default=1.0, gt=0, description="Share in the mixture, relative to the sources'."
    )
    kinds: dict[str, float] = Field(
        default_factory=lambda: dict(DEFAULT_KINDS),
        description="Weight of each kind of conversation; a kind that is not named has none.",
    )
    languages: dict[str, float] = Field(
        default_factory=lambda: dict(DEFAULT_LANGUAGES),
        description="Weight of each language: zh-TW and en.",
    )
    thinking: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of the rows (0 to 1) that are followed by a twin: the same conversation "
        "with short reasoning before each reply. Twins come on top of `rows`.",
    )
    manuals: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of the rows (0 to 1) whose tools are documented at length: defaults, "
        "options and examples in sentences instead of the schema.",
    )
    chinese_docs: float = Field(
        default=CHINESE_DOCS,
        ge=0.0,
        le=1.0,
        description="Share of the zh-TW rows (0 to 1) whose tools are documented in Chinese; the "
        "others' are in English, as most tools are.",
    )
    questions: int = Field(
        default=1,
        ge=1,
        le=50,
        description="Rows that are made about the same tools; with `train.share_prefix` their "
        "tools are computed once.",
    )
    max_tools: int = Field(
        default=6, ge=2, le=12, description="Most tools that are offered in one row."
    )

    @model_validator(mode="after")
    def _known(self) -> SynthConfig:
        check_weights(self.kinds, self.languages)
        if self.questions > 1 and self.thinking:
            raise ValueError("thinking twins are made of rows alone: set questions: 1")
        return self
