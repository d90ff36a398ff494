"""Tools: Python functions that a model may call, and the loop that lets it.

    function.py   @tool: a Python function as a tool
    registry.py   which tools there are: what is not in it does not run
    runner.py     runs the calls of one reply, all at once; answers by id; never raises
    converse.py   ask, run the calls, ask again, until the model answers
    flow.py       the four-step demonstration, with the official `openai` client

Imports no HTTP client and no engine until something is asked.
"""
