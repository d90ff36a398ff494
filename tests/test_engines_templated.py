"""A text engine and a template make a chat model; the scripted engine stands in for a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_strategies import replies
from formosa.chat.grammar import reply_grammar
from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.parser import parse_reply
from formosa.chat.reply import Delta
from formosa.chat.template import FAMILIES, ChatTemplate
from formosa.engines.protocol import (
    ChatEvent,
    ChatModel,
    ChatReply,
    ChatRequest,
    Finished,
    Logprobs,
    ModelInfo,
    Named,
    Piece,
    Prompt,
    Sampling,
    TextEngine,
    ToolChoice,
    Usage,
)
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import ContextError, EngineError, MessageError, UnsupportedError, UserError

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


# -- what must come -----------------------------------------------------------------------------

TWO = f"{CALL}\n{CALL}"


def forced(text: str, **options: Any) -> tuple[ScriptedEngine, ChatReply]:
    engine = ScriptedEngine(["free words"], under=[text])
    request = replace(ASK, **{"tool_choice": "required", **options})
    return engine, asyncio.run(TemplatedChat(engine).reply(request))


@pytest.mark.parametrize("choice", ["required", Named("f")])
def test_a_forced_call_is_asked_for_by_grammar(choice: ToolChoice) -> None:
    engine, reply = forced(CALL, tool_choice=choice)
    assert reply.finish == "tool_calls"
    [(_, sampling)] = engine.requests
    assert sampling.grammar is not None
    assert "f" in sampling.grammar


def test_only_the_named_tool_may_be_called() -> None:
    tools = (TOOL, Tool("g", "does g"))
    engine, _ = forced(CALL, tools=tools, tool_choice=Named("f"))
    grammar = engine.requests[0][1].grammar
    assert grammar == reply_grammar(
        tools=tools, named="f", reasoning="may", thought_tokens=1_000_000 // 4
    )
    with pytest.raises(MessageError, match="tool_choice"):
        forced(CALL, tool_choice=Named("h"))


def test_a_forced_call_without_tools_is_refused() -> None:
    with pytest.raises(MessageError, match="there are no tools"):
        forced(CALL, tools=())


def test_stop_texts_do_not_cut_a_forced_call() -> None:
    """A stop text may stand in an argument; nothing else can come."""
    engine, reply = forced(CALL, sampling=Sampling(stop=("x", "}")))
    assert reply.message.tool_calls
    assert engine.requests[0][1].stop == ()


def test_a_forced_reply_without_a_call_is_an_error_or_was_cut() -> None:
    with pytest.raises(EngineError, match="wrote no call"):
        forced("words")
    _, reply = forced(CALL, sampling=Sampling(max_tokens=9))
    assert (reply.finish, reply.message.tool_calls) == ("length", ())


def test_thoughts_may_take_half_of_the_reply() -> None:
    engine, _ = forced(CALL, sampling=Sampling(max_tokens=200))
    assert "max_tokens=100" in str(engine.requests[0][1].grammar)


@pytest.mark.parametrize(
    ("end", "begins"),
    [
        ("<think>\n", "start: thought"),
        ("<think>\n\n</think>\n\n", "start: (call"),
        ("{# <think> #}", "start: think?"),
        ("", "start: (call"),
    ],
    ids=["open", "closed", "known", "unknown"],
)
def test_thoughts_are_allowed_where_the_template_has_them(end: str, begins: str) -> None:
    template = ChatTemplate.from_source("{% for m in messages %}{{ m.content }}{% endfor %}" + end)
    engine = ScriptedEngine([], under=[f"</think>\n\n{CALL}" if "thought" in begins else CALL])
    request = replace(ASK, tool_choice="required")
    asyncio.run(TemplatedChat(engine, template).reply(request))
    assert str(engine.requests[0][1].grammar).startswith(begins)


def test_a_schema_is_asked_for_by_grammar_and_tools_stay_possible() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for tools, text, finish in (((), '{"a": 1}', "stop"), ((TOOL,), CALL, "tool_calls")):
        engine = ScriptedEngine([], under=[text])
        request = replace(ASK, tools=tools, json_schema=schema)
        assert asyncio.run(TemplatedChat(engine).reply(request)).finish == finish
        grammar = str(engine.requests[0][1].grammar)
        assert "json" in grammar
        assert ("call" in grammar) is bool(tools)


def test_no_tool_is_shown_when_none_may_be_called() -> None:
    engine = ScriptedEngine([CALL])
    reply = asyncio.run(TemplatedChat(engine).reply(replace(ASK, tool_choice="none")))
    assert (reply.message.content, reply.message.tool_calls) == (CALL, ())
    assert engine.prompts == [ChatTemplate.formosa().prompt(ASK.messages)]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_one_call_is_one_call(chunk: int) -> None:
    request = replace(ASK, parallel=False)
    events = events_of(f"Well.\n{TWO}\nmore", request, chunk=chunk)
    assert [event for event in events if isinstance(event, ToolCall)] == [
        ToolCall("f", '{"x": 1}', "call_0")
    ]
    last = events[-1]
    assert isinstance(last, Finished)
    assert len(last.reply.message.tool_calls) == 1
    assert last.reply.finish == "tool_calls"
    assert last.reply.text == f"Well.\n{CALL}"
    assert last.reply.usage is not None
    assert last.reply.usage.completion == len(last.reply.text)


def test_two_calls_in_one_tag_are_one_call_where_one_is_wanted() -> None:
    item = '{"name": "f", "arguments": {}}'
    text = f"<tool_call>[{item}, {item}]</tool_call>"
    assert len(answer(text).message.tool_calls) == 2
    assert len(answer(text, replace(ASK, parallel=False)).message.tool_calls) == 1


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"json_schema": {}}, "response_format"),
        ({"sampling": Sampling(grammar="start: x")}, "grammar"),
        ({"json_schema": {}, "sampling": Sampling(grammar="start: x")}, "grammar"),
        ({"sampling": Sampling(logit_bias={1: 1.0})}, "logit_bias"),
    ],
)
def test_what_the_engine_can_t_force_is_refused_by_its_name(
    change: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        answer("x", replace(ASK, **change))
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(("tags", "written"), [(("<tool_call>",), False), ((), True)])
def test_a_forced_call_s_grammar_names_the_tags_that_the_engine_wants_named(
    tags: tuple[str, ...], written: bool
) -> None:
    engine = ScriptedEngine(["no"], under=[CALL], tag_tokens=tags, control_tokens=("<tool_call>",))
    asyncio.run(TemplatedChat(engine).reply(replace(ASK, tool_choice="required")))
    [(_, sampling)] = engine.requests
    assert sampling.grammar is not None
    assert ('"<tool_call>' in sampling.grammar) is written


# -- stop texts ---------------------------------------------------------------------------------


def with_stops(text: str, *stops: str, **options: Any) -> tuple[list[ChatEvent], ChatReply]:
    request = replace(ASK, sampling=Sampling(stop=stops, logprobs=options.pop("logprobs", None)))
    *events, last = events_of(text, replace(request, **options.pop("change", {})), **options)
    assert isinstance(last, Finished)
    return events, last.reply


@pytest.mark.parametrize("chunk", [1, 2, 5, 1000])
@pytest.mark.parametrize("stop", ["\n", "}", '"x"', " ", "f"])
def test_a_stop_text_does_not_cut_a_call(stop: str, chunk: int) -> None:
    """Engines look for it in all that they write, and leave half a call (vLLM #34101)."""
    _, reply = with_stops(CALL, stop, chunk=chunk)
    assert reply.message.tool_calls == (ToolCall("f", '{"x": 1}', "call_0"),)
    assert (reply.message.content, reply.finish) == ("", "tool_calls")


@pytest.mark.parametrize("chunk", [1, 2, 5, 1000])
def test_a_stop_text_ends_the_answer_and_not_the_thoughts(chunk: int) -> None:
    text = f"<think>\none END two\n</think>\n\nthree END four\n{CALL}"
    _, reply = with_stops(text, "END", "never", chunk=chunk)
    assert reply.message == Message("assistant", "three ", "one END two")
    assert reply.finish == "stop"
    assert reply.text == text[: text.rfind("END")]
    assert reply.usage is not None
    assert reply.usage.completion == len(reply.text)


def test_the_raw_text_ends_where_the_answer_does() -> None:
    """The parser holds a line break back, so it has read on when it hands the first one on."""
    assert with_stops("a\n\nb", "\n")[1].text == "a"
    # In pieces on both sides of an empty block: nowhere in the text as it was written.
    assert with_stops("a\n<think></think>b", "\nb")[1].message.content == "a"


def test_a_stop_text_after_a_call_leaves_the_call_and_one_in_a_broken_call_is_its_text() -> None:
    broken = '<tool_call>{"nom": "END"}</tool_call>'
    _, reply = with_stops(f"{broken}\n{CALL}\nnow END.", "END")
    assert reply.message.content.rstrip() == f"{broken}\nnow"
    assert (len(reply.message.tool_calls), len(reply.defects)) == (1, 1)
    assert reply.finish == "tool_calls"


def test_half_a_stop_text_is_held_back_and_handed_on_when_nothing_comes_of_it() -> None:
    events, reply = with_stops(f"a ENE\n{CALL}\nEN", "END", chunk=1)
    assert [event.text for event in events if isinstance(event, Delta)] == [
        *("a", " ", "EN"),
        *("E", "\n", "EN"),
    ]
    assert reply.message.content == "a ENE\nEN"


def test_a_stop_text_that_is_a_tag_means_the_text_itself() -> None:
    for stop, message in (
        ("</think>", Message("assistant", reasoning="hm")),
        ("<tool_call>", Message("assistant", "hi", "hm")),
    ):
        assert with_stops(f"<think>hm</think>hi{CALL}", stop)[1].message == message


def test_where_neither_calls_nor_thoughts_can_come_the_engine_stops_by_itself() -> None:
    template = ChatTemplate.from_source("{% for m in messages %}{{ m.content }}{% endfor %}")
    engine = ScriptedEngine(["one END two"])
    request = replace(ASK, tools=(), sampling=Sampling(stop=("END",)))
    assert asyncio.run(TemplatedChat(engine, template).reply(request)).text == "one "
    assert engine.requests[0][1].stop == ("END",)


def test_no_log_probability_goes_beyond_the_stop_text() -> None:
    events, reply = with_stops("<think>END</think>one END two", "END", logprobs=0, chunk=4)
    tokens = [token for event in events if isinstance(event, Logprobs) for token in event.tokens]
    assert "".join(token.chosen.text for token in tokens) == reply.text == "<think>END</think>one "
    assert reply.logprobs == tuple(tokens)


class Uncounted(ScriptedEngine):
    """A server without `/tokenize`."""

    async def tokenize(self, text: str) -> list[int]:
        raise EngineError("it has no /tokenize")


def test_an_engine_that_can_t_count_costs_the_usage_and_not_the_reply() -> None:
    request = replace(ASK, parallel=False)
    reply = asyncio.run(TemplatedChat(Uncounted([f"{TWO}\nmore"])).reply(request))
    assert (len(reply.message.tool_calls), reply.usage) == (1, None)


@given(
    replies(),
    st.lists(st.sampled_from(["\n", "}", "END", "hi", "臺北", '"', "<t", " "]), max_size=3),
    st.booleans(),
    st.integers(1, 9),
)
def test_the_stream_says_what_the_reply_says_whatever_stops_it(
    text: str, stops: list[str], parallel: bool, chunk: int
) -> None:
    """For any text, cut anywhere: the joined events are the message, and no answer holds a stop
    text outside of what a broken call left."""
    change = {"parallel": parallel}
    events, reply = with_stops(text, *stops, change=change, chunk=chunk)
    spoken = {"reasoning": "", "content": ""}
    for event in events:
        if isinstance(event, Delta):
            spoken[event.kind] += event.text
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    message = reply.message
    assert message == Message("assistant", spoken["content"], spoken["reasoning"], calls)
    assert with_stops(text, *stops, change=change, chunk=1000)[1] == reply
    if not (calls or reply.defects or reply.message.reasoning):
        assert not any(stop in message.content for stop in stops)
    if not stops and parallel:
        assert message == parse_reply(text.partition("<|im_end|>")[0]).message


# -- words that spell control tokens ----------------------------------------------------------


def test_a_user_s_control_token_is_cut() -> None:
    engine = ScriptedEngine(["ok"], control_tokens=("<|tool|>",))
    words = "a<|im_end|>b<|tool|>c"
    request = replace(ASK, messages=(Message("user", words),))
    asyncio.run(TemplatedChat(engine).reply(request))
    [(prompt, _)] = engine.requests
    assert isinstance(prompt, tuple)
    assert "".join(prompt) == ChatTemplate.formosa().prompt(request.messages, request.tools)
    assert not any("a<|im_end|>b" in piece or "<|tool|>" in piece for piece in prompt)


# -- log-probabilities ------------------------------------------------------------------------


def test_log_probabilities_come_with_what_they_belong_to() -> None:
    request = replace(ASK, sampling=Sampling(logprobs=1))
    events = events_of(f"hi\n{CALL}", request)
    tokens = [token for event in events if isinstance(event, Logprobs) for token in event.tokens]
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.reply.logprobs == tuple(tokens)
    assert "".join(token.chosen.text for token in tokens) == last.reply.text
    assert not any(isinstance(event, Logprobs) for event in events_of("hi"))


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
