"""The `export:` part of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Quantisation = Literal["F32", "F16", "BF16", "Q8_0"]


class ExportConfig(BaseModel):
    """How the trained model is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantisation: Quantisation = Field("Q8_0", description="How the matrices are stored")
    parity_tokens: int = Field(
        24, ge=1, description="Greedy tokens compared with the checkpoint, for each prompt"
    )
