"""What every engine promises.

A `TextEngine` continues a prompt: it knows tokens, and nothing of messages. A `ChatModel` answers a
conversation: it knows messages, and nothing of HTTP. Both are asynchronous; both stream; leaving
the iteration early (or cancelling the task) stops the generation in the engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from formosa.chat.message import Message, Tool
from formosa.chat.parser import Defect, Event
from formosa.chat.template import ChatTemplate

FinishReason = Literal["stop", "length", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. None means: what the engine does by default.

    Greedy (`temperature=0`) unless asked otherwise: an evaluation must say when it samples.
    """

    temperature: float = 0.0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None  # None: up to the end of the context
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class Usage(NamedTuple):
    """Tokens, counted by the engine."""

    prompt: int
    completion: int
    cached: int = 0  # of `prompt`, how many came from the prompt cache


class Piece(NamedTuple):
    """A piece of generated text. The last piece has `finish` and `usage`; its text may be empty."""

    text: str
    finish: Literal["stop", "length"] | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a log or a card has to say about the model that answered."""

    name: str
    context: int | None = None  # tokens
    path: str | None = None
    sha256: str | None = None
    template: ChatTemplate | None = None  # the model's own, as found in its file
    details: Mapping[str, Any] = field(default_factory=dict)  # engine, version, quantisation …


@runtime_checkable
class TextEngine(Protocol):
    """Continues text."""

    @property
    def info(self) -> ModelInfo: ...

    def generate(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """Stream the continuation of `prompt`, control tokens in it read as such.

        Raises:
            ContextError: prompt and reply do not fit.
            EngineError: the engine failed.
        """
        ...

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, control tokens read as such, nothing added."""
        ...

    async def aclose(self) -> None:
        """Give back memory and ports. Calling it twice is fine."""
        ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be answered."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = Sampling()
    template_variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The answer. `text` is what the model wrote, raw, where that is known."""

    message: Message
    finish: FinishReason
    usage: Usage | None = None
    text: str = ""
    defects: tuple[Defect, ...] = ()


class Finished(NamedTuple):
    """The last thing a streamed reply yields."""

    reply: ChatReply


ChatEvent = Event | Finished


@runtime_checkable
class ChatModel(Protocol):
    """Answers conversations."""

    @property
    def info(self) -> ModelInfo: ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield deltas and whole tool calls as they come, then one `Finished`."""
        ...

    async def reply(self, request: ChatRequest) -> ChatReply:
        """The whole answer at once."""
        ...

    async def aclose(self) -> None: ...
