"""llama.cpp in this process: a GGUF file as a text engine.

The wheel `xllamacpp` carries llama.cpp's own server, which runs on threads of this process. We talk
to it over a random loopback port with a random key, because only its HTTP side can cancel a
generation. Prompts go in as token ids that we asked for ourselves, so nothing is added to them, and
text comes out raw: the chat layer of llama.cpp is never used.

Every sampling parameter is sent. llama.cpp's own defaults (top_k 40, top_p 0.95, min_p 0.05) would
otherwise change an answer without being asked to, and its order of samplers (temperature last)
would make the same numbers mean something else than they do elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import httpx2

from formosa.chat.message import Message, Tool
from formosa.chat.parser import CALL, END_CALL, END_THINK, THINK
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.engines.gguf import FILE_TYPES, read_metadata
from formosa.engines.http import LoopClients, error_from, sse_objects
from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling, Usage
from formosa.errors import ContextError, EngineError, ModelError, UserError

# Tags that some vocabularies list as control tokens: they must come out as text all the same.
KEPT_TAGS = [THINK, END_THINK, CALL, END_CALL]
NO_LIMIT = httpx2.Timeout(None, connect=10.0)  # a long prompt on a slow machine takes minutes


def usable_cores() -> int:
    """How many cores this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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

    Raises:
        ModelError: the file is missing, damaged, or of a kind that llama.cpp can't load.
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
    ) -> None:
        metadata = read_metadata(path)
        threads = threads or usable_cores()
        self.api_key = secrets.token_urlsafe(32)
        self._server: Any = _start(path, context, slots, threads, self.api_key)
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
            self.family = _family(client)
        trained = int(props["default_generation_settings"]["n_ctx"])
        # llama.cpp fills the gap with ChatML when the file has no template; the file is the truth.
        source = metadata.get("tokenizer.chat_template")
        self._info = ModelInfo(
            name=name or path.stem,
            context=min(context, trained),
            path=str(path),
            sha256=sha256,
            template=ChatTemplate.from_source(
                source, bos_token=props["bos_token"], eos_token=props["eos_token"]
            )
            if isinstance(source, str)
            else None,
            details={
                "engine": "llama.cpp",
                "version": f"xllamacpp {_version()}",
                "architecture": metadata.get("general.architecture"),
                "quantisation": FILE_TYPES.get(metadata.get("general.file_type"), "unknown"),
                "threads": threads,
                "slots": slots,
            },
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        pieces = (prompt,) if isinstance(prompt, str) else prompt
        ids = [id for piece in pieces for id in await self.tokenize(piece)]
        context = self._info.context or 0
        room = context - len(ids)
        wanted = room if sampling.max_tokens is None else sampling.max_tokens
        if wanted > room or room < 1:
            raise ContextError(len(ids), max(wanted, 1), context)
        if wanted == 0:  # llama.cpp would write one token
            yield Piece("", "length", Usage(len(ids), 0))
            return
        body = {"prompt": ids, "n_predict": wanted, "stream": True, **_sampling(sampling, context)}
        try:
            client = await self._client()
            async with client.stream("POST", "/completion", json=body) as response:
                if response.status_code != 200:
                    text = (await response.aread()).decode(errors="replace")
                    raise error_from(text, who="llama.cpp", status=response.status_code)
                async with aclosing(sse_objects(response, who="llama.cpp")) as events:
                    async for event in events:
                        yield _piece(event)
        except httpx2.HTTPError as error:
            raise EngineError(f"llama.cpp broke off: {type(error).__name__}: {error}") from error

    async def tokenize(self, text: str) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": True}
        tokens: list[int] = (await self._post("/tokenize", body))["tokens"]
        return tokens

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
        self._server = None  # the last reference: joins llama.cpp's threads, memory comes back

    async def _client(self) -> httpx2.AsyncClient:
        if self._server is None:
            raise EngineError(f"{self._info.name} was closed.")
        return await self._clients.get()


def _sampling(sampling: Sampling, context: int) -> dict[str, Any]:
    """Every parameter that could change the answer, said aloud."""
    greedy = sampling.temperature <= 0
    return {
        # The usual order (transformers, vLLM): temperature first, then the cuts.
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "temperature": 0.0 if greedy else sampling.temperature,
        "top_k": sampling.top_k or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "min_p": sampling.min_p or 0.0,
        "seed": -1 if sampling.seed is None else sampling.seed % 2**32,
        "stop": list(sampling.stop),
        "repeat_penalty": 1.0,
        # Penalties look at the whole context, as OpenAI's do. llama.cpp sets aside memory for it.
        "repeat_last_n": context,
        "presence_penalty": sampling.presence_penalty or 0.0,
        "frequency_penalty": sampling.frequency_penalty or 0.0,
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


def _version() -> str:
    import xllamacpp

    return str(xllamacpp.__version__)


def _family(client: httpx2.Client) -> str | None:
    """The family whose control tokens are single tokens of this vocabulary."""
    for family in FAMILIES.values():
        for token in (family.open, family.close):
            body = {"content": token, "add_special": False, "parse_special": True}
            answer = client.post("/tokenize", json=body).raise_for_status().json()
            if len(answer["tokens"]) != 1:
                break
        else:
            return family.name
    return None


def _start(path: Path, context: int, slots: int, threads: int, key: str) -> Any:
    # Spinning barriers (the wheel's default) make a shared machine fifty times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ImportError as error:
        raise UserError("llama.cpp is not installed.", "pip install 'formosa-lm[llama]'") from error

    def parameters(verbosity: int) -> Any:
        values = xllamacpp.CommonParams()
        values.model.path = str(path)
        values.n_ctx = _padded(context) * slots
        values.n_parallel = slots
        values.cpuparams.n_threads = threads
        values.hostnames = ["127.0.0.1"]
        values.port = 0
        values.api_keys = [key]
        values.ui = False
        values.endpoint_slots = False
        values.warmup = False
        values.cache_ram_mib = 0  # each slot keeps its own last prompt; 8 GB beside it is too much
        values.verbosity = verbosity
        return values

    try:
        return xllamacpp.Server(parameters(-1))
    except RuntimeError as error:
        # It says no more than "failed". Ask once more, and listen to its log.
        reason = _reason(lambda: xllamacpp.Server(parameters(1)))
        raise ModelError(
            f"llama.cpp can't load {path}: {reason}.",
            "check the file's sha256 or fetch it again; with too little memory, "
            "lower --context or --slots",
        ) from error


def _padded(context: int) -> int:
    """llama.cpp rounds a slot's context up to this; saying it keeps the sum exact."""
    return -(-context // 256) * 256


LAST_WORDS = b"exiting due to model loading error"
_LOG_LINE = re.compile(r"^[\d.]+ E \S+:?\s+(?:\S+:\s+)?(.+)$", re.MULTILINE)


def _reason(load: Callable[[], object]) -> str:
    """What llama.cpp writes to standard error while `load` fails."""
    sys.stderr.flush()
    reader, writer = os.pipe()
    saved = os.dup(2)
    try:
        os.dup2(writer, 2)
        os.close(writer)
        with contextlib.suppress(RuntimeError):
            load()
        # A thread of its own writes the log, and may come after the exception.
        log = b""
        while LAST_WORDS not in log and select.select([reader], [], [], 1.0)[0]:
            log += os.read(reader, 65536)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(reader)
    found = _LOG_LINE.search(log.decode(errors="replace"))
    if not found:
        return "it gives no reason"
    return found[1].removeprefix("error loading model: ").rstrip(".")
