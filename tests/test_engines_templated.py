"""A text engine and a template make a chat model; the scripted engine stands in for a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.parser import Delta, parse_reply
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.engines.protocol import (
    ChatEvent,
    ChatModel,
    ChatReply,
    ChatRequest,
    Finished,
    ModelInfo,
    Piece,
    Prompt,
    Sampling,
    TextEngine,
    Usage,
)
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import ContextError, EngineError, MessageError, UserError

TOOL = Tool("f", "does f")
CALL = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
ASK = ChatRequest((Message("user", "hi"),), (TOOL,))


def answer(text: str, request: ChatRequest = ASK, **options: Any) -> ChatReply:
    return asyncio.run(TemplatedChat(ScriptedEngine([text], **options)).reply(request))


def events_of(text: str, request: ChatRequest = ASK, **options: Any) -> list[ChatEvent]:
    async def collect() -> list[ChatEvent]:
        async with aclosing(TemplatedChat(ScriptedEngine([text], **options)).stream(request)) as s:
            return [event async for event in s]

    return asyncio.run(collect())


def test_the_protocols_hold() -> None:
    engine = ScriptedEngine([])
    assert isinstance(engine, TextEngine)
    assert isinstance(TemplatedChat(engine), ChatModel)


def test_render_generate_parse() -> None:
    engine = ScriptedEngine([f"<think>\nhm\n</think>\n\n好。\n{CALL}<|im_end|>never"])
    reply = asyncio.run(TemplatedChat(engine).reply(ASK))
    assert engine.prompts == [ChatTemplate.formosa().prompt(ASK.messages, ASK.tools)]
    assert reply.message == Message(
        "assistant", "好。", "hm", (ToolCall("f", '{"x": 1}', "call_0"),)
    )
    assert reply.finish == "tool_calls"
    assert reply.text == f"<think>\nhm\n</think>\n\n好。\n{CALL}"
    assert reply.usage == Usage(len(engine.prompts[0]), len(reply.text))


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
def test_the_stream_says_what_the_reply_says(chunk: int) -> None:
    text = f"<think>hm</think>\n\n好。\n{CALL}\n{CALL}"
    *events, last = events_of(text, chunk=chunk)
    assert isinstance(last, Finished)
    spoken = {"reasoning": "", "content": ""}
    calls = []
    for event in events:
        assert not isinstance(event, Finished)
        if isinstance(event, Delta):
            spoken[event.kind] += event.text
        else:
            calls.append(event)
    message = last.reply.message
    assert (message.reasoning, message.content) == (spoken["reasoning"], spoken["content"])
    assert message.tool_calls == tuple(calls)
    assert message == parse_reply(text).message


@pytest.mark.parametrize(
    ("text", "limit", "finish"),
    [
        ("好。", None, "stop"),
        (CALL, None, "tool_calls"),
        ("好。", 1, "length"),
        (CALL, len(CALL) - 1, "length"),  # the call is whole, but the model did not stop by itself
        (CALL, 20, "length"),
        (CALL.replace("}}", "}"), None, "stop"),  # malformed: no call, no reason to run a tool
    ],
)
def test_the_finish_reason_is_tool_calls_only_for_a_call_and_a_stop(
    text: str, limit: int | None, finish: str
) -> None:
    assert answer(text, replace(ASK, sampling=Sampling(max_tokens=limit))).finish == finish


def test_without_tools_there_are_no_calls() -> None:
    reply = answer(CALL, replace(ASK, tools=()))
    assert (reply.message.content, reply.message.tool_calls) == (CALL, ())
    assert reply.finish == "stop"


def test_a_malformed_call_is_content_and_marked() -> None:
    reply = answer(f"{CALL}\n<tool_call>{{}}</tool_call>")
    assert reply.message.tool_calls == (ToolCall("f", '{"x": 1}', "call_0"),)
    assert reply.message.content == "\n<tool_call>{}</tool_call>"
    assert [defect.text for defect in reply.defects] == ["<tool_call>{}"]


def test_a_prompt_that_opens_a_think_block_is_seen() -> None:
    template = ChatTemplate.from_source(
        "{% for m in messages %}{{ m.content }}{% endfor %}<|assistant|>\n<think>\n"
    )
    model = TemplatedChat(ScriptedEngine(["hm\n</think>\n\nhi"]), template)
    message = asyncio.run(model.reply(ASK)).message
    assert (message.reasoning, message.content) == ("hm", "hi")


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_stops_at_the_family_s_token_and_at_the_request_s(family: str) -> None:
    stop = FAMILIES[family].close
    assert answer(f"a{stop}b", family=family).text == "a"
    request = replace(ASK, sampling=Sampling(stop=("END",)))
    assert answer(f"aENDb{stop}c", request, family=family).text == "a"


def test_the_model_s_own_template_is_taken_unless_another_is_named() -> None:
    other = ChatTemplate.formosa("gemma")
    engine = ScriptedEngine([], family="llama3")
    assert TemplatedChat(engine).template is ChatTemplate.formosa("llama3")
    assert TemplatedChat(engine, other).info.template is other


class Silent(ScriptedEngine):
    """A model file without a template; an engine that ends without a last piece."""

    closed = 0

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("silent")

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        try:
            for _ in range(1000):
                yield Piece("a")
        finally:
            self.closed += 1


def test_a_model_without_a_template_needs_one_named() -> None:
    with pytest.raises(UserError, match="silent has no chat template") as caught:
        TemplatedChat(Silent([]))
    assert "--template" in caught.value.hint


def test_an_engine_that_ends_without_a_reason_is_an_error() -> None:
    with pytest.raises(EngineError, match="without saying why"):
        asyncio.run(TemplatedChat(Silent([]), ChatTemplate.formosa()).reply(ASK))


def test_leaving_the_stream_early_stops_the_engine() -> None:
    engine = Silent([])

    async def leave() -> None:
        async with aclosing(TemplatedChat(engine, ChatTemplate.formosa()).stream(ASK)) as events:
            async for _ in events:
                break

    asyncio.run(leave())
    assert engine.closed == 1


def test_cancelling_the_task_stops_the_engine() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    class Endless(ScriptedEngine):
        async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
            try:
                while True:
                    started.set()
                    yield Piece("a")
                    await asyncio.sleep(0)
            finally:
                stopped.set()

    async def cancel() -> None:
        task = asyncio.create_task(TemplatedChat(Endless([])).reply(ASK))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stopped.is_set()

    asyncio.run(cancel())


def test_variables_reach_the_template() -> None:
    template = ChatTemplate.from_source("{{ 'think' if enable_thinking else 'no' }}")
    model = TemplatedChat(ScriptedEngine([]), template)
    assert model.prompt(replace(ASK, template_variables={"enable_thinking": True})) == "think"
    assert model.prompt(ASK) == "no"


@pytest.mark.parametrize("name", ["messages", "tools", "add_generation_prompt", "self"])
def test_variables_cannot_take_the_place_of_the_conversation(name: str) -> None:
    """They come from the body of a request: a client's error, and no TypeError of ours."""
    with pytest.raises(MessageError, match="taken"):
        TemplatedChat(ScriptedEngine([])).prompt(replace(ASK, template_variables={name: 1}))


# -- the scripted engine -------------------------------------------------------------------------


def test_a_script_may_be_a_function_of_the_prompt() -> None:
    engine = ScriptedEngine(lambda prompt: prompt.upper(), family="gemma")
    text = asyncio.run(TemplatedChat(engine).reply(replace(ASK, tools=()))).text
    assert text.startswith("<BOS><START_OF_TURN>USER\nHI")


def test_a_script_ends() -> None:
    with pytest.raises(EngineError, match="no more replies"):
        asyncio.run(TemplatedChat(ScriptedEngine([])).reply(ASK))


def test_a_prompt_that_does_not_fit_is_refused_with_both_lengths() -> None:
    with pytest.raises(ContextError) as caught:
        answer("hi", replace(ASK, sampling=Sampling(max_tokens=7)), context=10)
    assert (caught.value.reply_tokens, caught.value.context) == (7, 10)


def test_one_character_is_one_token() -> None:
    assert asyncio.run(ScriptedEngine([]).tokenize("臺a")) == [ord("臺"), ord("a")]


def test_closing_twice_is_fine() -> None:
    async def close() -> None:
        model = TemplatedChat(ScriptedEngine([]))
        await model.aclose()
        await model.aclose()

    asyncio.run(close())
