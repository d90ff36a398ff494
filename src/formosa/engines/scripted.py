"""An engine that says what it is told to, for tests, examples and trying things without a model.

It streams its replies a few characters at a time, so what reads it meets tags that are cut. One
token is one character. It honours `stop`, `max_tokens` and `logprobs`, and `grammar` where a second
script says what it writes under one. Temperature, cuts, penalties and seed have nothing to choose
from: there is one thing that it can say. A bias would change that, and is refused.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from typing import Literal

from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import (
    Logprob,
    ModelInfo,
    Piece,
    Prompt,
    Sampling,
    TokenLogprob,
    Usage,
)
from formosa.errors import ContextError, EngineError, UnsupportedError

Script = Iterable[str] | Callable[[str], str]


class ScriptedEngine:
    """Says the next reply of a script, or what a function of the prompt returns.

    Args:
        script: replies in order, or a function of the prompt.
        under: what is said when a grammar is asked for: replies in order, or a function of the
            grammar. Nobody checks that they fit. Left out, grammars are refused.
        control_tokens: texts that its tokenizer is said to read as control tokens.
        tag_tokens: tags that its grammars are said to name as tokens.

    Attributes:
        prompts: every prompt it was asked to continue, in order, as one text.
        requests: the same, in pieces and with how tokens were to be chosen.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        chunk: int = 3,
        context: int = 1_000_000,
        family: str = "chatml",
        under: Script | None = None,
        control_tokens: Collection[str] = (),
        tag_tokens: Collection[str] = (),
    ) -> None:
        self._next = _following(script)
        self._under = None if under is None else _following(under)
        self._chunk = chunk
        self._info = ModelInfo(
            name=name,
            context=context,
            template=ChatTemplate.formosa(family),
            details={"engine": "scripted"},
            control_tokens=frozenset(control_tokens),
        )
        self._tag_tokens = frozenset(tag_tokens)
        self.prompts: list[str] = []
        self.requests: list[tuple[Prompt, Sampling]] = []

    @property
    def info(self) -> ModelInfo:
        return self._info

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        whole = prompt if isinstance(prompt, str) else "".join(prompt)
        context = self._info.context or 0
        if len(whole) + (sampling.max_tokens or 1) > context:
            raise ContextError(len(whole), sampling.max_tokens or 1, context)
        if sampling.logit_bias:
            raise UnsupportedError("logit_bias", "a script has no tokens to choose from")
        if sampling.grammar is not None and self._under is None:
            raise UnsupportedError("grammar", "this script follows none")
        self.prompts.append(whole)
        self.requests.append((prompt, sampling))
        if sampling.grammar is not None and self._under is not None:
            text = self._under(sampling.grammar)
        else:
            text = self._next(whole)
        finish: Literal["stop", "length"] = "stop"
        ends = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
        if ends:
            text = text[: min(ends)]
        if sampling.max_tokens is not None and len(text) > sampling.max_tokens:
            text, finish = text[: sampling.max_tokens], "length"
        for start in range(0, len(text), self._chunk):
            piece = text[start : start + self._chunk]
            yield Piece(piece, logprobs=_certain(piece, sampling.logprobs))
        yield Piece("", finish, Usage(len(whole), len(text)))

    async def tokenize(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    async def tag_tokens(self) -> frozenset[str]:
        return self._tag_tokens

    async def aclose(self) -> None:
        return None


def _certain(text: str, top: int | None) -> tuple[Logprob, ...]:
    if top is None:
        return ()
    tokens = [TokenLogprob(c, 0.0, c.encode(), ord(c)) for c in text]
    return tuple(Logprob(token, (token,)[:top]) for token in tokens)


def _following(script: Script) -> Callable[[str], str]:
    if callable(script):
        return script
    iterator = iter(script)

    def following(_: str) -> str:
        for reply in iterator:
            return reply
        raise EngineError("The script has no more replies.")

    return following
