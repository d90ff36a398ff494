"""Write a checkpoint as a GGUF file, and prove that it says the same.

    config.py   the `export:` part of a recipe
    gguf.py     safetensors + tokenizer + template → one GGUF file, a tensor at a time
    parity.py   same text, same token ids, same greedy words as the checkpoint

Needs `formosa-lm[train]` to write and `formosa-lm[llama]` to check.
"""
