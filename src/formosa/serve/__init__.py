"""The gateway: chat models behind the OpenAI API.

    app.py              routes
    protocol.py         what bodies and errors have in common in OpenAI's shapes
    chat.py             a chat request, and what a model is asked because of it
    structured.py       replies of a given shape
    history.py          a conversation with tool results, put in order before it is rendered
    replies.py          the replies to one conversation, on their way
    stream.py           a chat reply as one object, or as server-sent events
    completions.py      raw text
    responses.py        the same conversation in OpenAI's newer words, and
    response_items.py   its reply
    served.py           one model: several replies at once
    queue.py            who runs, who waits, who is next
    metrics.py          what Prometheus sees
    record.py           raw replies beside their parse
    raw.py              what the model really wrote, for those who ask
    props.py            what there is to know about a server
    pages.py            what else answers on this address
    connection.py       bodies, keys, streams, clients that leave
    run.py              uvicorn in this process: until Ctrl-C, or in a thread

It renders and parses itself (see `engines/templated.py`), so the same words of a model give the
same message whatever the engine. `conformance/` checks that of any server.
"""
