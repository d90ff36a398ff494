"""A conformance suite for any server with OpenAI's chat API: what breaks, and for whom.

    exchange.py   asks a server and keeps what it said, streamed or not
    report.py     verdicts, and the report they make
    probe.py      the list of live probes, and what they share
    probes_*.py   the probes themselves
    vectors.yaml  what a model says, and the message that a client must get
    vectors.py    reads them, and judges a server's messages
    steering.py   makes a server's model say exactly those words
    parrot.py     a tiny model that says given words: for servers that can't be steered otherwise
    check.py      all of it, in order

It only talks HTTP, so it treats our own server as it treats any other one.
"""
