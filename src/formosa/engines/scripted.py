"""An engine that says what it is told to, for tests, examples and trying things without a model.

It streams its replies a few characters at a time, so what reads it meets tags that are cut, and it
honours `stop` and `max_tokens` (one token is one character here).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Literal

from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling, Usage
from formosa.errors import ContextError, EngineError

Script = Iterable[str] | Callable[[str], str]


class ScriptedEngine:
    """Says the next reply of a script, or what a function of the prompt returns.

    Attributes:
        prompts: every prompt it was asked to continue, in order.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        chunk: int = 3,
        context: int = 1_000_000,
        family: str = "chatml",
    ) -> None:
        self._next = script if callable(script) else _from_list(script)
        self._chunk = chunk
        self._info = ModelInfo(
            name=name,
            context=context,
            template=ChatTemplate.formosa(family),
            details={"engine": "scripted"},
        )
        self.prompts: list[str] = []

    @property
    def info(self) -> ModelInfo:
        return self._info

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        prompt = prompt if isinstance(prompt, str) else "".join(prompt)
        context = self._info.context or 0
        if len(prompt) + (sampling.max_tokens or 1) > context:
            raise ContextError(len(prompt), sampling.max_tokens or 1, context)
        self.prompts.append(prompt)
        text = self._next(prompt)
        finish: Literal["stop", "length"] = "stop"
        ends = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
        if ends:
            text = text[: min(ends)]
        if sampling.max_tokens is not None and len(text) > sampling.max_tokens:
            text, finish = text[: sampling.max_tokens], "length"
        for start in range(0, len(text), self._chunk):
            yield Piece(text[start : start + self._chunk])
        yield Piece("", finish, Usage(len(prompt), len(text)))

    async def tokenize(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    async def aclose(self) -> None:
        return None


def _from_list(replies: Iterable[str]) -> Callable[[str], str]:
    iterator = iter(replies)

    def following(prompt: str) -> str:
        for reply in iterator:
            return reply
        raise EngineError("The script has no more replies.")

    return following
