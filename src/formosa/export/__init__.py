"""Write a checkpoint as GGUF at several levels, prove what it says, and measure what is lost.

    config.py         the `export:` part of a recipe
    gguf.py           a checkpoint → one GGUF file, a tensor at a time; with it
                      architectures.py, vocabulary.py; engines/gguf_levels.py has the types
    requantise.py     a GGUF file → one at another level
    merge.py          a LoRA adapter into its base; adapter.py: as a GGUF file; lora.py reads it
    shards.py         safetensors in one file or several
    native.py         llama.cpp's quantising and logits, through ctypes
    importance.py     which columns matter, for less than 8 bits
    parity.py         same text, same token ids, same greedy words (greedy.py); divergence.py: how
                      far away, measured against reference.py; served.py: the same of vLLM
    levels.py         the table "size, speed, what is lost"; plot.py: as a picture
    about.py          licence, base, languages and hashes in the header

Needs `formosa-lm[train]` to write, and `formosa-lm[llama]` to check and to go below 8 bits.
"""
