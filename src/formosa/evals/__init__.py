"""Evaluation: tasks, the runner that asks them, and the readings of what came back.

    task.py      what a benchmark is: samples, a way of asking, scorers; the fixed subset and seed
    extract.py   find the chosen letter in free text (box | pattern)
    choice.py    multiple-choice questions, shuffled and scored by both readings
    mini.py      our own small zh-TW set
    bfcl/        function calling, as the Berkeley leaderboard scores it
    registry.py  a task by its name
    run.py       asks every question of a plan and appends to a log; continues what was stopped
    config.py    the `eval:` part of a recipe

The log and the figures made from it are in `formosa.results`, since the card reads them too.
Knows nothing of HTTP and loads no model: it is handed a `ChatModel`.
"""
