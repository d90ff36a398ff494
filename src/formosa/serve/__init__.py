"""The gateway: chat models behind the OpenAI API.

    protocol.py   requests and errors in OpenAI's shapes; what can't be honoured is refused
    history.py    a conversation with tool results, put in order before it is rendered
    stream.py     a reply as one object, or as server-sent events
    app.py        routes, keys, disconnects
    run.py        uvicorn in this process: until Ctrl-C, or in a thread

It renders and parses itself (see `engines/templated.py`), so the same words of a model give the
same message whatever the engine.
"""
