"""Calls that may come are held to the schemas of their tools: what is let through, what is left
free, and who is told.

A model of 270 million weights mostly knows what to call, and writes a number as text or forgets an
argument. A grammar can see to that; it must not decide whether to call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from formosa.chat.grammar import reply_grammar
from formosa.chat.message import Message, Tool
from formosa.chat.parser import parse_reply
from formosa.engines.dialect import probe, with_end
from formosa.engines.open import open_chat
from formosa.engines.protocol import ChatReply, ChatRequest, Piece, Prompt, Sampling
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import HELD, TemplatedChat
from formosa.errors import UserError
from test_chat_grammar import A_CALL, NOW, NOW_CALL, WEATHER, allows

ASKED = (Message("user", "台北幾度？"),)
ODD = Tool.of("odd", "", {"type": "object", "properties": {"x": {"type": "string", "not": {}}}})


def asked(chat: TemplatedChat, tools: tuple[Tool, ...] = (WEATHER,), **options: Any) -> ChatReply:
    return asyncio.run(chat.reply(ChatRequest(ASKED, tools, **options)))


def grammar_of(tools: tuple[Tool, ...] = (WEATHER,), **options: Any) -> str | None:
    """The grammar with which a held model is asked."""
    engine = ScriptedEngine(["words"], under=[A_CALL])
    asked(TemplatedChat(engine, held=True), tools, **options)
    return engine.requests[0][1].grammar


# -- the grammar ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        A_CALL,
        f"{A_CALL}\n{NOW_CALL}",
        "您好",
        "I can't.\nSorry <3",
        "1 < 2\n\n好",
        "a <<b and <tool> and <tool_calls",
        f"我查一下。\n{A_CALL}\n{NOW_CALL}",
        f"x < 3{A_CALL}",
    ],
)
def test_words_and_right_calls_go_through(text: str) -> None:
    assert allows(reply_grammar(tools=[WEATHER, NOW], words=True), text)


@pytest.mark.parametrize(
    "text",
    [
        A_CALL.replace("celsius", "kelvin"),
        A_CALL.replace("get_weather", "get"),
        A_CALL.replace(', "unit": "celsius"', ""),
        A_CALL.replace('"臺北"', "5"),
        NOW_CALL.replace("{}", '{"x": 1}'),
        A_CALL.removesuffix("\n</tool_call>"),
        "<b>words</b>",
        f"我查一下。\n{A_CALL.replace('celsius', 'kelvin')}",
        "我查一下。\n" + NOW_CALL.replace("{}", '{"x": 1}'),
        f"1 < 2\n{A_CALL.replace('get_weather', 'get')}",
        "好 <tool_call>",
    ],
)
def test_what_begins_like_a_call_is_one_that_fits(text: str) -> None:
    assert not allows(reply_grammar(tools=[WEATHER, NOW], words=True), text)


def test_thoughts_may_come_before_words_too() -> None:
    grammar = reply_grammar(tools=[WEATHER], words=True, reasoning="may")
    for text in ("好", "<think>\n嗯\n</think>\n\n好", f"<think>\n嗯\n</think>\n\n{A_CALL}"):
        assert allows(grammar, text)


def test_a_grammar_with_an_end_is_the_same_and_then_the_end() -> None:
    assert with_end("start: /a/\nb: /c/\n", ()) == "start: /a/\nb: /c/\n"
    written = with_end("start: /a/\nb: /c/\n", ("<|im_end|>", "<eos>"))
    assert written == ("start: formosa_reply (<|im_end|> | <eos>)?\nformosa_reply: /a/\nb: /c/\n")
    assert with_end("first: /a/", ("<eos>",)) == "first: /a/"
    assert probe(written).startswith('start: "\u2603" formosa_start\nformosa_start: formosa_reply')


# -- the chat model ------------------------------------------------------------------------------


def test_a_held_model_is_asked_with_its_tools_schemas() -> None:
    grammar = grammar_of()
    assert grammar is not None and "get_weather" in grammar and "said" in grammar
    assert allows(grammar, A_CALL) and allows(grammar, "好")


def test_one_call_only_where_parallel_calls_are_off() -> None:
    grammar = grammar_of(parallel=False)
    assert grammar is not None and not allows(grammar, f"{A_CALL}\n{A_CALL}")


@pytest.mark.parametrize("options", [{"tools": ()}, {"tool_choice": "none"}])
def test_without_tools_nothing_is_held(options: dict[str, Any]) -> None:
    assert grammar_of(**options) is None


def test_a_schema_that_no_grammar_can_hold_leaves_the_model_free() -> None:
    """A tool that some client offers must not make every request fail."""
    assert grammar_of((WEATHER, ODD)) is None


def test_a_grammar_of_the_client_s_own_goes_before() -> None:
    assert grammar_of(sampling=Sampling(grammar="start: /a/")) == "start: /a/"


def test_a_forced_call_is_forced_as_ever() -> None:
    grammar = grammar_of(tool_choice="required")
    assert grammar is not None and not allows(grammar, "好")


def test_others_are_left_free_and_a_log_tells_them_apart() -> None:
    engine = ScriptedEngine(["好"])
    chat = TemplatedChat(engine)
    assert asked(chat).message.content == "好" and engine.requests[0][1].grammar is None
    assert "calls" not in chat.info.details
    assert TemplatedChat(engine, held=True).info.details["calls"] == HELD


# -- none twice ------------------------------------------------------------------------------------

OTHER_CALL = A_CALL.replace("臺北", "台南")


class Counting(ScriptedEngine):
    """Knows how much of its reply was taken."""

    taken = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        async with aclosing(super().generate(prompt, sampling)) as pieces:
            async for piece in pieces:
                self.taken += len(piece.text)
                yield piece


def held(text: str, *, chunk: int = 3, held: bool = True) -> tuple[ChatReply, Counting]:
    engine = Counting([text], under=[text], chunk=chunk)
    return asked(TemplatedChat(engine, held=held), (WEATHER, NOW)), engine


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("before", ["", "我查一下。\n"])
def test_a_call_that_comes_again_ends_the_reply(chunk: int, before: str) -> None:
    reply, _ = held(f"{before}{A_CALL}\n{OTHER_CALL}\n{A_CALL}\n{NOW_CALL}", chunk=chunk)
    places = [call.values().get("location") for call in reply.message.tool_calls]
    assert places == ["臺北", "台南"]
    assert reply.finish == "tool_calls" and reply.message.content == before.strip()


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_the_raw_text_ends_before_it_and_says_the_same(chunk: int) -> None:
    reply, _ = held(f"{A_CALL}\n{A_CALL}", chunk=chunk)
    assert reply.text == A_CALL
    assert parse_reply(reply.text).message == reply.message


def test_a_loop_is_left_and_not_written_to_its_end() -> None:
    reply, engine = held("\n".join([A_CALL] * 50))
    assert len(reply.message.tool_calls) == 1
    assert engine.taken < 3 * len(A_CALL)


def test_calls_that_differ_in_a_letter_are_two() -> None:
    reply, _ = held(f"{A_CALL}\n{OTHER_CALL}\n{NOW_CALL}")
    assert len(reply.message.tool_calls) == 3


def test_a_free_model_may_call_twice() -> None:
    reply, _ = held(f"{A_CALL}\n{A_CALL}", held=False)
    assert len(reply.message.tool_calls) == 2


def test_a_server_with_a_chat_layer_of_its_own_can_t_be_held() -> None:
    url = "http://127.0.0.1:9/v1"
    with pytest.raises(UserError, match="as it will"):
        open_chat("m", base_url=url, held=True)
    raw = open_chat("m", base_url=url, raw=True, template="gemma", held=True)
    assert isinstance(raw, TemplatedChat) and raw.held


# -- llama.cpp -----------------------------------------------------------------------------------


@pytest.mark.train
def test_random_weights_make_calls_that_fit(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Where the words begin as a call, even they write a right one."""
    from formosa.export.gguf import write_gguf

    file = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F16", name="m")
    chat = open_chat(str(file), context=1024, threads=1, held=True)
    tool = Tool.of(
        "f",
        "",
        {
            "type": "object",
            "properties": {"unit": {"enum": ["c", "f"]}, "n": {"type": "boolean"}},
            "required": ["unit", "n"],
        },
    )
    try:
        for temperature in (0.0, 1.0):
            reply = asked_of(chat, tool, Sampling(max_tokens=80, temperature=temperature, seed=3))
            found = parse_reply(reply.text)
            if reply.text.startswith("<tool") and reply.finish != "length":
                (call,) = found.message.tool_calls[:1]
                assert call.name == "f" and set(call.values()) == {"unit", "n"}
            else:
                assert not reply.message.tool_calls or reply.finish == "length"
    finally:
        asyncio.run(chat.aclose())


def asked_of(chat: Any, tool: Tool, sampling: Sampling) -> ChatReply:
    reply: ChatReply = asyncio.run(chat.reply(ChatRequest(ASKED, (tool,), sampling)))
    return reply
