"""Function calling as the Berkeley leaderboard (BFCL) scores it, without its dependencies.

    items.py         questions, function docs, accepted answers; from the wheel or a folder
    zhtw.py          the same in Traditional Chinese, from MediaTek's fork of v1
    docs.py          function docs → what a model is shown: sentences, tools
    prompt.py        the system prompt for models that write their calls as text
    decode.py        a reply with tool calls → the calls that the checker reads, or why none
    python_calls.py  a reply with Python calls in its text → the same
    source_calls.py  a reply with Java or JavaScript calls in its text → the same
    checker.py       the AST rules: shape, count, names, parameters
    values.py        the AST rules for one value: types, strings, lists, dicts
    literals.py      Java and JavaScript literals in strings → values
    verdict.py       what the rules say, and what a defect of the data is
    lenient.py       a second, lenient reading; items that nobody can get right
    aggregates.py    named figures over several categories
    task.py          all of it as tasks: bfcl-simple, bfcl-prompt-live-multiple, bfcl-zhtw-simple, …

The AST rules agree with the reference in verdict and in error type, its oddities included: they
are what published numbers were made with. The lenient reading is a second scorer beside it, never a
change of this one.

Data: Apache-2.0, https://github.com/ShishirPatil/gorilla, version 4 of the leaderboard.
"""
