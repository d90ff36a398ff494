"""How many rows a teacher is asked for, of what, and how it is asked.

Everything that changes a request is here, and is written at the head of the journal: answers to
other requests are never taken for answers to these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from formosa.data.rows import LANGUAGES
from formosa.data.synth.generate import check_names

KINDS: dict[str, float] = {
    "single": 20,
    "multiple": 30,
    "parallel": 15,
    "parallel_multiple": 15,
    "irrelevant": 10,
    "missing": 10,
}
"""Kinds of rows and their weights where none are named."""


class TeacherConfig(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    questions: int = Field(default=100, ge=1, description="How many questions are asked for.")
    seed: int = Field(default=0, ge=0, description="Of the dice: what each row is about.")
    kinds: dict[str, float] = Field(
        default_factory=lambda: dict(KINDS), description="Weight of each kind of row."
    )
    languages: dict[str, float] = Field(
        default_factory=lambda: {"zh-TW": 60.0, "en": 40.0}, description="Weight of each language."
    )
    topics: tuple[str, ...] = Field(
        default=(), description="What questions are about; by default what the tool is for."
    )
    temperature: float = Field(
        default=0.7, gt=0, le=2, description="Two samples of a teacher at 0 always agree."
    )
    max_tokens: int = Field(default=1024, ge=16, description="Of each reply, thoughts included.")
    max_tools: int = Field(default=6, ge=2, le=32, description="Most tools offered in one row.")
    thinking: bool = Field(default=False, description="Keep the teacher's thoughts in the rows.")

    @field_validator("kinds")
    @classmethod
    def _known_kinds(cls, value: dict[str, float]) -> dict[str, float]:
        check_names(value, tuple(KINDS), "kind")
        return value

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: dict[str, float]) -> dict[str, float]:
        check_names(value, LANGUAGES, "language")
        return value

    def of_requests(self) -> Mapping[str, Any]:
        """What requests depend on. Not their number: more may be asked for later."""
        return self.model_dump(mode="json", exclude={"questions"})
