"""`POST /v1/completions`: raw text, continued by the text engine behind a chat model.

Control tokens in a prompt are read as such: whoever uses this route renders for himself. What
comes back is what the model wrote, with nothing parsed.

Reference: https://platform.openai.com/docs/api-reference/completions.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any

from formosa.engines.protocol import Logprob, Piece, Sampling, Usage
from formosa.errors import MessageError
from formosa.serve.logprobs import text_logprobs
from formosa.serve.protocol import SamplingBody, TopLogprobs, json_bytes, only, refused, seed_of
from formosa.serve.stream import joint_usage, usage_object
from formosa.serve.structured import read_shape

DEFAULT_TOKENS = 16  # as the API promises where nothing is said


class TextBody(SamplingBody):
    prompt: Any
    logprobs: TopLogprobs | None = None

    # Known, and only their neutral values can be honoured.
    echo: Annotated[None, only([False], "the prompt is not sent back")] = None
    suffix: Annotated[None, only([""], "text is only continued at its end")] = None
    best_of: Annotated[None, only([1], "only 1 is supported: use n")] = None
    add_special_tokens: Annotated[
        None, only([False], "nothing is added to a prompt: only false is supported")
    ] = None

    def prompts(self) -> list[str]:
        """
        Raises:
            RequestError: it is not text, or a list of texts.
        """
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if not isinstance(prompts, list) or not prompts or len(prompts) > 128:
            raise refused("prompt", "must be text, or a list of 1 to 128 texts")
        for i, prompt in enumerate(prompts):
            if not isinstance(prompt, str):
                raise refused(
                    f"prompt[{i}]", "must be text: prompts of token ids are not read here"
                )
            if not prompt:
                raise refused(f"prompt[{i}]" if len(prompts) > 1 else "prompt", "is empty")
        return prompts

    def samplings(self, tag_tokens: Collection[str] = ()) -> list[Sampling]:
        """How tokens are chosen, once for each choice.

        Args:
            tag_tokens: tags that a grammar for the engine must name as tokens.

        Raises:
            RequestError: with the path of the field that can't be honoured.
        """
        shape = read_shape(None, self.structured_outputs, tag_tokens)
        grammar = shape.grammar
        if shape.json_schema is not None:
            from formosa.chat.grammar import reply_grammar

            try:
                grammar = reply_grammar(json_schema=shape.json_schema)
            except MessageError as error:
                path = f"structured_outputs.json{error.path.removeprefix('json_schema')}"
                raise refused(path, error.problem) from error
        fields = self.sampling_fields()
        return [
            Sampling(
                **{**fields, "seed": seed_of(self.seed, index)},
                max_tokens=self.max_tokens or DEFAULT_TOKENS,
                grammar=grammar,
                logprobs=self.logprobs,
            )
            for index in range(self.n or 1)
        ]


@dataclass
class _Text:
    """One choice as it grows."""

    length: int = 0  # characters
    parts: list[str] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    finish: str | None = None
    usage: Usage | None = None


class TextAnswer:
    """The continuations of one or more prompts on their way to a client.

    Args:
        model: the name that the client used.
        jobs: a prompt and how it is continued, for each choice.
        each: choices for each prompt.
    """

    def __init__(self, model: str, jobs: Sequence[tuple[str, Sampling]], *, each: int) -> None:
        self.jobs = jobs
        self._model = model
        self._each = each
        self._logprobs = any(sampling.logprobs is not None for _, sampling in jobs)
        self.id = f"cmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())
        self.texts = [_Text() for _ in jobs]

    def add(self, index: int, piece: Piece) -> None:
        text = self.texts[index]
        text.parts.append(piece.text)
        text.logprobs.extend(piece.logprobs)
        text.length += len(piece.text)
        if piece.finish is not None:
            text.finish, text.usage = piece.finish, piece.usage

    def whole(self) -> dict[str, Any]:
        choices = [
            self._choice(i, "".join(text.parts), text.logprobs, 0, text.finish)
            for i, text in enumerate(self.texts)
        ]
        return {**self._head(), "choices": choices, "usage": self.usage()}

    def usage(self) -> dict[str, Any] | None:
        """Every prompt counts once, however many choices it has."""
        groups = [
            joint_usage([text.usage for text in self.texts[start : start + self._each]])
            for start in range(0, len(self.texts), self._each)
        ]
        known = [usage for usage in groups if usage is not None]
        if len(known) < len(groups):
            return None
        return usage_object(Usage(*map(sum, zip(*known, strict=True))))

    async def sse(
        self, pieces: AsyncGenerator[tuple[int, Piece], None], *, usage: bool
    ) -> AsyncGenerator[bytes, None]:
        """Server-sent events of pieces that were added."""
        async with aclosing(pieces):
            async for index, piece in pieces:
                before = self.texts[index].length - len(piece.text)
                choice = self._choice(index, piece.text, piece.logprobs, before, piece.finish)
                yield _sse({**self._head(), "choices": [choice]})
        if usage:
            yield _sse({**self._head(), "choices": [], "usage": self.usage()})

    def _choice(
        self, index: int, text: str, logprobs: Sequence[Logprob], offset: int, finish: str | None
    ) -> dict[str, Any]:
        return {
            "index": index,
            "text": text,
            "logprobs": text_logprobs(logprobs, offset) if self._logprobs else None,
            "finish_reason": finish,
        }

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self._created,
            "model": self._model,
        }


def _sse(value: dict[str, Any]) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"
