"""Engines: what turns a prompt into words, and a conversation into a reply.

    protocol.py   TextEngine (prompt → text), ChatModel (conversation → reply), their values
    templated.py  a ChatModel made of a TextEngine and a chat template: render, generate, parse
    scripted.py   says what it is told to; ships for tests and for trying things without a model
    llama.py      llama.cpp in this process (xllamacpp), GGUF files
    remote.py     any OpenAI-compatible endpoint, as text engine or as chat model

A room of its own because the server, the evaluator, the tool loop and the parity check all ask
models the same way. Imports no torch.
"""
