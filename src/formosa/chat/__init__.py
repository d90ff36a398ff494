"""The chat format: messages as values, one template that writes them, one parser that reads them.

    message.py      Message, Tool, ToolCall: pure values, and the OpenAI shapes of them
    formosa.jinja   the only place where messages become text
    template.py     renders it (or a foreign model's own template), with the spans to train on
    parser.py       reads a reply as it streams: reasoning, content, tool calls
    schema.py       a Python function's types and docstring as a tool

Knows nothing of tokens, HTTP or engines; imports no torch.
"""
