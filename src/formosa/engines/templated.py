"""A chat model made of a text engine and a chat template: render, generate, parse.

This is the whole of "our gateway renders the prompt, asks the engine for plain text, and parses":
whatever the engine, the same text gives the same message.

What must come is forced by a grammar over the text itself, thoughts included: a call where one is
required, JSON where a schema was given. What may only come (`auto`) is left to the model, unless
calls are to be held to their schemas. Words of
the conversation that spell a control token stay words: the prompt is cut inside them. A client's
stop texts end an answer, never a call or a thought (`answer_stops.py`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Literal

from formosa.chat.grammar import reply_grammar
from formosa.chat.message import Tool, ToolCall
from formosa.chat.parser import ReplyParser
from formosa.chat.tags import CALL, END_CALL, END_THINK
from formosa.chat.template import ChatTemplate, opens_reasoning
from formosa.engines.answer_stops import HandedOn, spells_tag
from formosa.engines.logprobs import Ledger
from formosa.engines.protocol import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Finished,
    FinishReason,
    Logprob,
    Logprobs,
    ModelInfo,
    Named,
    Piece,
    Prompt,
    Sampling,
    TextEngine,
    Usage,
    forces_call,
)
from formosa.errors import EngineError, MessageError, UnsupportedError, UserError

HELD = "held to their schemas, none twice"  # what a log says of the model's calls
_TAKEN = {"self", "messages", "tools", "add_generation_prompt", "control_tokens"}


class TemplatedChat:
    """Answers conversations with a text engine.

    Args:
        engine: continues the prompt.
        template: renders it; the model's own when left out.
        held: calls that may come are held to the schemas of their tools, by a grammar, and one that
            repeats an earlier one to the letter ends the reply. Whether to call, what, and which
            values stays the model's.
    """

    def __init__(
        self, engine: TextEngine, template: ChatTemplate | None = None, *, held: bool = False
    ) -> None:
        chosen = template or engine.info.template
        if chosen is None:
            raise UserError(
                f"{engine.info.name} has no chat template.",
                "name one of Formosa's families with --template (chatml, llama3, gemma)",
            )
        self.engine = engine
        self.template = chosen
        self.held = held

    @property
    def info(self) -> ModelInfo:
        info = replace(self.engine.info, template=self.template)
        return replace(info, details={**info.details, "calls": HELD}) if self.held else info

    def prompt(self, request: ChatRequest) -> Prompt:
        """What the engine is asked to continue.

        Raises:
            MessageError: the template refused the conversation, or a variable has a name that
                stands for a part of it.
        """
        if taken := _TAKEN & request.template_variables.keys():
            raise MessageError(f"template_variables.{min(taken)}", "this name is taken")
        return self.template.guarded_prompt(
            request.messages,
            _shown(request),
            control_tokens=self.engine.info.control_tokens,
            **request.template_variables,
        )

    async def _grammar(self, request: ChatRequest, prompt: Prompt) -> str | None:
        """What the reply may be; None: anything."""
        tools, forced = _shown(request), forces_call(request)
        if forced and not tools:
            raise MessageError("tool_choice", "a call is forced, but there are no tools")
        if not forced and request.json_schema is None:
            if self.held and tools and request.sampling.grammar is None:
                with suppress(MessageError):  # a schema that no grammar can hold
                    return await self._written_grammar(request, prompt, words=True)
            return request.sampling.grammar
        if request.sampling.grammar is not None:
            raise UnsupportedError("grammar", "it can't hold beside a forced call or a schema")
        return await self._written_grammar(request, prompt)

    async def _written_grammar(
        self, request: ChatRequest, prompt: Prompt, *, words: bool = False
    ) -> str:
        named = request.tool_choice.name if isinstance(request.tool_choice, Named) else None
        return reply_grammar(
            tools=_shown(request),
            named=named,
            parallel=request.parallel,
            json_schema=None if forces_call(request) else request.json_schema,
            reasoning=self._reasoning(prompt),
            tag_tokens=await self.engine.tag_tokens(),
            thought_tokens=_half(request.sampling.max_tokens, self.engine.info.context),
            words=words,
        )

    def _reasoning(self, prompt: Prompt) -> Literal["none", "may", "open"]:
        end = _end(prompt)
        if opens_reasoning(end):
            return "open"
        closed = end.rstrip().endswith(END_THINK)  # how templates say: no thoughts, please
        return "may" if self.template.thinks and not closed else "none"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        prompt = self.prompt(request)
        grammar = await self._grammar(request, prompt)
        forced = forces_call(request)
        stops, own = self._stops(request, prompt)
        sampling = replace(request.sampling, grammar=grammar, stop=stops)
        end = _end(prompt)
        parser = ReplyParser(reasoning_open=opens_reasoning(end), calls=bool(_shown(request)))
        one_only = not request.parallel and not forced  # a grammar sees to it otherwise
        handed = HandedOn(own, one_call=one_only, once=self.held)
        slowly = bool(own) or one_only  # so that the text can end at any character
        written: list[str] = []
        tokens: list[Logprob] = []
        finish: FinishReason | None = None
        usage = None
        rest = _AfterCall()
        async with aclosing(self._generate(prompt, sampling, request)) as pieces:
            async for piece in pieces:
                for chunk in piece.text if slowly else (piece.text,):
                    written.append(chunk)
                    for event in handed.feed(parser.feed(chunk)):
                        yield event
                    if handed.ended or (handed.calls and one_only and rest.ends(chunk)):
                        break
                if piece.logprobs:
                    tokens.extend(piece.logprobs)
                    if not slowly:  # it is not known yet which of them the text will reach
                        yield Logprobs(piece.logprobs)
                if piece.finish:
                    finish, usage = piece.finish, piece.usage
                if rest.ended or handed.ended:
                    finish = "stop"  # the model need not write what nobody wants
                    break
        if finish is None:
            raise EngineError(f"{self.info.name} stopped without saying why.")
        text = "".join(written)
        if handed.stop is None:
            for event in (*handed.feed(parser.flush()), *handed.flush()):
                yield event
        else:
            place = text.rfind(handed.stop, 0, len(text) - parser.undecided)
            text = text[:place] if place >= 0 else text
        if handed.repeated:
            text = _before_call(text, len(handed.calls), reasoning_open=opens_reasoning(end))
        if (slowly or handed.repeated) and tokens:
            tokens = list(Ledger().feed(tokens, text))
        if slowly and tokens:
            yield Logprobs(tuple(tokens))
        usage = usage or await self._count(prompt, text)
        message, defects = handed.message(), parser.reply().defects
        if finish == "stop" and message.tool_calls:
            finish = "tool_calls"
        if forced and finish == "stop":
            raise EngineError(f"{self.info.name} wrote no call, although one was forced.")
        yield Finished(ChatReply(message, finish, usage, text, defects, tuple(tokens)))

    def _stops(
        self, request: ChatRequest, prompt: Prompt
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The stop texts that the engine looks for in all it writes, and those of the answer."""
        if forces_call(request):  # nothing but calls can come: a stop text would break one
            return (), ()
        theirs = () if self.template.stop == "" else (self.template.stop,)
        asked = request.sampling.stop
        if not _shown(request) and self._reasoning(prompt) == "none":
            return (*asked, *theirs), ()
        plain = tuple(stop for stop in asked if not spells_tag(stop))
        return (*(stop for stop in asked if stop not in plain), *theirs), plain

    async def _generate(
        self, prompt: Prompt, sampling: Sampling, request: ChatRequest
    ) -> AsyncGenerator[Piece, None]:
        """The engine's pieces; a grammar that it refuses under the name of what asked for it."""
        try:
            async with aclosing(self.engine.generate(prompt, sampling)) as pieces:
                async for piece in pieces:
                    yield piece
        except UnsupportedError as error:
            if error.parameter != "grammar" or request.sampling.grammar is not None:
                raise
            name = "tool_choice" if forces_call(request) else "response_format"
            if request.json_schema is None and name == "response_format":
                name = "tools"
            problem = error.message.removeprefix("grammar: ")
            raise UnsupportedError(name, problem, error.hint) from error

    async def _count(self, prompt: Prompt, text: str) -> Usage | None:
        """Where the engine was left before it said; None if it has no way to count."""
        pieces = (prompt,) if isinstance(prompt, str) else prompt
        try:
            lengths = [len(await self.engine.tokenize(piece)) for piece in (*pieces, text)]
        except EngineError:
            return None
        return Usage(sum(lengths[:-1]), lengths[-1])

    async def reply(self, request: ChatRequest) -> ChatReply:
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                if isinstance(event, Finished):
                    return event.reply
        raise EngineError(f"{self.info.name} gave no reply.")

    async def aclose(self) -> None:
        await self.engine.aclose()


def _before_call(text: str, number: int, *, reasoning_open: bool) -> str:
    """A raw reply up to the call `number`, counted from 0."""
    parser = ReplyParser(reasoning_open=reasoning_open)
    calls = 0
    for place, character in enumerate(text):
        calls += sum(isinstance(event, ToolCall) for event in parser.feed(character))
        if calls > number:
            return text[: max(text.rfind(CALL, 0, place), 0)].rstrip()
    return text


class _AfterCall:
    """What follows the only call that is wanted: its closing tag, and then nothing."""

    def __init__(self) -> None:
        self._text = ""
        self.ended = False

    def ends(self, character: str) -> bool:
        self._text = (self._text + character).lstrip()
        # The first character is the call's own last brace.
        tag = self._text.removeprefix("}").lstrip()
        self.ended = tag == END_CALL or not END_CALL.startswith(tag)
        return self.ended


def _shown(request: ChatRequest) -> tuple[Tool, ...]:
    return () if request.tool_choice == "none" else request.tools


def _end(prompt: Prompt) -> str:
    """The last piece: tags that the template writes are never cut."""
    return prompt if isinstance(prompt, str) else prompt[-1]


def _half(reply: int | None, context: int | None) -> int | None:
    """How many tokens thoughts may take, so that room is left for what must come after them."""
    if reply is not None:
        return reply // 2
    return None if context is None else context // 4
