"""The tokens of a GGUF file: which are control tokens, and which bytes each one writes.

Knows the three ways in which llama.cpp's files spell tokens: byte-level BPE (`gpt2`), where each
byte is a printable character; SentencePiece (`llama`), where a space is `▁` and lone bytes are
`<0x0A>`; and everything else, taken as it is.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from formosa.chat.parser import CALL, END_CALL, END_THINK, THINK
from formosa.engines.gguf import read_metadata

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6
# Tags of chat formats. Gemma also has runs of spaces and HTML tags among its user-defined tokens,
# and nothing is wrong with a user who writes those.
_TAGS = {THINK, END_THINK, CALL, END_CALL, "<tool_response>", "</tool_response>"}
_MARKS = re.compile(r"<[|｜].*[|｜]>|\[/?[A-Z_]+\]")
# Thousands in Gemma, hundreds in Llama 3; they mean nothing to a model.
_SPARE = re.compile(r"<unused\d+>|<\|reserved_special_token_\d+\|>")


class Vocabulary:
    """The tokens of one GGUF file. Raises what `read_metadata` raises."""

    def __init__(self, path: Path) -> None:
        values = read_metadata(path, (TOKENS, TYPES))
        self._tokens: list[str] = values.get(TOKENS, [])
        self._types: list[int] = values.get(TYPES, [])
        self._model = values.get("tokenizer.ggml.model")

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """Texts that the tokenizer reads as one token with a meaning, wherever they stand.

        Without the spare ones (`<unused7>`), which no model was taught.
        """
        pairs = zip(self._tokens, self._types, strict=False)
        return frozenset(token for token, kind in pairs if token and _is_control(token, kind))

    def written(self, token: int) -> bytes:
        """The bytes that a token writes; none for an unknown one."""
        if not 0 <= token < len(self._tokens):
            return b""
        text = self._tokens[token]
        kind = self._types[token] if token < len(self._types) else 1
        if kind in (_CONTROL, _USER_DEFINED):
            return text.encode()
        if self._model == "gpt2":
            return b"".join(_BYTES.get(character, character.encode()) for character in text)
        if kind == _BYTE:
            return bytes.fromhex(text[3:-1])
        return text.replace("▁", " ").encode()


def _is_control(token: str, kind: Any) -> bool:
    if kind == _USER_DEFINED:
        return token in _TAGS or bool(_MARKS.fullmatch(token))
    return kind == _CONTROL and not _SPARE.fullmatch(token)


def _byte_characters() -> dict[str, bytes]:
    """GPT-2's table: printable bytes stand for themselves, the others from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): bytes([byte]) for byte in printable}
    return table | {chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}


_BYTES = _byte_characters()
