"""vLLM in a process of its own: a checkpoint folder as a text engine, for GPUs and many requests.

We start its server on a free loopback port with a random key, and talk to its text route only: its
chat layer, reasoning parser and tool parser are never used. It ends with us, however we end
(`keeper.py`). A vLLM that runs already is a `RemoteText`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import httpx2

from formosa.chat.message import Message, Tool
from formosa.engines import keeper
from formosa.engines.protocol import ModelInfo, Piece, Prompt, Sampling
from formosa.engines.remote import RemoteText
from formosa.engines.tokenizer_files import read_template, read_vocabulary
from formosa.engines.vllm_command import (
    VllmOptions,
    command,
    environment,
    find_vllm,
    why_it_ended,
)
from formosa.errors import BusyError, EngineError, ModelError, UnsupportedError, UserError
from formosa.files import sha256_file
from formosa.wheels import Say

TICK = 0.25  # seconds between two looks at a server that starts
NEWS = 15.0  # seconds between two remarks
TAIL = 200_000  # bytes of the log that are searched for a reason


class VllmServer:
    """The process. Blocks until it answers.

    Args:
        line: the command.
        variables: its environment.
        port: where it will listen.
        patience: seconds that starting may take.
        say: told how long it takes.

    Raises:
        ModelError: it ended, or did not answer in time; with its own words.
    """

    def __init__(
        self,
        line: list[str],
        variables: Mapping[str, str],
        *,
        port: int,
        patience: float,
        say: Say | None = None,
    ) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self._folder = Path(tempfile.mkdtemp(prefix="formosa-vllm-"))
        self.log = self._folder / "vllm.log"
        self._lock = threading.Lock()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", keeper.__file__, *line],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(variables),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        try:
            self._wait(patience, say)
        except BaseException:
            self.stop(keep_log=True)
            raise

    def ended(self, within: float = 0.0) -> bool:
        """Whether it is gone, or goes within some seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=within)
        return self._process.poll() is not None

    def reason(self) -> str:
        """Why it ended, out of its log."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self.log.stat().st_size - TAIL, 0))
            return why_it_ended(log.read().decode(errors="replace"))
        return "its log is gone"

    def stop(self, *, keep_log: bool = False) -> None:
        """End every process of it. Calling it twice is fine."""
        with self._lock:
            pipe: IO[bytes] | None = self._process.stdin
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
            try:
                self._process.wait(timeout=keeper.GRACE + 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if not keep_log:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self, patience: float, say: Say | None) -> None:
        begun = time.monotonic()
        told = begun
        with httpx2.Client(base_url=self.base_url, trust_env=False, timeout=5) as client:
            while True:
                if self.ended():
                    raise ModelError(
                        f"vLLM can't serve this model: {self.reason()}.", f"its log: {self.log}"
                    )
                with suppress(httpx2.HTTPError):
                    if client.get("/health").status_code == 200:
                        return
                now = time.monotonic()
                if now - begun > patience:
                    raise ModelError(
                        f"vLLM did not answer within {patience:.0f} seconds.",
                        f"its log: {self.log}",
                    )
                if say and now - told >= NEWS:
                    told = now
                    say(f"vLLM is still loading, {now - begun:.0f} s so far")
                time.sleep(TICK)


class VllmEngine(RemoteText):
    """Continues text with a checkpoint folder on vLLM. Blocks until the model is loaded.

    Args:
        path: the folder.
        name: what logs and the server call it; the folder's name by default.
        context: tokens of prompt and reply together.
        slots: how many generations run at the same time; more wait.
        sha256: digest of the folder, if it is known, for logs.
        adapters: LoRA adapters by name (PEFT folders), for `with_adapter`.
        options: how vLLM is to run.
        say: told how starting goes.

    Raises:
        ModelError: vLLM can't serve it.
        UserError: vLLM is not installed, or an option is none of its.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        context: int = 4096,
        slots: int = 32,
        sha256: str | None = None,
        adapters: Mapping[str, Path] | None = None,
        options: VllmOptions | None = None,
        say: Say | None = None,
    ) -> None:
        options = options or VllmOptions()
        name = name or path.resolve().name
        found = find_vllm(options.python)
        template, vocabulary = read_template(path), read_vocabulary(path)
        key, port = secrets.token_urlsafe(32), _free_port()
        line = command(
            found,
            options,
            str(path),
            name=name,
            port=port,
            context=context,
            slots=slots,
            adapters=adapters,
        )
        if say:
            say(f"starting vLLM {found.version}; it takes a minute or more")
        self.server = VllmServer(
            line,
            environment(options, key, os.environ),
            port=port,
            patience=options.patience,
            say=say,
        )
        self.api_key = key
        self._adapters = dict(adapters or {})
        info = ModelInfo(
            name=name,
            context=context,
            path=str(path),
            sha256=sha256,
            template=template,
            details={
                "engine": "vllm",
                "version": f"vllm {found.version}",
                "slots": slots,
                "tensor_parallel": options.tensor_parallel,
                "pipeline_parallel": options.pipeline_parallel,
                "data_parallel": options.data_parallel,
            },
            control_tokens=vocabulary.control_tokens if vocabulary else frozenset(),
        )
        super().__init__(
            f"{self.server.base_url}/v1",
            model=name,
            api_key=key,
            timeout=3600,
            info=info,
            vocabulary=vocabulary,
        )

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names that `with_adapter` knows."""
        return tuple(self._adapters)

    def with_adapter(self, name: str) -> AdaptedVllm:
        """The same server, answering with one of its LoRA adapters.

        Raises:
            UserError: no adapter has this name.
        """
        if name not in self._adapters:
            known = ", ".join(self._adapters) or "none"
            raise UserError(f"{self.info.name} has no adapter called {name}.", f"known: {known}")
        return AdaptedVllm(self, name, self._adapters[name])

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        try:
            async with aclosing(super().generate(prompt, sampling)) as pieces:
                async for piece in pieces:
                    yield piece
        except BusyError:
            raise
        except EngineError as error:
            # A connection breaks a moment before its process is gone.
            if await asyncio.to_thread(self.server.ended, 1.0):
                raise EngineError(
                    f"vLLM ended: {self.server.reason()}.", f"its log: {self.server.log}"
                ) from error
            raise

    async def greedy(self, ids: list[int], count: int) -> list[int]:
        """The next `count` most probable token ids, the end of text included if it comes.

        For the parity check, which compares ids and not text.

        Raises:
            UnsupportedError: a vLLM before 0.10.2, which tells no ids.
        """
        body = {
            "model": await self._endpoint.model(),
            "prompt": ids,
            "max_tokens": count,
            "temperature": 0.0,
            "return_token_ids": True,
        }
        answer = await self._endpoint.json("/completions", body)
        tokens = answer["choices"][0].get("token_ids")
        if not isinstance(tokens, list):
            version = self.info.details["version"]
            raise UnsupportedError("return_token_ids", f"{version} knows none; 0.10.2 does")
        return tokens

    async def render_ids(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> list[int]:
        """What vLLM's own chat layer makes of a conversation with the folder's template.

        For the parity check; prompts are rendered by us.
        """
        body = {
            "model": await self._endpoint.model(),
            # Its chat route takes both names for a thought, this one the newer only.
            "messages": [
                {
                    **message.to_openai(),
                    **({"reasoning": message.reasoning} if message.reasoning else {}),
                }
                for message in messages
            ],
            "tools": [tool.to_openai() for tool in tools] or None,
            "add_generation_prompt": True,
        }
        answer = await self._endpoint.json(f"{self._endpoint.root}/tokenize", body)
        tokens: list[int] = answer["tokens"]
        return tokens

    async def aclose(self) -> None:
        await super().aclose()
        await asyncio.to_thread(self.server.stop)


class AdaptedVllm(RemoteText):
    """A text engine that answers with one LoRA adapter of a `VllmEngine`, on the same server."""

    def __init__(self, engine: VllmEngine, name: str, path: Path) -> None:
        self._engine = engine
        base = engine.info
        details = {**base.details, "base": base.name, "base_sha256": base.sha256}
        weights = path / "adapter_model.safetensors"
        sha256 = sha256_file(weights) if weights.exists() else None
        super().__init__(
            f"{engine.server.base_url}/v1",
            model=name,
            api_key=engine.api_key,
            timeout=3600,
            info=replace(base, name=name, path=str(path), sha256=sha256, details=details),
            vocabulary=engine.vocabulary,
        )

    async def aclose(self) -> None:
        """Ends the server, and so the base model and its other adapters too."""
        await super().aclose()
        await self._engine.aclose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
