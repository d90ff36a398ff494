"""A checkpoint folder as one GGUF file, a tensor at a time, so memory stays bounded.

Knows the names, permutations and metadata that llama.cpp expects of the Llama architecture. The
package `gguf` (llama.cpp's own) writes the file and quantises; what is ours is the agreement: the
template's bytes, the turn's end as end-of-text, no token added at the front (the template writes it
where a family has one), and where the file came from.

Sources: gguf-py, and llama.cpp's convert_hf_to_gguf.py for the permutation and the long-context
factors.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from formosa.checkpoints import load_tokenizer, provenance
from formosa.errors import UserError
from formosa.export.config import Quantisation
from formosa.files import explain_os_error, read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # llama.cpp's token types

Progress = Callable[[int, int], None]  # tensors written, tensors in all


class _Tensor(NamedTuple):
    name: str  # llama.cpp's name
    source: str  # the checkpoint's name
    shape: tuple[int, ...]


def write_gguf(
    checkpoint: Path,
    path: Path,
    quantisation: Quantisation,
    *,
    name: str,
    metadata: Mapping[str, str] | None = None,
    progress: Progress = lambda done, of: None,
) -> Path:
    """Write `checkpoint` to `path`, whole or not at all.

    Args:
        checkpoint: a folder with config.json, safetensors, tokenizer and our template.
        path: the file to be written; its folder is made.
        quantisation: for matrices. Norms are always F32.
        name: the model's name inside the file.
        metadata: further text values, such as licence and recipe hash, by GGUF key.
        progress: called after every tensor.

    Raises:
        UserError: an architecture that isn't known here, or the disk is full.
    """
    import gguf

    config = read_json(checkpoint / "config.json")
    if config.get("model_type") != "llama":
        raise UserError(
            f"{checkpoint} is a {config.get('model_type')} model; only the Llama architecture "
            "can be written as GGUF yet.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    writer = gguf.GGUFWriter(temporary, "llama")
    try:
        _add_architecture(writer, config, name, quantisation)
        _add_tokenizer(writer, checkpoint)
        for key, value in (metadata or {}).items():
            writer.add_string(key, value)
        _write_tensors(writer, checkpoint, config, quantisation, progress)
        writer.close()
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _add_architecture(
    writer: Any, config: dict[str, Any], name: str, quantisation: Quantisation
) -> None:
    import gguf

    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    file_type = {
        "F32": gguf.LlamaFileType.ALL_F32,
        "F16": gguf.LlamaFileType.MOSTLY_F16,
        "BF16": gguf.LlamaFileType.MOSTLY_BF16,
        "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    }[quantisation]
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(_rope(config)["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings, wherever the version of transformers that wrote them put them."""
    values = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return {"rope_theta": config.get("rope_theta", 10_000.0), "rope_type": "default", **values}


def _add_tokenizer(writer: Any, checkpoint: Path) -> None:
    tokenizer = load_tokenizer(checkpoint)
    content = read_json(checkpoint / "tokenizer.json")
    if content["model"]["type"] != "BPE":
        raise UserError(
            f"The tokenizer of {checkpoint} is {content['model']['type']}, not byte-level BPE.",
            "convert it with llama.cpp's convert_hf_to_gguf.py",
        )
    size = read_json(checkpoint / "config.json")["vocab_size"]
    tokens = [f"[PAD{i}]" for i in range(size)]  # ids that no text gives, as llama.cpp names them
    types = [UNKNOWN] * size
    for token, i in tokenizer.get_vocab().items():
        tokens[i], types[i] = token, NORMAL
    for added in content["added_tokens"]:
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = content["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(checkpoint, content))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def _pre_tokenizer(checkpoint: Path, content: dict[str, Any]) -> str:
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


def _write_tensors(
    writer: Any,
    checkpoint: Path,
    config: dict[str, Any],
    quantisation: Quantisation,
    progress: Progress,
) -> None:
    """First the table of all tensors, then their data one by one."""
    import gguf
    import numpy as np
    from gguf.quants import quantize

    stored = gguf.GGMLQuantizationType[quantisation]
    plain = gguf.GGMLQuantizationType.F32
    factors = _long_context_factors(config)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    tensors = list(_tensors(checkpoint, config))
    kinds = [stored if len(tensor.shape) > 1 else plain for tensor in tensors]
    for tensor, kind in zip(tensors, kinds, strict=True):
        if kind not in (plain, gguf.GGMLQuantizationType.F16):
            size = math.prod(_stored_shape(tensor, kind, quantisation))
        else:
            size = math.prod(tensor.shape) * (4 if kind == plain else 2)
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(np.array(factors, dtype=np.float32))
    read = _reader(checkpoint)
    for done, (tensor, kind) in enumerate(zip(tensors, kinds, strict=True), start=1):
        values = _permuted(read(tensor.source), tensor.name, config)
        writer.write_tensor_data(quantize(values, kind))
        progress(done, len(tensors))


def _stored_shape(tensor: _Tensor, kind: Any, quantisation: Quantisation) -> tuple[int, ...]:
    """In bytes. Q8_0 takes numbers in blocks of 32, so not every row can be stored so."""
    from gguf.quants import quant_shape_to_byte_shape

    try:
        shape: tuple[int, ...] = quant_shape_to_byte_shape(tensor.shape, kind)
    except ValueError as error:
        raise UserError(
            f"{tensor.source} has rows of {tensor.shape[-1]} numbers, which {quantisation} cannot "
            "store.",
            "choose F16: --quantisation F16, or `quantisation: F16` in the recipe's `export:`",
        ) from error
    return shape


def _tensors(checkpoint: Path, config: dict[str, Any]) -> Iterator[_Tensor]:
    """What the file will hold, in the checkpoint's order."""
    import gguf
    from safetensors import safe_open

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for source in opened.keys():  # noqa: SIM118 - safetensors' object is no dict
                if source == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue  # llama.cpp uses the embedding
                name = names.get_name(source, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise UserError(f"{checkpoint} holds a tensor unknown to llama.cpp: {source}.")
                yield _Tensor(name, source, tuple(opened.get_slice(source).get_shape()))


def _reader(checkpoint: Path) -> Callable[[str], Any]:
    """A function that reads one tensor as float32, from whichever file holds it."""
    from safetensors import safe_open

    where: dict[str, Path] = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            where.update(dict.fromkeys(opened.keys(), file))

    def read(source: str) -> Any:
        with safe_open(where[source], framework="pt") as opened:
            return opened.get_tensor(source).float().numpy()

    return read


def _permuted(values: Any, name: str, config: dict[str, Any]) -> Any:
    """llama.cpp keeps the two halves of each rotary head interleaved; transformers does not."""
    heads = config["num_attention_heads"]
    if name.endswith("attn_k.weight"):
        heads = config.get("num_key_value_heads") or heads
    elif not name.endswith("attn_q.weight"):
        return values
    rows = values.shape[0]
    halves = values.reshape(heads, 2, rows // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _long_context_factors(config: dict[str, Any]) -> list[float] | None:
    """Llama 3.1's slowed-down frequencies, as a factor for each (arXiv 2407.21783, section 3.4)."""
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    trained = rope["original_max_position_embeddings"]
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / head_dim)
        if wavelength < trained / high:
            factors.append(1.0)
        elif wavelength > trained / low:
            factors.append(float(rope["factor"]))
        else:
            smooth = (trained / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return factors
