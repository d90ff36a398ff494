"""Which tokens of a file are control tokens, and what each one writes."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest

from formosa.engines.llama import LlamaEngine
from formosa.engines.vocabulary import Vocabulary
from formosa.models import resolve

NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6


def file_with(folder: Path, model: str, tokens: list[tuple[str, int]]) -> Path:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    body = b"GGUF" + struct.pack("<IQQ", 3, 0, 3)
    body += text("tokenizer.ggml.model") + struct.pack("<I", 8) + text(model)
    body += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(tokens))
    body += b"".join(text(token) for token, _ in tokens)
    body += text("tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, 5, len(tokens))
    body += b"".join(struct.pack("<i", kind) for _, kind in tokens)
    path = folder / "v.gguf"
    path.write_bytes(body)
    return path


def test_control_tokens_are_those_that_mean_something(tmp_path: Path) -> None:
    """Gemma lists thousands of spare tokens, and runs of spaces as user-defined ones."""
    tokens = [
        *(("<bos>", CONTROL), ("<unused7>", CONTROL), ("<|reserved_special_token_3|>", CONTROL)),
        *(("▁▁", USER_DEFINED), ("<table>", USER_DEFINED), ("<tool_call>", USER_DEFINED)),
        *(("<|tool|>", USER_DEFINED), ("[INST]", USER_DEFINED), ("<s>", NORMAL)),
    ]
    found = Vocabulary.from_gguf(file_with(tmp_path, "llama", tokens)).control_tokens
    assert found == {"<bos>", "<tool_call>", "<|tool|>", "[INST]"}


@pytest.mark.parametrize(
    ("kinds", "family"),
    [
        ((CONTROL, CONTROL), "gemma"),
        ((USER_DEFINED, USER_DEFINED), "gemma"),  # as older converters wrote it
        ((CONTROL, NORMAL), None),  # a tokenizer may cut it in pieces
    ],
)
def test_a_family_is_known_by_turn_tokens_that_are_never_cut(
    tmp_path: Path, kinds: tuple[int, int], family: str | None
) -> None:
    tokens = list(zip(("<start_of_turn>", "<end_of_turn>"), kinds, strict=True))
    path = file_with(tmp_path, "llama", [("a", NORMAL), *tokens])
    assert Vocabulary.from_gguf(path).family == family


@pytest.mark.parametrize(("kind", "ends"), [(CONTROL, ("<end_of_turn>",)), (USER_DEFINED, ())])
def test_a_reply_ends_with_the_turn_token_of_its_family_where_a_grammar_can_name_it(
    tmp_path: Path, kind: int, ends: tuple[str, ...]
) -> None:
    tokens = [("<start_of_turn>", kind), ("<end_of_turn>", kind), ("<|endoftext|>", CONTROL)]
    assert Vocabulary.from_gguf(file_with(tmp_path, "llama", tokens)).ends == ends


def test_grammars_of_llama_cpp_and_vllm_name_different_tags(tmp_path: Path) -> None:
    """Both use llguidance, and take a user-defined `<tool_call>` for text and for a token."""
    tokens = [("<think>", CONTROL), ("<tool_call>", USER_DEFINED), ("<bos>", CONTROL)]
    vocabulary = Vocabulary.from_gguf(file_with(tmp_path, "gpt2", tokens))
    assert vocabulary.tag_tokens(user_defined=False) == {"<think>"}
    assert vocabulary.tag_tokens(user_defined=True) == {"<think>", "<tool_call>"}


def test_sentencepiece_tokens_write_spaces_and_bytes(tmp_path: Path) -> None:
    tokens = [("▁台", NORMAL), ("<0xE5>", BYTE), ("<eos>", CONTROL)]
    vocabulary = Vocabulary.from_gguf(file_with(tmp_path, "llama", tokens))
    written = [vocabulary.written(i) for i in range(-1, 4)]
    assert written == [b"", " 台".encode(), b"\xe5", b"<eos>", b""]


def test_byte_level_tokens_write_the_bytes_behind_their_characters(tmp_path: Path) -> None:
    tokens = [("Ġa", NORMAL), ("åı", NORMAL), ("Ċ", NORMAL), ("台", USER_DEFINED)]
    vocabulary = Vocabulary.from_gguf(file_with(tmp_path, "gpt2", tokens))
    assert [vocabulary.written(i) for i in range(3)] == [b" a", b"\xe5\x8f", b"\n"]
    assert vocabulary.written(3) == "台".encode()


@pytest.mark.model
def test_what_the_tokens_of_a_text_write_is_the_text() -> None:
    path = resolve("smollm2-135m").path
    vocabulary, engine = Vocabulary.from_gguf(path), LlamaEngine(path, context=64)
    text = " 台北101: \t\n{}🙂<|im_end|>é"
    ids = asyncio.run(engine.tokenize(text))
    asyncio.run(engine.aclose())
    assert b"".join(map(vocabulary.written, ids)).decode() == text
