"""Tools: what a model may call, and the loop that lets it.

    connect.py         a conversation with a model and tools, in three lines
    converse.py        ask, run the calls, ask again, until the model answers
    runner.py          runs the calls of one reply, all at once; answers by id; never raises
    registry.py        which tools there are: what is not in it does not run
    function.py        @tool: a Python function as a tool
    mcp.py             the tools of MCP servers
    mcp_servers.py     which server is meant: a command, a URL, a file
    mcp_connection.py  a connection to one server, and its results as text
    log.py             what ran, as JSON lines
    address.py         whether a URL stays on this machine
    flow.py            the four-step demonstration, with the official `openai` client

Imports no HTTP client, no engine and no `mcp` until something is asked.
"""
