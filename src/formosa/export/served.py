"""Does vLLM say what the checkpoint says? It takes the folder itself, so no file is written.

Three checks, with the real engine:

template  vLLM's chat layer renders conversations with the folder's template into the ids that our
          rendering gives: what `vllm serve` answers is what Formosa trained and measured
tokens    it cuts the corpus of `parity.py` into the ids of the checkpoint's tokenizer
greedy    its greedy words are those of the checkpoint in float32, but for near ties

vLLM computes in the checkpoint's precision, which for most is bfloat16: 8 bits of mantissa in every
sum. So its near ties are wider than those of an F16 file in llama.cpp, which computes in float32.
With `--dtype float32` there are hardly any.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.export.greedy import Conversation, GreedyEngine, replies_of
from formosa.export.parity import Check, check_greedy, check_tokens, conversations
from formosa.export.reference import Reference
from formosa.files import read_json

# Nats. Measured with a tuned SmolLM2-135M (vLLM 0.32 on a CPU), 1,200 tokens: bfloat16 chose
# another word 4 times, by 0.02 to 0.14; float32 never.
TIES = {"float32": 0.1, "float16": 0.25, "bfloat16": 0.5}
FEW_BITS = 1.5  # as for Q8_0: quantised weights or activations


class ServedEngine(GreedyEngine, Protocol):
    """vLLM, or what looks like it."""

    async def render_ids(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> list[int]: ...


async def check_served(
    checkpoint: Path,
    engine: ServedEngine,
    *,
    dtype: str,
    greedy_tokens: int = 24,
    more: Sequence[Conversation] = (),
    reference: Reference | None = None,
) -> list[Check]:
    """Compare what vLLM says with its checkpoint.

    Args:
        checkpoint: the folder that vLLM serves.
        engine: that serves it.
        dtype: what it computes in: a key of `TIES`, or a kind of quantisation.
        greedy_tokens: how many tokens are generated for each conversation.
        more: conversations that are answered beside the fixed ones.
        reference: of the checkpoint.

    Returns:
        The checks, passed or not.
    """
    reference = reference or Reference(checkpoint)
    template = ChatTemplate.from_source(
        (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    )
    asked = [*conversations(), *more]
    tie = TIES.get(dtype, FEW_BITS)
    return [
        await _check_template(reference, engine, template),
        await check_tokens(reference.tokenizer, engine, template),
        check_greedy(reference, await replies_of(engine, template, asked, greedy_tokens), tie),
    ]


async def _check_template(
    reference: Reference, engine: ServedEngine, template: ChatTemplate
) -> Check:
    compared = 0
    for number, (messages, tools) in enumerate(conversations(), start=1):
        text = template.prompt(messages, tools)
        wanted = reference.tokenizer.encode(text, add_special_tokens=False)
        found = await engine.render_ids(messages, tools)
        compared += 1
        if found != wanted:
            decode = reference.tokenizer.decode
            place = next((i for i, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b),
                         min(len(wanted), len(found)))  # fmt: skip
            said, ours = (decode(ids[place : place + 8]) for ids in (found, wanted))
            detail = f"conversation {number}: vLLM reads {said!r} for {ours!r}"
            return Check("template", False, compared, detail)
    return Check("template", True, compared, "vLLM's chat layer gives the same ids")


def dtype_of(checkpoint: Path, asked: str | None, quantization: str | None) -> str:
    """What vLLM computes a checkpoint in, for want of a route that says it."""
    config = read_json(checkpoint / "config.json")
    if quantization or config.get("quantization_config"):
        return str(quantization or "quantised")
    if asked and asked != "auto":
        return {"float": "float32", "half": "float16"}.get(asked, asked)
    stored = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
    # vLLM takes float32 checkpoints as bfloat16 unless it is told otherwise.
    return "bfloat16" if stored == "float32" else stored
