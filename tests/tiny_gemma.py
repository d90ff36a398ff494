"""A Gemma 3 of 60,000 random weights with the real kind of tokenizer, made in a second.

Real: SentencePiece's way of cutting text as tokenizer.json holds it (`▁` for a space, bytes for
what has no token, every split of a token among the merges), Gemma's special tokens, four norms a
layer, a sliding window in some layers with rotary settings of its own, a tied head.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>")
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TEXT = [
    "<tool_call> </tool_call> <think> </think> name arguments get_weather city Taipei the weather",
    "台北的天氣如何？請查詢明天的氣溫。1234567890 a    b  c   d",
] * 4


def tiny_gemma_tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=640, special_tokens=[*SPECIAL, "[multimodal]", *BYTES], show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    content = json.loads(tokenizer.to_str())
    kept = {"[multimodal]", *SPECIAL}
    content["added_tokens"] = [
        {**token, "special": token["content"] in SPECIAL}
        for token in content["added_tokens"]
        if token["content"] in kept
    ]
    known = content["model"]["vocab"]
    known |= {"▁" * n: len(known) + n - 2 for n in (2, 3, 4)}
    ranked = dict.fromkeys("▁" * n for n in (2, 3, 4))
    ranked |= dict.fromkeys("".join(pair) for pair in content["model"]["merges"])
    content["model"]["merges"] = [  # SentencePiece joins whatever gives a token
        [token[:i], token[i:]]
        for token in ranked
        for i in range(1, len(token))
        if token[:i] in known and token[i:] in known
    ]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def write_tiny_gemma(folder: Path, **changes: Any) -> Path:
    """A checkpoint with our template, as training leaves it; `changes` go into the
    configuration."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    from formosa.checkpoints import load_tokenizer, quiet_transformers
    from formosa.files import write_text

    torch.manual_seed(5)
    tokenizer = tiny_gemma_tokenizer()
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 3,  # ids that no text gives
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "max_position_embeddings": 2048,
        "sliding_window": 16,
        "initializer_range": 0.1,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **changes,
    }
    with quiet_transformers():
        model = Gemma3ForCausalLM(Gemma3TextConfig(**settings)).to(torch.bfloat16)
        with torch.no_grad():  # norms that are not all the same, so that "+ 1" matters
            for name, weight in model.named_parameters():
                if name.endswith("norm.weight"):
                    weight.copy_(torch.randn_like(weight) * 0.2)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    ours = load_tokenizer(folder)
    ours.save_pretrained(folder)
    write_text(folder / "chat_template.jinja", ours.chat_template)
    return folder
