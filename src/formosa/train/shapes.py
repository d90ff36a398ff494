"""The shape of a model, without its weights: how many numbers of which kind it has.

Read from a `config.json`, from a GGUF file's header, or known by name, so that a plan needs no
download and no torch. Llama's layers and Gemma 3's; others have to be planned by one of these.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formosa.engines.gguf import read_metadata
from formosa.errors import ModelError, UserError
from formosa.files import read_json
from formosa.hub import Wanted, download, explained


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder with gated feed-forward layers and grouped-query attention."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool  # the head is the embedding matrix
    gemma: bool = False  # four norms a layer, and one for each of query and key

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(in, out) of each linear layer of a block, by transformers' names."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, key),
            "v_proj": (self.hidden, key),
            "o_proj": (query, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def body(self) -> int:
        """Numbers in the blocks and the last norm."""
        norms = 4 * self.hidden + 2 * self.head_dim if self.gemma else 2 * self.hidden
        block = sum(a * b for a, b in self.linears.values()) + norms
        return self.layers * block + self.hidden

    @property
    def head(self) -> int:
        """Numbers in the matrix that scores the vocabulary."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        return self.body + self.head * (1 if self.tied else 2)

    def adapters(self, rank: int, targets: Collection[str] | str = "all-linear") -> int:
        """Numbers in low-rank adapters on the named layers of every block."""
        return self.layers * sum(
            rank * (a + b)
            for name, (a, b) in self.linears.items()
            if targets == "all-linear" or name in targets
        )


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("llama-3.2-1b", 16, 2048, 8192, 32, 8, 64, 128_256, tied=True),
        Shape("llama-3.2-3b", 28, 3072, 8192, 24, 8, 128, 128_256, tied=True),
        Shape("llama-3.1-8b", 32, 4096, 14_336, 32, 8, 128, 128_256, tied=False),
        Shape("smollm2-135m", 30, 576, 1536, 9, 3, 64, 49_152, tied=True),
        Shape("smollm2-360m", 32, 960, 2560, 15, 5, 64, 49_152, tied=True),
        Shape("smollm2-1.7b", 24, 2048, 8192, 32, 32, 64, 49_152, tied=True),
        Shape("gemma-3-270m", 18, 640, 2048, 4, 1, 256, 262_144, tied=True, gemma=True),
    )
}
TOKENS = "tokenizer.ggml.tokens"
CONFIG = "config.json"
_HINT = f"say which it is like: --shape NAME, one of {', '.join(SHAPES)}"


def shape_of(base: str) -> Shape:
    """The shape of the model that a recipe's `base` names. Loads no weights; looks at the hub only
    for a name that is not known here.

    Raises:
        ModelError: it can't be known; the hint says how to name a shape.
    """
    if known := _by_name(base):
        return known
    if base.startswith("hf:"):
        return _of_hub(base)
    path = Path(base).expanduser()
    if path.suffix == ".gguf":
        return from_gguf(read_metadata(path, (TOKENS,)), path.stem)
    if (path / "config.json").exists():
        return from_config(read_json(path / "config.json"), path.resolve().name)
    raise ModelError(f"The shape of {base} is not known: no such model is here.", _HINT)


def _by_name(base: str) -> Shape | None:
    """The shape whose name begins the model's: `hf:org/Llama-3.2-3B-F1-Base@…` is a Llama-3.2-3B;
    so is a checkpoint folder that is not there yet only if it says so."""
    path = Path(base).expanduser()
    if not base.startswith("hf:") and (path.exists() or "/" in base):
        return None
    name = re.sub(r"@.*", "", base.removeprefix("hf:")).rsplit("/", 1)[-1].lower()
    found = [shape for key, shape in SHAPES.items() if re.match(re.escape(key) + r"(-|$)", name)]
    return max(found, key=lambda shape: len(shape.name), default=None)


def _of_hub(base: str) -> Shape:
    """By its config.json, from the hub or from what is in its cache."""
    repo, _, revision = base.removeprefix("hf:").partition("@")
    wanted = Wanted(repo, revision, instead="say which it is like: --shape NAME")
    try:
        with explained(wanted):
            path = download(wanted, [CONFIG]) / CONFIG
    except UserError as error:
        raise ModelError(f"The shape of {repo} is not known: {error.message}", _HINT) from error
    if not path.is_file():
        raise ModelError(f"{repo} has no {CONFIG} on the hub.", _HINT)
    return from_config(read_json(path), repo)


def from_config(config: Mapping[str, Any], name: str) -> Shape:
    """From a checkpoint's `config.json`.

    Raises:
        ModelError: an architecture that isn't known here.
    """
    kind = config.get("model_type")
    if kind not in ("llama", "mistral", "gemma3_text"):
        raise ModelError(f"{name} is a {kind} model, whose memory is not known here.", _HINT)
    try:
        heads = int(config["num_attention_heads"])
        return Shape(
            name=name,
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", kind == "gemma3_text")),
            gemma=kind == "gemma3_text",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The config.json of {name} is not whole: {error}.", _HINT) from error


def from_gguf(metadata: Mapping[str, Any], name: str) -> Shape:
    """From the header of a GGUF file.

    Raises:
        ModelError: an architecture that isn't known here.
    """
    kind = metadata.get("general.architecture")
    if kind not in ("llama", "gemma3"):
        raise ModelError(f"{name} is a {kind} model, whose memory is not known here.", _HINT)

    def value(key: str, default: Any = None) -> Any:
        return metadata.get(f"{kind}.{key}", default)

    try:
        heads = int(value("attention.head_count"))
        hidden = int(value("embedding_length"))
        return Shape(
            name=name,
            layers=int(value("block_count")),
            hidden=hidden,
            intermediate=int(value("feed_forward_length")),
            heads=heads,
            kv_heads=int(value("attention.head_count_kv") or heads),
            head_dim=int(value("attention.key_length") or hidden // heads),
            vocabulary=int(value("vocab_size") or len(metadata[TOKENS])),
            tied=True,  # the files of small models share it; the header does not say
            gemma=kind == "gemma3",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The header of {name} is not whole: {error}.", _HINT) from error
