"""The `export:` part of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from formosa.engines.gguf_levels import AdapterLevel, Quantisation

__all__ = ["ExportConfig", "Quantisation"]


class ExportConfig(BaseModel):
    """How the trained model is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quantisation: Quantisation = Field(
        "Q8_0", description="How the matrices are stored in the file that is served and measured"
    )
    levels: tuple[Quantisation, ...] = Field(
        (), description="Further files, to compare: size, speed, and what is lost"
    )
    adapter: AdapterLevel | None = Field(
        None,
        description="Of an adapter: write it alone, too. It is then what is served and measured, "
        "added to the base's own file",
    )
    parity_tokens: int = Field(
        24, ge=1, description="Greedy tokens compared with the checkpoint, for each prompt"
    )

    @property
    def every_level(self) -> tuple[Quantisation, ...]:
        """All levels to be written, the one that is served first."""
        return tuple(dict.fromkeys((self.quantisation, *self.levels)))
