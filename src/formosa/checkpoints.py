"""Checkpoint folders: safetensors, tokenizer and template that agree with each other.

Knows how a GGUF file becomes a folder that transformers loads, and which tokens begin, end and pad
a conversation. Knows nothing of training or export; torch and transformers are imported only when
a function is called.

A GGUF file names its pre-tokenizer (`tokenizer.ggml.pre`) but does not hold its rules, and
transformers 5.23 falls back to plain byte-level BPE. For SmolLM2 that gives other token ids than
llama.cpp for every text with digits (`2024` is one token instead of four), so the rules are put
back here by name, and a test compares the ids with llama.cpp's.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from formosa.chat.template import ChatTemplate, Family, family_of_vocabulary
from formosa.errors import ModelError, UserError
from formosa.files import explain_os_error, read_json, write_json
from formosa.models import Model
from formosa.wheels import Say, cache_folder

FORMAT = 1  # raise it when the same GGUF file would become another folder
PROVENANCE = "formosa.json"

# The pre-tokenizers of the models we know, by llama.cpp's names. None: as transformers has it.
_PRE_TOKENIZERS: dict[str, dict[str, Any] | None] = {
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
        ],
    },
    "llama-bpe": None,
    "default": None,
}


def checkpoint_folder(model: Model, *, say: Say | None = None) -> Path:
    """A folder that transformers loads: the model's own, or one made from its GGUF file and cached.

    Raises:
        ModelError: a GGUF file of an unknown kind, or a damaged one.
        UserError: the cache can't be written; or the model is an adapter on a base.
    """
    if model.adapter is not None:
        raise UserError(
            f"{model.name} is an adapter on {model.base}: no checkpoint can be made of it.",
            f"name the base, {model.base}, or merge them with `formosa export merge`",
        )
    if model.kind == "folder":
        return model.path
    digest = model.sha256()
    folder = cache_folder() / "checkpoints" / f"{model.name}-{digest[:16]}-{FORMAT}"
    with only_one(folder.with_name(f"{folder.name}.lock")):
        if (folder / PROVENANCE).exists():  # written last: its presence means "complete"
            return folder
        if say:
            say(f"{model.name}: unpacking the quantised weights, once")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
            source = _unpack(model.path, folder)
        except OSError as error:
            raise explain_os_error(error, folder) from error
        write_json(
            folder / PROVENANCE,
            {"format": FORMAT, "made_from": {"sha256": digest, "name": model.name}, **source},
        )
    return folder


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Wait until no other process works at what the lock file `path` stands for; a killed one lets
    go."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("wb")
    except OSError as error:
        raise explain_os_error(error, path) from error
    with opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _unpack(path: Path, folder: Path) -> dict[str, Any]:
    """Write safetensors, tokenizer and configuration; return what the GGUF file says of itself."""
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        fields = GGUFReader(path).fields
        about = {
            "architecture": str(fields["general.architecture"].contents()),
            "pre_tokenizer": str(fields["tokenizer.ggml.pre"].contents())
            if "tokenizer.ggml.pre" in fields
            else "default",
        }
    except (ValueError, LookupError) as error:  # cut off, of another version, or something else
        raise ModelError(f"{path} is not a whole GGUF file: {error}.") from error
    if about["pre_tokenizer"] not in _PRE_TOKENIZERS:
        raise ModelError(
            f"{path.name} uses an unknown pre-tokenizer, {about['pre_tokenizer']!r}.",
            "start from the model's original checkpoint folder instead",
        )
    with quiet_transformers():
        try:
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            weights = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype="bfloat16",
            )
        except ValueError as error:
            raise ModelError(
                f"transformers can't unpack {path.name}: {str(error).splitlines()[0]}",
                "start from the model's original checkpoint folder instead",
            ) from error
        weights.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    rules = _PRE_TOKENIZERS[about["pre_tokenizer"]]
    if rules is not None:
        saved = folder / "tokenizer.json"
        content = json.loads(saved.read_text(encoding="utf-8"))
        content["pre_tokenizer"] = rules
        saved.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return about


def provenance(folder: Path) -> dict[str, Any]:
    """What is known of where a checkpoint came from; empty for one that is not ours."""
    path = folder / PROVENANCE
    value = read_json(path) if path.exists() else {}
    return value if isinstance(value, dict) else {}


def load_tokenizer(folder: Path, *, own_format: bool = True) -> Any:
    """The folder's tokenizer. With `own_format` it carries our template and its control tokens:
    the turn's end as end-of-text, and a pad token that is not that one.

    Raises:
        UserError: the vocabulary fits no known family.
    """
    from transformers import AutoTokenizer

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if own_format:
        family = family_of(tokenizer)
        tokenizer.chat_template = ChatTemplate.formosa(family).source
        tokenizer.eos_token = family.close
        tokenizer.pad_token = _pad_token(tokenizer)
    return tokenizer


def family_of(tokenizer: Any) -> Family:
    """The family of control tokens that the tokenizer's vocabulary holds."""
    return family_of_vocabulary(tokenizer.get_vocab())


def _pad_token(tokenizer: Any) -> str:
    """A token that never ends a turn: masks are ours, but generation pads on the left with it."""
    vocabulary = tokenizer.get_vocab()
    for token in (tokenizer.pad_token, "<|finetune_right_pad_id|>", "<pad>", "<|endoftext|>"):
        if token and token in vocabulary and token != tokenizer.eos_token:
            return str(token)
    raise UserError(
        "The tokenizer has no token that could pad a batch.",
        "add one (for example <pad>) to the tokenizer of the base model",
    )


def load_weights(
    folder: Path, *, dtype: str, attention: str | None = None, quantisation: Any = None
) -> Any:
    """The causal language model of a folder, from safetensors only.

    Args:
        folder: holds config.json and safetensors.
        dtype: `bfloat16` or `float32`.
        attention: transformers' name of an implementation; None: its own choice.
        quantisation: transformers' settings of a base in few bits.
    """
    from transformers import AutoModelForCausalLM

    wishes = {"attn_implementation": attention, "quantization_config": quantisation}
    with quiet_transformers():
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            **{name: wish for name, wish in wishes.items() if wish is not None},
        )


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' progress bars and advice; its warnings of ours are turned off too."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
