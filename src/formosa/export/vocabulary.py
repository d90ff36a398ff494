"""A checkpoint's tokenizer in the words of llama.cpp.

Two kinds. Byte-level BPE (Llama 3, SmolLM) is written with its merges and the name of the rules
that cut text before them. Gemma's is SentencePiece: tokens with scores, where the better score is
merged first, and single bytes for what has no token. Its tokenizer.json holds merges instead, in
the order of the scores; so a token's score is its place among them. The numbers differ from
Google's by what they count, the order does not, and only the order counts.

Ours in both: the template's bytes, the turn's end as end-of-text, and no token added at the front
(the template writes it where a family has one).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from formosa.checkpoints import load_tokenizer, provenance
from formosa.errors import UserError
from formosa.files import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # llama.cpp's token types
_LONE_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_NEVER = -1000.0  # the score of what is matched whole, as llama.cpp writes it


def add_vocabulary(writer: Any, checkpoint: Path) -> None:
    """Write the tokens, the rules and the template.

    Raises:
        UserError: a kind of tokenizer, or rules, that are unknown here.
    """
    tokenizer = load_tokenizer(checkpoint)
    content = read_json(checkpoint / "tokenizer.json")
    size = read_json(checkpoint / "config.json")["vocab_size"]
    model = content["model"]
    if model["type"] != "BPE":
        raise UserError(
            f"The tokenizer of {checkpoint} is {model['type']}, neither byte-level BPE nor "
            "Gemma's.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    tokens, types = _tokens(tokenizer.get_vocab(), content["added_tokens"], size)
    if model.get("byte_fallback"):
        _add_pieces(writer, checkpoint, content, tokens, types)
    else:
        _add_merges(writer, checkpoint, content, tokens, types)
    for name in ("bos", "eos", "unk", "pad"):
        token = getattr(tokenizer, f"{name}_token_id")
        if token is not None:
            getattr(writer, f"add_{name}_token_id")(token)
    if tokenizer.eos_token_id is not None:
        # It ends a turn, too. Where that is not said llama.cpp guesses, and `<|endoftext|>` is one
        # of its guesses: then a reply under a grammar can't end with `<|im_end|>`.
        writer.add_eot_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _tokens(
    vocabulary: dict[str, int], added: list[dict[str, Any]], size: int
) -> tuple[list[str], list[int]]:
    """Every id's text and type; ids that no text gives are named as llama.cpp names them."""
    tokens = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    for token, i in vocabulary.items():
        tokens[i], types[i] = token, NORMAL
    for item in added:
        types[item["id"]] = CONTROL if item["special"] else USER_DEFINED
    return tokens, types


def _add_merges(
    writer: Any, checkpoint: Path, content: dict[str, Any], tokens: list[str], types: list[int]
) -> None:
    merges = content["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(checkpoint, content))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])


def _add_pieces(
    writer: Any, checkpoint: Path, content: dict[str, Any], tokens: list[str], types: list[int]
) -> None:
    normalizer = content.get("normalizer") or {}
    if normalizer.get("content") != "▁" or normalizer.get("pattern") != {"String": " "}:
        raise UserError(
            f"The tokenizer of {checkpoint} changes text in ways that are unknown here.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    merged = ("".join(merge) if isinstance(merge, list) else merge.replace(" ", "")
              for merge in content["model"]["merges"])  # fmt: skip
    places = {token: float(-place) for place, token in enumerate(dict.fromkeys(merged))}
    scores = []
    for i, token in enumerate(tokens):
        if _LONE_BYTE.fullmatch(token):
            types[i] = BYTE
        elif types[i] == NORMAL and len(token) > 1 and not token.strip("▁"):
            # Runs of spaces are matched whole, and llama.cpp does that before it makes them ▁.
            tokens[i], types[i] = " " * len(token), USER_DEFINED
        if types[i] == BYTE:
            scores.append(0.0)
        elif types[i] == NORMAL:
            scores.append(places.get(token, float(-len(tokens))))
        else:
            scores.append(_NEVER)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)


def pre_tokenizer(checkpoint: Path, content: dict[str, Any]) -> str:
    """llama.cpp's name for the rules that cut text before BPE.

    A checkpoint made from a GGUF file remembers it. Otherwise Llama 3's rules are recognised by
    their expression; the parity check would find a wrong guess.
    """
    known = provenance(checkpoint).get("pre_tokenizer")
    if isinstance(known, str):
        return known
    text = str(content.get("pre_tokenizer"))
    if r"\p{N}{1,3}" in text and "(?i:'s|'t|'re|'ve|'m|'ll|'d)" in text:
        return "llama-bpe"
    if "'Digits'" in text and "'individual_digits': True" in text and "ByteLevel" in text:
        return "smollm"
    raise UserError(
        f"The pre-tokenizer of {checkpoint} is unknown here.",
        "convert it with llama.cpp's convert_hf_to_gguf.py, which knows more of them",
    )
