"""A Llama 3.2 of 100,000 random weights with the real kind of tokenizer, made in a second.

Real: the tokenizer's class and rules (Llama 3's regular expression, byte-level BPE with
`ignore_merges`, `<|begin_of_text|>` put first by the post-processor), the 256 special tokens at the
end in Meta's order, a base that ends a text with `<|end_of_text|>` and was never taught a turn,
a tied head, slowed-down rotary frequencies. Not real: the words it knows, and what it says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NAMED = (  # the first of Meta's 256; the others are <|reserved_special_token_N|>
    "<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_2|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
)  # fmt: skip
SPECIAL = (*NAMED, *(f"<|reserved_special_token_{n}|>" for n in range(3, 256 - len(NAMED) + 3)))
ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
TEXT = [
    "<tool_call> </tool_call> <think> </think> name arguments description parameters properties",
    "中華民國臺灣的法律、教育與生活。請查詢明天的天氣。答案是 \\box{A}。",
    "The quick brown fox jumps over 13 lazy dogs in 2024. get_weather(city=Taipei)",
] * 8


def llama3_tokenizer(words: int = 700) -> Any:
    """A byte-level BPE of `words` tokens and Llama 3's special ones behind them."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    first = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", first)],
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        clean_up_tokenization_spaces=False,
        model_max_length=131072,
    )


def write_tiny_llama3(folder: Path, **changes: Any) -> Path:
    """A base checkpoint as Meta's: no template, no padding, turn tokens that were never learnt."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from formosa.checkpoints import quiet_transformers

    torch.manual_seed(3)
    tokenizer = llama3_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_parameters": dict(ROPE),
        "tie_word_embeddings": True,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|begin_of_text|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|end_of_text|>"),
        **changes,
    }
    with quiet_transformers():
        model = LlamaForCausalLM(LlamaConfig(**settings)).to(torch.bfloat16)
        with torch.no_grad():  # rows of tokens that no text of the pre-training held
            for token in ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"):
                row = tokenizer.convert_tokens_to_ids(token)
                model.get_input_embeddings().weight[row].mul_(1e-3)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
