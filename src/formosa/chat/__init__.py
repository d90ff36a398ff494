"""The chat format: messages as values, one template that writes them, one parser that reads them.

    message.py      Message, Tool, ToolCall: pure values, and the OpenAI shapes of them
    formosa.jinja   the only place where messages become text
    template.py     renders it (or a foreign model's own template), with the spans to train on
    guard.py        cuts a prompt where words only spell a control token
    parser.py       reads a reply as it streams: reasoning, content, tool calls
    scan.py         finds where a call ends; calls.py reads it
    grammar.py      what a reply may be: forced calls, JSON by a schema (grammar_schema.py)
    check.py        refuses a message that could not be read back
    schema.py       a Python function's types and docstring as a tool

Knows nothing of tokens, HTTP or engines; imports no torch.
"""
