"""Any OpenAI-compatible server as a text engine: our own rendering goes in, raw text comes out.

Our parser reads that text, so the same words give the same message, whatever the server's chat
layer thinks (`remote_chat.py` is the one that believes it). An answer that breaks off is an error,
never a short answer. Retries: see `endpoint.py`. What each program honours: see `dialect.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal, Unpack

from formosa.engines.dialect import (
    PROBE_TOKENS,
    FollowedGrammars,
    grammar_fields,
    neutral_fields,
    sampling_fields,
    text_logprob_fields,
)
from formosa.engines.endpoint import NotThereError, Remote, RemoteOptions, Server
from formosa.engines.http import sse_objects
from formosa.engines.logprobs import Ledger, from_columns, from_content
from formosa.engines.protocol import Logprob, Piece, Prompt, Sampling, Usage
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import (
    ContextError,
    EngineError,
    MessageError,
    UnsupportedError,
    UserError,
)


def read_usage(value: Any) -> Usage | None:
    """The token counts of an answer."""
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details") or {}
    return Usage(
        int(value.get("prompt_tokens") or 0),
        int(value.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )


class RemoteText(Remote):
    """Continues text on a server with `/v1/completions`.

    Where the server has `/tokenize` (vLLM, llama.cpp), prompts go as token ids, so that it adds no
    token of its own, and pieces stay pieces. Elsewhere they go as text, joined. What a request does
    not ask for is said, too, where the server has defaults that would change the answer.

    Args:
        vocabulary: the model's tokens, where its files are here: then log-probabilities have the
            bytes and numbers of their tokens on vLLM too.
        **options: as in `Remote`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        vocabulary: Vocabulary | None = None,
        **options: Unpack[RemoteOptions],
    ) -> None:
        super().__init__(base_url, **options)
        self.vocabulary = vocabulary
        self._tokenizes: bool | None = None
        self._followed = FollowedGrammars()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        who = self._endpoint.who
        pieces = (prompt,) if isinstance(prompt, str) else prompt
        found = [await self._ids(piece) for piece in pieces]
        known = [ids for ids in found if ids is not None]
        ids = sum(known, []) if len(known) == len(pieces) else None
        if ids is None and len(pieces) > 1:
            raise MessageError(
                "messages", f"one spells a control token, which {who} would read as such"
            )
        sampling = await self._with_limit(sampling, ids)
        if sampling.max_tokens == 0 and ids is not None:
            yield Piece("", "length", Usage(len(ids), 0))
            return
        server = await self._endpoint.server()
        body = {
            "model": await self._endpoint.model(),
            "prompt": "".join(pieces) if ids is None else ids,
            "stream": True,
            "stream_options": {"include_usage": True},
            "skip_special_tokens": False,  # vLLM would drop tags that are control tokens
            **neutral_fields(server),
            **sampling_fields(sampling, server, who=who),
            **text_logprob_fields(sampling, server, ids=self.vocabulary is not None),
        }
        if sampling.grammar is not None:
            body |= grammar_fields(sampling.grammar, server, who=who)
            if server.kind == "llama.cpp":
                await self._check_grammar(sampling.grammar, body, server)
        finish: Literal["stop", "length"] | None = None
        usage: Usage | None = None
        ledger, reported, wrote = Ledger(), 0, False
        async with (
            self._endpoint.ask("/completions", body) as response,
            aclosing(sse_objects(response, who=who)) as events,
        ):
            async for event in events:
                usage = read_usage(event.get("usage")) or usage
                for choice in event.get("choices") or ():
                    text = choice.get("text") or ""
                    tokens: tuple[Logprob, ...] = ()
                    if sampling.logprobs is not None:
                        tokens = self._logprobs(choice.get("logprobs"), sampling.logprobs)
                        reported += len(tokens)
                        tokens = ledger.feed(tokens, text)
                    if text or tokens:
                        wrote = True
                        yield Piece(text, logprobs=tokens)
                    if choice.get("finish_reason"):
                        finish = "length" if choice["finish_reason"] == "length" else "stop"
        if finish is None:
            raise EngineError(f"{who} broke off before the reply ended.")
        if sampling.logprobs is not None and wrote and not reported:
            raise UnsupportedError("logprobs", f"{who} sent none")
        kept_back = sampling.logprobs is not None and usage and reported < usage.completion
        if kept_back and server.kind == "llama.cpp":  # those that end inside a character
            raise UnsupportedError("logprobs", f"{who} kept some of them to itself")
        yield Piece("", finish, usage)

    async def tokenize(self, text: str) -> list[int]:
        ids = await self._ids(text)
        if ids is None:
            raise EngineError(f"{self._endpoint.who} has no /tokenize.")
        return ids

    async def tag_tokens(self) -> frozenset[str]:
        if self.vocabulary is None:
            return frozenset()
        server = await self._endpoint.server()
        return self.vocabulary.tag_tokens(user_defined=server.kind == "vllm")

    async def _with_limit(self, sampling: Sampling, ids: list[int] | None) -> Sampling:
        """With `max_tokens`: without it, servers would stop after 16 tokens."""
        if sampling.max_tokens is not None:
            return sampling
        context = await self._endpoint.context()
        if context is None or ids is None:
            raise UserError(
                f"{self._endpoint.who} does not say how long its context is.", "give max_tokens"
            )
        if len(ids) >= context:
            raise ContextError(len(ids), 1, context)
        return replace(sampling, max_tokens=context - len(ids))

    async def _check_grammar(self, grammar: str, body: dict[str, Any], server: Server) -> None:
        async def write(probe: str) -> object:
            asked = {
                **body,
                **grammar_fields(probe, server, who=self._endpoint.who),
                "max_tokens": PROBE_TOKENS,
                "temperature": 0.0,
                "stop": [],
                "logit_bias": {},
                "stream": False,
            }
            answer = await self._endpoint.json("/completions", asked)
            return next((choice.get("text") for choice in answer.get("choices") or ()), "")

        await self._followed.check(grammar, write)

    def _logprobs(self, sent: Any, top: int) -> tuple[Logprob, ...]:
        written = self.vocabulary.written if self.vocabulary is not None else None
        if isinstance(sent, dict) and "content" in sent:  # llama.cpp: the chat route's shape
            return from_content(sent["content"], top, written)
        return from_columns(sent, top, written)

    async def _ids(self, text: str) -> list[int] | None:
        if self._tokenizes is False:
            return None
        body = {
            # the names of vLLM …
            "model": await self._endpoint.model(),
            "prompt": text,
            "add_special_tokens": False,
            # … and of llama.cpp
            "content": text,
            "add_special": False,
            "parse_special": True,
        }
        try:
            tokens = (await self._endpoint.json(f"{self._endpoint.root}/tokenize", body)).get(
                "tokens"
            )
        except NotThereError:
            if self._tokenizes:
                raise
            tokens = None
        self._tokenizes = isinstance(tokens, list)
        return tokens if isinstance(tokens, list) else None
