"""The `train:` part of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LoraConfig(BaseModel):
    """Low-rank adapters on all linear layers; the weights of the base stay as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1, description="Width of the adapter: more room to learn, more memory")
    alpha: float = Field(32, gt=0, description="Scale of the adapter; usually twice the rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of adapter inputs left out")


class TrainConfig(BaseModel):
    """How a model is fine-tuned."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["lora", "full"] = Field("lora", description="Adapters, or all weights")
    lora: LoraConfig = LoraConfig()
    learning_rate: float = Field(1e-3, gt=0, description="Peak rate; full tuning wants 10× less")
    warmup_steps: int = Field(5, ge=0, description="Steps of linear rise to the peak")
    epochs: float = Field(1.0, gt=0, description="Passes over the rows")
    max_steps: int | None = Field(None, ge=1, description="Stop after so many steps at the latest")
    rows_per_step: int = Field(8, ge=1, description="Rows whose gradients make one step")
    rows_at_once: int = Field(4, ge=1, description="Rows computed together, of like length")
    max_tokens: int = Field(1024, ge=16, description="Longest row, in tokens")
    overlong: Literal["raise", "drop"] = Field(
        "raise", description="What happens to longer rows; they are never cut"
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm")
    precision: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="Of the weights in computation; adapters are always float32"
    )
    seed: int = Field(7, description="Order of the rows, and the adapter's first values")
    save_every: int = Field(10, ge=1, description="Steps between checkpoints to continue from")
    measure_every: int = Field(25, ge=1, description="Steps between measurements on held-out rows")
    measure_rows: int = Field(8, ge=0, description="Held-out rows asked for their exact calls")
    measure_tokens: int = Field(96, ge=8, description="Longest reply in that measurement")
