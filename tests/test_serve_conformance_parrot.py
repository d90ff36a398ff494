"""The model that says given words: on the real engine, alone and behind our server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import ChatReply, ChatRequest, Sampling
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.serve.conformance.check import run_check
from formosa.serve.conformance.exchange import Server
from formosa.serve.conformance.parrot import END, Parrot, _byte_letters, template
from formosa.serve.conformance.steering import Way, find_steering, suite_parrot
from formosa.serve.conformance.vectors import vectors
from formosa.serve.run import serving

pytestmark = pytest.mark.train  # gguf and safetensors write the model


def spelled(parrot: Parrot, text: str) -> str:
    """What the pieces of a line say together."""
    letters = {letter: byte for byte, letter in enumerate(_byte_letters())}
    joined = "".join(parrot.tokens[id] for id in parrot.lines[text].ids)
    return bytes(letters[letter] for letter in joined).decode()


def test_all_scripted_replies_are_cut_into_pieces_of_their_own() -> None:
    parrot = suite_parrot()
    assert len(set(parrot.tokens)) == len(parrot.tokens)
    for vector in vectors():
        assert spelled(parrot, vector.text) == vector.text
        assert len(parrot.lines[vector.text].ids) >= 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=2, max_size=40), min_size=1, max_size=6, unique=True))
def test_any_texts_can_be_said_or_are_refused(texts: list[str]) -> None:
    try:
        parrot = Parrot(texts)
    except UserError:
        return  # two texts that no cutting tells apart, such as "aa" beside "aaa"
    for text in texts:
        assert spelled(parrot, text) == text
        assert END not in parrot.lines[text].ids


def test_what_a_client_computes_is_what_was_written() -> None:
    """`serve check` knows the ids without the file."""
    assert suite_parrot().tokens == suite_parrot().tokens
    first, second = suite_parrot().weights(), suite_parrot().weights()
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    path = suite_parrot().write_gguf(tmp_path_factory.mktemp("parrot") / "parrot.gguf")
    made = LlamaEngine(path, name="parrot", context=4096, slots=2, threads=1)
    yield made
    asyncio.run(made.aclose())


@pytest.fixture(scope="module")
def url(engine: LlamaEngine) -> Iterator[str]:
    chat = TemplatedChat(engine, ChatTemplate.from_source(template(), eos_token="<|im_end|>"))
    with serving({"parrot": chat}) as address:
        yield address


@pytest.mark.parametrize(
    ("by", "only"),
    [
        ("parrot", ["vectors"]),
        ("choice", [f"vectors.{id}" for id in ("call-cjk", "parallel", "cut-in-name", "think")]),
    ],
)
def test_our_server_over_llama_cpp_is_right_on_every_scripted_reply(
    url: str, by: Way, only: list[str]
) -> None:
    report = run_check(url, only=only, by=by)
    assert by in report.steering
    wrong = {r.id: (r.verdict, r.evidence) for r in report.results if r.verdict != "pass"}
    assert wrong == {}


def test_another_model_can_t_be_steered_by_the_parrot(tmp_path: Path) -> None:
    other = Parrot(["something else"]).write_gguf(tmp_path / "other.gguf")
    engine = LlamaEngine(other, name="other", context=1024, threads=1)
    chat = TemplatedChat(engine, ChatTemplate.formosa("chatml"))
    with serving({"other": chat}) as address:
        server = Server(address, "other")
        way = find_steering(server)
        assert way is None or way.name != "parrot"
        server.close()
    asyncio.run(chat.aclose())


def test_the_checkpoint_folder_holds_the_same_vocabulary(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    parrot = Parrot(["<think>一二</think>三四五", "六七八"])
    folder = parrot.write_checkpoint(tmp_path / "parrot")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, line in parrot.lines.items():
        assert tokenizer.decode(list(line.ids), skip_special_tokens=False) == text
    prompt = "<|im_start|>user\n您好<|im_end|>"
    assert tokenizer.decode(tokenizer.encode(prompt).ids, skip_special_tokens=False) == prompt


@pytest.mark.parametrize("control_tags", [False, True])
def test_a_call_can_be_forced_where_the_tags_of_thoughts_are_tokens(
    tmp_path: Path, control_tags: bool
) -> None:
    """llguidance wants user-defined tags as text and control tags by name; the wrong way round
    the grammar is refused, or nothing can be written."""
    text = "<think>\n想\n</think>\n\n" + '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    parrot = Parrot([text])
    engine = LlamaEngine(
        parrot.write_gguf(tmp_path / "p.gguf", control_tags=control_tags), context=768
    )
    request = ChatRequest(
        (Message("user", "hi"),),
        (Tool.of("f", "", {"type": "object", "properties": {}}),),
        Sampling(max_tokens=100, logit_bias=parrot.lines[text].bias),
        tool_choice="required",
    )

    async def ask() -> ChatReply:
        try:
            return await TemplatedChat(engine).reply(request)
        finally:
            await engine.aclose()

    message = asyncio.run(ask()).message
    assert message.reasoning == "想"
    assert [call.name for call in message.tool_calls] == ["f"]
