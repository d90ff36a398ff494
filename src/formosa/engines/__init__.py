"""Engines: what turns a prompt into words, and a conversation into a reply.

    protocol.py   TextEngine (prompt → text), ChatModel (conversation → reply), their values
    templated.py  a ChatModel made of a TextEngine and a chat template: render, generate, parse
    scripted.py   says what it is told to; ships for tests and for trying things without a model
    llama.py      llama.cpp in this process (xllamacpp), GGUF files
    gguf.py       the header of a GGUF file
    remote.py     any OpenAI-compatible endpoint, as text engine or as chat model
    endpoint.py   one such server: address, key, retries
    http.py       what the engines behind HTTP share: clients, events, errors
    open.py       from a model's name to something that answers

A room of its own because the server, the evaluator, the tool loop and the parity check all ask
models the same way. Imports no torch.
"""
