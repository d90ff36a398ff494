"""llama.cpp in this process: a GGUF file as a text engine.

The wheel `xllamacpp` carries llama.cpp's own server, which runs on threads of this process. We talk
to it over a random loopback port with a random key, because only its HTTP side can cancel a
generation. Prompts go in as token ids that we asked for ourselves, so nothing is added to them, and
text comes out raw: the chat layer of llama.cpp is never used.

Every sampling parameter is sent. llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) would
otherwise change an answer without being asked to, and its order of samplers (temperature last)
would make the same numbers mean something else than they do elsewhere.

Two things that it leaves out in silence are refused here: a grammar that it can't read (it would
write freely), and a LoRA adapter that it does not have.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx2

from formosa.chat.message import Message, Tool
from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.chat.template import ChatTemplate
from formosa.engines.dialect import (
    GRAMMAR,
    GREEDY_SAMPLERS,
    PROBE,
    PROBE_TOKENS,
    SAMPLERS,
    FollowedGrammars,
    with_end,
)
from formosa.engines.gguf import FILE_TYPES, read_metadata
from formosa.engines.guided import guided
from formosa.engines.http import LoopClients, error_from, sse_objects
from formosa.engines.llama_logprobs import WrittenTokens
from formosa.engines.llama_server import start, version
from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling, Usage
from formosa.engines.vocabulary import Vocabulary
from formosa.errors import (
    ContextError,
    EngineError,
    ModelError,
    UnsupportedError,
    UserError,
)
from formosa.files import sha256_file
from formosa.processor import usable_cores

# Tags that some vocabularies list as control tokens: they must come out as text all the same.
KEPT_TAGS = [THINK, END_THINK, CALL, END_CALL]
SPARE = 64  # tokens
NO_LIMIT = httpx2.Timeout(None, connect=10.0)  # a long prompt on a slow machine takes minutes


class LlamaEngine:
    """Continues text with a GGUF model. Blocks until the model is loaded.

    Args:
        path: the GGUF file.
        name: what logs and the server call it; the file's name by default.
        context: tokens of prompt and reply together, for each slot. Never more than the model
            was trained for.
        slots: how many generations run at the same time; more wait.
        threads: CPU threads; as many as there are usable cores by default.
        sha256: digest of the file, if it is known, for logs.
        adapters: LoRA adapters by name (GGUF files made for this model). This engine answers as
            the base model; `with_adapter` gives one that answers with an adapter.

    Raises:
        ModelError: a file is missing, damaged, or of a kind that llama.cpp can't load.
        UserError: xllamacpp is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        context: int = 4096,
        slots: int = 1,
        threads: int | None = None,
        sha256: str | None = None,
        adapters: Mapping[str, Path] | None = None,
    ) -> None:
        metadata = read_metadata(path)
        self._adapters = dict(adapters or {})
        for name_of, file in self._adapters.items():
            _check_adapter(name_of, read_metadata(file), metadata)
        threads = threads or usable_cores()
        self.api_key = secrets.token_urlsafe(32)
        files = list(self._adapters.values())
        self._server: Any = start(path, context, slots, threads, self.api_key, files)
        self._path = path
        self._followed = FollowedGrammars()
        self.base_url: str = self._server.listening_address
        headers = {"authorization": f"Bearer {self.api_key}"}
        # No connection is kept: each would hold one of llama.cpp's few HTTP threads.
        # No proxy either (trust_env): the words stay on this machine.
        self._clients = LoopClients(
            lambda: httpx2.AsyncClient(
                base_url=self.base_url,
                headers=headers,
                timeout=NO_LIMIT,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
                trust_env=False,
            )
        )
        with httpx2.Client(base_url=self.base_url, headers=headers, trust_env=False) as client:
            props = client.get("/props").raise_for_status().json()
        trained = int(props["default_generation_settings"]["n_ctx"])
        # llama.cpp fills the gap with ChatML when the file has no template; the file is the truth.
        self.begin_and_end = props["bos_token"], props["eos_token"]
        self._info = ModelInfo(
            name=name or path.stem,
            context=min(context, trained),
            path=str(path),
            sha256=sha256,
            template=_template(metadata, self.begin_and_end),
            details={
                "engine": "llama.cpp",
                "version": f"xllamacpp {version()}",
                "architecture": metadata.get("general.architecture"),
                "quantisation": FILE_TYPES.get(metadata.get("general.file_type"), "unknown"),
                "threads": threads,
                "slots": slots,
            },
            control_tokens=self._vocabulary.control_tokens,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def family(self) -> str | None:
        """The name of the family whose turn tokens the file has."""
        return self._vocabulary.family

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names that `with_adapter` knows."""
        return tuple(self._adapters)

    def with_adapter(self, name: str) -> AdaptedLlama:
        """The same server, answering with one of its LoRA adapters.

        Raises:
            UserError: no adapter has this name.
        """
        if name not in self._adapters:
            known = ", ".join(self._adapters) or "none"
            raise UserError(f"{self._info.name} has no adapter called {name}.", f"known: {known}")
        return AdaptedLlama(self, name, self._adapters[name])

    def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        return self.generate_with(None, prompt, sampling)

    async def generate_with(
        self, adapter: str | None, prompt: Prompt, sampling: Sampling
    ) -> AsyncGenerator[Piece, None]:
        """`generate`, with a LoRA adapter's weights added."""
        context = self._info.context or 0
        if sampling.grammar is not None:
            sampling = replace(sampling, grammar=with_end(sampling.grammar, self._vocabulary.ends))
        if any(not 0 <= token < len(self._vocabulary) for token in sampling.logit_bias):
            raise UnsupportedError("logit_bias", "not a token of this model")
        ids = self._without_counting(prompt, sampling)
        wanted = -1 if sampling.max_tokens is None else sampling.max_tokens
        if ids is None:
            pieces = (prompt,) if isinstance(prompt, str) else prompt
            ids = [id for piece in pieces for id in await self.tokenize(piece)]
            room = context - len(ids)
            wanted = room if sampling.max_tokens is None else sampling.max_tokens
            if wanted > room or room < 1:
                raise ContextError(len(ids), max(wanted, 1), context)
        lora = [{"id": i, "scale": float(a == adapter)} for i, a in enumerate(self._adapters)]
        shared = {"prompt": ids, **_sampling(sampling, context), "lora": lora}
        grammar = sampling.grammar
        with guided(self._server) if grammar is not None else nullcontext(lambda: None) as read:
            if grammar is not None:
                await self._check_grammar(grammar, shared)
            async with aclosing(self._written(ids, wanted, sampling, shared)) as written:
                async for piece in written:
                    if wanted:
                        read()
                    yield piece

    async def _written(
        self, ids: list[Any], wanted: int, sampling: Sampling, shared: dict[str, Any]
    ) -> AsyncGenerator[Piece, None]:
        """What llama.cpp writes after these tokens."""
        if wanted == 0:  # llama.cpp would write one token
            yield Piece("", "length", Usage(len(ids), 0))
            return
        body = {**shared, "n_predict": wanted, "stream": True}
        tokens: WrittenTokens | None = None
        if sampling.logprobs is not None:
            body["timings_per_token"] = True
            tokens = WrittenTokens(self._vocabulary, sampling.logprobs)
        try:
            client = await self._client()
            async with client.stream("POST", "/completion", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode(errors="replace")
                    raise error_from(text, who="llama.cpp", status=response.status_code)
                async with aclosing(sse_objects(response, who="llama.cpp")) as events:
                    async for event in events:
                        piece = _piece(event)
                        if tokens is not None:
                            found = tokens.feed(event, piece.text)
                            if piece.finish:
                                found += await tokens.rest(ids, lambda more: self._ask(body, more))
                            piece = piece._replace(logprobs=found)
                        yield piece
        except httpx2.HTTPError as error:
            raise EngineError(f"llama.cpp broke off: {type(error).__name__}: {error}") from error

    def _without_counting(self, prompt: Prompt, sampling: Sampling) -> list[Any] | None:
        """The prompt as its first token and the text behind it, where it surely fits: then
        llama.cpp's own tokenising is enough, and the first token comes a round trip sooner.

        The first token keeps llama.cpp from adding one of its own.
        """
        wanted = 1 if sampling.max_tokens is None else sampling.max_tokens
        if not isinstance(prompt, str) or wanted == 0 or sampling.logprobs is not None:
            return None
        # A token has a byte or more; some tokenisers put a space before the text.
        if len(prompt.encode()) + SPARE + wanted > (self._info.context or 0):
            return None
        found = self._vocabulary.split_first(prompt)
        return list(found) if found is not None and found[1] else None

    async def _ask(self, body: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        return await self._post("/completion", {**body, **more, "stream": False})

    async def _check_grammar(self, grammar: str, body: dict[str, Any]) -> None:
        async def write(probe: str) -> object:
            asked = {
                **body,
                "grammar": GRAMMAR + probe,
                "n_predict": PROBE_TOKENS,
                "n_probs": 0,
                "temperature": 0.0,
                "stop": [PROBE],  # no more tokens than it takes
                "logit_bias": [],
            }
            found = await self._post("/completion", asked)
            return f"{found.get('content')}{found.get('stopping_word')}"

        await self._followed.check(grammar, write)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary.from_gguf(self._path)

    async def tokenize(self, text: str) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": True}
        tokens: list[int] = (await self._post("/tokenize", body))["tokens"]
        return tokens

    async def tag_tokens(self) -> frozenset[str]:
        return self._vocabulary.tag_tokens(user_defined=False)

    async def greedy(self, ids: list[int], count: int) -> list[int]:
        """The next `count` most probable token ids, the end of text included if it comes.

        For the parity check, which compares ids and not text.
        """
        sampling = _sampling(Sampling(), self._info.context or 0)
        body = {"prompt": ids, "n_predict": count, "return_tokens": True, **sampling}
        value = await self._post("/completion", body)
        tokens: list[int] = value["tokens"]
        return tokens

    async def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """What llama.cpp makes of a conversation with the file's own template.

        For the parity check; prompts are rendered by us.
        """
        body = {
            "messages": [message.to_openai() for message in messages],
            "tools": [tool.to_openai() for tool in tools],
        }
        value = await self._post("/apply-template", body)
        return str(value["prompt"])

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = await (await self._client()).post(path, json=body)
        except httpx2.HTTPError as error:
            raise EngineError(f"llama.cpp broke off: {type(error).__name__}: {error}") from error
        if response.status_code != 200:
            raise error_from(response.text, who="llama.cpp", status=response.status_code)
        value: dict[str, Any] = response.json()
        return value

    async def aclose(self) -> None:
        # Connections first: llama.cpp waits up to 30 s for a reader that is still there.
        await self._clients.aclose()
        # The last reference, unless it was the last that got a grammar (see `guided`): joins
        # llama.cpp's threads, and memory comes back.
        self._server = None

    async def _client(self) -> httpx2.AsyncClient:
        if self._server is None:
            raise EngineError(f"{self._info.name} was closed.")
        return await self._clients.get()


class AdaptedLlama:
    """A text engine that answers with one LoRA adapter of a `LlamaEngine`, on the same server.

    Its template is the one that the adapter was trained with, where the file holds it.
    """

    def __init__(self, engine: LlamaEngine, name: str, path: Path) -> None:
        self._engine, self._name = engine, name
        base = engine.info
        own = _template(read_metadata(path), engine.begin_and_end)
        self.info = replace(
            base,
            name=name,
            path=str(path),
            sha256=sha256_file(path),
            template=own or base.template,
            details={**base.details, "base": base.name, "base_sha256": base.sha256},
        )

    def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        return self._engine.generate_with(self._name, prompt, sampling)

    async def tokenize(self, text: str) -> list[int]:
        return await self._engine.tokenize(text)

    async def tag_tokens(self) -> frozenset[str]:
        return await self._engine.tag_tokens()

    async def aclose(self) -> None:
        """Closes the server, and so the base model and its other adapters too."""
        await self._engine.aclose()


def _template(metadata: Mapping[str, Any], ends: tuple[str, str]) -> ChatTemplate | None:
    """The template in a file's header; None where there is none."""
    source = metadata.get("tokenizer.chat_template")
    if not isinstance(source, str):
        return None
    return ChatTemplate.from_source(source, bos_token=ends[0], eos_token=ends[1])


def _check_adapter(name: str, adapter: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    if adapter.get("general.type") != "adapter" or adapter.get("adapter.type") != "lora":
        raise ModelError(f"The adapter {name} is not a LoRA adapter in GGUF form.")
    key = "general.architecture"
    if adapter.get(key) != base.get(key):
        raise ModelError(
            f"The adapter {name} is for {adapter.get(key)} models; this one is {base.get(key)}."
        )


def _sampling(sampling: Sampling, context: int) -> dict[str, Any]:
    """Every parameter that could change the answer, said aloud."""
    greedy = sampling.temperature <= 0
    return {
        "samplers": GREEDY_SAMPLERS if greedy else SAMPLERS,
        "temperature": 0.0 if greedy else sampling.temperature,
        "top_k": 1 if greedy else sampling.top_k or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "min_p": sampling.min_p or 0.0,
        "seed": -1 if sampling.seed is None else sampling.seed % 2**32,
        "stop": list(sampling.stop),
        "repeat_penalty": sampling.repetition_penalty or 1.0,
        # Penalties look at the whole context, as OpenAI's do. llama.cpp sets aside memory for it.
        "repeat_last_n": context,
        "presence_penalty": sampling.presence_penalty or 0.0,
        "frequency_penalty": sampling.frequency_penalty or 0.0,
        "logit_bias": [[token, bias] for token, bias in sampling.logit_bias.items()],
        "grammar": "" if sampling.grammar is None else GRAMMAR + sampling.grammar,
        # What the model itself thinks, before temperature, penalties and grammar; none with 0.
        "n_probs": 0 if sampling.logprobs is None else max(sampling.logprobs, 1),
        "post_sampling_probs": False,
        "cache_prompt": True,
        "preserved_tokens": KEPT_TAGS,
    }


def _piece(event: dict[str, Any]) -> Piece:
    if not event.get("stop"):
        return Piece(event.get("content", ""))
    finish: Literal["stop", "length"] = "length" if event["stop_type"] == "limit" else "stop"
    usage = Usage(
        event["tokens_evaluated"],
        event["tokens_predicted"],
        event.get("timings", {}).get("cache_n", 0),
    )
    return Piece(event.get("content", ""), finish, usage)
