"""The tokens of a model: which are control tokens, and which bytes each one writes.

Reads GGUF files and `tokenizer.json`. Knows the ways in which they spell tokens: byte-level BPE,
where each byte is a printable character; SentencePiece, where a space is `▁` and lone bytes are
`<0x0A>`; and everything else, taken as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.chat.template import FAMILIES, find_family
from formosa.engines.gguf import read_metadata

TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_NORMAL, _CONTROL, _USER_DEFINED, _BYTE = 1, 3, 4, 6
_LONE = re.compile(r"<0x[0-9A-F]{2}>")
# Tags of chat formats. Gemma also has runs of spaces and HTML tags among its user-defined tokens,
# and nothing is wrong with a user who writes those.
_TAGS = {THINK, END_THINK, CALL, END_CALL, "<tool_response>", "</tool_response>"}
_MARKS = re.compile(r"<[|｜].*[|｜]>|\[/?[A-Z_]+\]")
# Thousands in Gemma, hundreds in Llama 3; they mean nothing to a model.
_SPARE = re.compile(r"<unused\d+>|<\|reserved_special_token_\d+\|>")


class Vocabulary:
    """The tokens of one model, by id."""

    def __init__(
        self,
        tokens: Sequence[str],
        kinds: Sequence[int],
        *,
        byte_level: bool,
        begin: int = -1,
        end: int = -1,
    ) -> None:
        self._tokens = tokens
        self._kinds = kinds
        self._byte_level = byte_level
        self._begin, self._end = begin, end

    @classmethod
    def from_gguf(cls, path: Path) -> Vocabulary:
        """Those of a GGUF file.

        Raises:
            ModelError: what `read_metadata` raises.
        """
        values = read_metadata(path, (TOKENS, TYPES))
        byte_level = values.get("tokenizer.ggml.model") == "gpt2"
        return cls(
            values.get(TOKENS, []),
            values.get(TYPES, []),
            byte_level=byte_level,
            begin=values.get("tokenizer.ggml.bos_token_id", -1),
            end=values.get("tokenizer.ggml.eos_token_id", -1),
        )

    @classmethod
    def from_tokenizer(cls, value: Mapping[str, Any]) -> Vocabulary:
        """Those of a `tokenizer.json`, as Hugging Face's tokenizers write it."""
        model = value.get("model") or {}
        listed = model.get("vocab") or {}
        pairs = listed.items() if isinstance(listed, Mapping) else _numbered(listed)
        added = value.get("added_tokens") or ()
        known: dict[int, tuple[str, int]] = {id: (text, _NORMAL) for text, id in pairs}
        if model.get("byte_fallback"):
            known |= {id: (text, _BYTE) for id, (text, _) in known.items() if _LONE.fullmatch(text)}
        for token in added:
            kind = _CONTROL if token.get("special") else _USER_DEFINED
            known[token["id"]] = token["content"], kind
        rows = [known.get(id, ("", _NORMAL)) for id in range(max(known, default=-1) + 1)]
        byte_level = '"ByteLevel"' in json.dumps(value.get("decoder"))
        return cls([text for text, _ in rows], [kind for _, kind in rows], byte_level=byte_level)

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """Texts that the tokenizer reads as one token with a meaning, wherever they stand.

        Without the spare ones (`<unused7>`), which no model was taught.
        """
        pairs = zip(self._tokens, self._kinds, strict=False)
        return frozenset(token for token, kind in pairs if token and _is_control(token, kind))

    @cached_property
    def family(self) -> str | None:
        """The name of the family whose turn tokens are whole tokens here; None for no known one.

        User-defined ones count: a tokenizer reads them whole, too, and files of Gemma differ.
        """
        pairs = zip(self._tokens, self._kinds, strict=False)
        whole = (token for token, kind in pairs if kind in (_CONTROL, _USER_DEFINED))
        found = find_family(whole)
        return found.name if found else None

    def tag_tokens(self, *, user_defined: bool) -> frozenset[str]:
        """Tags of chat formats that a grammar names as tokens.

        llguidance as llama.cpp has it takes user-defined tokens (Qwen's `<tool_call>`) for text
        like any other and knows none of that name; as vLLM has it, every added token is special.
        """
        kinds = (_CONTROL, _USER_DEFINED) if user_defined else (_CONTROL,)
        return frozenset(token for token, kind in self._tags if kind in kinds)

    @cached_property
    def _tags(self) -> tuple[tuple[str, int], ...]:
        """Those of chat formats with their kinds. Asked for with every reply."""
        pairs = zip(self._tokens, self._kinds, strict=False)
        return tuple(pair for pair in pairs if pair[0] in _TAGS)

    @cached_property
    def ends(self) -> tuple[str, ...]:
        """Control tokens with which a reply ends: that of a text, and that of a family's turn."""
        family = FAMILIES[self.family].close if self.family else ""
        named = dict.fromkeys((self.begin_and_end[1], family))
        return tuple(token for token in named if token in self._controls)

    def split_first(self, text: str) -> tuple[int, str] | None:
        """The id of the control token that `text` begins with, and the rest; None without one."""
        found = next((token for token in self._controls if text.startswith(token)), None)
        return None if found is None else (self._controls[found], text[len(found) :])

    @cached_property
    def _controls(self) -> dict[str, int]:
        """Control tokens with their ids, the longest first."""
        pairs = zip(self._tokens, self._kinds, strict=False)
        known = {token: id for id, (token, kind) in enumerate(pairs) if kind == _CONTROL}
        return dict(sorted(known.items(), key=lambda item: -len(item[0])))

    def __len__(self) -> int:
        return len(self._tokens)

    @cached_property
    def ids(self) -> dict[bytes, int]:
        """The id of the token that writes some bytes; the first one, where there are several."""
        known: dict[bytes, int] = {}
        for id in range(len(self._tokens)):
            known.setdefault(self.written(id), id)
        return known

    @property
    def begin_and_end(self) -> tuple[str, str]:
        """What a GGUF file names as the tokens that begin and end a text; "" for none."""
        known = range(len(self._tokens))
        begin, end = (self._tokens[i] if i in known else "" for i in (self._begin, self._end))
        return begin, end

    def written(self, token: int) -> bytes:
        """The bytes that a token writes; none for an unknown one."""
        if not 0 <= token < len(self._tokens):
            return b""
        text = self._tokens[token]
        kind = self._kinds[token] if token < len(self._kinds) else _NORMAL
        if kind in (_CONTROL, _USER_DEFINED):
            return text.encode()
        if self._byte_level:
            return b"".join(_BYTES.get(character, character.encode()) for character in text)
        if kind == _BYTE:
            return bytes.fromhex(text[3:-1])
        return text.replace("▁", " ").encode()


def _numbered(listed: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """Unigram models list pairs of a text and its score."""
    return ((item[0], id) for id, item in enumerate(listed))


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
