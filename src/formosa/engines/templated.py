"""A chat model made of a text engine and a chat template: render, generate, parse.

This is the whole of "our gateway renders the prompt, asks the engine for plain text, and parses":
whatever the engine, the same text gives the same message.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from formosa.chat.parser import ReplyParser
from formosa.chat.template import ChatTemplate, opens_reasoning
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    ModelInfo,
    TextEngine,
)
from formosa.errors import EngineError, MessageError, UserError

_TAKEN = {"self", "messages", "tools", "add_generation_prompt"}


class TemplatedChat:
    """Answers conversations with a text engine.

    Args:
        engine: continues the prompt.
        template: renders it; the model's own when left out.
    """

    def __init__(self, engine: TextEngine, template: ChatTemplate | None = None) -> None:
        chosen = template or engine.info.template
        if chosen is None:
            raise UserError(
                f"{engine.info.name} has no chat template.",
                "name one of Formosa's families with --template (chatml, llama3, gemma)",
            )
        self.engine = engine
        self.template = chosen

    @property
    def info(self) -> ModelInfo:
        return replace(self.engine.info, template=self.template)

    def prompt(self, request: ChatRequest) -> str:
        """The text that the engine is asked to continue.

        Raises:
            MessageError: the template refused the conversation, or a variable has a name that
                stands for a part of it.
        """
        if taken := _TAKEN & request.template_variables.keys():
            raise MessageError(f"template_variables.{min(taken)}", "this name is taken")
        return self.template.prompt(request.messages, request.tools, **request.template_variables)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        prompt = self.prompt(request)
        parser = ReplyParser(reasoning_open=opens_reasoning(prompt), calls=bool(request.tools))
        sampling = request.sampling
        if self.template.stop:
            sampling = replace(sampling, stop=(*sampling.stop, self.template.stop))
        written: list[str] = []
        finish: FinishReason | None = None
        usage = None
        async with aclosing(self.engine.generate(prompt, sampling)) as pieces:
            async for piece in pieces:
                written.append(piece.text)
                for event in parser.feed(piece.text):
                    yield event
                if piece.finish:
                    finish, usage = piece.finish, piece.usage
        if finish is None:
            raise EngineError(f"{self.info.name} stopped without saying why.")
        for event in parser.flush():
            yield event
        reply = parser.reply()
        if finish == "stop" and reply.message.tool_calls:
            finish = "tool_calls"
        yield Finished(ChatReply(reply.message, finish, usage, "".join(written), reply.defects))

    async def reply(self, request: ChatRequest) -> ChatReply:
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.reply
        raise EngineError(f"{self.info.name} gave no reply.")

    async def aclose(self) -> None:
        await self.engine.aclose()
