"""What `engines/protocol.py` promises, asked of every engine.

vLLM is asked too where `FORMOSA_VLLM_PYTHON` names an interpreter that has it: `make test-vllm`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from formosa.chat.message import Message, Tool, json_text
from formosa.chat.reply import Delta
from formosa.chat.template import ChatTemplate
from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import (
    ChatModel,
    ChatReply,
    ChatRequest,
    Finished,
    Named,
    Piece,
    Prompt,
    Sampling,
    TextEngine,
    ToolChoice,
)
from formosa.engines.remote import RemoteText
from formosa.engines.remote_chat import RemoteChat
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.engines.vllm import VllmEngine
from formosa.engines.vllm_command import PYTHON, VllmOptions
from formosa.errors import ContextError, UnsupportedError
from formosa.models import resolve
from formosa.serve.app import create_app
from formosa.serve.protocol import request_error

CONTEXT = 300
PROMPT = "<|im_start|>user\nCount from one to ten.<|im_end|>\n<|im_start|>assistant\n"
STORY = "One, two, three, four, five, six, seven, eight, nine, ten."
CALLS = (
    "Let me see.\n"
    '<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "search", "arguments": {"query": "b"}}\n</tool_call>'
)


# -- text engines ----------------------------------------------------------------------------


GRAMMAR = 'start: "台北" /[0-9]{3}/\n'


def obedient(grammar: str) -> str:
    """What a model writes under the grammars of this file."""
    if "nowhere" in grammar:
        raise UnsupportedError("grammar", "unknown name")
    if "<tool_call>" in grammar:
        thought = "hm</think>\n\n" if grammar.startswith("start: thought") else ""
        arguments = {"city": "Taipei", "unit": "celsius"}
        call = json_text({"name": "get_weather", "arguments": arguments})
        return f"{thought}<tool_call>\n{call}\n</tool_call>"
    return '{"city": "Taipei"}' if "%json" in grammar else "台北101"


@contextmanager
def scripted() -> Iterator[TextEngine]:
    yield ScriptedEngine(lambda _: STORY, context=CONTEXT, under=obedient)


@contextmanager
def llama() -> Iterator[TextEngine]:
    engine = LlamaEngine(model_path(), context=CONTEXT)
    yield engine
    asyncio.run(engine.aclose())


@contextmanager
def remote_scripted() -> Iterator[TextEngine]:
    """A server with vLLM's routes in front of a scripted engine."""
    engine = ScriptedEngine(lambda _: STORY, under=obedient)
    transport = httpx2.ASGITransport(completions_app(engine))
    yield RemoteText("http://box/v1", transport=transport)


@contextmanager
def remote_llama() -> Iterator[TextEngine]:
    """llama.cpp's own OpenAI routes."""
    engine = LlamaEngine(model_path(), context=CONTEXT)
    yield RemoteText(f"{engine.base_url}/v1", api_key=engine.api_key)
    # It read grammars behind the engine's back. Freed, it would take this process with it when the
    # next model came to lie at its address (formosa.engines.guided); one read by the engine itself
    # keeps it.
    generate(engine, grammar='start: "a"\n', max_tokens=2)
    asyncio.run(engine.aclose())


@contextmanager
def real_vllm() -> Iterator[TextEngine]:
    model = os.environ.get("FORMOSA_VLLM_MODEL")
    folder = Path(model) if model else unpacked_model()
    engine = VllmEngine(folder, context=CONTEXT, slots=8, options=VllmOptions(cpu_cache_gb=1))
    yield engine
    asyncio.run(engine.aclose())


def unpacked_model() -> Path:
    from formosa.checkpoints import checkpoint_folder

    return checkpoint_folder(resolve("smollm2-135m"))


def model_path() -> Path:
    return resolve("smollm2-135m").path


def completions_app(engine: ScriptedEngine) -> Starlette:
    async def models(_: Request) -> Response:
        listed = {"id": "scripted", "max_model_len": CONTEXT, "owned_by": "vllm"}
        return JSONResponse({"data": [listed]})

    async def version(_: Request) -> Response:
        return JSONResponse({"version": "0.32.0"})

    async def tokenize(request: Request) -> Response:
        return JSONResponse({"tokens": await engine.tokenize((await request.json())["prompt"])})

    async def completions(request: Request) -> Response:
        body = await request.json()
        prompt = "".join(map(chr, body["prompt"]))
        try:
            if len(prompt) + body["max_tokens"] > CONTEXT:
                raise ContextError(len(prompt), body["max_tokens"], CONTEXT)
            sampling = Sampling(
                max_tokens=body["max_tokens"],
                stop=tuple(body.get("stop", ())),
                grammar=body.get("structured_outputs", {}).get("grammar"),
                logprobs=body.get("logprobs"),
                logit_bias={int(k): v for k, v in body.get("logit_bias", {}).items()},
            )
            pieces = [piece async for piece in engine.generate(prompt, sampling)]
        except (ContextError, UnsupportedError) as error:
            return JSONResponse(request_error(error).body(), 400)

        async def events() -> AsyncGenerator[str, None]:
            for piece in pieces:
                columns = {
                    "tokens": [token.chosen.text for token in piece.logprobs],
                    "token_logprobs": [token.chosen.logprob for token in piece.logprobs],
                    "top_logprobs": [{t.text: t.logprob for t in p.top} for p in piece.logprobs],
                }
                choice = {"text": piece.text, "finish_reason": piece.finish, "logprobs": columns}
                yield f"data: {json_text({'choices': [choice]})}\n\n"
                if piece.usage:
                    usage = {
                        "prompt_tokens": piece.usage.prompt,
                        "completion_tokens": piece.usage.completion,
                    }
                    yield f"data: {json_text({'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/version", version),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
        ]
    )


ENGINES = [
    pytest.param(scripted, id="scripted"),
    pytest.param(remote_scripted, id="remote"),
    pytest.param(llama, id="llama", marks=pytest.mark.model),
    pytest.param(remote_llama, id="remote-llama", marks=pytest.mark.model),
]
if PYTHON in os.environ:
    minutes = pytest.mark.timeout(900)
    ENGINES.append(pytest.param(real_vllm, id="vllm", marks=[pytest.mark.model, minutes]))


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[TextEngine]:
    with request.param() as made:
        yield made


def generate(engine: TextEngine, prompt: Prompt = PROMPT, **sampling: Any) -> list[Piece]:
    async def collect() -> list[Piece]:
        async with aclosing(engine.generate(prompt, Sampling(**sampling))) as pieces:
            return [piece async for piece in pieces]

    return asyncio.run(collect())


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_it_is_a_text_engine(engine: TextEngine) -> None:
    assert isinstance(engine, TextEngine)
    assert engine.info.name


def test_the_last_piece_alone_says_why_it_ended(engine: TextEngine) -> None:
    pieces = generate(engine, max_tokens=12)
    assert [piece.finish is None for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert pieces[-1].usage is not None


def test_max_tokens_cuts_the_reply_and_says_so(engine: TextEngine) -> None:
    last = generate(engine, max_tokens=3)[-1]
    assert last.finish == "length"
    assert last.usage is not None
    assert last.usage.completion == 3


def test_a_stop_text_ends_the_reply_and_is_not_part_of_it(engine: TextEngine) -> None:
    whole = text_of(generate(engine, max_tokens=20))
    stop = whole[4:7]
    pieces = generate(engine, max_tokens=20, stop=(stop,))
    assert text_of(pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish == "stop"


def test_greedy_replies_are_the_same_each_time(engine: TextEngine) -> None:
    first, second = (text_of(generate(engine, max_tokens=20)) for _ in range(2))
    assert first == second
    assert first


def test_the_prompt_is_counted_by_its_own_tokens(engine: TextEngine) -> None:
    """Nothing is added to a prompt: a second BOS token makes answers worse, in silence."""
    ids = asyncio.run(engine.tokenize(PROMPT))
    last = generate(engine, max_tokens=2)[-1]
    assert last.usage is not None
    assert last.usage.prompt == len(ids)


def test_tokens_of_nothing_are_none(engine: TextEngine) -> None:
    assert asyncio.run(engine.tokenize("")) == []


def test_what_does_not_fit_is_refused_with_both_lengths(engine: TextEngine) -> None:
    with pytest.raises(ContextError) as caught:
        generate(engine, "one two three four " * 200, max_tokens=5)
    length = len(asyncio.run(engine.tokenize("one two three four " * 200)))
    assert caught.value.context in (CONTEXT, 512)  # llama.cpp alone rounds its slots up
    assert caught.value.prompt_tokens == length


def test_leaving_early_leaves_the_engine_ready(engine: TextEngine) -> None:
    async def leave() -> str:
        async with aclosing(engine.generate(PROMPT, Sampling(max_tokens=100))) as pieces:
            async for piece in pieces:
                return piece.text
        return ""

    assert isinstance(asyncio.run(leave()), str)
    assert generate(engine, max_tokens=2)[-1].finish == "length"


def test_generations_at_the_same_time_do_not_mix(engine: TextEngine) -> None:
    wanted = text_of(generate(engine, max_tokens=8))

    async def several() -> list[str]:
        async def one() -> str:
            pieces = engine.generate(PROMPT, Sampling(max_tokens=8))
            return "".join([piece.text async for piece in pieces])

        return await asyncio.gather(*(one() for _ in range(3)))

    assert asyncio.run(several()) == [wanted] * 3


def test_a_seed_repeats_a_sampled_reply(engine: TextEngine) -> None:
    replies = {text_of(generate(engine, temperature=1.0, seed=7, max_tokens=12)) for _ in range(2)}
    assert len(replies) == 1


def test_a_grammar_is_followed(engine: TextEngine) -> None:
    pieces = generate(engine, grammar=GRAMMAR, max_tokens=30)
    assert re.fullmatch("台北[0-9]{3}", text_of(pieces))
    assert pieces[-1].finish == "stop"


def test_a_grammar_that_can_t_be_followed_is_refused(engine: TextEngine) -> None:
    with pytest.raises(UnsupportedError) as caught:
        generate(engine, grammar="start: nowhere\n", max_tokens=5)
    assert caught.value.parameter == "grammar"


def test_log_probabilities_belong_to_the_text(engine: TextEngine) -> None:
    pieces = generate(engine, max_tokens=12, logprobs=2)
    tokens = [token for piece in pieces for token in piece.logprobs]
    assert b"".join(token.chosen.bytes for token in tokens).decode() == text_of(pieces)
    for token in tokens:
        assert token.chosen.logprob <= 0
        assert token.chosen.logprob == token.top[0].logprob  # greedy
        assert 1 <= len(token.top) <= 2


def test_log_probabilities_without_alternatives(engine: TextEngine) -> None:
    pieces = generate(engine, max_tokens=5, logprobs=0)
    tokens = [token for piece in pieces for token in piece.logprobs]
    assert len(tokens) >= 5 or pieces[-1].finish == "stop"
    assert {token.top for token in tokens} == {()}
    assert not any(piece.logprobs for piece in generate(engine, max_tokens=5))


def test_pieces_of_a_prompt_are_read_one_by_one(engine: TextEngine) -> None:
    pieces = ("<|im_start|>user\nSay <|im_", "end|>.<|im_end|>\n<|im_start|>assistant\n")
    usage = generate(engine, pieces, max_tokens=2)[-1].usage
    assert usage is not None
    assert usage.prompt == sum(len(asyncio.run(engine.tokenize(piece))) for piece in pieces)


def test_a_bias_decides_or_is_refused(engine: TextEngine) -> None:
    hat = asyncio.run(engine.tokenize(" hat"))[0]
    try:
        text = text_of(generate(engine, max_tokens=2, logit_bias={hat: 100.0}))
    except UnsupportedError as error:
        assert error.parameter == "logit_bias"
    else:
        assert text.startswith(" hat")


# -- forced replies on each of them ---------------------------------------------------------------

WEATHER = Tool.of(
    "get_weather",
    "The weather",
    {
        "type": "object",
        "properties": {"city": {"enum": ["Taipei", "Tokyo"]}, "unit": {"enum": ["celsius"]}},
        "required": ["city", "unit"],
    },
)
OPENS = ChatTemplate.from_source(
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}",
    eos_token="<|im_end|>",
)
BRIEF = ChatTemplate.from_source(OPENS.source.replace("<think>\n", ""), eos_token="<|im_end|>")
SHORT = (Message("user", "Weather?"),)
QUESTION = ChatRequest(
    (Message("user", "Hi."),), (WEATHER,), Sampling(max_tokens=150), tool_choice="required"
)


@pytest.mark.parametrize("choice", ["required", Named("get_weather")])
def test_a_forced_call_comes_and_obeys_its_schema(engine: TextEngine, choice: ToolChoice) -> None:
    """Small models write none by themselves; a server's own forcing leaves out half the schema."""
    request = replace(QUESTION, messages=SHORT, tool_choice=choice, parallel=False)
    reply = asyncio.run(TemplatedChat(engine, BRIEF).reply(request))
    [call] = reply.message.tool_calls
    assert call.name == "get_weather"
    assert set(json.loads(call.arguments)) == {"city", "unit"}
    assert (reply.finish, reply.defects) == ("tool_calls", ())


def test_thoughts_come_before_a_forced_call_and_leave_room_for_it(engine: TextEngine) -> None:
    reply = asyncio.run(TemplatedChat(engine, OPENS).reply(replace(QUESTION, parallel=False)))
    assert reply.finish == "tool_calls"
    assert reply.message.reasoning
    assert len(reply.message.tool_calls) == 1


def test_a_schema_is_obeyed(engine: TextEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"],
    }
    request = replace(QUESTION, tools=(), tool_choice="auto", json_schema=schema)
    reply = asyncio.run(TemplatedChat(engine, BRIEF).reply(request))
    assert set(json.loads(reply.message.content)) == {"city"}
    assert reply.finish == "stop"


# -- chat models -----------------------------------------------------------------------------


def templated(reply: str) -> ChatModel:
    return TemplatedChat(ScriptedEngine(lambda _: reply))


def remote(reply: str) -> ChatModel:
    """Our own server, asked as a foreign one."""
    transport = httpx2.ASGITransport(create_app({"m": templated(reply)}))
    return RemoteChat("http://box/v1", transport=transport)


@pytest.fixture(params=[templated, remote])
def chat(request: pytest.FixtureRequest) -> Callable[[str], ChatModel]:
    made: Callable[[str], ChatModel] = request.param
    return made


REQUEST = ChatRequest(
    (Message("system", "short"), Message("user", "look twice")),
    tools=(Tool.of("search", "", {"type": "object", "properties": {}}),),
)


def stream(model: ChatModel, request: ChatRequest = REQUEST) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in model.stream(request)]

    return asyncio.run(collect())


def without_ids(message: Message) -> Message:
    return replace(message, tool_calls=tuple(replace(c, id="") for c in message.tool_calls))


@pytest.mark.parametrize("reply", ["plain", CALLS, "<think>\nhm\n</think>\n\nyes", ""])
def test_a_streamed_reply_adds_up_to_the_whole_one(
    chat: Callable[[str], ChatModel], reply: str
) -> None:
    events = stream(chat(reply))
    last = events[-1]
    assert isinstance(last, Finished)
    for kind in ("reasoning", "content"):
        joined = "".join(e.text for e in events if isinstance(e, Delta) and e.kind == kind)
        assert joined == getattr(last.reply.message, kind)
    calls = [event for event in events if not isinstance(event, Delta | Finished)]
    assert tuple(calls) == last.reply.message.tool_calls
    whole: ChatReply = asyncio.run(chat(reply).reply(REQUEST))
    assert without_ids(whole.message) == without_ids(last.reply.message)
    assert (whole.finish, whole.usage) == (last.reply.finish, last.reply.usage)


def test_our_own_server_says_what_the_model_behind_it_says() -> None:
    behind, before = (asyncio.run(make(CALLS).reply(REQUEST)) for make in (templated, remote))
    assert without_ids(behind.message) == without_ids(before.message)
    assert behind.finish == before.finish == "tool_calls"
    assert behind.usage == before.usage


def test_a_conversation_that_does_not_fit_is_refused(chat: Callable[[str], ChatModel]) -> None:
    request = replace(REQUEST, sampling=Sampling(max_tokens=2_000_000))
    with pytest.raises(ContextError):
        asyncio.run(chat("x").reply(request))
    with pytest.raises(ContextError):
        stream(chat("x"), request)


def test_closing_twice_is_fine(chat: Callable[[str], ChatModel]) -> None:
    async def close() -> None:
        model = chat("x")
        await model.reply(REQUEST)
        await model.aclose()
        await model.aclose()

    asyncio.run(close())


def test_a_family_can_be_forced_on_any_engine() -> None:
    engine = ScriptedEngine(lambda _: "x")
    asyncio.run(TemplatedChat(engine, ChatTemplate.formosa("gemma")).reply(REQUEST))
    assert "<start_of_turn>" in engine.prompts[0]
