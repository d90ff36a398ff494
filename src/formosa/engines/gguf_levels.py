"""Which type each tensor gets at a level: llama.cpp's rules, so that a file is laid out as its own.

A level such as Q4_K_M is a mixture. Most matrices get its own type; the output, the values'
projection and the second half of the feed-forward get more bits in some layers, where fewer cost
most. Types that keep 256 numbers together do not fit every width: then a type of 32 takes their
place, which needs more bits, so a small model shrinks less than its level promises.

Left out: what only mixtures of experts, the 70B Llama and other architectures need.
Source: llama.cpp's src/llama-quant.cpp; Q4_K_M is compared with a file of its own in a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from formosa.engines.gguf import TENSOR_TYPES
from formosa.errors import UserError

Quantisation = Literal["F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"]
AdapterLevel = Literal["F32", "F16"]  # of an adapter alone


class _Level(NamedTuple):
    most: str  # the type of most matrices
    more: str  # of those that get more bits
    file_type: int  # general.file_type


LEVELS: dict[Quantisation, _Level] = {
    "F32": _Level("F32", "F32", 0),
    "F16": _Level("F16", "F16", 1),
    "BF16": _Level("BF16", "BF16", 32),
    "Q8_0": _Level("Q8_0", "Q8_0", 7),
    "Q6_K": _Level("Q6_K", "Q6_K", 18),
    "Q5_K_M": _Level("Q5_K", "Q6_K", 17),
    "Q4_K_M": _Level("Q4_K", "Q6_K", 15),
    "Q4_0": _Level("Q4_0", "Q4_0", 2),
}
BLOCK = {"F32": 1, "F16": 1, "BF16": 1, "Q8_0": 32, "Q5_1": 32, "Q5_0": 32, "Q4_0": 32,
         "Q6_K": 256, "Q5_K": 256, "Q4_K": 256}  # fmt: skip
_INSTEAD = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}


def type_of(
    name: str, shape: Sequence[int], level: Quantisation, *, layers: int, tied: bool
) -> str:
    """The type of one tensor.

    Args:
        name: llama.cpp's name of it.
        shape: rows first; the last number is the width.
        level: of the file.
        layers: how many the model has.
        tied: whether the embedding is the output, too.

    Raises:
        UserError: a type of 32 numbers a block, and the width is no multiple of it.
    """
    if len(shape) < 2 or not name.endswith("weight") or name.endswith("_norm.weight"):
        return "F32"
    most, more, _ = LEVELS[level]
    if BLOCK[most] == 1:
        return most
    wanted = most
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        wanted = "Q8_0" if most == "Q8_0" else "Q6_K"
    elif more != most and name.endswith((".attn_v.weight", ".ffn_down.weight")):
        wanted = more if _more_bits(int(name.split(".")[1]), layers) else most
    return _that_fits(name, wanted, shape[-1], level)


def file_bytes(
    tensors: Mapping[str, Sequence[int]], level: Quantisation, *, layers: int, tied: bool
) -> int:
    """What all tensors take at a level, header and gaps between them left out.

    Args:
        tensors: shapes by llama.cpp's names, rows first.
        level: of the file.
        layers: how many the model has.
        tied: whether the embedding is the output, too.

    Raises:
        UserError: as `type_of`.
    """
    sizes = {name: (block, width) for name, block, width in TENSOR_TYPES.values()}
    total = 0
    for name, shape in tensors.items():
        block, width = sizes[type_of(name, shape, level, layers=layers, tied=tied)]
        total += math.prod(shape) // block * width
    return total


def _more_bits(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third one between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _that_fits(name: str, wanted: str, width: int, level: Quantisation) -> str:
    if width % BLOCK[wanted] == 0:
        return wanted
    if wanted not in _INSTEAD:
        raise UserError(
            f"{name} has rows of {width} numbers, which {level} cannot store.",
            "choose F16: --level F16, or `quantisation: F16` in the recipe's `export:`",
        )
    found = _INSTEAD[wanted]
    return found if width % BLOCK[found] == 0 else "F16"
