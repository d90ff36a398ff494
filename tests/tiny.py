"""A Llama of 60,000 weights with a byte-level tokenizer, made in a second: no download.

Its words mean nothing, but everything around them is real: safetensors, a byte-level BPE with
SmolLM2's rules for digits, control tokens, grouped-query attention.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEXT = [
    "<tool_call> </tool_call> <think> </think> name arguments get_weather city Taipei the weather",
    "台北的天氣如何？請查詢明天的氣溫。1234567890",
] * 4


def tiny_tokenizer() -> Any:
    """A trained byte-level BPE with 400 tokens and ChatML's control tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
    )


def write_tiny_checkpoint(folder: Path, **changes: Any) -> Path:
    """A checkpoint folder with random weights; `changes` go into the configuration."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from formosa.checkpoints import quiet_transformers

    torch.manual_seed(1)
    tokenizer = tiny_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **changes,
    }
    with quiet_transformers():
        model = LlamaForCausalLM(LlamaConfig(**settings)).to(torch.bfloat16)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
