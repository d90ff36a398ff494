"""The `eval:` part of a recipe.

eval:
  tasks:
    - {name: bfcl-simple, limit: 40}
    - {name: mini-zh-tw, repeats: 3, seed: 7}
  max_tokens: 256
  concurrency: 4
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from formosa.engines.protocol import Sampling
from formosa.evals.registry import DEFAULT, TASKS, is_task


class TaskConfig(BaseModel):
    """One task and how much of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="The task, as `formosa eval tasks` names it.")
    limit: int | None = Field(
        None,
        ge=1,
        description="Ask only so many samples, spread evenly and always the same; all if left out.",
    )
    base_limit: int | None = Field(
        None,
        ge=1,
        description="Ask the base only so many, where the trained model is asked all.",
    )
    repeats: int = Field(1, ge=1, description="How often each sample is asked.")
    max_tokens: int | None = Field(
        None, ge=1, description="Tokens of a reply, where this task wants another limit."
    )
    seed: int = Field(
        0, description="Of the order of options, and of the sampling if the temperature is above 0."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not is_task(name):
            raise ValueError(f"no such task; the tasks: {', '.join(TASKS)}")
        return name

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.limit is not None and self.base_limit is not None:
            raise ValueError(
                "base_limit goes with all samples: two limits choose samples of their own, and the "
                "pair would share none"
            )
        return self

    def limit_of(self, role: str) -> int | None:
        """How many samples `base` or `trained` is asked; None: all."""
        return self.base_limit if role == "base" and self.base_limit else self.limit


class EvalConfig(BaseModel):
    """Which tasks are asked, of the base model and of the trained one alike."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: list[TaskConfig] = Field(
        default_factory=lambda: [TaskConfig(name=name) for name in DEFAULT],
        min_length=1,
        description="The tasks, in the order in which they are asked; six small ones if left out.",
    )
    max_tokens: int = Field(
        512, ge=1, description="Tokens of a reply; a longer one is cut and may count as truncated."
    )
    temperature: float = Field(0.0, ge=0, le=2, description="0 is greedy: the likeliest token.")
    concurrency: int = Field(
        4, ge=1, description="Requests at the same time; an engine in process has as many slots."
    )
    hold_calls: bool = Field(
        False, description="Hold calls to the schemas of their tools, by a grammar; logs say so."
    )
    context: int = Field(
        4096, ge=256, description="Tokens of prompt and reply together, for each of them."
    )

    @field_validator("tasks")
    @classmethod
    def _each_once(cls, tasks: list[TaskConfig]) -> list[TaskConfig]:
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:  # they would write the same log
                raise ValueError(f"the task {name} is there twice")
        return tasks

    def sampling(self, task: TaskConfig) -> Sampling:
        """How replies to the questions of `task` are generated."""
        return Sampling(temperature=self.temperature, max_tokens=task.max_tokens or self.max_tokens)
