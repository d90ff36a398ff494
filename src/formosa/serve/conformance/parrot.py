"""A tiny model that says given words, whatever it is asked: for servers with a parser to judge.

Some servers can't be made to say a text: llama.cpp refuses a grammar beside tools. This model can
do nothing else. It is a Llama with one block that adds nothing, so that a token alone decides the
next one: every piece of every text is a token of its own, whose successor is the piece behind it.
Which text it says is chosen in the request, by a `logit_bias` on the first piece. Prompts are read
byte by byte, and mean nothing to it.

`<think>` and `</think>` are real tokens (some parsers count on them), shared by all texts; behind
them, weaker biases in the request choose the piece to go on with.

Ids and biases need nothing but this file, so a client can compute them. Writing the model as GGUF
or as a checkpoint folder needs `gguf` or `safetensors`, and numpy.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.chat.template import ChatTemplate
from formosa.errors import UserError

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
THINK, END_THINK = "<think>", "</think>"
END, OPEN, CLOSE = CONTROL.index("<|im_end|>"), len(CONTROL), len(CONTROL) + 1
WIDTH = 256  # of the model; two random signs vectors of this width are almost orthogonal
HEADS, FEED_FORWARD, CONTEXT = 4, 32, 8192
BIASES = (
    100,
    90,
    80,
)  # first piece, piece after <think>, piece after </think>; OpenAI's limit is 100
# A template variable that ends the prompt inside a think block, as R1-style templates do.
OPEN_THINKING = "open_thinking"


@functools.cache
def template() -> str:
    """Our own ChatML format, which can open a think block in the prompt."""
    own = ChatTemplate.formosa("chatml").source
    opens = f"{{%- if add_generation_prompt and {OPEN_THINKING} -%}}{{{{- '<think>\\n' -}}}}"
    return f"{own}{opens}{{%- endif -%}}"


@functools.cache
def _byte_letters() -> tuple[str, ...]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2's table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (chr(256 + n) for n in range(256))
    return tuple(chr(byte) if byte in plain else next(others) for byte in range(256))


def _letters(text: str) -> str:
    return "".join(_byte_letters()[byte] for byte in text.encode())


@dataclass(frozen=True)
class Line:
    """One text as the parrot says it."""

    ids: tuple[int, ...]  # without the token that ends the turn
    bias: dict[int, int]  # what chooses it in a request


def _parts(text: str) -> list[tuple[str, int]]:
    """The words before each shared token, and its id: `<think>` and `</think>` the first time
    only, then the end of the turn."""
    before, opens, rest = text.partition(THINK)
    if not opens:
        before, closes, after = text.partition(END_THINK)
        return [(before, CLOSE), (after, END)] if closes else [(before, END)]
    inside, closes, after = rest.partition(END_THINK)
    return [(before, OPEN), *([(inside, CLOSE), (after, END)] if closes else [(inside, END)])]


class Parrot:
    """The vocabulary and the order of its words.

    Args:
        texts: what it can say; each one once.
        longest: bytes of a piece where there is a choice; longer where pieces must differ.
    """

    def __init__(self, texts: Sequence[str], *, longest: int = 5) -> None:
        self.tokens = [*CONTROL, THINK, END_THINK, *_byte_letters()]
        self.first_piece = len(self.tokens)
        self._longest = longest
        self._used = set(self.tokens)
        self._random = random.Random(1)
        self._follows: list[tuple[int, int]] = []  # pairs: a piece, and the piece behind it
        self._marks: dict[str, list[tuple[int, bool]]] = {}  # shared places: (id, speaks there)
        parts = {text: _parts(text) for text in dict.fromkeys(texts)}
        # Short parts first: they have no choice of how to be cut.
        order = sorted(
            (len(words), text, n) for text in parts for n, (words, _) in enumerate(parts[text])
        )
        pieces = {(text, n): self._pieces(parts[text][n][0]) for _, text, n in order}
        self.lines = {
            text: self._line([(pieces[text, n], ending) for n, (_, ending) in enumerate(cut)])
            for text, cut in parts.items()
        }

    def body(self, text: str, *, cut: bool = False, opened: bool = False) -> dict[str, Any]:
        """The fields of a request that is answered with `text`."""
        line = self.lines[text]
        length = len(line.ids)
        body: dict[str, Any] = {
            "logit_bias": {str(id): bias for id, bias in line.bias.items()},
            "max_tokens": length if cut else length + 8,
        }
        if opened:
            body["chat_template_kwargs"] = {OPEN_THINKING: True}
        return body

    def _line(self, parts: Sequence[tuple[list[int], int]]) -> Line:
        ids: list[int] = []
        bias: dict[int, int] = {}
        place = "start"
        for part, (pieces, ending) in enumerate(parts):
            first = pieces[0] if pieces else ending
            bias.setdefault(first, BIASES[part])
            self._mark(place, first, speaks=True)
            self._follows += zip(pieces, pieces[1:], strict=False)
            if pieces:
                self._mark(f"to {ending}", pieces[-1], speaks=False)
                self._mark(f"to {ending}", ending, speaks=True)
            ids += pieces
            if ending != END:
                ids.append(ending)
                place = f"after {ending}"
                self._mark(place, ending, speaks=False)
        return Line(tuple(ids), bias)

    def _mark(self, place: str, id: int, *, speaks: bool) -> None:
        """`id` stands before a shared place, or (`speaks`) may come there."""
        if place != "start" and (id, speaks) not in self._marks.setdefault(place, []):
            self._marks[place].append((id, speaks))

    def _pieces(self, text: str) -> list[int]:
        """New tokens that spell `text`: none may have been used before."""
        letters, cuts, position = _letters(text), [0], 0
        while position < len(letters):
            length = self._random.randint(min(2, self._longest), self._longest)
            while letters[position : position + length] in self._used and (
                position + length < len(letters)
            ):
                length += 1
            position = min(position + length, len(letters))
            cuts.append(position)
            piece = letters[cuts[-2] : position]
            # At the end of a text there may be nothing to make a piece longer but what came before.
            while piece in self._used:
                if len(cuts) == 2:
                    raise UserError(f"The parrot can't say {text!r} a second time.")
                self._used.discard(letters[cuts[-3] : cuts[-2]])
                del cuts[-2]
                piece = letters[cuts[-2] : position]
            self._used.add(piece)
        start = len(self.tokens)
        self.tokens += [letters[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
        return list(range(start, len(self.tokens)))

    # -- weights -----------------------------------------------------------------------------

    def weights(self) -> tuple[Any, Any]:
        """The embedding and the output matrix: float32, a row for each token."""
        import numpy as np

        size = -(-len(self.tokens) // 32) * 32
        embedding = np.zeros((size, WIDTH), np.float32)
        output = np.zeros((size, WIDTH), np.float32)
        draw = np.random.default_rng(1)

        def code() -> Any:
            return draw.choice(np.array([-1, 1], np.float32), WIDTH)

        for before, behind in self._follows:
            embedding[before] = code()
            output[behind] += embedding[before]
        for marks in self._marks.values():
            shared = code()
            for id, speaks in marks:
                (output if speaks else embedding)[id] += shared
        return embedding, output

    def _padded_tokens(self, size: int) -> list[str]:
        return [*self.tokens, *(f"<|unused_{n}|>" for n in range(size - len(self.tokens)))]

    def write_gguf(
        self, path: Path, *, chat_template: str | None = None, control_tags: bool = False
    ) -> Path:
        """As a GGUF file of a few MB, for llama.cpp and what is built on it.

        Models list the tags of thoughts as user-defined tokens or, with `control_tags`, as control
        tokens.
        """
        import gguf
        import numpy as np

        embedding, output = self.weights()
        tokens = self._padded_tokens(len(embedding))
        kinds = gguf.TokenType
        types = [kinds.NORMAL] * len(tokens)
        types[: len(CONTROL)] = [kinds.CONTROL] * len(CONTROL)
        types[OPEN] = types[CLOSE] = kinds.CONTROL if control_tags else kinds.USER_DEFINED
        types[len(self.tokens) :] = [kinds.UNUSED] * (len(tokens) - len(self.tokens))
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_name("parrot")
        writer.add_context_length(CONTEXT)
        writer.add_embedding_length(WIDTH)
        writer.add_block_count(1)
        writer.add_feed_forward_length(FEED_FORWARD)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(HEADS)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(WIDTH // HEADS)
        writer.add_vocab_size(len(tokens))
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges([" ".join(_MERGE)])
        writer.add_bos_token_id(CONTROL.index("<|im_start|>"))
        writer.add_eos_token_id(END)
        writer.add_add_bos_token(False)
        writer.add_chat_template(chat_template or template())
        writer.add_tensor("token_embd.weight", embedding)
        writer.add_tensor("output.weight", output)
        writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
        for name, shape in _BLOCK.items():
            fill = np.ones if len(shape) == 1 else np.zeros
            writer.add_tensor(f"blk.0.{name}.weight", fill(shape, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def write_checkpoint(self, folder: Path, *, chat_template: str | None = None) -> Path:
        """As a folder with safetensors and a tokenizer, for vLLM and transformers."""
        import numpy as np
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        embedding, output = self.weights()
        tokens = self._padded_tokens(len(embedding))
        tensors = {
            "model.embed_tokens.weight": embedding,
            "lm_head.weight": output,
            "model.norm.weight": np.ones(WIDTH, np.float32),
        }
        for name, shape in _BLOCK.items():
            fill = np.ones if len(shape) == 1 else np.zeros
            tensors[f"model.layers.0.{_NAMES[name]}.weight"] = fill(shape, np.float32)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": WIDTH,
            "intermediate_size": FEED_FORWARD,
            "num_hidden_layers": 1,
            "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS,
            "max_position_embeddings": CONTEXT,
            "vocab_size": len(tokens),
            "rms_norm_eps": 1e-5,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": CONTROL.index("<|im_start|>"),
            "eos_token_id": END,
            "torch_dtype": "float32",
        }
        added = [*CONTROL, THINK, END_THINK]
        tokenizer: dict[str, Any] = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": id,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": token in CONTROL,
                }
                for id, token in enumerate(added)
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
            "post_processor": None,
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            },
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: id for id, token in enumerate(tokens)},
                "merges": [],
            },
        }
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
        }
        for name, value in (
            ("config.json", config),
            ("tokenizer.json", tokenizer),
            ("tokenizer_config.json", settings),
        ):
            (folder / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        text = chat_template or template()
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
        return folder


_MERGE = ("<|unused", "_0|>")  # llama.cpp wants a list of merges; this one can never happen
_SQUARE = (WIDTH, WIDTH)
_BLOCK = {
    "attn_norm": (WIDTH,),
    "ffn_norm": (WIDTH,),
    "attn_q": _SQUARE,
    "attn_k": _SQUARE,
    "attn_v": _SQUARE,
    "attn_output": _SQUARE,
    "ffn_gate": (FEED_FORWARD, WIDTH),
    "ffn_up": (FEED_FORWARD, WIDTH),
    "ffn_down": (WIDTH, FEED_FORWARD),
}
_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
