"""A conversation with a model and tools, in as few lines as there is something to say.

    with connect(base_url="http://127.0.0.1:8000/v1", tools=[get_weather]) as chat:
        print(chat.ask("台北氣溫如何？").answer)

    async with connect("smollm2-135m", tools=[get_weather]) as chat:
        print((await chat.ask("台北氣溫如何？")).answer)

Opens what is needed (model, MCP servers, log) and closes it again. The loop itself is `converse`;
use that where you keep models and messages yourself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatModel, Sampling
from formosa.tools.converse import ConverseEvent, Transcript, converse, refuse_running_loop
from formosa.tools.log import ToolLog
from formosa.tools.mcp_servers import McpServer
from formosa.tools.registry import Registry, RunnableTool
from formosa.tools.runner import Confirm, Limits, Record

OnEvent = Callable[[ConverseEvent], None]


@dataclass
class AsyncChat:
    """A conversation that remembers what was said. Made by `async with connect(...)`.

    Attributes:
        messages: everything so far; may be read and changed between turns.
    """

    model: ChatModel
    tools: Registry
    messages: list[Message]
    sampling: Sampling | None = None
    max_steps: int = 8
    limits: Limits | None = None
    confirm: Confirm | None = None
    record: Record | None = None

    async def ask(self, question: str, *, on_event: OnEvent | None = None) -> Transcript:
        """One turn: the model calls tools until it answers. A turn that fails is not remembered.

        Raises:
            ContextError: the conversation no longer fits.
            EngineError: the model failed.
        """
        transcript = await converse(
            self.model,
            [*self.messages, Message("user", question)],
            self.tools,
            sampling=self.sampling,
            max_steps=self.max_steps,
            limits=self.limits,
            confirm=self.confirm,
            record=self.record,
            on_event=on_event,
        )
        self.messages = list(transcript.messages)
        return transcript


class Chat:
    """`AsyncChat` for code without an event loop. Made by `with connect(...)`."""

    def __init__(self, inner: AsyncChat, runner: asyncio.Runner) -> None:
        self._inner, self._runner = inner, runner

    @property
    def messages(self) -> list[Message]:
        """Everything so far."""
        return self._inner.messages

    @property
    def model(self) -> ChatModel:
        return self._inner.model

    @property
    def tools(self) -> Registry:
        return self._inner.tools

    def ask(self, question: str, *, on_event: OnEvent | None = None) -> Transcript:
        """One turn: the model calls tools until it answers. A turn that fails is not remembered.

        Raises:
            UserError: an event loop is running here.
            ContextError: the conversation no longer fits.
            EngineError: the model failed.
        """
        refuse_running_loop("chat.ask(...)", "async with connect(...) as chat: await chat.ask(...)")
        return self._runner.run(self._inner.ask(question, on_event=on_event))


class Connection:
    """What `connect` returns: opened by `with` or by `async with`, and closed by its end."""

    def __init__(self, opened: Callable[[AsyncExitStack], Awaitable[AsyncChat]]) -> None:
        self._opened = opened
        self._stack = AsyncExitStack()
        self._runner: asyncio.Runner | None = None

    async def __aenter__(self) -> AsyncChat:
        async with AsyncExitStack() as stack:  # closes what is open when the next can't be opened
            chat = await self._opened(stack)
            self._stack = stack.pop_all()
        return chat

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def __enter__(self) -> Chat:
        refuse_running_loop("with connect(...)", "async with connect(...)")
        self._runner = asyncio.Runner()  # one loop for all turns: connections live in it
        try:
            return Chat(self._runner.run(self.__aenter__()), self._runner)
        except BaseException:
            self._runner.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        with self._runner:
            self._runner.run(self._stack.aclose())


def connect(
    model: str = "",
    *,
    tools: Iterable[RunnableTool] = (),
    mcp: Iterable[str | McpServer] = (),
    system: str = "",
    base_url: str | None = None,
    api_key: str | None = None,
    context: int | None = None,
    threads: int | None = None,
    template: str | None = None,
    sampling: Sampling | None = None,
    max_steps: int = 8,
    limits: Limits | None = None,
    confirm: Confirm | None = None,
    log: Path | str | None = None,
    say: Callable[[str], None] | None = None,
) -> Connection:
    """A model that may call tools: `with connect(...) as chat`, or `async with`.

    Nothing is opened before the block begins, and errors come from there.

    Args:
        model: a built-in name, a run folder, a `.gguf` file or a hub name. With `base_url`, the
            name that the server there uses; empty for the only one it has.
        tools: what it is shown, and all that can run, besides those of `mcp`.
        mcp: servers whose tools it may call too: a command line, a URL, a JSON file or `McpServer`.
        system: how the conversation begins.
        base_url: an OpenAI-compatible server, with `/v1`.
        api_key: for that server.
        context: tokens, of a model loaded here.
        threads: of a model loaded here; one for each usable core by default.
        template: a family's name, for Formosa's format instead of the model's own.
        sampling: how tokens are chosen; greedy by default.
        max_steps: how often the model is asked in one turn, at most.
        limits: of each round of calls.
        confirm: asked about calls of tools that need it; without it those do not run.
        log: a file to which each call and its result are appended.
        say: takes remarks for the person.
    """
    options = {
        "base_url": base_url,
        "api_key": api_key,
        "context": context,
        "threads": threads,
        "template": template,
        "say": say,
    }

    async def opened(stack: AsyncExitStack) -> AsyncChat:
        record = stack.enter_context(ToolLog(Path(log))) if log is not None else None
        registry = Registry(tools)  # before a model is loaded for a mistake in it
        if servers := list(mcp):
            from formosa.tools.mcp import mcp_tools

            for item in await stack.enter_async_context(mcp_tools(*servers, say=say)):
                registry.add(item)
        from formosa.engines.open import open_chat

        given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
        chat_model = open_chat(model, tools=len(registry) > 0, **given)
        stack.push_async_callback(chat_model.aclose)
        messages = [Message("system", system)] if system else []
        return AsyncChat(
            chat_model, registry, messages, sampling, max_steps, limits, confirm, record
        )

    return Connection(opened)
