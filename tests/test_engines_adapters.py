"""A base and an adapter as one model: what it says, and what a log says of it. Real llama.cpp."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from formosa.chat.message import Message
from formosa.chat.template import ChatTemplate
from formosa.engines.open import open_chat
from formosa.engines.protocol import ChatModel, ChatRequest, Sampling
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.export.adapter import write_adapter
from formosa.export.gguf import write_gguf
from formosa.export.merge import merge
from formosa.files import sha256_file
from tiny_adapter import write_tiny_adapter

pytestmark = pytest.mark.train
QUESTIONS = ("台北的天氣如何？", "the weather", "get_weather city Taipei")


async def replies(chat: ChatModel, count: int = 16) -> list[str]:
    try:
        found = []
        for question in QUESTIONS:
            asked = ChatRequest((Message("user", question),), sampling=Sampling(max_tokens=count))
            found.append((await chat.reply(asked)).text)
        return found
    finally:
        await chat.aclose()


@pytest.fixture(scope="module")
def made(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapted")
    adapter = write_tiny_adapter(tiny_checkpoint, folder / "a")
    write_gguf(tiny_checkpoint, folder / "base.gguf", "F16", name="base")
    write_adapter(tiny_checkpoint, adapter, folder / "lora.gguf", name="lora", level="F16")
    write_adapter(tiny_checkpoint, adapter, folder / "exact.gguf", name="lora")
    merged = merge(tiny_checkpoint, adapter, folder / "m")
    write_gguf(merged, folder / "merged.gguf", "F16", name="m")
    return folder


def test_it_answers_with_its_adapter(made: Path) -> None:
    def said(name: str) -> list[str]:
        return asyncio.run(replies(open_chat(name, context=512, threads=1)))

    adapted = said(f"{made}/base.gguf+{made}/lora.gguf")
    assert adapted == said(f"{made}/base.gguf+{made}/exact.gguf")
    assert adapted != said(f"{made}/base.gguf")


def test_half_precision_halves_the_file(made: Path) -> None:
    half, exact = ((made / name).stat().st_size for name in ("lora.gguf", "exact.gguf"))
    assert half < 0.75 * exact  # the header of so small a file weighs something


def test_a_log_names_both_files(made: Path) -> None:
    chat = open_chat(f"{made}/base.gguf+{made}/lora.gguf", context=256, threads=1)
    try:
        assert chat.info.name == "lora"
        assert chat.info.sha256 == sha256_file(made / "lora.gguf")
        assert chat.info.details["base"] == "base"
        assert chat.info.details["base_sha256"] == sha256_file(made / "base.gguf")
    finally:
        asyncio.run(chat.aclose())


def template_of(name: str, **options: str) -> str:
    chat = open_chat(name, context=256, threads=1, **options)  # type: ignore[arg-type]
    assert isinstance(chat, TemplatedChat)
    asyncio.run(chat.aclose())
    return chat.template.source


def test_its_template_is_the_one_it_was_trained_with(made: Path, tiny_checkpoint: Path) -> None:
    """The base may have none, or one of its own that knows no tools."""
    adapter = write_tiny_adapter(tiny_checkpoint, made / "b")
    own = ChatTemplate.formosa("gemma").source
    write_adapter(tiny_checkpoint, adapter, made / "own.gguf", name="own", template=own)
    base = template_of(f"{made}/base.gguf")
    assert template_of(f"{made}/base.gguf+{made}/own.gguf") == own != base
    assert template_of(f"{made}/base.gguf+{made}/lora.gguf") == base
    forced = template_of(f"{made}/base.gguf+{made}/own.gguf", template="llama3")
    assert forced == ChatTemplate.formosa("llama3").source


def test_an_adapter_takes_no_other_adapters(made: Path) -> None:
    with pytest.raises(UserError, match="takes no others"):
        open_chat(f"{made}/base.gguf+{made}/lora.gguf", adapters={"x": made / "lora.gguf"})
