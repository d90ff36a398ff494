"""Engines: what turns a prompt into words, and a conversation into a reply.

    protocol.py   TextEngine (prompt → text), ChatModel (conversation → reply), their values
    templated.py  a ChatModel made of a TextEngine and a chat template: render, generate, parse
    scripted.py   says what it is told to; ships for tests and for trying things without a model
    llama.py      llama.cpp in this process (xllamacpp), GGUF files and LoRA adapters
    llama_server.py, guided.py, gguf.py   how it is started; which models may be freed; the header
                  of a GGUF file
    vllm.py       vLLM in a process of its own, checkpoint folders
    vllm_command.py, keeper.py   its flags, by version; what ends it when we end
    remote.py     the text route of any OpenAI-compatible server
    remote_chat.py   its chat route, believed
    endpoint.py, http.py, dialect.py   address, key, retries; events and errors; who honours what
    pool.py       several text engines as one
    vocabulary.py, tokenizer_files.py, logprobs.py   tokens and their bytes, templates of folders
    advice.py     what would make this machine faster
    open.py       from a model's name to something that answers

A room of its own because the server, the evaluator, the tool loop and the parity check all ask
models the same way. Imports no torch.
"""
