"""Function calling as the Berkeley leaderboard (BFCL) scores it, without its dependencies.

    items.py     questions, function docs, accepted answers; from the wheel or a folder
    docs.py      function docs → the tools that a model is shown in tool-call mode
    decode.py    a reply → the calls that the checker reads, or why there are none
    checker.py   the AST rules: shape, count, names, parameters
    values.py    the AST rules for one value: types, strings, lists, dicts
    verdict.py   what the rules say, and what a defect of the data is
    task.py      all of it as tasks: bfcl-simple, bfcl-multiple, …

The AST rules agree with the reference in verdict and in error type, its oddities included: they
are what published numbers were made with. A more lenient reading is to be a second scorer beside
it, never a change of this one. Python categories only so far.

Data: Apache-2.0, https://github.com/ShishirPatil/gorilla, version 4 of the leaderboard.
"""
