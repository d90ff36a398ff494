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
from formosa.chat.reply import Defect, Event
from formosa.chat.template import ChatTemplate

FinishReason = Literal["stop", "length", "tool_calls"]

# Text to be continued. In several pieces, each is tokenised on its own, so that no token spans two:
# that is how words that merely spell a control token stay words (see `engines/templated.py`).
Prompt = str | tuple[str, ...]


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
    repetition_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added, by token id
    grammar: str | None = None  # what may be written, in llguidance's Lark: see `chat/grammar.py`
    logprobs: int | None = None  # None: none. k: each token's, with the k likeliest beside it


class Usage(NamedTuple):
    """Tokens, counted by the engine."""

    prompt: int
    completion: int
    cached: int = 0  # of `prompt`, how many came from the prompt cache


class TokenLogprob(NamedTuple):
    """One token that could be chosen here. A token may hold half a character: see `bytes`."""

    text: str
    logprob: float  # natural logarithm, of the model's own distribution
    bytes: bytes
    id: int | None = None  # where the engine tells it


class Logprob(NamedTuple):
    """The token that was chosen, and the likeliest ones at its place, best first."""

    chosen: TokenLogprob
    top: tuple[TokenLogprob, ...] = ()


class Piece(NamedTuple):
    """A piece of generated text. The last piece has `finish` and `usage`; its text may be empty."""

    text: str
    finish: Literal["stop", "length"] | None = None
    usage: Usage | None = None
    logprobs: tuple[Logprob, ...] = ()  # of the tokens in this piece, where they were asked for


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a log or a card has to say about the model that answered."""

    name: str
    context: int | None = None  # tokens
    path: str | None = None
    sha256: str | None = None
    template: ChatTemplate | None = None  # the model's own, as found in its file
    details: Mapping[str, Any] = field(default_factory=dict)  # engine, version, quantisation …
    control_tokens: frozenset[str] = frozenset()  # their texts, where the engine knows them


@runtime_checkable
class TextEngine(Protocol):
    """Continues text."""

    @property
    def info(self) -> ModelInfo: ...

    def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """Stream the continuation of `prompt`, control tokens in it read as such.

        What `sampling` asks for is done or refused, never left out.

        Raises:
            UnsupportedError: the engine can't honour a parameter; nothing was generated.
            ContextError: prompt and reply do not fit.
            EngineError: the engine failed.
        """
        ...

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of `text`, control tokens read as such, nothing added."""
        ...

    async def tag_tokens(self) -> frozenset[str]:
        """The tags of chat formats that a grammar must name as tokens, not write as text.

        Which of the vocabulary's tokens these are differs between engines, not only models.
        """
        ...

    async def aclose(self) -> None:
        """Give back memory and ports. Calling it twice is fine."""
        ...


class Named(NamedTuple):
    """A tool that must be called."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | Named


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to be answered.

    Attributes:
        tool_choice: whether the model decides (`auto`), may not call (`none`: it is not shown the
            tools), must call (`required`), or must call the one tool of this name (`Named`).
        parallel: whether more than one call may come.
        json_schema: the content must be JSON that fits this schema; `{}` is any JSON object.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    sampling: Sampling = Sampling()
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    tool_choice: ToolChoice = "auto"
    parallel: bool = True
    json_schema: Mapping[str, Any] | None = None


def forces_call(request: ChatRequest) -> bool:
    """Whether the reply must hold a call."""
    return request.tool_choice == "required" or isinstance(request.tool_choice, Named)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """The answer. `text` is what the model wrote, raw, where that is known; `logprobs` are those
    of all its tokens, tags included, where they were asked for."""

    message: Message
    finish: FinishReason
    usage: Usage | None = None
    text: str = ""
    defects: tuple[Defect, ...] = ()
    logprobs: tuple[Logprob, ...] = ()


class Finished(NamedTuple):
    """The last thing a streamed reply yields."""

    reply: ChatReply


class Logprobs(NamedTuple):
    """The tokens behind what was yielded since the last of these, where they were asked for."""

    tokens: tuple[Logprob, ...]


ChatEvent = Event | Logprobs | Finished


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
