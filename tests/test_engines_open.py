"""From a name to something that answers, where a server or a folder is behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from formosa.chat.template import ChatTemplate
from formosa.engines.endpoint import Endpoint
from formosa.engines.llama import LlamaEngine
from formosa.engines.open import open_chat, with_adapters
from formosa.engines.pool import EnginePool
from formosa.engines.remote import RemoteText
from formosa.engines.remote_chat import RemoteChat
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.engines.tokenizer_files import read_template, read_vocabulary
from formosa.errors import ModelError, UserError
from formosa.models import resolve

URL = "http://127.0.0.1:9/v1"
CHATML = [
    {"id": 1, "content": "<|im_start|>", "special": True},
    {"id": 2, "content": "<|im_end|>", "special": True},
    {"id": 3, "content": "<tool_call>", "special": False},
]


def checkpoint(folder: Path, config: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    tokenizer = {
        "model": {"vocab": {"åı": 0}},
        "added_tokens": CHATML,
        "decoder": {"type": "ByteLevel"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(config or {}))
    return folder


# -- servers -------------------------------------------------------------------------------------


def test_a_server_renders_unless_it_is_told_not_to() -> None:
    assert isinstance(open_chat("m", base_url=URL), RemoteChat)
    raw = open_chat("m", base_url=URL, raw=True, template="llama3")
    assert isinstance(raw, TemplatedChat)
    assert isinstance(raw.engine, RemoteText)
    assert raw.template is ChatTemplate.formosa("llama3")
    assert raw.info.name == "m"
    vllm = open_chat("m", base_url=URL, engine="vllm", template="chatml")
    assert isinstance(vllm, TemplatedChat)


def test_the_files_of_a_model_give_a_raw_server_its_template(tmp_path: Path) -> None:
    source = "{{ messages[0].content }}{{ eos_token }}"
    folder = checkpoint(tmp_path / "m", {"chat_template": source, "eos_token": "<|im_end|>"})
    chat = open_chat(str(folder), base_url=URL, raw=True)
    assert isinstance(chat, TemplatedChat)
    assert (chat.template.source, chat.template.stop) == (source, "<|im_end|>")
    assert chat.info.control_tokens == {"<|im_start|>", "<|im_end|>", "<tool_call>"}
    assert chat.info.name == "m"


def test_a_raw_server_needs_a_template() -> None:
    with pytest.raises(ModelError, match="No model is called"):
        open_chat("only-theirs", base_url=URL, raw=True)
    with pytest.raises(UserError, match="no chat template"):
        open_chat("", base_url=URL, raw=True)


def test_several_servers_answer_as_one() -> None:
    urls = [URL, "http://127.0.0.1:10/v1"]
    chat = open_chat("m", base_url=urls, raw=True, template="chatml")
    assert isinstance(chat, TemplatedChat)
    assert isinstance(chat.engine, EnginePool)
    with pytest.raises(UserError, match="only behind Formosa"):
        open_chat("m", base_url=urls)


def test_adapters_are_not_loaded_on_servers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not on a server"):
        open_chat("m", base_url=URL, adapters={"a": tmp_path})


def test_a_model_without_adapters_is_alone() -> None:
    chat = TemplatedChat(ScriptedEngine([], name="m"))
    assert with_adapters(chat) == {"m": chat}


def test_words_for_this_machine_take_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    seen: list[bool] = []
    real = httpx2.AsyncClient

    def client(**options: Any) -> httpx2.AsyncClient:
        seen.append(options["trust_env"])
        return real(**options)

    monkeypatch.setattr(httpx2, "AsyncClient", client)

    async def ask(url: str) -> None:
        endpoint = Endpoint(url, model="m", timeout=1)
        await endpoint._clients.get()
        await endpoint.aclose()

    for url in ("http://127.0.0.1:1/v1", "http://localhost:1", "https://api.example/v1"):
        asyncio.run(ask(url))
    assert seen == [False, False, True]


@pytest.mark.model
def test_a_gguf_file_gives_the_template_too() -> None:
    """For a foreign llama.cpp server that loaded the same file."""
    chat = open_chat("smollm2-135m", base_url=URL, raw=True)
    assert isinstance(chat, TemplatedChat)
    assert chat.template.stop == "<|im_end|>"
    assert "<|im_start|>" in chat.info.control_tokens
    assert chat.template.source == open_source()


@pytest.mark.model
def test_a_llama_cpp_server_tells_its_own_template() -> None:
    engine = LlamaEngine(resolve("smollm2-135m").path, context=64)
    url = f"{engine.base_url}/v1"
    for model in ("", "whatever"):
        chat = open_chat(model, base_url=url, api_key=engine.api_key, raw=True)
        assert isinstance(chat, TemplatedChat)
        assert (chat.template.source, chat.template.stop) == (open_source(), "<|im_end|>")
    asyncio.run(engine.aclose())


def open_source() -> str:
    from formosa.engines.gguf import read_metadata

    return str(read_metadata(resolve("smollm2-135m").path)["tokenizer.chat_template"])


# -- the files of a folder -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "source"),
    [
        ({"chat_template": "A"}, "A"),
        ({"chat_template": [{"name": "default", "template": "D"}]}, "D"),
        (
            {"chat_template": [
                {"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]},
            "T",
        ),
        ({}, None),
    ],
)  # fmt: skip
def test_a_folder_s_template_is_found_in_each_of_its_places(
    tmp_path: Path, config: dict[str, Any], source: str | None
) -> None:
    folder = checkpoint(tmp_path, config)
    found = read_template(folder)
    assert (found.source if found else None) == source
    (folder / "chat_template.jinja").write_text("FILE")
    found = read_template(folder)
    assert found is not None
    assert found.source == "FILE"


def test_a_stop_token_may_be_an_object(tmp_path: Path) -> None:
    token = {"content": "<|eot_id|>", "special": True}
    found = read_template(checkpoint(tmp_path, {"chat_template": "A", "eos_token": token}))
    assert found is not None
    assert found.stop == "<|eot_id|>"


def test_a_tokenizer_file_is_a_vocabulary(tmp_path: Path) -> None:
    found = read_vocabulary(checkpoint(tmp_path))
    assert found is not None
    assert found.control_tokens == {"<|im_start|>", "<|im_end|>", "<tool_call>"}
    assert (found.written(0), found.written(2)) == (b"\xe5\x8f", b"<|im_end|>")
    assert read_vocabulary(tmp_path / "none") is None


def test_a_unigram_tokenizer_lists_its_tokens(tmp_path: Path) -> None:
    vocab = [["<unk>", 0], ["▁台", -1.5], ["<0xE5>", -2]]
    value = {"model": {"vocab": vocab, "byte_fallback": True}, "added_tokens": []}
    (tmp_path / "tokenizer.json").write_text(json.dumps(value))
    found = read_vocabulary(tmp_path)
    assert found is not None
    assert [found.written(i) for i in (1, 2)] == [" 台".encode(), b"\xe5"]


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        read_vocabulary(tmp_path)


@pytest.mark.model
@pytest.mark.parametrize("tools", [True, False])
def test_a_template_without_tools_is_remarked_only_where_tools_are_wanted(tools: bool) -> None:
    """It was said to everybody who only wanted to talk."""
    said: list[str] = []
    chat = open_chat("smollm2-135m", context=128, tools=tools, say=said.append)
    asyncio.run(chat.aclose())
    assert any("knows no tools" in text for text in said) is tools
